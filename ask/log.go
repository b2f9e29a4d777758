package ask

import (
	"context"
	"errors"
	"path"
	"strings"

	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// ErrNoHistory is that nobody remembers what was in a source before.
var ErrNoHistory = errors.New("sources of this kind have no history")

// History returns what led to what a source is at: to the reading's revision or, if
// it names none, to what the source has now.
func (p *Reading) History(ctx context.Context, name source.FeedName, q source.Query) (source.Log, error) {
	if err := p.equip(); err != nil {
		return source.Log{}, err
	}
	f, err := p.feed(ctx, name, p.references(ctx))
	if err != nil {
		return source.Log{}, err
	}
	src, err := p.sourceOf(f)
	if err != nil {
		return source.Log{}, err
	}
	h, ok := src.(source.Historian)
	if !ok {
		return source.Log{}, ErrNoHistory
	}
	ref := refAt(f, p.at.Revision)
	rev, err := src.Resolve(ctx, f.Remote, ref)
	if err != nil {
		return source.Log{}, err
	}
	return h.History(ctx, f.Remote, ref, rev, q)
}

// Concerns reports whether an entry of its source's history changed something that a
// unit reads. That is sure if whoever keeps the unit has shown what it reads;
// otherwise what lies below its path counts, and nothing else.
func (p *Reading) Concerns(u unit.Unit, e source.Entry) (yes, sure bool) {
	if len(e.Changes) == 0 {
		return false, true
	}
	if key := u.Name.String(); p.equip() == nil && p.gear.Renderer.Kept(key) {
		yes := p.gear.Renderer.Touched(reads(e))[key]
		return yes, yes || !e.Cut
	}
	for _, c := range e.Changes {
		if within(u.Recipe.Dir, c.Path) || c.From != "" && within(u.Recipe.Dir, c.From) {
			return true, false
		}
	}
	return false, false
}

// reads returns all names of which a question may have got another answer by an
// entry.
func reads(e source.Entry) map[string]bool {
	names := make(map[string]bool)
	put := func(name string, listed bool) {
		names[name] = true
		for dir := name; listed && dir != "."; {
			dir = path.Dir(dir)
			names[dir] = true
		}
	}
	for _, c := range e.Changes {
		put(c.Path, c.Verb != source.Modified)
		if c.From != "" {
			put(c.From, true)
		}
	}
	return names
}

// within reports whether a name is a directory's or lies below it.
func within(dir, name string) bool {
	dir = path.Clean(dir)
	return dir == "." || name == dir || strings.HasPrefix(name, dir+"/")
}

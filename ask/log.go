package ask

import (
	"context"
	"errors"
	"path"
	"slices"
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

// Concerns returns how to ask whether an entry of its source's history changed
// something that a unit reads. That is sure if whoever keeps the unit has shown what
// it reads; otherwise what lies below its path counts, and nothing else.
func (p *Reading) Concerns(e source.Entry) func(unit.Unit) (yes, sure bool) {
	if len(e.Changes) == 0 {
		return func(unit.Unit) (yes, sure bool) { return false, true }
	}
	var touched map[string]bool
	known := p.equip() == nil
	if known {
		touched = p.gear.Renderer.Touched(reads(e))
	}
	return func(u unit.Unit) (yes, sure bool) {
		if key := u.Name.String(); known && p.gear.Renderer.Kept(key) {
			return touched[key], touched[key] || !e.Cut
		}
		return slices.ContainsFunc(e.Changes, func(c source.Change) bool {
			return within(u.Recipe.Dir, c.Path) || c.From != "" && within(u.Recipe.Dir, c.From)
		}), false
	}
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

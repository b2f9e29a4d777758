package engine

import (
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/source"
)

// A made is the tree of a feed, and what it was made of.
type made struct {
	own   *source.Snapshot // as it came from the source last
	asked digest.Digest    // how it was asked for

	tree  *source.Snapshot   // as units see it; nil if there is none yet
	base  *source.Snapshot   // what it was made of
	mount []*source.Snapshot // and what of other feeds
	shape digest.Digest      // how it was asked to be made
}

// has reports whether what came last is at rev, and as it is asked for.
func (f feed) has(rev source.Revision) bool {
	return f.own != nil && f.own.Revision == rev && f.asked == askedFor(f.want)
}

// askedFor changes with what a feed asks of its source, beside the revision.
func askedFor(f source.Feed) digest.Digest {
	return sumOf(f.Remote.URL, f.Remote.Proof, f.Remote.Submodules, f.Ref.Layer, f.Ref.Copy)
}

// shapeOf changes with what a feed asks of its tree.
func shapeOf(f source.Feed) digest.Digest { return sumOf(f.Sparse, f.Include, f.Ignore) }

func sumOf(v ...any) digest.Digest {
	data, err := json.Marshal(v)
	if err != nil {
		panic("engine: " + err.Error()) // they hold nothing but strings and bytes
	}
	return digest.Of(data)
}

// shape makes a feed's tree of what came from its source, unless that is how it
// was made, and says in st what it is.
func (e *Engine) shape(f feed, own *source.Snapshot, st *source.Status) (made, error) {
	m := f.made
	m.own, m.asked = own, askedFor(f.want)
	parts, included, err := e.included(f.want)
	if err != nil {
		return m, err
	}
	shape := shapeOf(f.want)
	if m.tree != nil && m.base == own && m.shape == shape && slices.Equal(m.mount, parts) {
		return m, nil
	}
	var trees []fs.FS
	for _, p := range parts {
		trees = append(trees, p.Tree)
	}
	whole := *own
	if !f.foreign { // or else whoever keeps it has shaped it
		whole.Tree, err = f.want.Shape(own.Tree, trees)
	}
	if err != nil {
		return m, err
	}
	whole.Revision = f.want.Composite(own.Revision, included)
	m.tree, m.base, m.mount, m.shape = &whole, own, parts, shape
	if whole.Revision != st.Revision {
		st.Since = e.now()
		e.log.Info("fetched", "feed", f.want.Name.String(), "rev", whole.Revision.Name)
	}
	st.Revision, st.Own, st.Included = whole.Revision, own.Revision, included
	st.Commit, st.Proven, st.Signed, st.Origin, st.Metadata = own.Commit, own.Proven, own.Signed, own.Origin, own.Metadata
	return m, nil
}

// errPending says that a feed waits for another's first look after a start. It
// is no news.
var errPending = errors.New("what is included has not been looked at yet")

// included returns what a feed includes of others, as they stand now.
func (e *Engine) included(f source.Feed) (parts []*source.Snapshot, named []source.Included, err error) {
	if len(f.Include) == 0 {
		return nil, nil, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, inc := range f.Include {
		lacks := func(what, why string) error {
			return fault.Input(&source.IncludeError{Feed: inc.Feed, Lacks: what, Why: why})
		}
		of := e.feeds[inc.Feed]
		if of == nil {
			return nil, nil, lacks(source.LacksFeed, inc.Feed.String()+" is not there")
		}
		if circle := e.circle(f.Name, inc.Feed, nil); circle != nil {
			return nil, nil, lacks(source.LacksPath, "they include each other in a circle: "+strings.Join(append([]string{f.Name.Name}, circle...), " → "))
		}
		if of.tree == nil && !of.looked() {
			return nil, nil, errPending
		}
		if of.tree == nil && of.foreign { // nobody else can say why
			return nil, nil, lacks(source.LacksTree, inc.Feed.String()+": "+of.status.Err.Error())
		}
		if of.tree == nil {
			return nil, nil, lacks(source.LacksTree, inc.Feed.String()+" has no artifact yet")
		}
		parts = append(parts, of.tree)
		named = append(named, source.Included{Feed: inc.Feed, Revision: of.status.Revision, Since: of.status.Since})
	}
	return parts, named, nil
}

// looked reports whether a feed without a tree has been looked at since the start,
// or never will be. e.mu is held.
func (f *feed) looked() bool {
	if f.foreign {
		return f.status.Err != nil
	}
	return !f.due.IsZero() || f.want.Paused || f.deleting
}

// includes reports whether a feed includes another.
func (f *feed) includes(name source.FeedName) bool {
	return slices.ContainsFunc(f.want.Include, func(i source.Include) bool { return i.Feed == name })
}

// circle returns the names of the feeds by which at includes to, or nil if it
// doesn't. e.mu is held.
func (e *Engine) circle(to, at source.FeedName, path []source.FeedName) []string {
	if at == to {
		return []string{at.Name}
	}
	f := e.feeds[at]
	if f == nil || slices.Contains(path, at) {
		return nil
	}
	path = append(path, at)
	for _, inc := range f.want.Include {
		if rest := e.circle(to, inc.Feed, path); rest != nil {
			return append([]string{at.Name}, rest...)
		}
	}
	return nil
}

// recompose has all feeds looked at that include a feed that has another tree
// now. e.mu is held.
func (e *Engine) recompose(name source.FeedName) {
	for other, f := range e.feeds {
		if f.includes(name) {
			f.parts = true
			e.feedQ.Add(other, changed)
		}
	}
}

// summon has the feeds of others looked at that a feed includes, or included: one
// is not had before somebody uses it, nor for longer. e.mu is held.
func (e *Engine) summon(all []source.Include) {
	for _, inc := range all {
		if part := e.feeds[inc.Feed]; part != nil && part.foreign {
			e.feedQ.Add(inc.Feed, asked)
		}
	}
}

// onlyParts reports whether nothing but what a feed includes has changed since
// it was looked at: its source needs not be asked for that.
func (e *Engine) onlyParts(f feed) bool {
	return f.parts && !f.anew && f.own != nil && f.want.Token == f.status.Token && e.now().Before(f.due) &&
		(f.status.Err == nil || errors.Is(f.status.Err, source.ErrInclude))
}

// reshape makes a feed's tree anew of what is here.
func (e *Engine) reshape(f feed) (source.Status, made) {
	st := f.status
	m, err := e.shape(f, f.own, &st)
	st.Err = err
	return st, m
}

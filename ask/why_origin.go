package ask

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"time"

	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/engine"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// An Origin is where a thing comes from. What is not known is left empty.
type Origin struct {
	Source   string    `json:"source"` // "GitRepository/apps/web"
	URL      string    `json:"url,omitempty"`
	Revision string    `json:"revision,omitempty"`
	Author   string    `json:"author,omitempty"`
	Subject  string    `json:"subject,omitempty"`
	MadeOf   string    `json:"madeOf,omitempty"` // of an image: the revision that its publisher says it was made of
	When     time.Time `json:"when,omitzero"`
	File     string    `json:"file,omitempty"`
	Line     int       `json:"line,omitempty"`
}

// A checkout is a source's content at a revision, or why it can't be had.
type checkout struct {
	tree fs.FS
	snap *source.Snapshot // nil if nothing is known of history
	err  error
}

// unitOrigin says where a unit's objects come from.
func (w *asking) unitOrigin(ctx context.Context, o object.Object) error {
	asked, err := w.Dialect.Read(o, dialect.Nothing{})
	if err != nil || len(asked.Units) == 0 {
		return err
	}
	st, from := w.Dialect.RecallUnit(o), asked.Units[0].Source
	w.answer.Origin = w.sourceOrigin(ctx, from, st.Applied)
	if st.Attempted != st.Applied && !st.Attempted.IsZero() {
		w.answer.Tries = w.sourceOrigin(ctx, from, st.Attempted)
	}
	return nil
}

// sourceOrigin says what a source is at a revision; nil if there is none.
func (w *asking) sourceOrigin(ctx context.Context, name source.FeedName, rev source.Revision) *Origin {
	id := w.Feed(name)
	if id.Name == "" {
		return nil
	}
	o, there, err := w.Cluster.Get(ctx, id)
	if err != nil || !there {
		if err != nil {
			w.unknown("source %s: %v", name, err)
		}
		return nil
	}
	return w.originOf(ctx, o, rev)
}

// originOf says what is known of a source at a revision, of which history may be
// read from the repository.
func (w *asking) originOf(ctx context.Context, o object.Object, rev source.Revision) *Origin {
	out := &Origin{Source: o.ID().String(), Revision: rev.Name}
	asked, err := w.Dialect.Read(o, dialect.Nothing{})
	if err == nil && len(asked.Feeds) > 0 {
		out.URL = PlainURL(asked.Feeds[0].Remote.URL)
	}
	if rev.IsZero() {
		return out
	}
	t := w.take(ctx, feedName(o), rev)
	if t.err != nil {
		w.unknown("who wrote that revision: %v", t.err)
		return out
	}
	if t.snap != nil {
		out.Author, out.Subject, out.When = t.snap.Commit.Author, t.snap.Commit.Subject, t.snap.Commit.When
		out.MadeOf = t.snap.Origin
	}
	return out
}

// PlainURL returns a URL without what lets one in: passwords, tokens that stand for
// users, and what comes after a question mark. The user of SSH is no secret.
func PlainURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "(no URL)"
	}
	if u.User != nil && u.Scheme == "ssh" {
		u.User = url.User(u.User.Username())
	} else {
		u.User = nil
	}
	u.RawQuery, u.Fragment = "", ""
	return u.String()
}

// A point is a source at a revision.
type point struct {
	source.FeedName
	revision string
}

// take returns what a source holds at a revision, or holds now if rev is zero.
func (w *asking) take(ctx context.Context, name source.FeedName, rev source.Revision) *checkout {
	at := point{name, rev.Name}
	if t := w.taken[at]; t != nil {
		return t
	}
	t := new(checkout)
	w.taken[at] = t
	ctx, cancel := context.WithTimeout(ctx, reading)
	defer cancel()
	if w.fetched(ctx, at, t); t.err != nil {
		t.err = fmt.Errorf("the repository can't be read from here: %w", t.err)
	}
	return t
}

// fetched fetches a source at a revision, or as it is now where that can't be had.
func (w *asking) fetched(ctx context.Context, at point, t *checkout) {
	read := func(revision string) {
		r := w.reading.At(At{Revision: revision})
		t.tree, t.err = r.tree(ctx, unit.Unit{Source: at.FeedName})
		t.snap = r.snaps[at.FeedName]
	}
	revision := at.revision
	if f, err := w.reading.feed(ctx, at.FeedName, w.references(ctx)); err == nil && foreign(f) {
		revision = "" // the one that there is
	}
	read(revision)
	if first := t.err; first != nil && revision != "" && ctx.Err() == nil && !hopeless(first) {
		if read(""); t.err != nil {
			t.err = first
		}
	}
	if t.err == nil && at.revision != "" && t.snap != nil && contentOf(t.snap.Revision.Name) != contentOf(at.revision) {
		w.unknown("%s at %s: it can't be had any more; files and fields are those of %s", at.FeedName, at.revision, t.snap.Revision.Name)
		t.snap = nil // it is of another revision
	}
}

// hopeless reports whether what kept a source from being fetched at a revision
// keeps it from being fetched at any.
func hopeless(err error) bool {
	return errors.Is(err, source.ErrNetwork) || errors.Is(err, source.ErrAuth) || errors.Is(err, source.ErrURL)
}

// contentOf returns the part of a revision that names content.
func contentOf(revision string) string { return revision[strings.LastIndexByte(revision, '@')+1:] }

// wanted returns what a unit wants at a revision.
func (w *asking) wanted(ctx context.Context, o object.Object, rev source.Revision) (engine.Wants, error) {
	var none engine.Wants
	u, err := w.reading.wisher(ctx, o)
	if err != nil {
		return none, err
	}
	t := w.take(ctx, u.Source, rev)
	if t.err != nil {
		return none, t.err
	}
	return w.reading.keep.Wanted(ctx, u, t.tree)
}

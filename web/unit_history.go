package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// An attempt is an entry of a unit's history as pages show it.
type attempt struct {
	Revision string
	State    string // as lists name it
	Result   string
	First    when
	Last     when
	Took     string
	Times    int
	Commit   commitLine
	Against  string // the address of what it changed from the one before; "" if there is none
	Rollback string // the command that goes back there; "" for where the unit is
	Back     string // the address that does
}

// A commitLine is what is known of a revision.
type commitLine struct {
	*source.Commit
	When when
	Load string // where it is to be had, if it is not known yet
	URL  string // of the page on which it is one of many
}

// history returns what a unit's status says of earlier attempts, the newest
// first.
func (s *Server) history(o object.Object) []attempt {
	st := s.c.Dialect.RecallUnit(o)
	address, now := s.address(o.ID()), cmp.Or(st.Attempted, st.Applied).Name
	var out []attempt
	for _, h := range ask.History(o) {
		a := attempt{
			Revision: h.Revision, Result: h.Result, First: s.when(h.First), Last: s.when(h.Last), Times: int(h.Times),
			State: states[failed].Name, Took: took(h.Took),
		}
		if h.Well {
			a.State = states[ready].Name
		}
		if h.Well && h.Revision != now {
			a.Rollback = s.rollbackCommand(o, h.Revision)
			a.Back = address + "/rollback?" + query("to", h.Revision)
		}
		out = append(out, a)
	}
	for i := range len(out) - 1 {
		if from, to := out[i+1].Revision, out[i].Revision; from != to {
			out[i].Against = address + "/compare?" + query("from", from, "to", to)
		}
	}
	return out
}

// took returns a duration as people read it.
func took(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	s := d.Round(time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// revisions returns those of a unit that a viewer may ask about: whoever may see
// a unit may not see all that has ever been in its source.
func (s *Server) revisions(ctx context.Context, v *viewer, o object.Object, u unit.Unit) []string {
	st := s.c.Dialect.RecallUnit(o)
	all := []string{st.Applied.Name, st.Attempted.Name}
	for _, h := range ask.History(o) {
		all = append(all, h.Revision)
	}
	if src, err := s.seen(ctx, v, s.sourceID(u)); err == nil {
		all = append(all, s.c.Dialect.RecallFeed(src).Revision.Name)
	}
	return slices.DeleteFunc(all, func(r string) bool { return r == "" })
}

// among is an error if a revision is none of a unit's.
func among(all []string, rev string) error {
	if !slices.Contains(all, rev) {
		return fmt.Errorf("%q is no revision that this unit has been at lately", rev)
	}
	return nil
}

// commits are what is known of revisions. They can't change.
type commits struct {
	mu    sync.Mutex
	known map[point]*source.Commit // guarded by mu; nil where a revision says nothing
}

// A point is a source at a revision.
type point struct {
	source   source.FeedName
	revision string
}

const maxCommits = 1 << 12

func (c *commits) get(at point) (*source.Commit, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.known[at]
	return known, ok
}

func (c *commits) put(at point, commit *source.Commit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= maxCommits {
		c.known = make(map[point]*source.Commit)
	}
	c.known[at] = commit
}

// commitLine returns what is known of a revision of a unit's source, or where
// that is to be had. The viewer may see the source.
func (s *Server) commitLine(o object.Object, u unit.Unit, rev string) commitLine {
	if rev == "" {
		return commitLine{}
	}
	if c, ok := s.commits.get(point{u.Source, rev}); ok {
		return s.lineOf(c, u.Source, rev)
	}
	return commitLine{Load: s.address(o.ID()) + "/commit?" + query("revision", rev)}
}

func (s *Server) lineOf(c *source.Commit, of source.FeedName, rev string) commitLine {
	if c == nil {
		return commitLine{}
	}
	at := s.address(object.ID{Kind: s.kindNamed(of.Kind), Namespace: of.Namespace, Name: of.Name})
	return commitLine{Commit: c, When: s.when(c.When), URL: at + "/log?" + query("at", entryKey(rev)) + "#" + entryKey(rev)}
}

// commit shows who made a revision, and what they called it.
func (s *Server) commit(w http.ResponseWriter, r *http.Request, v *viewer, o object.Object) error {
	u, err := s.unitOf(o)
	if err != nil {
		return err
	}
	rev := r.FormValue("revision")
	if err := s.maySource(r.Context(), v, u); err != nil {
		return err
	}
	if err := among(s.revisions(r.Context(), v, o, u), rev); err != nil {
		return &refusal{http.StatusNotFound, plainly(err)}
	}
	p := struct {
		commitLine
		Revision string
		Err      string
	}{Revision: rev}
	c, err := s.commitOf(r.Context(), v, u, rev)
	if err != nil {
		p.Err = plainly(err)
	}
	p.commitLine = s.lineOf(c, u.Source, rev)
	return s.show(w, r, v, "commit", frame{Title: shortRevision(rev), Section: "fleet", Main: p})
}

// commitOf reads what a source says of a revision.
func (s *Server) commitOf(ctx context.Context, v *viewer, u unit.Unit, rev string) (*source.Commit, error) {
	at := point{u.Source, rev}
	if c, ok := s.commits.get(at); ok {
		return c, nil
	}
	var snap *source.Snapshot
	err := s.slowly(ctx, v, func(ctx context.Context, d *ask.Desk) (err error) {
		reading := d.Read(ask.At{Revision: rev})
		defer reading.Close()
		snap, err = reading.Snapshot(ctx, u.Source)
		return err
	})
	if err != nil {
		return nil, err
	}
	var c *source.Commit
	if snap != nil && snap.Commit != (source.Commit{}) {
		c = &snap.Commit
	}
	s.commits.put(at, c)
	return c, nil
}

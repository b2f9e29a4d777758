package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
)

func (s *Server) sourcePages() {
	const at = "/source/{kind}/{namespace}/{name}"
	s.look("/sources", s.sources)
	s.look(at, s.ofSource(s.source))
	s.get(at+"/live", s.ofSource(s.sourceLive))
	s.get(at+"/log", s.ofSource(s.commitLog))
}

// A sourcePage is what the template of a source is given.
type sourcePage struct {
	subject
	May        bool // the viewer may change it
	Every      string
	Fetched    when
	Artifact   artifact
	Signed     string // what was proven, and by whom
	Proof      string // how it is to be proven; "" if it need not be
	Origin     string // what the publisher says that it was made of
	Conditions []condition
	Events     []event
	EventErr   string
	Users      []user
	UsersOld   []stale // what of Users may be otherwise now
	Includes   []thing // sources of which it has parts
	Load       string  // the address of what led to its revision; "" if it has none yet
}

// An artifact is the tarball that others can have.
type artifact struct{ Digest, Size string }

// A condition is what an object says of itself in one respect.
type condition struct {
	Type, Status, Reason, Message string
	Since                         when
}

// A user is a unit or a source that uses a source.
type user struct {
	thing
	State    string
	Says     string
	Revision string // that a unit has applied last
	Behind   bool   // that is another than the source has
	Includes bool   // it is a source, and has a part of it
}

// source shows a source: at once, by what the API server tells. What is in its
// repository the page asks for later.
func (s *Server) source(w http.ResponseWriter, r *http.Request, v *viewer, o object.Object) error {
	p, err := s.sourcePage(r.Context(), v, o, r.URL)
	if err != nil {
		return err
	}
	return s.show(w, r, v, "source", frame{
		Title: o.Name() + " in " + o.Namespace(), Section: "sources", Live: p.Address + "/live", Main: p,
	})
}

func (s *Server) sourcePage(ctx context.Context, v *viewer, o object.Object, at *url.URL) (*sourcePage, error) {
	id, st := o.ID(), s.c.Dialect.RecallFeed(o)
	p := &sourcePage{
		subject: s.subjectOf(v, o, at), Fetched: s.when(st.Since), Signed: st.Signed, Origin: st.Origin,
		Artifact: artifactOf(o), Conditions: s.conditions(o),
	}
	f, err := s.feedOf(o)
	if err == nil {
		p.Every = took(f.Every)
		if f.Remote.Proof != nil {
			p.Proof = f.Remote.Proof.Method
		}
	}
	if p.Proof == "" {
		p.Proof = cmp.Or(o.Text("spec", "verify", "provider"), o.Text("spec", "verify", "mode"))
	}
	for _, part := range p.row.Includes {
		p.Includes = append(p.Includes, s.thing(part))
	}
	if p.Revision != "" {
		p.Load = p.Address + "/log?" + query("of", keyFor(p.Revision))
	}
	g, gctx := errgroup.WithContext(ctx)
	var answer *ask.Answer
	g.Go(func() error { answer = s.quick(v).Standing(gctx, o); return nil })
	g.Go(func() error { p.Events, p.EventErr = s.said(gctx, v, o); return nil })
	g.Go(func() error { p.May = s.mays(gctx, v, "patch", id); return nil })
	g.Go(func() (err error) { p.Users, p.UsersOld, err = s.users(gctx, v, id, st); return err })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	p.Verdict = s.verdict(answer, p.State, names{id.String(): id})
	return p, nil
}

// feedOf returns what the object of a source asks for.
func (s *Server) feedOf(o object.Object) (source.Feed, error) {
	asked, err := s.c.Dialect.Read(o, dialect.Nothing{})
	switch {
	case err != nil:
		return source.Feed{}, err
	case len(asked.Feeds) == 0:
		return source.Feed{}, errors.New("it is no source")
	}
	return asked.Feeds[0], nil
}

func artifactOf(o object.Object) artifact {
	a := artifact{Digest: o.Text("status", "artifact", "digest")}
	if n := o.Number("status", "artifact", "size"); n > 0 {
		a.Size = count(int(n)) + " bytes"
	}
	return a
}

func (s *Server) conditions(o object.Object) (all []condition) {
	v, _ := o.Get("status", "conditions")
	list, _ := v.([]any)
	for _, e := range list {
		m, _ := e.(map[string]any)
		c := object.Of(m)
		all = append(all, condition{
			Type: c.Text("type"), Status: c.Text("status"), Reason: c.Text("reason"), Message: plainText(c.Text("message")),
			Since: s.when(c.Time("lastTransitionTime")),
		})
	}
	return all
}

// users returns who uses a source, as far as the viewer may see them: the worst
// first. It returns, too, what of that is not as it is now.
func (s *Server) users(ctx context.Context, v *viewer, id object.ID, st source.Status) ([]user, []stale, error) {
	units, old, err := s.visible(ctx, v, false)
	if err != nil {
		return nil, nil, err
	}
	sources, older, err := s.visible(ctx, v, true)
	if err != nil {
		return nil, nil, err
	}
	found := slices.DeleteFunc(append(units, sources...), func(x *row) bool { return x.Source != id && !slices.Contains(x.Includes, id) })
	slices.SortFunc(found, func(a, b *row) int { return cmp.Or(cmp.Compare(a.State, b.State), byName(a, b)) })
	var all []user
	for _, x := range found {
		u := user{thing: s.thing(x.ID), State: x.State.String(), Includes: x.Source != id}
		if x.State != ready {
			u.Says = firstLine(x.Message, 160)
		}
		if !u.Includes {
			u.Revision = x.Revision
			u.Behind = x.Revision != "" && st.Revision.Name != "" && x.Revision != st.Revision.Name
		}
		all = append(all, u)
	}
	return all, append(old, older...), nil
}

// sourceLive tells of changes to a source, and to those who use it.
func (s *Server) sourceLive(w http.ResponseWriter, r *http.Request, v *viewer, o object.Object) error {
	sels := []cluster.Selection{{Kind: o.ID().Kind, Namespace: o.Namespace(), Name: o.Name(), Metadata: true}}
	users := func(ctx context.Context) (string, error) {
		all, old, err := s.users(ctx, v, o.ID(), source.Status{})
		return keyFor(all, keyForOld(old)), err
	}
	turn := s.register.turn()
	now, _ := users(r.Context()) // where they can't be told, what is told later is news
	return s.stream(w, r, v, func(ctx context.Context, changed func()) {
		var both sync.WaitGroup
		both.Go(func() { follows(ctx, s.register, turn, now, users, changed) })
		follow(ctx, v.cluster, sels, changed)
		both.Wait()
	})
}

// What is shown of a commit log at the most.
const (
	logEntries  = 30
	maxEntries  = 500
	maxMentions = 12 // changes of an entry that are shown at once, and units
)

// A logPage is what the template of a commit log is given.
type logPage struct {
	Source  thing
	Address string
	Path    string // that is filtered for
	Entries []logEntry
	Looked  int
	More    string // the address of a longer one; "" if this is all that is asked for
	Cut     bool   // there is more than is looked at
	Guess   bool   // what some units read is not known
	None    bool   // there is no history in sources of its kind
	Err     string
}

// A logEntry is an entry of a source's history.
type logEntry struct {
	source.Entry
	Key      string // of its place on the page
	Short    string
	When     when
	By       string // who committed it, if that is not the author
	First    []source.Change
	Rest     []source.Change
	Units    []thing // that it concerned
	MoreOf   int     // units that are too many to be shown
	Here     bool    // the source is at it
	Metadata []choice
}

// commitLog shows what led to what a source is at, and which units that concerned.
// The viewer may see the source.
func (s *Server) commitLog(w http.ResponseWriter, r *http.Request, v *viewer, o object.Object) error {
	p := &logPage{Source: s.thing(o.ID()), Address: s.address(o.ID()) + "/log", Path: strings.TrimSpace(r.FormValue("path"))}
	q := source.Query{Path: p.Path, Most: logEntries}
	if r.FormValue("all") != "" {
		q.Most = maxEntries
	}
	if err := s.fillLog(r.Context(), v, o, q, r.FormValue("at"), p); errors.Is(err, ask.ErrNoHistory) {
		p.None = true
	} else if err != nil {
		p.Err = plainly(err)
	}
	return s.show(w, r, v, "commits", frame{Title: "Commits of " + o.Name(), Section: "sources", Main: p})
}

// fillLog fills in a log that goes back to the entry of a key, if it is not too far.
func (s *Server) fillLog(ctx context.Context, v *viewer, o object.Object, q source.Query, key string, p *logPage) error {
	rows, _, err := s.visible(ctx, v, false)
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(x *row) bool { return x.Source != o.ID() })
	st := s.c.Dialect.RecallFeed(o)
	rev := cmp.Or(st.Own.Name, st.Revision.Name)
	if rev == "" {
		return errors.New("it has not been fetched yet")
	}
	return s.slowly(ctx, v, func(ctx context.Context, d *ask.Desk) error {
		reading := d.Read(ask.At{Revision: rev})
		defer reading.Close()
		log, err := reading.History(ctx, feedName(o.ID()), q)
		wanted := func(e source.Entry) bool { return entryKey(string(e.ID)) == key }
		if err == nil && key != "" && log.More && q.Most < maxEntries && !slices.ContainsFunc(log.Entries, wanted) {
			q.Most = maxEntries
			log, err = reading.History(ctx, feedName(o.ID()), q)
		}
		if err != nil {
			return err
		}
		p.Looked, p.Cut = log.Looked, log.More
		if log.More && len(log.Entries) == q.Most && q.Most < maxEntries {
			p.More, p.Cut = p.Address+"?"+query("path", p.Path, "all", "1"), false
		}
		for _, e := range log.Entries {
			l := s.logEntry(e)
			l.Here = string(e.ID) == contentOf(rev)
			s.concerned(reading, rows, &l, p)
			p.Entries = append(p.Entries, l)
		}
		return nil
	})
}

func feedName(id object.ID) source.FeedName {
	return source.FeedName{Kind: id.Kind.Name, Namespace: id.Namespace, Name: id.Name}
}

// contentOf returns the part of a revision that names content.
func contentOf(revision string) string { return revision[strings.LastIndexByte(revision, '@')+1:] }

// entryKey returns what the place of a revision is called on a page.
func entryKey(revision string) string {
	id := revision[strings.LastIndexByte(revision, ':')+1:]
	return "c-" + id[:min(len(id), 12)]
}

func (s *Server) logEntry(e source.Entry) logEntry {
	l := logEntry{Entry: e, Key: entryKey(string(e.ID)), Short: shortRevision(string(e.ID)), When: s.when(e.When)}
	if e.Committer != e.Author {
		l.By = e.Committer
	}
	n := min(len(e.Changes), maxMentions)
	l.First, l.Rest = e.Changes[:n], e.Changes[n:]
	for key, value := range e.Metadata {
		l.Metadata = append(l.Metadata, choice{key, value})
	}
	slices.SortFunc(l.Metadata, func(a, b choice) int { return strings.Compare(a.Value, b.Value) })
	return l
}

// concerned fills in which units an entry concerned.
func (s *Server) concerned(reading *ask.Reading, rows []*row, l *logEntry, p *logPage) {
	concerns := reading.Concerns(l.Entry)
	for _, x := range rows {
		yes, sure := concerns(x.reads())
		p.Guess = p.Guess || !sure
		switch {
		case !yes:
		case len(l.Units) < maxMentions:
			l.Units = append(l.Units, s.thing(x.ID))
		default:
			l.MoreOf++
		}
	}
}

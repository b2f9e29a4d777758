package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/unit"
)

func (s *Server) unitPages() {
	const at = "/unit/{kind}/{namespace}/{name}"
	s.look(at, s.ofUnit(s.unit))
	s.get(at+"/live", s.ofUnit(s.unitLive))
	s.get(at+"/plan", s.ofUnit(s.plan))
	s.get(at+"/commit", s.ofUnit(s.commit))
	s.get(at+"/compare", s.ofUnit(s.compare))
	s.get(at+"/compared", s.ofUnit(s.compared))
}

// A unitPage is what the unit's template is given.
type unitPage struct {
	subject
	Tree      *treeView
	TreeErr   string
	Facts     unitFacts
	Held      string // what would be approved; "" if nothing is held
	History   []attempt
	Drift     []drift
	DriftErr  string
	DriftTold bool        // by the journal, and not by events
	Past      string      // the address of all that happened to it; "" if nobody remembers
	Around    []stale     // what of Before and After may be otherwise now
	Before    []neighbour // it comes after them
	After     []neighbour // they come after it
	May       may
	Afar      bool
	PlanKey   string // another one when there may be another plan
}

// unitFacts are what is known of where a unit is.
type unitFacts struct {
	Source   thing
	SourceAt string // the revision that its source has now, if the unit is not there yet
	URL      string
	Path     string
	Commit   commitLine // of Revision
	Trying   commitLine // of Tries
	Ended    when
	Took     string
	Fetched  when   // its source has had the revision that it is at
	Delay    string // from then until it was applied
	Waits    string
	Lag      when // since when there has been a revision that is not applied
	Every    string
	Retry    string
	Account  string
	Target   string
	Prune    bool
	Wait     bool
}

// A pause is that a unit is suspended.
type pause struct {
	By    string
	Why   string
	Since when
	Until string
}

// A neighbour is a unit that another comes after.
type neighbour struct {
	thing
	State string
	Says  string
}

// spans are for how long something can be suspended.
var spans = []choice{{"", "until somebody resumes it"}, {"30m", "30 minutes"}, {"2h", "2 hours"}, {"8h", "8 hours"}, {"24h", "a day"}, {"168h", "a week"}}

// A subject is what the pages of units and of sources tell and offer alike.
type subject struct {
	*row
	Noun    string // what its kind is called
	State   string
	Address string
	Form    string
	Back    string // where forms come back to
	Done    string // what has been done
	Verdict verdict
	Pause   *pause   // nil if it is not suspended
	Spans   []choice // for how long it can be suspended
}

// subjectOf returns all of it but the verdict. at is where the page is.
func (s *Server) subjectOf(v *viewer, o object.Object, at *url.URL) subject {
	x := subject{
		row: s.rowOf(o), Noun: o.ID().Kind.Name, Address: s.address(o.ID()), Form: s.seal.token(v.session.ID),
		Back: backOf(at), Done: doneSays[at.Query().Get("done")], Spans: spans,
	}
	x.State = x.row.State.String()
	if s.c.Language.Paused(o) {
		x.Pause = s.pauseOf(o)
	}
	return x
}

// unit shows a unit: at once, by what the API server tells. What takes longer the
// page asks for later.
func (s *Server) unit(w http.ResponseWriter, r *http.Request, v *viewer, o object.Object) error {
	u, err := s.unitOf(o)
	if err != nil {
		return err
	}
	turn := s.turn()
	p, err := s.unitPage(r.Context(), v, o, u, r.URL)
	if err != nil {
		return err
	}
	if p.TreeErr != "" {
		v.keep = nil // it was shown with more
	}
	return s.show(w, r, v, "unit", frame{
		Title: o.Name() + " in " + o.Namespace(), Section: "fleet", Live: fmt.Sprint(p.Address, "/live?turn=", turn), Main: p,
	})
}

func (s *Server) unitPage(ctx context.Context, v *viewer, o object.Object, u unit.Unit, at *url.URL) (*unitPage, error) {
	id := o.ID()
	p := &unitPage{
		subject: s.subjectOf(v, o, at), History: s.history(o), Afar: ask.Afar(u),
	}
	var answer *ask.Answer
	var tree *ask.Node
	var src object.Object
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { answer, err = s.quick(v).Why(gctx, id); return err })
	g.Go(func() (err error) {
		if tree, err = s.quick(v).Tree(gctx, o); err != nil && gctx.Err() == nil {
			p.TreeErr, err = plainly(err), nil
		}
		return err
	})
	g.Go(func() error { src, _ = s.seen(gctx, v, s.sourceID(u)); return nil })
	g.Go(func() error { s.driftOf(gctx, v, o, p); return nil })
	g.Go(func() (err error) {
		if p.Before, p.After, p.Around, err = s.neighbours(gctx, v, id, u); err != nil {
			p.Around = []stale{{What: "Other units", Why: plainly(err)}}
		}
		return nil
	})
	g.Go(func() error { p.May = s.maysUnit(gctx, v, o, u); return nil })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	known := make(names)
	known.add(id, s.sourceID(u))
	known.add(s.c.Dialect.RecallUnit(o).Owned.IDs()...)
	if tree != nil {
		tree.All(func(n *ask.Node) bool { known.add(n.ID); return true })
		view := s.treeView(tree, at)
		p.Tree = &view
	}
	p.Verdict = s.verdict(answer, p.State, known)
	if tree != nil {
		for _, u := range plainTexts(tree.Unknown) {
			if !slices.Contains(p.Verdict.Unknown, u) {
				p.Verdict.Unknown = append(p.Verdict.Unknown, u)
			}
		}
	}
	p.Facts = s.unitFacts(o, u, src)
	if !src.IsZero() {
		for i := range p.History {
			p.History[i].Commit = s.commitLine(o, u, p.History[i].Revision)
		}
	}
	p.PlanKey = keyFor(o.Generation(), p.row.Revision, p.Tries, p.row.Reason, p.Facts.SourceAt)
	if held := s.heldOf(o); held != nil {
		p.Held = string(held.Approval)
	}
	return p, nil
}

// keyFor returns a short text that is another one where facts are others.
func keyFor(facts ...any) string {
	_, sum, _ := strings.Cut(string(digest.Of([]byte(fmt.Sprintf("%q", facts)))), ":")
	return sum[:12]
}

// backOf returns the address of a page without what was done there.
func backOf(at *url.URL) string {
	q := at.Query()
	q.Del("done")
	u := url.URL{Path: at.Path, RawPath: at.RawPath, RawQuery: q.Encode()}
	return u.String()
}

// query returns a query of pairs of names and values.
func query(pairs ...string) string {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return q.Encode()
}

// unitFacts returns what is known of where a unit is. src is the object of its
// source, zero if the viewer can't see it.
func (s *Server) unitFacts(o object.Object, u unit.Unit, src object.Object) unitFacts {
	st := s.c.Dialect.RecallUnit(o)
	f := unitFacts{
		Source: s.thing(s.sourceID(u)), Path: cleanPath(u.Recipe.Dir), Ended: s.when(st.Ended), Took: took(st.Ended.Sub(st.Began)),
		Waits: plainText(st.Waits.What), Every: took(u.Every), Account: u.Target.As, Prune: u.Policy.Prune, Wait: u.Wait,
	}
	if u.Retry > 0 {
		f.Retry = took(u.Retry)
	}
	if src.IsZero() {
		return f
	}
	f.Commit = s.commitLine(o, u, st.Applied.Name)
	if st.Attempted != st.Applied {
		f.Trying = s.commitLine(o, u, st.Attempted.Name)
	}
	f.URL = s.urlOf(src)
	has := s.c.Dialect.RecallFeed(src)
	switch {
	case has.Revision.Name == "":
	case has.Revision.Name != st.Applied.Name:
		f.SourceAt, f.Lag = has.Revision.Name, s.when(has.Since)
	default:
		f.Fetched = s.when(has.Since)
		if h := ask.History(o); len(h) > 0 && h[0].Revision == st.Applied.Name && h[0].First.After(has.Since) {
			f.Delay = took(h[0].First.Sub(has.Since))
		}
	}
	return f
}

// urlOf returns where a source is, without what lets one in.
func (s *Server) urlOf(src object.Object) string {
	asked, err := s.c.Dialect.Read(src, dialect.Nothing{})
	if err != nil || len(asked.Feeds) == 0 {
		return ""
	}
	return ask.PlainURL(asked.Feeds[0].Remote.URL)
}

func cleanPath(dir string) string { return path.Clean("/" + dir)[1:] }

func (s *Server) pauseOf(o object.Object) *pause {
	x := s.c.Dialect.Pause(o)
	p := &pause{By: x.By, Why: x.Why, Since: s.when(x.Since)}
	if !x.Until.IsZero() {
		p.Until = x.Until.UTC().Format("2006-01-02 15:04 MST")
	}
	return p
}

// maysUnit says which buttons a unit's page offers.
func (s *Server) maysUnit(ctx context.Context, v *viewer, o object.Object, u unit.Unit) may {
	return may{Patch: s.mays(ctx, v, "patch", o.ID()), Source: s.mays(ctx, v, "patch", s.sourceID(u)), Rollback: s.mayRollBack(ctx, v, o)}
}

// neighbours returns the units that one comes after, and those that come after
// it, as far as the viewer may see them, and what of that is not as it is now.
func (s *Server) neighbours(ctx context.Context, v *viewer, id object.ID, u unit.Unit) (before, after []neighbour, old []stale, err error) {
	rows, old, err := s.visible(ctx, v, false)
	if err != nil {
		return nil, nil, nil, err
	}
	of := func(x *row) neighbour {
		n := neighbour{thing: s.thing(x.ID), State: x.State.String()}
		if x.State != ready {
			n.Says = firstLine(x.Message, 160)
		}
		return n
	}
	for _, name := range u.After {
		i := slices.IndexFunc(rows, func(x *row) bool { return x.ID == name.ID() })
		if i < 0 {
			before = append(before, neighbour{thing: s.thing(name.ID()), Says: "not there, or not yours to see"})
			continue
		}
		before = append(before, of(rows[i]))
	}
	for _, x := range rows {
		if slices.Contains(x.After, id) {
			after = append(after, of(x))
		}
	}
	return before, after, old, nil
}

// A drift is that others had changed an object, and that this was undone.
type drift struct {
	About thing
	Done  string
	By    string // who had changed it; "" if that is not known
	Last  when
	Count int
	at    time.Time
}

const maxDrift = 12

// driftOf fills in what was undone: as we were told, or else as events tell.
func (s *Server) driftOf(ctx context.Context, v *viewer, o object.Object, p *unitPage) {
	if s.c.Journal == nil {
		p.Drift, p.DriftErr = s.drift(ctx, v, o)
		return
	}
	p.Past = pastWish{Unit: o.ID().String()}.url()
	if s.recalled() {
		p.Drift, p.DriftErr = s.drift(ctx, v, o)
		return
	}
	var err error
	if p.Drift, err = s.undone(ctx, v, o.ID()); err != nil && !errors.Is(err, context.Canceled) {
		p.DriftErr = plainly(err)
	}
	p.DriftTold = true
}

// drift returns what of a unit was undone lately, as the events about it tell: it
// was applied at a revision that had been applied before. Events don't say whose
// change it was, but where somebody changes the same thing again and again.
func (s *Server) drift(ctx context.Context, v *viewer, o object.Object) (all []drift, why string) {
	settled := make(map[string]time.Time)
	for _, h := range ask.History(o) {
		if t, ok := settled[h.Revision]; h.Well && (!ok || h.First.Before(t)) {
			settled[h.Revision] = h.First
		}
	}
	known := make(names)
	known.add(s.c.Dialect.RecallUnit(o).Owned.IDs()...)
	by := make(map[string]string)
	events, err := eventsAbout(ctx, v.cluster, o)
	if err != nil && !errors.Is(err, context.Canceled) {
		why = plainly(err)
	}
	for _, e := range events {
		message := e.Text("message")
		if e.Text("reason") == fightReason {
			about, rest, _ := strings.Cut(message, " is changed again and again by \"")
			who, _, _ := strings.Cut(rest, `"`)
			by[about] = who
			continue
		}
		rev := e.Annotation(o.ID().Kind.Group + "/revision")
		since, ok := settled[rev]
		last := ask.LastSeen(e)
		if !ok || !last.After(since) {
			continue
		}
		for line := range strings.Lines(message) {
			about, done, ok := strings.Cut(strings.TrimSpace(line), " ")
			if id, mine := known[about]; ok && mine && (done == "created" || done == "configured") {
				all = append(all, drift{About: s.thing(id), Done: done, Last: s.when(last), Count: int(e.Number("count")), at: last, By: about})
			}
		}
	}
	for i := range all {
		all[i].By = by[all[i].By]
	}
	slices.SortStableFunc(all, func(a, b drift) int { return b.at.Compare(a.at) })
	return all[:min(len(all), maxDrift)], why
}

// fightReason is the reason of events that tell who changes an object again and
// again.
const fightReason = "FieldManagerConflict"

// maxEvents is how many events of a namespace are read.
const maxEvents = 5000

// eventsAbout returns the events about an object. Those about objects without a
// namespace are in default.
func eventsAbout(ctx context.Context, c cluster.Reader, o object.Object) ([]object.Object, error) {
	namespace := o.Namespace()
	if namespace == "" {
		namespace = "default"
	}
	var all []object.Object
	n := 0
	for e, err := range c.List(ctx, cluster.Selection{Kind: eventKind, Namespace: namespace}) {
		if err != nil {
			return all, err
		}
		if n++; n > maxEvents {
			return all, errors.New("there are too many events to read them all")
		}
		uid := e.Text("involvedObject", "uid")
		if uid == o.UID() && uid != "" || uid == "" && e.Text("involvedObject", "kind") == o.ID().Kind.Name && e.Text("involvedObject", "name") == o.Name() {
			all = append(all, e)
		}
	}
	return all, nil
}

// maxWatched is how many kinds in how many namespaces a page follows.
const maxWatched = 24

// made are the kinds of what workloads make.
var made = []object.Kind{{Group: "apps", Name: "ReplicaSet"}, podKind}

// unitLive tells of changes to a unit, to its source and to its objects.
func (s *Server) unitLive(w http.ResponseWriter, r *http.Request, v *viewer, o object.Object) error {
	u, err := s.unitOf(o)
	if err != nil {
		return err
	}
	sels := []cluster.Selection{{Kind: o.ID().Kind, Namespace: o.Namespace(), Name: o.Name(), Metadata: true}}
	src := s.sourceID(u)
	sels = append(sels, cluster.Selection{Kind: src.Kind, Namespace: src.Namespace, Name: src.Name, Metadata: true})
	if !ask.Afar(u) {
		sels = append(sels, s.selections(s.c.Dialect.RecallUnit(o).Owned.IDs())...)
	}
	around := func(ctx context.Context) (string, error) {
		before, after, old, err := s.neighbours(ctx, v, o.ID(), u)
		return keyFor(before, after, keyForOld(old)), err
	}
	undone, turn := turnOf(r), s.register.turn()
	now, _ := around(r.Context()) // where they can't be told, what is told later is news
	return s.stream(w, r, v, func(ctx context.Context, changed func()) {
		var all sync.WaitGroup
		all.Go(func() { s.followUndone(ctx, o.ID(), undone, changed) })
		all.Go(func() { follows(ctx, s.register, turn, now, around, changed) })
		follow(ctx, v.cluster, sels, changed)
		all.Wait()
	})
}

// selections returns what to watch to hear of changes to objects, and of what
// workloads among them make.
func (s *Server) selections(ids []object.ID) []cluster.Selection {
	var all []cluster.Selection
	add := func(k object.Kind, namespace string) {
		sel := cluster.Selection{Kind: k, Namespace: namespace, Metadata: true}
		if len(all) < maxWatched && !slices.Contains(all, sel) {
			all = append(all, sel)
		}
	}
	for _, id := range ids {
		if id.Kind.Group == "apps" || id.Kind.Group == "batch" {
			for _, k := range made {
				add(k, id.Namespace)
			}
		}
	}
	for _, id := range ids {
		add(id.Kind, id.Namespace)
	}
	return all
}

// follow calls changed as soon as it hears of changes to what is selected, for there
// may have been some since the page was made, and after each, until ctx is done.
// What may not be watched is not.
func follow(ctx context.Context, c cluster.Watcher, sels []cluster.Selection, changed func()) {
	g, ctx := errgroup.WithContext(ctx)
	for _, sel := range sels {
		g.Go(func() error {
			listed, lost, refused := false, false, false
			for ch, err := range c.Watch(ctx, sel) {
				switch {
				case errors.Is(err, cluster.ErrUnavailable) || errors.Is(err, cluster.ErrBusy):
					lost = true
					changed() // the page finds out that it can't be made anew
				case err != nil && !refused:
					refused = true
					changed()
				case err != nil:
				case ch.Type == cluster.Following && lost:
					lost = false
					changed()
				case ch.Type == cluster.Listed:
					listed = true
					changed() // there may have been changes: before the first, or while its place was lost
				case listed && (ch.Type == cluster.Put || ch.Type == cluster.Gone):
					changed()
				}
			}
			return nil
		})
	}
	_ = g.Wait() // none of them fails
}

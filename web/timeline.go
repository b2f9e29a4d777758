package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
	"github.com/sane-gitops/sane/report/journal"
)

func (s *Server) timelinePages() {
	s.look("/timeline", s.timeline)
	s.get("/timeline/live", func(w http.ResponseWriter, r *http.Request, v *viewer) error {
		if s.c.Journal == nil {
			return absent("A timeline")
		}
		turn, seen := turnOf(r), cmp.Or(r.FormValue("old"), keyForOld(nil))
		old := func(ctx context.Context) (string, error) {
			_, old := s.register.look(ctx, s.c.Language.Units())
			return keyForOld(old), nil
		}
		return s.stream(w, r, v, func(ctx context.Context, changed func()) {
			var both sync.WaitGroup
			both.Go(func() { follows(ctx, s.register, 0, seen, old, changed) })
			s.c.Journal.Changes(ctx, turn, changed)
			both.Wait()
		})
	})
}

// kinds says how kinds of things that happen are shown: as a state, and in words.
var kinds = map[report.Kind]struct{ State, Says string }{
	report.Fetched:   {"progressing", "a source has a new revision"},
	report.Applied:   {"ready", "objects were made as the source says"},
	report.Undone:    {"waiting", "what others had changed was undone"},
	report.Pruned:    {"held", "objects were deleted that are not wanted any more"},
	report.Settled:   {"ready", "it is as its source says"},
	report.Recovered: {"ready", "and it had failed before"},
	report.Failed:    {"failed", "it went wrong"},
	report.Held:      {"held", "a deletion waits for approval"},
	report.Approved:  {"ready", "somebody approved of what was held"},
	report.Waiting:   {"waiting", "for another to be ready"},
	report.Fought:    {"failed", "others change an object again and again"},
	report.Suspended: {"suspended", "it is left alone"},
	report.Resumed:   {"new", "it is looked at again"},
	report.Asked:     {"new", "somebody asked for something by these pages"},
}

// A pastWish is what somebody wants to see of what happened: the query of the URL.
type pastWish struct {
	Search        string
	What          []string
	Namespace     string
	Unit          string // "Kustomization/shop/web"
	Source        string // "GitRepository/shop/apps"
	Before, After journal.Mark
}

func pastWishOf(q url.Values) pastWish {
	w := pastWish{
		Search: q.Get("q"), Namespace: q.Get("namespace"), Unit: q.Get("unit"), Source: q.Get("source"),
		Before: journal.ParseMark(q.Get("before")), After: journal.ParseMark(q.Get("after")),
	}
	for _, k := range report.Kinds {
		if slices.Contains(q["what"], string(k)) {
			w.What = append(w.What, string(k))
		}
	}
	return w
}

// url returns the address of a page that shows what is wished for.
func (w pastWish) url() string {
	q := url.Values{}
	for key, v := range map[string]string{
		"q": w.Search, "namespace": w.Namespace, "unit": w.Unit, "source": w.Source, "before": w.Before.String(), "after": w.After.String(),
	} {
		if v != "" {
			q.Set(key, v)
		}
	}
	for _, k := range w.What {
		q.Add("what", k)
	}
	if len(q) == 0 {
		return "/timeline"
	}
	return "/timeline?" + q.Encode()
}

// from returns the wish for what comes next to a place.
func (w pastWish) from(before, after journal.Mark) pastWish {
	w.Before, w.After = before, after
	return w
}

// toggled returns the address with a kind filtered for, or not any more.
func (w pastWish) toggled(k report.Kind) string {
	w = w.from(journal.Mark{}, journal.Mark{})
	if i := slices.Index(w.What, string(k)); i >= 0 {
		w.What = slices.Delete(slices.Clone(w.What), i, i+1)
	} else {
		w.What = append(slices.Clone(w.What), string(k))
	}
	return w.url()
}

// chips returns all that is filtered for.
func (w pastWish) chips() []chip {
	w = w.from(journal.Mark{}, journal.Mark{})
	var all []chip
	without := func(name, value string, clear func(*pastWish)) {
		if value != "" {
			rest := w
			clear(&rest)
			all = append(all, chip{name, value, rest.url()})
		}
	}
	without("search", w.Search, func(r *pastWish) { r.Search = "" })
	for _, k := range w.What {
		all = append(all, chip{"what", k, w.toggled(report.Kind(k))})
	}
	without("unit", w.Unit, func(r *pastWish) { r.Unit = "" })
	without("namespace", w.Namespace, func(r *pastWish) { r.Namespace = "" })
	without("source", w.Source, func(r *pastWish) { r.Source = "" })
	return all
}

// A timelinePage is what the timeline's template is given.
type timelinePage struct {
	pastWish
	Off        bool // nobody remembers
	Recalled   bool // it is made up of what the cluster tells
	Kinds      []share
	Chips      []chip
	Namespaces options
	Sources    options
	Rows       []happening
	Old        []stale // what it can be filtered for may be otherwise now
	Older      string  // the address of what happened before; "" if nothing did
	Newer      string
	Newest     string
	Reached    when // how far was looked, if there may be more
	Home       string
}

// A happening is something that happened as it is shown.
type happening struct {
	ID       string
	Day      string // that begins with it
	At, Last when
	Clock    string
	What     string
	State    string
	Says     string
	Times    int
	About    thing
	Cluster  string
	Revision string
	Who      string // where neither Message nor Changes say so
	Until    string // like Who
	Message  string
	Changes  []deedDone
	More     int // changes that are not shown
	Hidden   int // changes to objects that the viewer may not get

	at time.Time
}

// A deedDone is what was done to one object.
type deedDone struct {
	thing
	Done string
	By   string // whose change was undone
}

func (s *Server) timeline(w http.ResponseWriter, r *http.Request, v *viewer) error {
	p := timelinePage{pastWish: pastWishOf(r.URL.Query()), Home: "/timeline", Off: s.c.Journal == nil}
	f := frame{Title: "Timeline", Section: "timeline", Main: &p}
	if p.Off {
		return s.show(w, r, v, "timeline", f)
	}
	live := fmt.Sprint("/timeline/live?turn=", s.c.Journal.Turn())
	p.Recalled = s.recalled()
	p.Chips = p.chips()
	for _, k := range report.Kinds {
		p.Kinds = append(p.Kinds, share{Name: kinds[k].State, Says: string(k), URL: p.toggled(k), On: slices.Contains(p.What, string(k))})
	}
	if err := s.past(r.Context(), v, &p); err != nil {
		return err
	}
	if len(p.Old) > 0 {
		live += "&old=" + keyForOld(p.Old)
	}
	if p.Newer == "" {
		f.Live = live
	}
	f.Stale = p.Old
	return s.show(w, r, v, "timeline", f)
}

// recalled reports whether the journal is made up of what the cluster tells.
func (s *Server) recalled() bool { return s.c.Told == nil || !s.c.Told() }

// past fills a page with what a viewer wants, and may, see.
func (s *Server) past(ctx context.Context, v *viewer, p *timelinePage) error {
	rows, old, err := s.usedRows(ctx, v)
	if err != nil {
		return err
	}
	may, all, err := s.mayRead(ctx, v)
	if err != nil {
		return err
	}
	p.Old = old
	p.Namespaces, p.Sources = p.options(rows)
	q, err := s.pastQuery(ctx, v, p.pastWish, may, all, rows)
	if err != nil || q == nil {
		return err
	}
	read, err := s.c.Journal.Read(ctx, *q)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnread, err)
	}
	if p.Rows, err = s.happenings(ctx, v, read.Entries); err != nil {
		return err
	}
	p.Rows = slices.DeleteFunc(p.Rows, func(h happening) bool { return !h.tells(q.Words) })
	days(p.Rows)
	p.page(s, read)
	return nil
}

// errUnread is that the journal can't be read, or not in time, for which the cluster
// is not to blame.
var errUnread = errors.New("what happened can't be told")

// page fills in what comes before and after a page.
func (p *timelinePage) page(s *Server, read journal.Page) {
	n := len(read.Entries)
	none := journal.Mark{}
	if read.Newer {
		after := p.Before
		if n > 0 {
			after = read.Entries[0].Mark()
		}
		p.Newer, p.Newest = p.from(none, after).url(), p.from(none, none).url()
	}
	switch {
	case !read.Older:
	case read.Reached != none && p.After == none:
		p.Older, p.Reached = p.from(read.Reached, none).url(), s.when(read.Reached.Time())
	case n > 0:
		p.Older = p.from(read.Entries[n-1].Mark(), none).url()
	}
}

// usedRows returns the rows of units that a viewer may see, by which a timeline is
// filtered. What they can't be had for is no reason to show nothing.
func (s *Server) usedRows(ctx context.Context, v *viewer) ([]*row, []stale, error) {
	rows, old, err := s.visible(ctx, v, false)
	if errors.Is(err, cluster.ErrNoKind) {
		return nil, nil, nil
	}
	return rows, old, err
}

// options returns what a timeline can be filtered for.
func (p *timelinePage) options(rows []*row) (namespaces, sources options) {
	ns, src := map[string]int{}, map[string]int{}
	for _, x := range rows {
		ns[x.ID.Namespace]++
		src[x.Source.String()]++
	}
	return choices("namespace", "Namespace", p.Namespace, ns), choices("source", "Source", p.Source, src)
}

// mayRead returns of which units and sources a viewer may read what happened to
// them: those that they may list. all is that it is all of them.
func (s *Server) mayRead(ctx context.Context, v *viewer) (may []journal.Scope, all bool, err error) {
	all = true
	for _, n := range s.c.Language.Nouns {
		everywhere, err := s.may(ctx, v, cluster.Deed{Verb: "list", Object: object.ID{Kind: n.Kind}})
		switch {
		case errors.Is(err, cluster.ErrNoKind):
			all = false
			continue
		case err != nil:
			return nil, false, err
		case everywhere:
			may = append(may, journal.Scope{Kind: n.Kind})
			continue
		}
		all = false
		names, err := s.c.Journal.Namespaces(ctx, n.Kind)
		if err != nil {
			return nil, false, fmt.Errorf("%w: %w", errUnread, err)
		}
		in, err := s.in(ctx, v, n.Kind, names)
		if err != nil {
			return nil, false, err
		}
		for _, ns := range names {
			if in[ns] {
				may = append(may, journal.Scope{Kind: n.Kind, Namespace: ns})
			}
		}
	}
	return may, all, nil
}

// pastQuery returns what to read for a wish; nil if there can be nothing.
func (s *Server) pastQuery(ctx context.Context, v *viewer, w pastWish, may []journal.Scope, all bool, rows []*row) (*journal.Query, error) {
	q := &journal.Query{Words: strings.Fields(strings.ToLower(w.Search)), Before: w.Before, After: w.After, Limit: perPage}
	for _, k := range w.What {
		q.Kinds = append(q.Kinds, report.Kind(k))
	}
	if w.Namespace != "" {
		may, all = within(may, w.Namespace), false
	}
	if !all {
		q.Within = may
	}
	switch {
	case w.Unit != "":
		id, ok := s.idNamed(w.Unit)
		if !ok {
			return nil, absent(w.Unit)
		}
		ok, err := s.may(ctx, v, cluster.Deed{Verb: "get", Object: id})
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, absent(w.Unit)
		}
		q.Scopes, q.Within = []journal.Scope{{Kind: id.Kind, Namespace: id.Namespace, Name: id.Name}}, nil
	case w.Source != "":
		q.Scopes = []journal.Scope{}
		if id, ok := s.idNamed(w.Source); ok {
			q.Scopes = append(q.Scopes, journal.Scope{Kind: id.Kind, Namespace: id.Namespace, Name: id.Name})
		}
		for _, x := range rows {
			if x.Source.String() == w.Source {
				q.Scopes = append(q.Scopes, journal.Scope{Kind: x.ID.Kind, Namespace: x.ID.Namespace, Name: x.ID.Name})
			}
		}
	case !all && !slices.ContainsFunc(may, func(sc journal.Scope) bool { return sc.Namespace == "" }) && len(may) <= 16:
		q.Scopes, q.Within = may, nil
	}
	if q.Within != nil && len(q.Within) == 0 || q.Scopes != nil && len(q.Scopes) == 0 || !all && len(may) == 0 && w.Unit == "" {
		return nil, nil
	}
	return q, nil
}

// within returns the parts of scopes that are in a namespace.
func within(may []journal.Scope, namespace string) []journal.Scope {
	out := []journal.Scope{}
	for _, sc := range may {
		if sc.Namespace == "" || sc.Namespace == namespace {
			out = append(out, journal.Scope{Kind: sc.Kind, Namespace: namespace})
		}
	}
	return out
}

// idNamed returns the unit or source that goes by a name such as
// "Kustomization/shop/web".
func (s *Server) idNamed(name string) (object.ID, bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 3 {
		return object.ID{}, false
	}
	id := object.ID{Kind: s.kindNamed(parts[0]), Namespace: parts[1], Name: parts[2]}
	_, ok := s.c.Language.Noun(id.Kind)
	return id, ok
}

// happenings returns entries as they are shown to a viewer: without the objects
// that they may not get.
func (s *Server) happenings(ctx context.Context, v *viewer, entries []journal.Entry) ([]happening, error) {
	var ids []object.ID
	grouped := s.grouper(ctx)
	for i := range entries {
		entries[i].Changes = slices.Clone(entries[i].Changes)
		for j, c := range entries[i].Changes {
			c.ID.Kind = grouped(c.ID.Kind)
			entries[i].Changes[j] = c
			if entries[i].Cluster == "" && !slices.Contains(ids, c.ID) {
				ids = append(ids, c.ID)
			}
		}
	}
	may, err := s.sift(ctx, v, ids)
	if err != nil {
		return nil, err
	}
	all := make([]happening, 0, len(entries))
	for _, x := range entries {
		all = append(all, s.happening(x, may))
	}
	return all, nil
}

// grouper returns a function that finds the group of a kind of which only the name
// is known, as in the words of an Event.
func (s *Server) grouper(ctx context.Context) func(object.Kind) object.Kind {
	known := make(map[string]object.Kind)
	return func(k object.Kind) object.Kind {
		if k.Group != "" || s.c.Kind == nil {
			return k
		}
		found, ok := known[k.Name]
		if !ok {
			var err error
			if found, err = s.c.Kind(ctx, k.Name); err != nil {
				found = k
			}
			known[k.Name] = found
		}
		return found
	}
}

func (s *Server) happening(x journal.Entry, may sieve) happening {
	h := happening{
		ID: fmt.Sprint("e", x.ID), At: s.when(x.At), Clock: x.At.UTC().Format("15:04:05"), What: string(x.Kind), State: kinds[x.Kind].State, Says: kinds[x.Kind].Says,
		Times: x.Times, About: s.thing(x.About), Cluster: x.Cluster, Revision: x.Revision, Who: x.Who, Message: plainText(strings.TrimSpace(x.Message)), More: x.More, at: x.At,
	}
	if x.Last.After(x.At) {
		h.Last = s.when(x.Last)
	}
	if !x.Until.IsZero() && !strings.Contains(x.Message, x.Until.UTC().Format(time.RFC3339)) {
		h.Until = x.Until.UTC().Format("2006-01-02 15:04 MST")
	}
	for _, c := range x.Changes {
		d := deedDone{s.thing(c.ID), c.Done, c.By}
		switch {
		case x.Cluster != "":
			d.URL = "" // it is not in this one, and known to whoever sees the unit
		case !may[c.ID]:
			h.Hidden++
			continue
		}
		h.Changes = append(h.Changes, d)
	}
	if x.Kind == report.Fought && h.Hidden > 0 {
		h.Message, h.Who = "", "" // they are about what the viewer may not get
	}
	if x.Kind == report.Undone || strings.Contains(h.Message, x.Who) {
		h.Who = ""
	}
	return h
}

// tells reports whether words are in what is shown: others may be in what is not.
func (h happening) tells(words []string) bool {
	if len(words) == 0 {
		return true
	}
	all := []string{h.About.Kind, h.About.Namespace + "/" + h.About.Name, h.What, h.Message, h.Revision, h.Who}
	for _, c := range h.Changes {
		all = append(all, c.Kind, c.Namespace+"/"+c.Name, c.Done, c.By)
	}
	text := strings.ToLower(strings.Join(all, "\n"))
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}

// days marks the first of each day.
func days(all []happening) {
	before := ""
	for i := range all {
		if day := all[i].at.UTC().Format("Monday, 2 January 2006"); day != before {
			all[i].Day, before = day, day
		}
	}
}

// turn names what the journal has by now; 0 if there is none.
func (s *Server) turn() int64 {
	if s.c.Journal == nil {
		return 0
	}
	return s.c.Journal.Turn()
}

// followUndone calls changed each time that the journal has since a turn been told
// of something in a unit that was undone, until ctx is done.
func (s *Server) followUndone(ctx context.Context, id object.ID, turn int64, changed func()) {
	if s.c.Journal == nil {
		return
	}
	q := undoneOf(id)
	q.Limit = 1
	var last journal.Entry
	s.c.Journal.Changes(ctx, turn, func() {
		read, err := s.c.Journal.Read(ctx, q)
		if err != nil || len(read.Entries) == 0 {
			return
		}
		if e := read.Entries[0]; e.ID != last.ID || e.Times != last.Times {
			last = e
			changed()
		}
	})
}

func undoneOf(id object.ID) journal.Query {
	return journal.Query{
		Scopes: []journal.Scope{{Kind: id.Kind, Namespace: id.Namespace, Name: id.Name}}, Kinds: []report.Kind{report.Undone}, Limit: maxDrift,
	}
}

// undone returns what of a unit was undone lately, as the journal has it.
func (s *Server) undone(ctx context.Context, v *viewer, id object.ID) ([]drift, error) {
	read, err := s.c.Journal.Read(ctx, undoneOf(id))
	if err != nil {
		return nil, err
	}
	rows, err := s.happenings(ctx, v, read.Entries)
	if err != nil {
		return nil, err
	}
	var all []drift
	for _, h := range rows {
		for _, c := range h.Changes {
			all = append(all, drift{About: c.thing, Done: c.Done, By: c.By, Last: h.At, Count: h.Times, at: h.at})
		}
	}
	return all[:min(len(all), maxDrift)], nil
}

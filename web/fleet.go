package web

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sane-gitops/sane/object"
)

func (s *Server) fleetPages() {
	s.look("/{$}", s.fleet)
	s.get("/live", func(w http.ResponseWriter, r *http.Request, v *viewer) error {
		turn := turnOf(r)
		return s.stream(w, r, v, func(ctx context.Context, changed func()) { s.register.changes(ctx, turn, changed) })
	})
}

// A wish is which units or sources somebody wants to see, and how: the query of the
// URL.
type wish struct {
	list      *list
	Search    string
	Kind      string
	States    []string
	Namespace string
	Source    string // "GitRepository/shop/apps"
	Cluster   string // hereName is the one that we run in
	Group     string
	Sort      string
	Page      int
}

// hereName stands for the cluster that we run in.
const hereName = "here"

// A choice is a value of a field that chooses how to show things.
type choice struct{ Value, Says string }

// A list is what there may be wishes about.
type list struct {
	Path   string
	Noun   string // what is in it, one of them
	Groups []choice
	Sorts  []choice
}

var units = &list{
	Path: "/", Noun: "unit",
	Groups: []choice{{"", "nothing"}, {"namespace", "namespace"}, {"source", "source"}, {"cluster", "cluster"}, {"state", "state"}},
	Sorts:  []choice{{"", "problems first"}, {"name", "name"}, {"moved", "last change"}},
}

// perPage is how many units a page shows.
const perPage = 100

func (l *list) wishOf(q url.Values) wish {
	page, _ := strconv.Atoi(q.Get("page"))
	w := wish{
		list: l, Search: q.Get("q"), Kind: q.Get("kind"), States: q["state"], Namespace: q.Get("namespace"), Source: q.Get("source"), Cluster: q.Get("cluster"),
		Group: q.Get("group"), Sort: q.Get("sort"), Page: max(page, 1),
	}
	w.States = slices.DeleteFunc(w.States, func(s string) bool { return s == "" })
	return w
}

// url returns the address of a page that shows what is wished for.
func (w wish) url() string {
	q := url.Values{}
	for key, v := range map[string]string{
		"q": w.Search, "kind": w.Kind, "namespace": w.Namespace, "source": w.Source, "cluster": w.Cluster, "group": w.Group, "sort": w.Sort,
	} {
		if v != "" {
			q.Set(key, v)
		}
	}
	for _, st := range w.States {
		q.Add("state", st)
	}
	if w.Page > 1 {
		q.Set("page", strconv.Itoa(w.Page))
	}
	if len(q) == 0 {
		return w.list.Path
	}
	return w.list.Path + "?" + q.Encode()
}

// Narrow reports whether not all are wished for.
func (w wish) Narrow() bool {
	return w.Search != "" || w.Kind != "" || len(w.States) > 0 || w.Namespace != "" || w.Source != "" || w.Cluster != ""
}

// wants reports whether x is wished for, whatever its state.
func (w wish) wants(x *row, words []string) bool {
	if w.Namespace != "" && x.ID.Namespace != w.Namespace ||
		w.Kind != "" && x.ID.Kind.Name != w.Kind ||
		w.Source != "" && x.Source.String() != w.Source ||
		w.Cluster != "" && cmp.Or(x.Cluster, hereName) != w.Cluster {
		return false
	}
	for _, word := range words {
		if !strings.Contains(x.text, word) {
			return false
		}
	}
	return true
}

// A fleetPage is what the fleet's template is given.
type fleetPage struct {
	wish
	Total     int // that the viewer may see
	Found     int
	Strip     []share
	Chips     []chip
	Picks     []options
	Rows      []line
	From, To  int
	Before    string // the page before this; "" if there is none
	After     string
	Lately    []line // what changed in the last hour
	LatelyAll int
	ByGroup   bool
}

// List returns what there may be wishes about.
func (w wish) List() *list { return w.list }

// A share is how many units are in a state, and where they are in the strip.
type share struct {
	Name, Says string
	Count      int
	X, Width   int // of stripWidth
	URL        string
	On         bool // it is being filtered for
}

const stripWidth = 1000

// A chip is something that is filtered for, and the address without that.
type chip struct{ Name, Value, URL string }

// Options are what a field may be filtered for.
type options struct {
	Name   string
	Says   string
	Chosen string
	All    []choice
}

// maxOptions is how many a list of options shows.
const maxOptions = 200

// A line is a row as it is shown.
type line struct {
	*row
	State  string
	URL    string
	Says   string
	Since  when
	Moved  when
	Source string // without what goes without saying
	Users  int    // of a source
	Where  string // likewise
	Group  *group // that begins here
}

// A group is what the lines under it have in common.
type group struct {
	Says   string
	Count  int
	Counts []share
}

func (s *Server) fleet(w http.ResponseWriter, r *http.Request, v *viewer) error {
	ask, live := units.wishOf(r.URL.Query()), s.liveRows()
	rows, old, err := s.visible(r.Context(), v, false)
	if err != nil {
		return err
	}
	p := s.fleetPage(ask, rows, nil)
	return s.show(w, r, v, "fleet", frame{Title: "Fleet", Section: "fleet", Live: live, Stale: old, Main: p})
}

// liveRows returns the address of the stream of a page that is made of rows from now
// on.
func (s *Server) liveRows() string { return fmt.Sprint("/live?turn=", s.register.turn()) }

// visible returns the rows of units, or of sources, that a viewer may list.
func (s *Server) visible(ctx context.Context, v *viewer, feeds bool) ([]*row, []stale, error) {
	nouns := s.c.Language.Units()
	if feeds {
		nouns = s.c.Language.Feeds()
	}
	rows, old := s.register.look(ctx, nouns)
	namespaces := make(map[object.Kind]map[string]bool)
	for _, x := range rows {
		if namespaces[x.ID.Kind] == nil {
			namespaces[x.ID.Kind] = make(map[string]bool)
		}
		namespaces[x.ID.Kind][x.ID.Namespace] = true
	}
	for k, names := range namespaces {
		may, err := s.in(ctx, v, k, slices.Collect(maps.Keys(names)))
		if err != nil {
			return nil, nil, err
		}
		namespaces[k] = may
	}
	out := make([]*row, 0, len(rows))
	for _, x := range rows {
		if namespaces[x.ID.Kind][x.ID.Namespace] {
			out = append(out, x)
		}
	}
	return out, old, nil
}

// fleetPage returns what is shown of rows that somebody may see. used says how many
// use each, where they are sources.
func (s *Server) fleetPage(ask wish, rows []*row, used map[object.ID]int) fleetPage {
	p := fleetPage{wish: ask, Total: len(rows), ByGroup: ask.Group != "", Picks: optionsOf(ask, rows)}
	words := strings.Fields(strings.ToLower(ask.Search))
	var found []*row
	var counts [len(states)]int
	for _, x := range rows {
		if !ask.wants(x, words) {
			continue
		}
		counts[x.State]++
		found = append(found, x)
	}
	p.Strip = shares(ask, counts)
	p.Lately, p.LatelyAll = s.lately(found)
	if len(ask.States) > 0 {
		found = slices.DeleteFunc(found, func(x *row) bool { return !slices.Contains(ask.States, x.State.String()) })
	}
	p.Found = len(found)
	ask.order(found, used)
	p.Chips = ask.chips()
	p.page(s, ask, found)
	for i := range p.Rows {
		p.Rows[i].Users = used[p.Rows[i].ID]
	}
	return p
}

// shares returns the shares of all states that there are units in.
func shares(ask wish, counts [len(states)]int) []share {
	var all []share
	total := 0
	for st, n := range counts {
		name := states[st].Name
		on := slices.Contains(ask.States, name)
		if total += n; n == 0 && !on {
			continue
		}
		all = append(all, share{Name: name, Says: states[st].Says, Count: n, URL: ask.toggled(name), On: on})
	}
	layOut(all, total)
	return all
}

// layOut gives each share its place in the strip: none that there is gets lost.
func layOut(all []share, total int) {
	const least = 8
	spare, large := stripWidth, 0
	for _, x := range all {
		if x.Count*stripWidth < least*total {
			spare -= least
		} else {
			large += x.Count
		}
	}
	at := 0
	for i, x := range all {
		switch {
		case x.Count == 0:
		case x.Count*stripWidth < least*total:
			all[i].Width = least
		default:
			all[i].Width = x.Count * spare / large
		}
		all[i].X = at
		at += all[i].Width
	}
	if len(all) > 0 && total > 0 {
		all[len(all)-1].Width += stripWidth - at
	}
}

// toggled returns the address with a state filtered for, or not any more.
func (w wish) toggled(name string) string {
	w.Page = 1
	if i := slices.Index(w.States, name); i >= 0 {
		w.States = slices.Delete(slices.Clone(w.States), i, i+1)
	} else {
		w.States = append(slices.Clone(w.States), name)
	}
	return w.url()
}

// chips returns all that is filtered for.
func (w wish) chips() []chip {
	w.Page = 1
	var all []chip
	without := func(name, value string, clear func(*wish)) {
		if value == "" {
			return
		}
		rest := w
		clear(&rest)
		all = append(all, chip{name, value, rest.url()})
	}
	without("search", w.Search, func(r *wish) { r.Search = "" })
	for _, st := range w.States {
		all = append(all, chip{"state", st, w.toggled(st)})
	}
	without("kind", w.Kind, func(r *wish) { r.Kind = "" })
	without("namespace", w.Namespace, func(r *wish) { r.Namespace = "" })
	without("source", w.Source, func(r *wish) { r.Source = "" })
	without("cluster", w.Cluster, func(r *wish) { r.Cluster = "" })
	return all
}

// order sorts rows as they are wished for.
func (w wish) order(rows []*row, used map[object.ID]int) {
	by := map[string]func(a, b *row) int{
		"":      func(a, b *row) int { return cmp.Or(cmp.Compare(a.State, b.State), worse(a, b), byName(a, b)) },
		"name":  byName,
		"moved": func(a, b *row) int { return cmp.Or(b.Moved.Compare(a.Moved), byName(a, b)) },
		"users": func(a, b *row) int { return cmp.Or(cmp.Compare(used[b.ID], used[a.ID]), byName(a, b)) },
	}[w.Sort]
	if by == nil {
		by = byName
	}
	if w.Group == "" {
		slices.SortFunc(rows, by)
		return
	}
	worst := make(map[string]state)
	for _, x := range rows {
		key := w.groupOf(x)
		if at, ok := worst[key]; !ok || x.State < at {
			worst[key] = x.State
		}
	}
	slices.SortFunc(rows, func(a, b *row) int {
		ka, kb := w.groupOf(a), w.groupOf(b)
		if ka == kb {
			return by(a, b)
		}
		if w.Sort == "" {
			return cmp.Or(cmp.Compare(worst[ka], worst[kb]), strings.Compare(ka, kb))
		}
		return strings.Compare(ka, kb)
	})
}

// worse orders problems: the newest first. What is well is in order of name.
func worse(a, b *row) int {
	if a.State >= suspended {
		return 0
	}
	return b.Since.Compare(a.Since)
}

func byName(a, b *row) int {
	return cmp.Or(strings.Compare(a.ID.Namespace, b.ID.Namespace), strings.Compare(a.ID.Name, b.ID.Name), object.Compare(a.ID, b.ID))
}

// groupOf returns what x has in common with those of its group.
func (w wish) groupOf(x *row) string {
	switch w.Group {
	case "namespace":
		return x.ID.Namespace
	case "kind":
		return x.ID.Kind.Name
	case "source":
		return x.Source.String()
	case "cluster":
		return cmp.Or(x.Cluster, hereName)
	case "state":
		return x.State.String()
	}
	return ""
}

// page fills in the lines of the page that is wished for.
func (p *fleetPage) page(s *Server, ask wish, rows []*row) {
	last := max((len(rows)+perPage-1)/perPage, 1)
	ask.Page = min(ask.Page, last)
	from := (ask.Page - 1) * perPage
	to := min(from+perPage, len(rows))
	p.Page, p.From, p.To = ask.Page, from+1, to
	if ask.Page > 1 {
		p.Before = ask.on(ask.Page - 1)
	}
	if ask.Page < last {
		p.After = ask.on(ask.Page + 1)
	}
	var counts map[string]*[len(states)]int
	if p.ByGroup {
		counts = make(map[string]*[len(states)]int)
		for _, x := range rows {
			key := ask.groupOf(x)
			if counts[key] == nil {
				counts[key] = new([len(states)]int)
			}
			counts[key][x.State]++
		}
	}
	before := ""
	for i, x := range rows[from:to] {
		l := s.line(x)
		if key := ask.groupOf(x); p.ByGroup && (i == 0 || key != before) {
			l.Group = groupNamed(key, *counts[key])
			before = key
		}
		p.Rows = append(p.Rows, l)
	}
}

func groupNamed(says string, counts [len(states)]int) *group {
	g := &group{Says: says}
	for st, n := range counts {
		if g.Count += n; n > 0 {
			g.Counts = append(g.Counts, share{Name: states[st].Name, Count: n})
		}
	}
	return g
}

func (w wish) on(page int) string {
	w.Page = page
	return w.url()
}

// line returns a row as it is shown.
func (s *Server) line(x *row) line {
	l := line{row: x, State: x.State.String(), URL: s.address(x.ID), Since: s.when(x.Since), Moved: s.when(x.Moved)}
	switch {
	case x.State == ready:
		l.Says = ""
	case x.State == fresh:
		l.Says = "Nothing is said of it yet."
	default:
		l.Says = firstLine(x.Message, 300)
	}
	if l.Where = x.URL; x.Ref != "" {
		l.Where += " at " + x.Ref
	}
	if l.Source = x.Source.Name; l.Source != "" && x.Source.Namespace != x.ID.Namespace {
		l.Source = x.Source.Namespace + "/" + l.Source
	}
	return l
}

// address returns where the page of a unit, of a source or of any other object is.
func (s *Server) address(id object.ID) string {
	n, ok := s.c.Language.Noun(id.Kind)
	switch {
	case !ok:
		return "/object/" + url.PathEscape(id.Kind.String()) + "/" + url.PathEscape(cmp.Or(id.Namespace, nowhere)) + "/" + url.PathEscape(id.Name)
	case n.Feed:
		return "/source/" + n.Names[0] + "/" + url.PathEscape(id.Namespace) + "/" + url.PathEscape(id.Name)
	}
	return "/unit/" + n.Names[0] + "/" + url.PathEscape(id.Namespace) + "/" + url.PathEscape(id.Name)
}

// lately returns what changed in the last hour, the newest first.
func (s *Server) lately(rows []*row) ([]line, int) {
	const most = 12
	since := s.now().Add(-time.Hour)
	var all []*row
	for _, x := range rows {
		if x.Moved.After(since) {
			all = append(all, x)
		}
	}
	slices.SortFunc(all, func(a, b *row) int { return cmp.Or(b.Moved.Compare(a.Moved), byName(a, b)) })
	var lines []line
	for _, x := range all[:min(len(all), most)] {
		lines = append(lines, s.line(x))
	}
	return lines, len(all)
}

// optionsOf returns what rows can be filtered for.
func optionsOf(ask wish, rows []*row) []options {
	kinds, ns, src, cl := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	ids := map[object.ID]string{}
	for _, x := range rows {
		ns[x.ID.Namespace]++
		if ask.list != units {
			kinds[x.ID.Kind.Name]++
			continue
		}
		name, ok := ids[x.Source]
		if !ok {
			name = x.Source.String()
			ids[x.Source] = name
		}
		src[name]++
		cl[cmp.Or(x.Cluster, hereName)]++
	}
	return []options{
		choices("kind", "Kind", ask.Kind, kinds), choices("namespace", "Namespace", ask.Namespace, ns),
		choices("source", "Source", ask.Source, src), choices("cluster", "Cluster", ask.Cluster, cl),
	}
}

func choices(name, says, chosen string, counts map[string]int) options {
	o := options{Name: name, Says: says, Chosen: chosen}
	keys := slices.Sorted(maps.Keys(counts))
	if chosen != "" && counts[chosen] == 0 {
		keys = append([]string{chosen}, keys...)
	}
	for _, k := range keys {
		if len(o.All) < maxOptions || k == chosen {
			o.All = append(o.All, choice{k, k + " (" + count(counts[k]) + ")"})
		}
	}
	return o
}

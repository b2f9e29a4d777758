package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/diff"
	"github.com/sane-gitops/sane/engine"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
)

func (s *Server) objectPages() {
	const at = "/object/{kind}/{namespace}/{name}"
	s.look(at, s.object)
	s.get(at+"/live", s.objectLive)
	s.get(at+"/origin", s.origin)
	s.get(at+"/logs", s.logsPage)
	s.get(at+"/logs/follow", s.followLogs)
}

// An objectPage is what the template of an object is given.
type objectPage struct {
	ID       object.ID
	Kind     string
	UID      string
	State    string
	Word     string // what the state is called
	Address  string
	Form     string
	Back     string
	Done     string
	Verdict  verdict
	There    bool
	Keeper   *ask.Keeper
	KeptBy   thing
	MadeBy   []thing
	Created  when
	Asks     []ask.Wish
	Secret   bool
	Live     []ownedLine
	LiveCut  int
	Managers []managerOf
	Events   []event
	EventErr string
	Logs     string // the address of its logs; "" if it has none
	May      may
	Load     string // the address of what is in its source
	Key      string // another one when that may be something else
}

// An ownedLine is a line of an object, and who owns it if that is another than
// of the line before.
type ownedLine struct {
	Text, By string
	Class    string // of the owner
}

// A managerOf is who owns fields of an object.
type managerOf struct {
	Name  string
	Class string
	Lines int
	Since when
	Ours  bool
}

// An event is what was said about an object.
type event struct {
	Reason, Message string
	Warning         bool
	Count           int
	By              string
	Last            when
	at              time.Time
}

// What is shown of an object at the most.
const (
	maxYAML       = 3000
	maxObjectSaid = 40
	maxManagers   = 6 // that have a colour of their own
)

// object shows an object as it is, and leaves what is in its source for later.
func (s *Server) object(w http.ResponseWriter, r *http.Request, v *viewer) error {
	id := objectNamed(r)
	if n, ours := s.c.Language.Noun(id.Kind); ours {
		http.Redirect(w, r, s.address(n.ID(id.Namespace, id.Name)), http.StatusSeeOther)
		return nil
	}
	p, err := s.objectPage(r.Context(), v, id, r.URL)
	if err != nil {
		return err
	}
	where := ""
	if id.Namespace != "" {
		where = " in " + id.Namespace
	}
	return s.show(w, r, v, "object", frame{Title: id.Kind.Name + " " + id.Name + where, Section: "fleet", Live: p.Address + "/live", Main: p})
}

func (s *Server) objectPage(ctx context.Context, v *viewer, id object.ID, at *url.URL) (*objectPage, error) {
	o, there, err := v.cluster.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	p := &objectPage{
		ID: id, Kind: id.Kind.Name, UID: o.UID(), Address: s.address(id), Back: backOf(at), Done: doneSays[at.Query().Get("done")],
		Form: s.seal.token(v.session.ID), There: there, Secret: id.Kind == object.Kind{Name: "Secret"}, Created: s.when(o.Time("metadata", "creationTimestamp")),
	}
	p.Load, p.Key = p.Address+"/origin", keyFor(o.UID(), o.Generation(), fieldsOwned(o))
	var answer *ask.Answer
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { answer, err = s.quick(v).Why(gctx, id); return err })
	if there {
		g.Go(func() error { p.Events, p.EventErr = s.said(gctx, v, o); return nil })
		g.Go(func() error { p.May = s.maysObject(gctx, v, id); return nil })
		g.Go(func() error {
			if speaks(o) && s.mayLogs(gctx, v, id.Namespace) {
				p.Logs = p.Address + "/logs"
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		if !there && ctx.Err() == nil && !silent(ctx, err) {
			return nil, &refusal{http.StatusNotFound, plainly(err)}
		}
		return nil, err
	}
	standing := healthState(o, answer.State.Well)
	p.State, p.Word = stateWords[standing], healthWords[standing]
	p.Verdict = s.verdict(answer, p.State, names{id.String(): id})
	if k := answer.Keeper; k != nil {
		p.Keeper = &ask.Keeper{Unit: k.Unit, State: plainText(k.State), Doubt: plainText(k.Doubt)}
		if k.Unit != "" {
			p.KeptBy = s.about(k.Unit, nil)
		}
	}
	top := o
	for range answer.MadeBy {
		next := ask.Controller(top)
		p.MadeBy = append(p.MadeBy, s.thing(next))
		if top, _, err = v.cluster.Get(ctx, next); err != nil || top.IsZero() {
			break
		}
	}
	p.Asks = answer.Asks
	s.blame(p, o)
	return p, nil
}

// fieldsOwned returns who owns which fields of an object, but for its status.
func fieldsOwned(o object.Object) any {
	v, _ := o.Get("metadata", "managedFields")
	list, _ := v.([]any)
	return slices.DeleteFunc(slices.Clone(list), func(e any) bool {
		m, _ := e.(map[string]any)
		return m["subresource"] == "status"
	})
}

// healthState returns how an object stands, as lists name it.
func healthState(o object.Object, well bool) health.Status {
	switch v := health.Of(o); {
	case well:
		return health.Healthy
	case o.Deleting():
		return health.Progressing
	case v.Status == health.Healthy: // by other rules it is not
		return health.Degraded
	default:
		return v.Status
	}
}

func (s *Server) maysObject(ctx context.Context, v *viewer, id object.ID) may {
	return may{
		Restart: restartable[id.Kind] && s.mays(ctx, v, "patch", id),
		Delete:  id.Kind == podKind && s.mays(ctx, v, "delete", id),
	}
}

// blame fills in the live object, each line with who owns it. Secret values are
// not in it.
func (s *Server) blame(p *objectPage, o object.Object) {
	if o.IsZero() {
		return
	}
	shown, _ := diff.Masked(o.Without("metadata", "managedFields"), object.Object{})
	classes := make(map[string]int)
	for i, l := range diff.Blame(shown, o) {
		n := slices.IndexFunc(p.Managers, func(m managerOf) bool { return m.Name == l.By })
		if n < 0 && l.By != "" {
			n = len(p.Managers)
			p.Managers = append(p.Managers, managerOf{Name: l.By, Class: "m" + strconv.Itoa(min(n, maxManagers)), Since: s.when(l.Since)})
		}
		line := ownedLine{Text: l.Text, By: l.By}
		if n >= 0 {
			p.Managers[n].Lines++
			line.Class = p.Managers[n].Class
		}
		classes[line.Class]++
		if i < maxYAML {
			p.Live = append(p.Live, line)
		} else {
			p.LiveCut++
		}
	}
}

// said returns what was said about an object, the newest first.
func (s *Server) said(ctx context.Context, v *viewer, o object.Object) (all []event, why string) {
	events, err := eventsAbout(ctx, v.cluster, o)
	if err != nil && !errors.Is(err, context.Canceled) {
		why = plainly(err)
	}
	for _, e := range events {
		last := ask.LastSeen(e)
		all = append(all, event{
			Reason: e.Text("reason"), Message: plainText(e.Text("message")), Warning: e.Text("type") == "Warning",
			Count: int(max(e.Number("count"), e.Number("series", "count"))), Last: s.when(last), at: last,
			By: cmp.Or(e.Text("reportingComponent"), e.Text("source", "component")),
		})
	}
	slices.SortStableFunc(all, func(a, b event) int { return b.at.Compare(a.at) })
	return all[:min(len(all), maxObjectSaid)], why
}

// objectLive tells of changes to an object, and of what it makes.
func (s *Server) objectLive(w http.ResponseWriter, r *http.Request, v *viewer) error {
	id := objectNamed(r)
	if _, _, err := v.cluster.Get(r.Context(), id); err != nil {
		return err
	}
	sels := []cluster.Selection{{Kind: id.Kind, Namespace: id.Namespace, Name: id.Name, Metadata: true}}
	if id.Kind.Group == "apps" || id.Kind.Group == "batch" {
		for _, k := range made {
			if k != id.Kind {
				sels = append(sels, cluster.Selection{Kind: k, Namespace: id.Namespace, Metadata: true})
			}
		}
	}
	return s.stream(w, r, v, func(ctx context.Context, changed func()) { follow(ctx, v.cluster, sels, changed) })
}

// An originPage is what an object's source says of it.
type originPage struct {
	ID      object.ID
	Origin  *ask.Origin
	File    string // where it is written, with the line
	When    when
	Differs []fieldOf
	Strays  []fieldOf
	Change  changeOf // from live to what is wanted
	Desired string
	Cut     int
	Unknown []string
	Err     string
	Kept    bool // by a unit
}

// A fieldOf is a field that differs, or that belongs to others.
type fieldOf struct {
	Field, Is, Want, By string
	Since               when
}

// origin shows where an object comes from, and how it differs from what is wanted
// there.
func (s *Server) origin(w http.ResponseWriter, r *http.Request, v *viewer) error {
	id := objectNamed(r)
	live, _, err := v.cluster.Get(r.Context(), id)
	if err != nil {
		return err
	}
	p := &originPage{ID: id}
	if err := s.fillOrigin(r.Context(), v, live, p); err != nil {
		p.Err = plainly(err)
	}
	return s.show(w, r, v, "origin", frame{Title: "Source of " + id.Name, Section: "fleet", Main: p})
}

func (s *Server) fillOrigin(ctx context.Context, v *viewer, live object.Object, p *originPage) error {
	return s.slowly(ctx, v, func(ctx context.Context, d *ask.Desk) error {
		a, err := d.Why(ctx, p.ID)
		if err != nil {
			return err
		}
		p.Kept = a.Keeper != nil && a.Keeper.Unit != ""
		if p.Origin, p.Unknown = a.Origin, plainTexts(a.Unknown); p.Origin != nil {
			p.When = s.when(p.Origin.When)
			if p.File = p.Origin.File; p.Origin.Line > 0 {
				p.File += ":" + strconv.Itoa(p.Origin.Line)
			}
		}
		for _, m := range a.Differs {
			p.Differs = append(p.Differs, fieldOf{m.Field, m.Is, m.Want, m.By, s.when(m.Since)})
		}
		for _, m := range a.Strays {
			p.Strays = append(p.Strays, fieldOf{Field: m.Field, By: m.By, Since: s.when(m.Since)})
		}
		if p.Kept && p.Origin != nil && len(a.MadeBy) == 0 {
			return s.desired(ctx, d, v, a, live, p)
		}
		return nil
	})
}

// desired fills in an object as its source has it. The viewer may get the object,
// the unit and the source: the answer that names them was got by their rights.
func (s *Server) desired(ctx context.Context, d *ask.Desk, v *viewer, a *ask.Answer, live object.Object, p *originPage) error {
	t := s.about(a.Keeper.Unit, nil)
	keeper, err := s.seen(ctx, v, object.ID{Kind: s.kindNamed(t.Kind), Namespace: t.Namespace, Name: t.Name})
	if err != nil {
		return err
	}
	u, err := s.unitOf(keeper)
	if err != nil {
		return err
	}
	if err := s.maySource(ctx, v, u); err != nil {
		return err
	}
	reading := d.Read(ask.At{Revision: p.Origin.Revision})
	defer reading.Close()
	all, err := reading.Wanted(ctx, keeper)
	if err != nil {
		return nil // the answer says why, if it is known
	}
	i := slices.IndexFunc(all.Objects, func(x plan.Want) bool { return x.Object.ID() == p.ID })
	if i < 0 {
		return nil
	}
	want := all.Objects[i].Object
	left := maxTotal
	p.Change = s.changed(p.ID, engine.Content(live), engine.Content(diff.Over(live, want)), all.Secrets, &left)
	shown, _ := diff.Masked(want, object.Object{})
	shown, _ = diff.Discreet(shown, object.Object{}, all.Secrets)
	lines := strings.Split(diff.YAML(shown), "\n")
	n := min(len(lines), maxYAML)
	p.Desired, p.Cut = strings.Join(lines[:n], "\n"), len(lines)-n
	return nil
}

// speaks reports whether an object has logs: its own, or those of its pods.
func speaks(o object.Object) bool {
	k := o.ID().Kind
	return k == podKind || k.Group == "apps" || k == object.Kind{Group: "batch", Name: "Job"}
}

func (s *Server) mayLogs(ctx context.Context, v *viewer, namespace string) bool {
	ok, err := s.may(ctx, v, cluster.Deed{Verb: "get", Object: object.ID{Kind: podKind, Namespace: namespace}, Subresource: "log"})
	return ok && err == nil
}

package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/diff"
	"github.com/sane-gitops/sane/engine"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
)

// What a page shows of differences at the most.
const (
	maxSteps = 200
	maxLines = 400 // of one object
	maxTotal = 4000
)

// A planPage is what would be done to a unit's objects now.
type planPage struct {
	Unit    thing
	Form    string // what a form has to carry
	Back    string
	Changes []changeOf
	Held    []changeOf
	Digest  string // of what is held; "" if nothing is
	Approve bool   // the viewer may
	Kept    int    // as they should be
	Left    int    // that the viewer may not see
	More    int    // that are not shown
	Err     string // what went wrong
	Late    string // the plan is of another revision than what is held
}

// A changeOf is what is or would be changed of an object.
type changeOf struct {
	Verb  string
	About thing
	Why   string
	Lines []diff.Line
	Cut   int // lines that are not shown
}

// plan shows what keeping a unit would do now.
func (s *Server) plan(w http.ResponseWriter, r *http.Request, v *viewer, o object.Object) error {
	id := o.ID()
	p := planPage{Unit: s.thing(id), Back: s.address(id), Form: s.seal.token(v.session.ID), Approve: s.mays(r.Context(), v, "patch", id)}
	if err := s.planned(r.Context(), v, o, &p); err != nil {
		p.Err = plainly(err)
	}
	return s.show(w, r, v, "plan", frame{Title: "Plan of " + id.Name, Section: "fleet", Main: &p})
}

// planned fills in what would be done. The cluster is asked in our own name, as
// the controller would: whoever may see a unit and its source may see what it
// would do to the objects that they may get.
func (s *Server) planned(ctx context.Context, v *viewer, o object.Object, p *planPage) error {
	u, err := s.unitOf(o)
	if err != nil {
		return err
	}
	if ask.Afar(u) {
		return errors.New("its objects are in another cluster, which is not asked from here")
	}
	if err := s.maySource(ctx, v, u); err != nil {
		return err
	}
	var pre engine.Preview
	var failed error
	err = s.slowly(ctx, v, func(ctx context.Context, d *ask.Desk) error {
		d.Cluster = s.c.Cluster
		reading := d.Read(ask.At{})
		defer reading.Close()
		pre, failed = reading.Plan(ctx, o)
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	steps := pre.Plan.All()
	if len(steps) == 0 && failed != nil {
		return failed
	}
	return s.fillPlan(ctx, v, o, p, pre, failed)
}

func (s *Server) fillPlan(ctx context.Context, v *viewer, o object.Object, p *planPage, pre engine.Preview, failed error) error {
	var ids []object.ID
	for _, step := range pre.Plan.All() {
		ids = append(ids, step.ID)
	}
	may, err := s.sift(ctx, v, ids)
	if err != nil {
		return err
	}
	if p.Left = may.left(ids); p.Left > 0 && failed != nil {
		failed = errors.New("the server refuses a part of it; what it says may be about objects that you may not see, so it is not shown")
	}
	if failed != nil {
		p.Err = plainly(failed)
	}
	left := maxTotal
	for _, step := range pre.Plan.All() {
		switch {
		case !may[step.ID]:
		case step.Verb == plan.Keep:
			p.Kept++
		case len(p.Changes)+len(p.Held) >= maxSteps:
			p.More++
		case step.Verb == plan.Hold:
			p.Held = append(p.Held, changeOf{Verb: "delete", About: s.thing(step.ID), Why: step.Why})
		default:
			p.Changes = append(p.Changes, s.stepOf(step, pre, &left))
		}
	}
	if held := s.heldOf(o); held != nil {
		p.Digest = string(held.Approval)
		if now := pre.Plan.Deletions(); len(pre.Plan.Held()) > 0 && string(now) != p.Digest {
			p.Late = "What would be held now is not what the controller holds: it has not looked at this yet. Wait for it before you approve."
			p.Digest = ""
		}
	}
	return nil
}

// stepOf returns a step as it is shown. left is how many lines may be.
func (s *Server) stepOf(step plan.Step, pre engine.Preview, left *int) changeOf {
	live, would := engine.Content(pre.Live[step.ID]), object.Object{}
	if step.Verb != plan.Delete {
		if would = pre.Would[step.ID]; would.IsZero() {
			would = step.Want
		}
		would = engine.Content(would)
	}
	c := s.changed(step.ID, live, would, pre.Secrets, left)
	c.Verb = string(step.Verb)
	if c.Why == "" || step.Verb != plan.Update {
		c.Why = step.Why
	}
	return c
}

// changed returns how two states of an object differ, without what is secret.
func (s *Server) changed(id object.ID, old, now object.Object, secrets []string, left *int) changeOf {
	old, now = diff.Masked(old, now)
	old, now = diff.Discreet(old, now, secrets)
	d := diff.Of(old, now)
	c := changeOf{About: s.thing(id), Why: fieldsOf(d.Fields)}
	n := min(len(d.Lines), maxLines, *left)
	*left -= n
	c.Lines, c.Cut = d.Lines[:n], len(d.Lines)-n
	return c
}

// fieldsOf names the first of some fields.
func fieldsOf(fields []string) string {
	const most = 3
	if n := len(fields) - most; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(fields[:most], ", "), n)
	}
	return strings.Join(fields, ", ")
}

// A comparePage is how what a unit wants differs between two revisions.
type comparePage struct {
	Unit     thing
	From, To string
	Load     string // the address of what is compared, which comes later
	Revs     []choice
}

// A comparedPage is what came of it.
type comparedPage struct {
	Changes []changeOf
	Same    int
	Left    int
	More    int
	Err     string
}

// compare shows which revisions of a unit are compared, and leaves it to the
// page to load what comes of it.
func (s *Server) compare(w http.ResponseWriter, r *http.Request, v *viewer, o object.Object) error {
	p := comparePage{Unit: s.thing(o.ID()), From: r.FormValue("from"), To: r.FormValue("to")}
	for _, h := range s.history(o) {
		if !slices.ContainsFunc(p.Revs, func(c choice) bool { return c.Value == h.Revision }) {
			p.Revs = append(p.Revs, choice{h.Revision, shortRevision(h.Revision) + ", " + h.Result + " " + h.Last.Ago + " ago"})
		}
	}
	for _, rev := range []string{p.From, p.To} {
		if rev != "" && !slices.ContainsFunc(p.Revs, func(c choice) bool { return c.Value == rev }) {
			p.Revs = append(p.Revs, choice{rev, shortRevision(rev)})
		}
	}
	if p.From != "" && p.To != "" {
		p.Load = p.Unit.URL + "/compared?" + r.URL.RawQuery
	}
	return s.show(w, r, v, "compare", frame{Title: "Compare " + o.ID().Name, Section: "fleet", Main: p})
}

// compared shows how what a unit wants differs between two revisions.
func (s *Server) compared(w http.ResponseWriter, r *http.Request, v *viewer, o object.Object) error {
	var p comparedPage
	if err := s.fillCompared(r.Context(), v, o, r.FormValue("from"), r.FormValue("to"), &p); err != nil {
		p.Err = plainly(err)
	}
	return s.show(w, r, v, "compared", frame{Title: "Compare " + o.ID().Name, Section: "fleet", Main: p})
}

func (s *Server) fillCompared(ctx context.Context, v *viewer, o object.Object, from, to string, p *comparedPage) error {
	u, err := s.unitOf(o)
	if err != nil {
		return err
	}
	if err := s.maySource(ctx, v, u); err != nil {
		return err
	}
	all := s.revisions(ctx, v, o, u)
	if err := cmp.Or(among(all, from), among(all, to)); err != nil {
		return err
	}
	var old, now engine.Wants
	err = s.slowly(ctx, v, func(ctx context.Context, d *ask.Desk) error {
		reading := d.Read(ask.At{Revision: from})
		defer reading.Close()
		var err error
		if old, err = reading.Wanted(ctx, o); err != nil {
			return fmt.Errorf("at %s: %w", shortRevision(from), err)
		}
		if now, err = reading.At(ask.At{Revision: to}).Wanted(ctx, o); err != nil {
			return fmt.Errorf("at %s: %w", shortRevision(to), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	before, after := old.ByID(), now.ByID()
	ids := allIDs(before, after)
	may, err := s.sift(ctx, v, ids)
	if err != nil {
		return err
	}
	p.Left = may.left(ids)
	secrets, left := append(slices.Clone(old.Secrets), now.Secrets...), maxTotal
	for _, id := range ids {
		if !may[id] {
			continue
		}
		c := s.changed(id, before[id], after[id], secrets, &left)
		switch {
		case before[id].IsZero():
			c.Verb, c.Why = "create", ""
		case after[id].IsZero():
			c.Verb, c.Why = "delete", ""
		case len(c.Lines)+c.Cut == 0:
			p.Same++
			continue
		default:
			c.Verb = "update"
		}
		if len(p.Changes) >= maxSteps {
			p.More++
			continue
		}
		p.Changes = append(p.Changes, c)
	}
	return nil
}

// allIDs returns the keys of two maps in order.
func allIDs(a, b map[object.ID]object.Object) []object.ID {
	all := make(map[object.ID]bool)
	for id := range a {
		all[id] = true
	}
	for id := range b {
		all[id] = true
	}
	return slices.SortedFunc(maps.Keys(all), object.Compare)
}

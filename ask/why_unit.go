package ask

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/diff"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/health/expr"
	"github.com/sane-gitops/sane/inventory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/unit"
)

// running says how to see whether there is a controller.
const running = "see whether the controller runs: kubectl get pods -A -l app=sane"

// heldReason is the reason of the condition of a unit that waits for approval.
const heldReason = "DeletionHeld"

// unit says how a unit stands, and why.
func (w *asking) unit(ctx context.Context, o object.Object) *Reason {
	id := o.ID()
	r := w.unitState(o)
	if w.told[id] {
		return r // as it was explained, or is being: units may wait for each other
	}
	w.told[id] = true
	asked, err := w.Dialect.Read(o, dialect.Nothing{})
	if err != nil || len(asked.Units) == 0 {
		w.unknown("what %s asks for: %v", id, err)
		return r
	}
	u, s := asked.Units[0], StandingOf(o)
	if u.Paused {
		r.Because = append(r.Because, w.pausedBy(o))
	}
	r.Because = append(r.Because, w.neglected(o, s)...)
	r.Because = append(r.Because, w.sourceOf(ctx, u)...)
	if s.Ready != "True" {
		r.Because = append(r.Because, w.others(ctx, o, u)...)
		r.Because = append(r.Because, w.failures(ctx, o, u, s)...)
	}
	r.Because = append(r.Because, w.objects(ctx, o, u)...)
	r.Events = w.warnings(ctx, o, s.Message)
	return r
}

// unitState says how a unit stands in a line.
func (w *asking) unitState(o object.Object) *Reason {
	s, st := StandingOf(o), w.Dialect.RecallUnit(o)
	r := &Reason{About: o.ID().String(), Since: changedAt(o.Condition("Ready"))}
	s.Current = s.Current || w.Language.Paused(o) // what is suspended is not looked at again
	switch {
	case s.Ready == "True" && s.Current:
		r.Says, r.Well = "ready at "+st.Applied.Name, true
	case s.Ready == "":
		r.Says, r.Since = "not ready: nothing is said of it yet", created(o)
	case !s.Current:
		r.Says = "not ready: it was edited, and nothing is said of that yet"
	case s.Ready == "Unknown":
		r.Says = "not ready yet: " + cmp.Or(s.Doing, s.Message)
	default:
		first, rest, _ := strings.Cut(s.Message, "\n")
		r.Says = "not ready: " + s.Reason + ": " + first
		if n := strings.Count(rest, "\n"); rest != "" {
			r.Says += fmt.Sprintf(" (and %d more)", n+1)
		}
	}
	if deleting := o.Text("metadata", "deletionTimestamp"); deleting != "" {
		r.Says, r.Since = "being deleted; "+r.Says, o.Time("metadata", "deletionTimestamp")
	}
	if w.Language.Paused(o) {
		r.Says, r.Well = "suspended; "+r.Says, false
	}
	return r
}

// pausedBy says who asked for an object to be left alone, since when, until when
// and why, as far as that is said.
func (w *asking) pausedBy(o object.Object) *Reason {
	p := w.Dialect.Pause(o)
	r := &Reason{
		About: o.ID().String(), Since: p.Since,
		Says: strings.Join(w.Language.Pause, ".") + " was set by " + cmp.Or(p.By, "somebody unknown"),
		Do:   "sane resume " + w.Language.Sayable(o.ID()),
	}
	if p.Why != "" {
		r.Says += ": " + p.Why
	}
	if !p.Until.IsZero() {
		r.Says += "; it goes on by itself at " + p.Until.UTC().Format(time.RFC3339)
	}
	return r
}

// neglected says that no controller has looked at an object as it is now.
func (w *asking) neglected(o object.Object, s Standing) []*Reason {
	if s.Current || w.Language.Paused(o) {
		return nil
	}
	_, since := diff.Owner(o, "spec")
	return []*Reason{{
		About: o.ID().String(), Since: since, Do: running,
		Says: fmt.Sprintf("no controller has looked at generation %d", o.Generation()),
	}}
}

// sourceOf says what is wrong with a unit's source.
func (w *asking) sourceOf(ctx context.Context, u unit.Unit) []*Reason {
	id := w.Feed(u.Source)
	if id.Name == "" {
		return []*Reason{{About: u.Source.String(), Says: "a source of a kind that is not supported"}}
	}
	o, there, err := w.Cluster.Get(ctx, id)
	switch {
	case err != nil:
		w.unknown("source %s: %v", id, err)
		return nil
	case !there:
		return []*Reason{{About: id.String(), Says: "not there", Do: "create it, or mend the reference in " + u.Name.String()}}
	}
	r := w.sourceState(ctx, o)
	if StandingOf(o).Ready == "True" && StandingOf(o).Current && !w.Language.Paused(o) {
		return nil
	}
	return []*Reason{r}
}

// others says what is wrong with the units that must be ready first.
func (w *asking) others(ctx context.Context, self object.Object, u unit.Unit) []*Reason {
	var out []*Reason
	for _, name := range u.After {
		o, there, err := w.Cluster.Get(ctx, name.ID())
		switch {
		case err != nil:
			w.unknown("dependency %s: %v", name, err)
		case !there:
			out = append(out, &Reason{About: name.String(), Says: "not there", Do: "create it, or take it out of spec.dependsOn of " + u.Name.String()})
		default:
			out = append(out, w.gates(ctx, self, o, u)...)
		}
	}
	return out
}

// gates says why a unit that is there does not let another come after it: it is
// not ready, or an expression over both does not hold.
func (w *asking) gates(ctx context.Context, self, o object.Object, u unit.Unit) []*Reason {
	ready := w.unitReady(ctx, o, u)
	var out []*Reason
	for _, g := range u.Gates {
		if g.After.ID() != o.ID() {
			continue
		}
		ready = ready || !g.Also // the expression alone counts
		if why := shut(g, self, o); why != "" {
			out = append(out, &Reason{About: o.ID().String(), Says: why + ": " + g.Expr})
		}
	}
	if !ready || len(out) > 0 && StandingOf(o).Ready != "True" {
		out = append(out, w.unit(ctx, o))
	}
	return out
}

// shut says why an expression does not let a unit come after another, or "".
func shut(g unit.Gate, self, dep object.Object) string {
	made, err := expr.NewGate(g.Expr)
	if err == nil {
		var open bool
		if open, err = made.Open(self, dep); open {
			return ""
		}
	}
	if err != nil {
		return "readyExpr: " + err.Error()
	}
	return "readyExpr does not hold"
}

// unitReady reports whether a unit is ready for another to come after it: where
// they have one source, at its revision.
func (w *asking) unitReady(ctx context.Context, o object.Object, for_ unit.Unit) bool {
	s := StandingOf(o)
	if s.Ready != "True" || !s.Current {
		return false
	}
	asked, err := w.Dialect.Read(o, dialect.Nothing{})
	if err != nil || len(asked.Units) == 0 || asked.Units[0].Source != for_.Source {
		return true
	}
	f, there, err := w.Cluster.Get(ctx, w.Feed(for_.Source))
	return err != nil || !there || w.Dialect.RecallFeed(f).Revision.Name == w.Dialect.RecallUnit(o).Applied.Name
}

// failures says what a unit's own condition says went wrong, a line for each
// error where there are several.
func (w *asking) failures(ctx context.Context, o object.Object, u unit.Unit, s Standing) []*Reason {
	var out []*Reason
	if lines := strings.Split(s.Message, "\n"); len(lines) > 1 {
		for _, l := range lines {
			if l = strings.TrimSpace(l); l != "" {
				out = append(out, &Reason{About: o.ID().String(), Says: l})
			}
		}
	}
	if s.Reason == heldReason {
		out = append(out, w.held(ctx, o, u))
	}
	return limited(out)
}

// held says what would be deleted if somebody approved.
func (w *asking) held(ctx context.Context, o object.Object, u unit.Unit) *Reason {
	st := w.Dialect.RecallUnit(o)
	r := &Reason{
		About: o.ID().String(), Says: "waits until somebody approves what it would delete",
		Do: "approve it as the message says, if it is meant; or put back what is missing",
	}
	gone := st.Owned
	if !u.Deleting {
		wants, err := w.wanted(ctx, o, cmp.Or(st.Attempted, st.Applied))
		if err != nil {
			w.unknown("all that %s would delete: %v", o.ID(), err)
			return r
		}
		kept := make(inventory.Set)
		for _, want := range wants.Objects {
			kept[want.Object.ID()] = want.Object.Version()
		}
		gone = gone.Minus(kept)
	}
	if at := w.where(ctx, o, u, gone); at != nil {
		r.More = at.deleted(ctx, u, gone.IDs())
	}
	return r
}

// deleted says which of a unit's objects would be deleted: those that are there
// and do not ask to be left.
func (w *asking) deleted(ctx context.Context, u unit.Unit, ids []object.ID) (lines []string) {
	for i, id := range ids {
		if len(lines) == maxReasons {
			return append(lines, fmt.Sprintf("and up to %d more", len(ids)-i))
		}
		o, known := w.look(ctx, id)
		owner, _ := w.Dialect.Owner(o.Labels())
		asks := w.Dialect.Exempt(o)
		if known && (o.IsZero() || owner != u.Name || asks.Keep || asks.Ignore) {
			continue
		}
		lines = append(lines, "would delete "+id.String())
	}
	return lines
}

// objects says which of a unit's objects are not healthy, and why.
func (w *asking) objects(ctx context.Context, o object.Object, u unit.Unit) []*Reason {
	owned := w.Dialect.RecallUnit(o).Owned
	at := w.where(ctx, o, u, owned)
	if at == nil {
		return nil
	}
	judge, err := expr.New(u.Rules)
	if err != nil {
		w.unknown("health by the expressions of %s: %v", u.Name, err)
	}
	var out []*Reason
	applied := w.appliedAll(o)
	for _, o := range at.live(ctx, u, owned) {
		if o.id == at.about || o.IsZero() && !applied {
			continue
		}
		if r := at.ailing(ctx, o.id, o.Object, judge); r != nil {
			out = append(out, r)
		}
	}
	return limited(out)
}

// where returns the asking about what is in the cluster of a unit's objects; nil,
// and why is noted, if that can't be asked.
func (w *asking) where(ctx context.Context, o object.Object, u unit.Unit, owned inventory.Set) *asking {
	if !Afar(u) {
		return w
	}
	c, err := w.Where(ctx, o)
	if err != nil {
		if len(owned) > 0 {
			w.unknown("the objects of %s: %v", u.Name, err)
		}
		return nil
	}
	there, desk := *w, *w.Desk
	desk.Cluster = c
	there.Desk, there.about, there.heard = &desk, object.ID{}, make(map[string][]object.Object)
	return &there
}

// appliedAll reports whether a unit says that all that it wants has been applied,
// so that what is missing is a cause rather than an effect.
func (w *asking) appliedAll(o object.Object) bool {
	healthy := o.Condition("Healthy").Text("status")
	return StandingOf(o).Ready == "True" || healthy == "False" || healthy == "Unknown"
}

// A found is an object that was looked for; zero if it is not there.
type found struct {
	id object.ID
	object.Object
}

// live returns the objects of a unit whose health can be judged, and those that
// are missing, in order.
func (w *asking) live(ctx context.Context, u unit.Unit, owned inventory.Set) []found {
	seen := make(map[object.ID]object.Object)
	listed := w.gatherAll(ctx, u, owned, seen)
	var out []found
	for _, id := range owned.IDs() {
		o, known := seen[id]
		if !known && listed[scopeOf(id)] {
			o, known = w.look(ctx, id)
		}
		if known && (o.IsZero() || !quiet(id.Kind, u) || o.Deleting()) {
			out = append(out, found{id, o})
		}
	}
	for _, id := range u.Checks {
		if _, ok := seen[id]; ok {
			continue
		}
		if o, known := w.look(ctx, id); known {
			out = append(out, found{id, o})
		}
	}
	return out
}

// quiet reports whether objects of a kind say nothing of their health in a
// unit's eyes.
func quiet(k object.Kind, u unit.Unit) bool { return health.Silent(k) && len(u.Rules) == 0 }

// A scope is where objects of one kind are listed.
type scope struct {
	kind      object.Kind
	namespace string
}

func scopeOf(id object.ID) scope { return scope{id.Kind, id.Namespace} }

// gatherAll lists a unit's objects into seen, and returns which scopes it could
// list. A kind with objects in several namespaces is listed in all of them at
// once, if that is allowed.
func (w *asking) gatherAll(ctx context.Context, u unit.Unit, owned inventory.Set, seen map[object.ID]object.Object) map[scope]bool {
	listed := make(map[scope]bool)
	places := make(map[object.Kind]int)
	for id := range owned {
		if _, ok := listed[scopeOf(id)]; !ok {
			listed[scopeOf(id)] = false
			places[id.Kind]++
		}
	}
	everywhere := make(map[object.Kind]bool)
	for k, n := range places {
		everywhere[k] = n > 1 && w.gather(ctx, scope{kind: k}, u, seen) == nil
	}
	for at := range listed {
		var err error
		if !everywhere[at.kind] {
			err = w.gather(ctx, at, u, seen)
		}
		if listed[at] = err == nil; err != nil {
			w.unknown("health of %s in %s: %v", at.kind, cmp.Or(at.namespace, "the cluster"), err)
		}
	}
	slices.Sort(w.answer.Unknown)
	return listed
}

// gather lists a unit's objects into seen. Of a kind that is not known there are
// none.
func (w *asking) gather(ctx context.Context, at scope, u unit.Unit, seen map[object.ID]object.Object) error {
	sel := cluster.Selection{Kind: at.kind, Namespace: at.namespace, Labels: selectorOf(u.Owner.Labels), Metadata: quiet(at.kind, u)}
	for o, err := range w.Cluster.List(ctx, sel) {
		if errors.Is(err, cluster.ErrNoKind) {
			return nil
		}
		if err != nil {
			return err
		}
		seen[o.ID()] = o
	}
	return nil
}

// look gets an object, zero if it is not there, and reports whether it could.
func (w *asking) look(ctx context.Context, id object.ID) (object.Object, bool) {
	o, _, err := w.Cluster.Get(ctx, id)
	if err != nil && !errors.Is(err, cluster.ErrNoKind) {
		w.unknown("health of %s: %v", id, err)
		return o, false
	}
	return o, true
}

func selectorOf(labels map[string]string) string {
	var terms []string
	for k, v := range labels {
		terms = append(terms, k+"="+v)
	}
	slices.Sort(terms)
	return strings.Join(terms, ",")
}

// limited returns the first of many reasons, and how many more there are.
func limited(all []*Reason) []*Reason {
	n := len(all) - maxReasons
	if n <= 0 {
		return all
	}
	return append(slices.Clip(all[:maxReasons]), &Reason{Says: fmt.Sprintf("%d more things are wrong", n)})
}

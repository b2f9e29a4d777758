package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sane-gitops/sane/apply"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/inventory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/observe"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/unit"
)

// manager is the field manager of all that is applied.
const manager = "kustomize-controller"

// bring takes the unit through its phases, as far as it can be taken now. Each
// phase reports whether the next may begin; what stopped it is in r.st. It holds
// nothing while it waits: it is begun anew when something happens, and finds
// what was done.
func (r *run) bring(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.u.Timeout)
	defer cancel()
	var res render.Result
	var p plan.Plan
	_ = r.admit() &&
		r.render(ctx, &res) &&
		(r.asMade(ctx, res.Digest) || r.plan(ctx, res, &p) && r.apply(ctx, &p)) &&
		r.observe(ctx) &&
		r.prune(ctx, p) &&
		r.done()
}

// admit reports whether the unit may begin.
func (r *run) admit() bool {
	switch {
	case r.was.Err != nil && r.was.Phase == unit.Admitting && errors.Is(r.was.Err, unit.ErrRecall):
		r.st.Owned = r.was.Owned
		return r.fail(r.was.Err)
	case r.u.Err != nil:
		return r.fail(r.u.Err)
	case !r.found: // it may come a moment later
		r.wait(unit.OnSource, "%s is not there", r.u.Source)
		return r.fail(fmt.Errorf("%w: %s", unit.ErrNoSource, r.u.Source))
	case r.src.tree == nil && r.src.status.Err != nil:
		return r.wait(unit.OnSource, "%s: %v", r.u.Source, r.src.status.Err)
	case r.src.tree == nil:
		return r.wait(unit.OnSource, "%s has not been fetched yet", r.u.Source)
	}
	return r.afterOthers()
}

// afterOthers reports whether all units before this one are ready.
func (r *run) afterOthers() bool {
	e := r.e
	e.mu.Lock()
	defer e.mu.Unlock()
	if cycle := e.cycle(r.u); cycle != "" {
		return r.fail(fault.Input(fmt.Errorf("%w: units wait for each other in a circle: %s", unit.ErrDependencies, cycle)))
	}
	for _, name := range r.u.After {
		if why := e.notReady(name, r.u); why != "" {
			return r.wait(unit.OnUnit, "dependency '%s/%s' is not ready: %s", name.Namespace, name.Name, why)
		}
	}
	return true
}

// notReady says why a unit is not ready for another to come after it, or "".
// Where both use the same source, it must have got to the same revision.
// e.mu is held.
func (e *Engine) notReady(name unit.Name, for_ unit.Unit) string {
	k := e.units[name]
	switch {
	case k == nil:
		return "not found"
	case k.status.Generation != k.want.Generation:
		return "it has changed"
	case !k.status.Ready() && k.status.Err != nil:
		return k.status.Err.Error()
	case !k.status.Ready():
		return "it is being brought up"
	case k.want.Source != for_.Source:
		return ""
	}
	if f := e.feeds[for_.Source]; f != nil && k.status.Applied != f.status.Revision {
		return "it has not got to " + f.status.Revision.Name
	}
	return ""
}

// cycle returns the circle of units that wait for each other that u is in, in
// words, or "". e.mu is held.
func (e *Engine) cycle(u unit.Unit) string {
	seen := make(map[unit.Name]bool)
	var walk func(n unit.Name, path []string) string
	walk = func(n unit.Name, path []string) string {
		path = append(path, n.Namespace+"/"+n.Name)
		if n == u.Name && len(path) > 1 {
			return strings.Join(path, " → ")
		}
		k := e.units[n]
		if k == nil || seen[n] {
			return ""
		}
		seen[n] = true
		for _, a := range k.want.After {
			if c := walk(a, slices.Clip(path)); c != "" {
				return c
			}
		}
		return ""
	}
	if len(u.After) == 0 {
		return ""
	}
	return walk(u.Name, nil)
}

// render turns the source's tree into objects, unless nothing that was read has
// changed.
func (r *run) render(ctx context.Context, res *render.Result) bool {
	r.st.Phase = unit.Rendering
	r.st.Attempted = r.src.status.Revision
	got, fresh, err := r.e.c.Renderer.Render(ctx, r.u.Name.String(), render.Input{Tree: r.src.tree.Tree, Recipe: r.u.Recipe})
	if err != nil {
		return r.fail(err)
	}
	if fresh {
		r.e.log.Debug("rendered", "unit", r.u.Name.String(), "rev", r.st.Attempted.Name)
	}
	*res = got
	r.st.Rendered = got.Digest
	return true
}

// asMade reports whether the cluster is as the rendered objects are, as far as
// can be proven without a request.
func (r *run) asMade(ctx context.Context, rendered digest.Digest) bool {
	r.recall()
	m := &r.k.made
	if m.Rendered != rendered || m.Partial || len(m.Objects) != len(r.st.Owned) {
		return false
	}
	if r.watch(ctx, r.st.Owned) != nil {
		return false
	}
	for id, as := range m.Objects {
		if s, _ := r.e.look.See(id); !as.holds(s) {
			return false
		}
	}
	return true
}

// watch sees to it that all objects in set are watched.
func (r *run) watch(ctx context.Context, set inventory.Set) error {
	kinds := make(map[object.Kind]bool)
	for id := range set {
		kinds[id.Kind] = true
	}
	for k := range kinds {
		if err := r.e.look.Watch(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// plan decides what is to be done.
func (r *run) plan(ctx context.Context, res render.Result, p *plan.Plan) bool {
	r.st.Phase = unit.Planning
	objects, err := r.e.c.Renderer.Objects(ctx, res)
	if err != nil {
		return r.fail(err)
	}
	state, err := r.state(ctx, objects)
	if err != nil {
		return r.fail(err)
	}
	if *p, err = plan.Make(state, r.u.Policy); err != nil {
		return r.fail(err)
	}
	return true
}

// state gathers what is wanted and what is known, without asking the cluster
// about anything but objects that are ours and out of sight.
func (r *run) state(ctx context.Context, objects []object.Object) (plan.State, error) {
	st := plan.State{Owned: r.st.Owned, Known: make(map[object.ID]plan.Known)}
	meant := make(inventory.Set)
	for _, o := range objects {
		o, err := r.e.own(ctx, o, r.u)
		if err != nil {
			return st, err
		}
		st.Want = append(st.Want, plan.Want{Object: o, Exempt: r.e.c.Dialect.Exempt(o)})
		meant[o.ID()] = o.Version()
	}
	if err := r.watch(ctx, r.st.Owned.Union(meant)); err != nil {
		return st, err
	}
	for _, w := range st.Want {
		id := w.Object.ID()
		if k, ok := r.known(id, markOf(w.Object.JSON())); ok {
			st.Known[id] = k
		}
	}
	if r.u.Policy.Prune {
		return st, r.lookFor(ctx, st, r.st.Owned.Minus(meant))
	}
	return st, nil
}

// own returns o with the marks of its owner, and without what is not to be
// applied: a namespace where there can be none, and a status.
func (e *Engine) own(ctx context.Context, o object.Object, u unit.Unit) (object.Object, error) {
	namespaced, err := e.c.Cluster.Namespaced(ctx, o.ID().Kind)
	switch {
	case errors.Is(err, cluster.ErrNoKind): // its definition may come with it
	case err != nil:
		return o, err
	case !namespaced:
		o = o.Without("metadata", "namespace")
	case o.Namespace() == "":
		return o, fault.Input(fmt.Errorf("%s: namespace not specified: set metadata.namespace, or spec.targetNamespace for all", o.ID()))
	}
	return normal(o).WithLabels(u.Owner.Labels), nil
}

// normal returns o in the form in which it is applied.
func normal(o object.Object) object.Object {
	o = o.Without("metadata", "creationTimestamp").Without("metadata", "managedFields")
	if o.ID().Kind != (object.Kind{Group: "apiextensions.k8s.io", Name: "CustomResourceDefinition"}) {
		o = o.Without("status")
	}
	return plan.Normal(o)
}

// known returns what is known of an object, and whether anything is.
func (r *run) known(id object.ID, want mark) (plan.Known, bool) {
	s, seen := r.e.look.See(id)
	if !seen || s.Gone {
		return plan.Known{}, false
	}
	k := plan.Known{UID: s.UID, Exempt: s.Exempt, Deleting: s.Deleting, Ours: s.Owner == r.u.Name}
	if !k.Ours {
		k.Owner = r.e.keeps(s.Owner, id)
	}
	as, made := r.k.made.Objects[id]
	switch {
	case !made || as.Want != want:
		k.Why = "the source has changed"
	case !as.holds(s):
		r.drifted(&k, id, s)
	default:
		k.Same = true
	}
	return k, true
}

// drifted completes what is known of an object that was changed by others. One
// that they change again and again is left to them for a while.
func (r *run) drifted(k *plan.Known, id object.ID, s observe.Sighting) {
	k.Why = "it was changed by " + cmp.Or(s.Rival, "somebody")
	r.drift = append(r.drift, id)
	until, rounds := r.k.patience(id, r.e.now())
	if until.IsZero() {
		return
	}
	k.Same = true
	r.st.Fights = append(r.st.Fights, unit.Fight{ID: id, By: s.Rival, Rounds: rounds})
	if r.again.IsZero() || until.Before(r.again) {
		r.again = until
	}
}

// keeps returns the name of a unit in words if it is there and keeps an object,
// or else "".
func (e *Engine) keeps(name unit.Name, id object.ID) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	k := e.units[name]
	if k == nil {
		return ""
	}
	if _, ok := k.status.Owned[id]; !ok {
		return ""
	}
	return name.String()
}

// lookFor adds to what is known the objects that are ours and to be deleted,
// asking the cluster for those that are out of sight.
func (r *run) lookFor(ctx context.Context, st plan.State, gone inventory.Set) error {
	for id := range gone {
		s, seen := r.e.look.See(id)
		if seen && !s.Gone {
			st.Known[id] = plan.Known{UID: s.UID, Ours: s.Owner == r.u.Name, Exempt: s.Exempt, Deleting: s.Deleting}
			continue
		}
		o, there, err := r.e.c.Cluster.Get(ctx, id)
		if errors.Is(err, cluster.ErrNoKind) {
			there, err = false, nil
		}
		if err != nil {
			return err
		}
		if !there {
			delete(st.Owned, id)
			continue
		}
		owner, _ := r.e.c.Dialect.Owner(o.Labels())
		st.Known[id] = plan.Known{UID: o.UID(), Ours: owner == r.u.Name, Exempt: r.e.c.Dialect.Exempt(o), Deleting: o.Deleting()}
	}
	return nil
}

// apply carries out the plan's stages.
func (r *run) apply(ctx context.Context, p *plan.Plan) bool {
	meant := make(inventory.Set)
	for _, s := range p.Stages {
		for _, step := range s.Steps {
			meant[step.ID] = step.Want.Version()
		}
	}
	if !r.announce(ctx, meant) || !r.check(ctx, p, 0, false) {
		return false
	}
	r.st.Phase = unit.Applying
	r.k.made.begin(r.st.Rendered, meant)
	for n, s := range p.Stages {
		if n > 0 && !r.check(ctx, p, n, true) || !r.stage(ctx, p.Stages[n]) {
			return false
		}
		if s.Wait && !r.settled(s) {
			return false
		}
	}
	r.k.made.Partial = false
	r.e.saveLedger(r.u.Name, &r.k.made)
	return true
}

// announce writes what is meant to be made into the inventory before anything
// is made, so that nothing is lost whenever we end.
func (r *run) announce(ctx context.Context, meant inventory.Set) bool {
	if r.st.Owned.Covers(meant) {
		return true
	}
	r.st.Owned = r.st.Owned.Union(meant)
	before := r.st.Phase
	r.st.Phase = unit.Applying
	if err := r.say(ctx); err != nil {
		return r.fail(fmt.Errorf("write inventory: %w", err))
	}
	r.st.Phase = before
	return true
}

// stage carries out one stage and notes what came of each step.
func (r *run) stage(ctx context.Context, s plan.Stage) bool {
	var errs []error
	for _, step := range s.Steps {
		if !step.Changes() {
			r.keep(step)
		}
	}
	for o := range apply.Run(ctx, r.e.c.Cluster, s.Steps, r.by()) {
		if o.Err != nil {
			errs = append(errs, o.Err)
			continue
		}
		r.k.made.Objects[o.Step.ID] = madeAs(o.Step, r.e.look.Note(o.Live))
		if slices.Contains(r.drift, o.Step.ID) {
			r.k.fought(o.Step.ID, r.e.now())
		}
		if o.Done != apply.Unchanged {
			r.st.Changes = append(r.st.Changes, unit.Change{ID: o.Step.ID, Done: string(o.Done)})
			r.e.log.Debug("applied", "object", o.Step.ID.String(), "done", string(o.Done))
		}
	}
	if err := join(errs); err != nil {
		return r.fail(err)
	}
	return true
}

// keep notes what is known of an object that the plan leaves alone.
func (r *run) keep(s plan.Step) {
	if a, ok := r.k.made.Objects[s.ID]; ok && a.Want == markOf(s.Want.JSON()) {
		return
	}
	r.k.made.Objects[s.ID] = madeAs(s, observe.Sighting{})
}

func (r *run) by() apply.By { return apply.By{Manager: manager, Parallel: r.e.c.Applies} }

// check lets the server try all changes that it can judge before anything is
// changed: from stage n on, or stage n alone where that had to wait for the ones
// before. It reports all that the server refuses.
func (r *run) check(ctx context.Context, p *plan.Plan, n int, alone bool) bool {
	if r.certain(*p) {
		return true
	}
	later := plan.Awaited(*p)
	var errs []error
	for i := n; i < len(p.Stages) && (i == n || !alone); i++ {
		s := &p.Stages[i]
		var todo []plan.Step
		for _, step := range s.Steps {
			if later(step) == alone {
				todo = append(todo, step)
			}
		}
		for o := range apply.Check(ctx, r.e.c.Cluster, todo, r.by()) {
			if o.Err != nil {
				errs = append(errs, fmt.Errorf("dry-run failed: %w", o.Err))
				continue
			}
			s.Replace(o.Step)
		}
	}
	if err := join(errs); err != nil {
		return r.fail(err)
	}
	return true
}

// certain reports whether a plan needs no dry run: its one change is either
// accepted or refused, and nothing else was changed before it.
func (r *run) certain(p plan.Plan) bool {
	changes := 0
	for _, s := range p.Stages {
		for _, step := range s.Steps {
			if step.Changes() {
				changes++
			}
			if step.Changes() && step.Replace {
				return false
			}
		}
	}
	return changes <= 1
}

// settled reports whether all that a stage applied is healthy.
func (r *run) settled(s plan.Stage) bool {
	for _, step := range s.Steps {
		seen, _ := r.e.look.See(step.ID)
		switch {
		case step.Exempt.Ignore || seen.Health.Status == health.Healthy:
		case r.late():
			return r.fail(fmt.Errorf("%w: timeout waiting for %s: %s", unit.ErrHealth, step.ID, seen.Health.Why))
		default:
			return r.wait(unit.OnStage, "%s: %s", step.ID, seen.Health.Why)
		}
	}
	return true
}

// late reports whether the unit has waited for as long as it may.
func (r *run) late() bool {
	g := goal{r.st.Generation, r.src.status.Revision}
	return !r.k.since.IsZero() && r.k.goal == g && r.e.now().Sub(r.k.since) >= r.u.Timeout
}

// observe reports whether all is healthy whose health the unit is asked to wait
// for.
func (r *run) observe(ctx context.Context) bool {
	r.st.Phase = unit.Observing
	var waits, failed []string
	for _, id := range r.toObserve() {
		s, seen := r.e.look.See(id)
		if !seen && len(r.u.Checks) > 0 && !r.u.Wait {
			if err := r.e.look.WatchObject(ctx, id); err != nil {
				return r.fail(err)
			}
			s, seen = r.e.look.See(id)
		}
		if !seen {
			s.Health = health.Of(object.Object{})
		}
		r.st.Health = health.Worst(r.st.Health, s.Health)
		switch s.Health.Status {
		case health.Healthy:
		case health.Degraded:
			failed = append(failed, fmt.Sprintf("%s: %s", id, s.Health.Why))
		default:
			waits = append(waits, fmt.Sprintf("%s: %s", id, s.Health.Why))
		}
	}
	switch {
	case len(failed) > 0:
		return r.fail(fmt.Errorf("%w: %s", unit.ErrHealth, strings.Join(failed, "; ")))
	case len(waits) == 0:
		return true
	case r.late():
		return r.fail(fmt.Errorf("%w: timeout after %s waiting for %s", unit.ErrHealth, r.u.Timeout, strings.Join(waits, "; ")))
	}
	return r.wait(unit.OnHealth, "%s", strings.Join(waits, "; "))
}

// toObserve returns the objects whose health the unit is asked to wait for.
func (r *run) toObserve() []object.ID {
	if !r.u.Wait {
		return r.u.Checks
	}
	var ids []object.ID
	for id, as := range r.k.made.Objects {
		if !as.Alone && id != r.u.Name.ID() {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, object.Compare)
	return ids
}

// prune deletes what is ours and not wanted any more.
func (r *run) prune(ctx context.Context, p plan.Plan) bool {
	r.st.Phase = unit.Pruning
	var errs []error
	survivors := make(inventory.Set)
	for _, s := range p.Prune {
		for o := range apply.Run(ctx, r.e.c.Cluster, s.Steps, r.by()) {
			if o.Err != nil {
				errs = append(errs, o.Err)
				survivors[o.Step.ID] = r.st.Owned[o.Step.ID]
				continue
			}
			r.st.Changes = append(r.st.Changes, unit.Change{ID: o.Step.ID, Done: string(o.Done)})
			r.e.log.Debug("pruned", "object", o.Step.ID.String())
		}
	}
	r.st.Owned = r.k.made.owned().Union(survivors)
	if err := join(errs); err != nil {
		r.k.made.Partial = true
		return r.fail(err)
	}
	return true
}

// done ends the run well.
func (r *run) done() bool {
	r.st.Phase = unit.Done
	r.st.Applied = r.st.Attempted
	return true
}

// takeDown deletes what was made for a unit that is being deleted and then lets
// go of the object that asked for it. It returns when to try again.
func (e *Engine) takeDown(ctx context.Context, r *run) time.Time {
	leave := r.u.Paused || !r.u.Policy.Prune || r.u.Orphan
	if !leave && !r.remove(ctx) {
		due, _ := r.conclude(ctx)
		return due
	}
	again := e.letGo(ctx, r.k.by)
	r.k.gone = again.IsZero()
	return again
}

// remove deletes all that the unit owns.
func (r *run) remove(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, r.u.Timeout)
	defer cancel()
	r.st.Phase = unit.Pruning
	if errors.Is(r.was.Err, unit.ErrRecall) {
		return r.fail(r.was.Err)
	}
	st := plan.State{Owned: maps.Clone(r.st.Owned), Known: make(map[object.ID]plan.Known)}
	if err := r.watch(ctx, st.Owned); err != nil {
		return r.fail(err)
	}
	if err := r.lookFor(ctx, st, maps.Clone(st.Owned)); err != nil {
		return r.fail(err)
	}
	p, err := plan.Make(st, plan.Policy{Prune: true})
	if err != nil {
		return r.fail(err)
	}
	r.k.made.begin("", nil)
	return r.prune(ctx, p)
}

// join returns all errors as one, each once, or nil. It is a fault of the input
// if all of them are.
func join(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	input := true
	for _, err := range errs {
		input = input && (fault.IsInput(err) || errors.Is(err, cluster.ErrInvalid))
	}
	err := errors.Join(errs...)
	if input {
		return fault.Input(err)
	}
	return err
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sane-gitops/sane/apply"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/inventory"
	"github.com/sane-gitops/sane/object"
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
	case r.lost != nil:
		return r.fail(r.lost)
	case !r.found: // it may come a moment later
		r.wait(unit.OnSource, "%s is not there", r.u.Source)
		return r.fail(fmt.Errorf("%w: %s", unit.ErrNoSource, r.u.Source))
	case r.src.foreign && !r.taken():
		return false
	case r.src.tree == nil && r.src.status.Err != nil:
		return r.wait(unit.OnSource, "%s: %v", r.u.Source, r.src.status.Err)
	case r.src.tree == nil:
		return r.wait(unit.OnSource, "%s has not been fetched yet", r.u.Source)
	}
	return r.afterOthers()
}

// render turns the source's tree into objects, unless nothing that was read has
// changed.
func (r *run) render(ctx context.Context, res *render.Result) bool {
	r.st.Phase = unit.Rendering
	r.st.Attempted, r.st.AttemptedOrigin = r.src.status.Revision, r.src.tree.Origin
	got, err := r.e.rendered(ctx, r.u, r.src)
	if err != nil {
		r.e.lost(r.src, err)
		return r.fail(err)
	}
	*res = got
	r.st.Rendered = got.Digest
	return true
}

// rendered returns what a unit makes of its source's tree.
func (e *Engine) rendered(ctx context.Context, u unit.Unit, src feed) (render.Result, error) {
	res, fresh, err := e.c.Renderer.Render(ctx, u.Name.String(), render.Input{Tree: src.tree.Tree, Recipe: u.Recipe, Facts: u.Facts})
	if err != nil {
		return res, err
	}
	if fresh {
		if e.c.Rendered != nil {
			e.c.Rendered(u.Name)
		}
		e.log.Debug("rendered", "unit", u.Name.String(), "rev", src.status.Revision.Name)
	}
	return res, nil
}

// late reports whether the unit has waited for as long as it may for one thing.
func (r *run) late(on unit.On) bool {
	return r.waits(on) && r.e.now().Sub(r.k.since) >= r.u.Timeout
}

// waits reports whether the unit waits for one thing already, to get where it is
// to be brought now.
func (r *run) waits(on unit.On) bool {
	return !r.k.since.IsZero() && r.k.on == on && r.k.goal == r.goal()
}

// deadline returns when the unit will have waited for as long as it may.
func (r *run) deadline(on unit.On) time.Time {
	if !r.waits(on) {
		return r.e.now().Add(r.u.Timeout)
	}
	return r.k.since.Add(r.u.Timeout)
}

// observe reports whether all is healthy whose health the unit is asked to wait
// for.
func (r *run) observe(ctx context.Context) bool {
	r.st.Phase = unit.Observing
	if err := r.mayLook(ctx); err != nil {
		return r.fail(err)
	}
	if err := r.lookAt(ctx); err != nil {
		return r.fail(err)
	}
	r.sick = nil
	for _, id := range r.toObserve() {
		v := r.health(id)
		r.st.Health = health.Worst(r.st.Health, v)
		if v.Status != health.Healthy {
			r.sick = append(r.sick, ailment{id: id, Verdict: v})
		}
	}
	if len(r.sick) == 0 {
		return true
	}
	r.tooLate = r.late(unit.OnHealth)
	return r.unwell()
}

// mayLook returns an error if the unit is not allowed to see an object whose
// health it is to check. What is watched is watched in our own name, and what is
// seen is told, so it is asked for once as the unit.
func (r *run) mayLook(ctx context.Context) error {
	if r.u.Target.As == "" || r.u.Wait || r.k.looked == r.u.Generation {
		return nil
	}
	for _, id := range r.u.Checks {
		if _, _, err := r.as.Get(ctx, id); err != nil && !errors.Is(err, cluster.ErrNoKind) {
			return fmt.Errorf("check health: %w", err)
		}
	}
	r.k.looked = r.u.Generation
	return nil
}

// toObserve returns the objects whose health the unit is asked to wait for.
func (r *run) toObserve() []object.ID {
	if !r.u.Wait {
		return r.u.Checks
	}
	var ids []object.ID
	for id, as := range r.made.Objects {
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
	r.release(p)
	for _, s := range p.Prune {
		for _, step := range s.Steps {
			if step.Heir != "" { // until it has it
				survivors[step.ID] = r.st.Owned[step.ID]
			}
		}
		for o := range apply.Run(ctx, r.as, s.Steps, r.by()) {
			if o.Err != nil {
				errs = append(errs, o.Err)
				survivors[o.Step.ID] = r.st.Owned[o.Step.ID]
				continue
			}
			r.st.Changes = append(r.st.Changes, unit.Change{ID: o.Step.ID, Done: string(o.Done)})
			r.e.log.Debug("pruned", "object", o.Step.ID.String())
		}
	}
	if r.st.Owned = r.made.owned().Union(survivors); r.st.Owned.Equal(r.was.Owned) {
		r.st.Owned = r.was.Owned // one for all that remember it
	}
	if err := join(errs); err != nil {
		r.made.Partial = true
		return r.fail(err)
	}
	return true
}

// done ends the run well.
func (r *run) done() bool {
	r.st.Phase = unit.Done
	r.st.Applied, r.st.AppliedOrigin = r.st.Attempted, r.st.AttemptedOrigin
	return true
}

// join returns all errors as one, in order of their text, or nil. It is a fault of the input
// if all of them are.
func join(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
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

package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sane-gitops/sane/apply"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/inventory"
	"github.com/sane-gitops/sane/observe"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/unit"
)

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
	r.made.begin(r.st.Rendered, r.under(), meant)
	for n, s := range p.Stages {
		if n > 0 && !r.check(ctx, p, n, true) || !r.stage(ctx, *p, p.Stages[n]) {
			return false
		}
		if s.Wait && !r.settled(s) {
			return false
		}
	}
	r.made.Partial = false
	r.save()
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
func (r *run) stage(ctx context.Context, p plan.Plan, s plan.Stage) bool {
	var refused []apply.Outcome
	for _, step := range s.Steps {
		if !step.Changes() {
			r.keep(step)
		}
	}
	for o := range apply.Run(ctx, r.as, s.Steps, r.by()) {
		if o.Err != nil {
			refused = append(refused, o)
			continue
		}
		r.made.Objects[o.Step.ID] = r.madeAs(o.Step, r.note(o.Live))
		drift, undid := r.drift[o.Step.ID]
		if undid && !drift.gone {
			r.k.fought(o.Step.ID, r.e.now())
		}
		if o.Done != apply.Unchanged {
			r.st.Changes = append(r.st.Changes, unit.Change{ID: o.Step.ID, Done: string(o.Done), Undid: undid, By: drift.by})
			r.e.log.Debug("applied", "object", o.Step.ID.String(), "done", string(o.Done))
		}
	}
	return r.accepted(p, refused)
}

// keep notes what is known of an object that the plan leaves alone.
func (r *run) keep(s plan.Step) {
	if a, ok := r.made.Objects[s.ID]; ok && a.Want == r.mark(s.Want) {
		return
	}
	r.made.Objects[s.ID] = r.madeAs(s, observe.Sighting{})
}

func (r *run) by() apply.By {
	return apply.By{Manager: manager, Over: r.e.c.Over, Parallel: r.e.c.Applies, Brief: true}
}

// check lets the server try all changes that it can judge before anything is
// changed: from stage n on, or stage n alone where that had to wait for the ones
// before. It reports all that the server refuses.
func (r *run) check(ctx context.Context, p *plan.Plan, n int, alone bool) bool {
	if r.certain(*p) {
		return true
	}
	later := plan.Awaited(*p)
	var refused []apply.Outcome
	for i := n; i < len(p.Stages) && (i == n || !alone); i++ {
		s := &p.Stages[i]
		var todo []plan.Step
		for _, step := range s.Steps {
			if later(step) == alone {
				todo = append(todo, step)
			}
		}
		for o := range apply.Check(ctx, r.as, todo, r.by()) {
			if o.Err != nil {
				refused = append(refused, o)
				continue
			}
			s.Replace(o.Step)
		}
	}
	return r.accepted(*p, refused)
}

// A kind that the server does not serve is tried again when a definition of its
// group changes. Where that can't be seen it is tried by itself, later and later.
const firstTry, lastTry = time.Second, 30 * time.Second

// accepted reports whether nothing was refused. If all that was is of kinds
// which the plan itself defines, the run waits until they are served, or else
// it fails.
func (r *run) accepted(p plan.Plan, refused []apply.Outcome) bool {
	var errs []error
	for _, o := range refused {
		if errors.Is(o.Err, cluster.ErrNoKind) {
			r.unserved = append(r.unserved, o.Step.ID.Kind.Group)
		}
		if !errors.Is(o.Err, cluster.ErrNoKind) || !p.Defines(o.Step.ID.Kind) || r.late(unit.OnStage) {
			errs = append(errs, in(o.Step.From, o.Err))
		}
	}
	switch {
	case len(refused) == 0:
		return true
	case len(errs) > 0:
		return r.fail(join(errs))
	}
	now, waited := r.e.now(), time.Duration(0)
	if r.waits(unit.OnStage) {
		waited = now.Sub(r.k.since)
	}
	r.again = now.Add(min(max(firstTry, waited), lastTry))
	return r.wait(unit.OnStage, "the server does not serve %s yet", refused[0].Step.ID.Kind)
}

// in returns err with the name of the file that it is about, if that is known.
func in(file string, err error) error {
	if file == "" {
		return err
	}
	return fmt.Errorf("%s: %w", file, err)
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
			if step.Changes() && (step.Replace || step.Exempt.Once) {
				return false
			}
		}
	}
	return changes <= 1
}

// settled reports whether all that a stage applied is healthy.
func (r *run) settled(s plan.Stage) bool {
	for _, step := range s.Steps {
		seen, _ := r.in.look.See(step.ID)
		switch {
		case step.Exempt.Ignore || step.Exempt.Once && step.Verb == plan.Keep || seen.Health.Status == health.Healthy:
		case r.late(unit.OnStage):
			return r.fail(fmt.Errorf("%w: timeout waiting for %s: %s", unit.ErrHealth, step.ID, seen.Health.Why))
		default:
			return r.wait(unit.OnStage, "%s: %s", step.ID, seen.Health.Why)
		}
	}
	return true
}

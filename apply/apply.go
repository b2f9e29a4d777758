// Package apply carries out plans.
package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
)

// A By says in whose name plans are carried out, and how many steps at a time.
type By struct {
	Manager  string
	Over     []string // managers that are taken over beside those of plan.TakenOver
	Parallel int      // 0 means 4
	Brief    bool     // of the objects in outcomes only what tells of their health is wanted, beside their metadata
}

func (b By) how(k object.Kind) cluster.How {
	return cluster.How{Manager: b.Manager, Force: true, Brief: b.Brief && health.Silent(k)}
}

// An Outcome is what came of a step.
type Outcome struct {
	Step plan.Step
	Done Done          // zero if Err is set
	Live object.Object // as it stands now; zero after a deletion
	Err  error
}

// A Done is what was done to an object, in the words of kubectl.
type Done string

const (
	Created    Done = "created"
	Configured Done = "configured"
	Unchanged  Done = "unchanged"
	Deleted    Done = "deleted"
	Skipped    Done = "skipped"
)

// Run carries out the steps of one stage, several at a time, and yields the
// outcome of each as it becomes known. It goes on after a step has failed.
// To stop it sooner, cancel ctx or stop ranging; it returns when all that it
// has begun has ended.
func Run(ctx context.Context, c cluster.Cluster, steps []plan.Step, by By) iter.Seq[Outcome] {
	return each(ctx, steps, by, func(ctx context.Context, s plan.Step) Outcome {
		return do(ctx, c, s, by)
	})
}

// Check lets the server try the steps of one stage without effect and yields
// what would come of each. The Live object of an outcome is what the server
// would make of it.
func Check(ctx context.Context, c cluster.Cluster, steps []plan.Step, by By) iter.Seq[Outcome] {
	return each(ctx, steps, by, func(ctx context.Context, s plan.Step) Outcome {
		return try(ctx, c, s, by)
	})
}

// each calls f for every step that changes something, by.Parallel at a time.
func each(ctx context.Context, steps []plan.Step, by By, f func(context.Context, plan.Step) Outcome) iter.Seq[Outcome] {
	return func(yield func(Outcome) bool) {
		ctx, cancel := context.WithCancel(ctx)
		todo, done := make(chan plan.Step), make(chan Outcome)
		var wg sync.WaitGroup
		for range min(cmp.Or(by.Parallel, 4), len(steps)) {
			wg.Go(func() {
				for s := range todo {
					done <- f(ctx, s)
				}
			})
		}
		wg.Go(func() {
			defer close(todo)
			for _, s := range steps {
				if !s.Changes() {
					continue
				}
				select {
				case todo <- s:
				case <-ctx.Done():
					return
				}
			}
		})
		go func() { wg.Wait(); close(done) }()
		going := true
		for o := range done {
			if going && !yield(o) {
				going = false
				cancel()
			}
		}
		cancel()
	}
}

// do carries out one step.
func do(ctx context.Context, c cluster.Cluster, s plan.Step, by By) Outcome {
	o := Outcome{Step: s}
	switch s.Verb {
	case plan.Create, plan.Update:
		o.Live, o.Err = put(ctx, c, s, by)
		o.Done = done(s, o.Live)
	case plan.Recreate:
		if o.Err = errors.Join(remove(ctx, c, s), gone(ctx, c, s)); o.Err == nil {
			o.Live, o.Err = put(ctx, c, s, by)
			o.Done = Created
		}
	case plan.Delete:
		o.Err = remove(ctx, c, s)
		o.Done = Deleted
	default:
		panic("apply: step that changes nothing: " + string(s.Verb))
	}
	if o.Err != nil {
		o.Done = ""
	}
	return o
}

// done says what came of an apply.
func done(s plan.Step, live object.Object) Done {
	switch {
	case s.Verb == plan.Create && s.UID == "":
		return Created
	case s.Version != "" && s.Version == live.ResourceVersion():
		return Unchanged
	}
	return Configured
}

// put applies the wanted object. Where other managers hold fields that are to
// be taken over, or have put items beside ours that make it invalid, it takes
// those and applies once more.
func put(ctx context.Context, c cluster.Cluster, s plan.Step, by By) (object.Object, error) {
	live, err := c.Apply(ctx, s.Want, by.how(s.ID.Kind))
	if errors.Is(err, cluster.ErrInvalid) {
		return evict(ctx, c, s, by, err)
	}
	if err != nil || s.Exempt.Merge {
		return live, err
	}
	patch, needed, err := plan.TakeOver(live, by.Manager, by.Over...)
	if err != nil || !needed {
		return live, err
	}
	if _, err := c.Patch(ctx, s.ID, cluster.Patch{Type: cluster.JSONPatch, Data: patch}, cluster.How{Manager: by.Manager}); err != nil {
		return live, fmt.Errorf("take over fields: %w", err)
	}
	return c.Apply(ctx, s.Want, by.how(s.ID.Kind))
}

// evict applies an object that was refused with cause, after it has made the
// list items ours that others have put beside ours.
func evict(ctx context.Context, c cluster.Cluster, s plan.Step, by By, cause error) (object.Object, error) {
	patch, ok := eviction(ctx, c, s, by)
	if !ok {
		return object.Object{}, cause
	}
	if _, err := c.Patch(ctx, s.ID, cluster.Patch{Type: cluster.JSONPatch, Data: patch}, cluster.How{Manager: by.Manager}); err != nil {
		return object.Object{}, errors.Join(cause, err)
	}
	return c.Apply(ctx, s.Want, by.how(s.ID.Kind))
}

// eviction returns the patch that makes list items ours that others have put
// beside ours, and whether there are any.
func eviction(ctx context.Context, c cluster.Cluster, s plan.Step, by By) (patch []byte, ok bool) {
	live, there, err := c.Get(ctx, s.ID)
	if err != nil || !there {
		return nil, false
	}
	return plan.Evict(s.Want, live, by.Manager)
}

// remove deletes the object that the step names, and only that one.
func remove(ctx context.Context, c cluster.Cluster, s plan.Step) error {
	return c.Delete(ctx, s.ID, cluster.Where{UID: s.UID})
}

// gone returns when the object that the step deletes is not there any more.
func gone(ctx context.Context, c cluster.Cluster, s plan.Step) error {
	there := false
	sel := cluster.Selection{Kind: s.ID.Kind, Namespace: s.ID.Namespace, Name: s.ID.Name, Metadata: true}
	for ch, err := range c.Watch(ctx, sel) {
		switch {
		case err != nil:
			return fmt.Errorf("wait for the end of %s: %w", s.ID, err)
		case ch.Type == cluster.Put && ch.Object.UID() == s.UID:
			there = true
		case ch.Type == cluster.Listed && !there, ch.Type == cluster.Gone:
			return nil
		}
	}
	return fmt.Errorf("wait for the end of %s: %w", s.ID, context.Cause(ctx))
}

// try lets the server try one step. A step that the server would refuse, but
// would not if the object were new, becomes a Recreate where that is allowed.
func try(ctx context.Context, c cluster.Cluster, s plan.Step, by By) Outcome {
	o := Outcome{Step: s}
	if s.Verb == plan.Delete {
		return o
	}
	how := by.how(s.ID.Kind)
	how.DryRun, how.Brief = true, by.Brief
	o.Live, o.Err = c.Apply(ctx, s.Want, how)
	switch {
	case o.Err == nil:
		o.Step = judge(s, o.Live)
	case errors.Is(o.Err, cluster.ErrInvalid) && inTheWay(ctx, c, s, by):
		o.Step.Verb, o.Step.Why, o.Err = plan.Update, "others have put items beside ours that make it invalid", nil
	case s.Replace && s.UID != "" && fixed(o.Err) && replaceable(s.ID.Kind) && fresh(ctx, c, s, how) == nil:
		o.Step.Verb, o.Step.Why, o.Err = plan.Recreate, "a field of it can't be changed: "+o.Err.Error(), nil
	}
	return o
}

// inTheWay reports whether others have put list items beside ours, without
// which the object may well be valid.
func inTheWay(ctx context.Context, c cluster.Cluster, s plan.Step, by By) bool {
	_, ok := eviction(ctx, c, s, by)
	return ok
}

// judge completes a step with what a dry run tells of the object that is there.
func judge(s plan.Step, would object.Object) plan.Step {
	if s.Version = would.ResourceVersion(); s.Version == "" {
		s.Verb, s.Why = plan.Create, "not there yet"
		return s
	}
	s.UID = would.UID()
	switch {
	case s.Exempt.Once:
		s.Verb, s.Why = plan.Keep, "is there, and asks to be created once only"
	case s.Verb == plan.Create:
		s.Verb, s.Why = plan.Update, "is there, and is not ours yet"
	}
	return s
}

// fixed reports whether it is fields of the object that were refused, as those
// are that can't change, and not the object by somebody's policy.
func fixed(err error) bool {
	var e *cluster.Error
	return errors.Is(err, cluster.ErrInvalid) && errors.As(err, &e) && len(e.Fields) > 0
}

// fresh lets the server try the object under a name that is not taken.
func fresh(ctx context.Context, c cluster.Cluster, s plan.Step, how cluster.How) error {
	name := s.ID.Name
	name = name[:min(len(name), 40)] + "-would-be-new"
	_, err := c.Apply(ctx, s.Want.With(name, "metadata", "name"), how)
	return err
}

// replaceable reports whether objects of kind k are ever deleted to be made
// anew: not those that take with them what can't be had back.
func replaceable(k object.Kind) bool {
	switch k {
	case object.Kind{Name: "Namespace"}, object.Kind{Name: "PersistentVolumeClaim"}, object.Kind{Name: "PersistentVolume"},
		object.Kind{Group: "apiextensions.k8s.io", Name: "CustomResourceDefinition"}:
		return false
	}
	return true
}

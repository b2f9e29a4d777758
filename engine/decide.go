package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/inventory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/observe"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/unit"
)

// asMade reports whether the cluster is as the rendered objects are, as far as
// can be proven without a request.
func (r *run) asMade(ctx context.Context, rendered digest.Digest) bool {
	r.recall()
	m := &r.made
	if m.Rendered != rendered || m.Under != r.under() || m.Partial || len(m.Objects) != len(r.st.Owned) {
		return false
	}
	if r.watch(ctx, r.st.Owned) != nil {
		return false
	}
	for id, as := range m.Objects {
		if s, _ := r.in.look.See(id); !as.holds(s) {
			return false
		}
	}
	return true
}

// watch sees to it that all objects in set are watched.
func (r *run) watch(ctx context.Context, set inventory.Set) error {
	return r.in.look.Watch(ctx, r.viewer(), maps.Keys(set))
}

// viewer returns who has the unit's objects watched: that is done in the name of
// who is in at the place, for all units at once, and where that is forbidden as
// the unit.
func (r *run) viewer() observe.Viewer {
	return observe.Viewer{Unit: r.u.Name, As: r.u.Target.As}
}

// note takes in how an object stands after a change of our own.
func (r *run) note(o object.Object) observe.Sighting { return r.in.look.Note(r.viewer(), o) }

// plan decides what is to be done.
func (r *run) plan(ctx context.Context, res render.Result, p *plan.Plan) bool {
	r.st.Phase = unit.Planning
	objects, err := r.e.c.Renderer.Objects(ctx, res)
	if err != nil {
		return r.fail(err)
	}
	state, gone, err := r.state(ctx, objects)
	if err != nil {
		return r.fail(err)
	}
	var known bool
	if state.Heirs, known = r.heirs(ctx, gone); !known {
		return false
	}
	if *p, err = plan.Make(state, r.u.Policy); err != nil {
		return r.fail(err)
	}
	if err := r.held(*p); err != nil {
		return r.fail(fault.Input(err))
	}
	return true
}

// state gathers what is wanted and what is known, without asking the cluster
// but for what was made by others in our name. It returns beside that which
// objects are there and to be deleted.
func (r *run) state(ctx context.Context, objects []object.Object) (st plan.State, gone inventory.Set, err error) {
	st = plan.State{Owned: maps.Clone(r.st.Owned), Known: make(map[object.ID]plan.Known)}
	meant := make(inventory.Set)
	for _, o := range objects {
		r.secrets = append(r.secrets, render.Secrets(o)...)
		o, file := render.From(o)
		o, err := own(ctx, r.in, o, r.u)
		if err != nil {
			return st, nil, in(file, err)
		}
		st.Want = append(st.Want, plan.Want{Object: o, Exempt: r.e.c.Dialect.Exempt(o), From: file})
		meant[o.ID()] = o.Version()
	}
	if err := r.watch(ctx, r.st.Owned.Union(meant)); err != nil {
		return st, nil, err
	}
	if err := r.leave(ctx, st.Want); err != nil {
		return st, nil, err
	}
	if err := r.adopt(ctx, st.Want); err != nil {
		return st, nil, err
	}
	for _, w := range st.Want {
		id := w.Object.ID()
		if k, ok := r.known(ctx, id, r.mark(w.Object)); ok {
			st.Known[id] = k
		}
	}
	if r.u.Policy.Prune {
		r.lookFor(st, r.st.Owned.Minus(meant))
		gone = st.Owned.Minus(meant)
	}
	return st, gone, nil
}

// adopt looks at the objects that are ours by their labels and of which it is
// not known how they were made: after the program has lost its memory, or has
// taken the place of another that spoke the same language. Those that are
// proven to be as they are wanted are noted as made so.
func (r *run) adopt(ctx context.Context, want []plan.Want) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.e.c.Applies)
	var mu sync.Mutex
	found := make(map[object.ID]as)
	for _, w := range want {
		id := w.Object.ID()
		s, _ := r.in.look.See(id)
		_, known := r.made.Objects[id]
		if known || s.Owner != r.u.Name || s.Gone || s.Entry == (observe.Entry{}) || s.Usurped != (observe.Entry{}) {
			continue
		}
		g.Go(func() error {
			live, there, err := r.as.Get(ctx, id)
			if err != nil || !there {
				return err
			}
			if !r.asWanted(ctx, w.Object, live) {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			found[id] = r.madeAs(plan.Step{Want: w.Object, Exempt: w.Exempt}, r.note(live))
			return nil
		})
	}
	err := g.Wait()
	if len(found) > 0 && r.made.Objects == nil {
		r.made.Objects = make(map[object.ID]as)
	}
	maps.Copy(r.made.Objects, found)
	return err
}

// asWanted reports whether an apply of want would change nothing of live. Where
// that can't be told it asks the server.
func (r *run) asWanted(ctx context.Context, want, live object.Object) bool {
	switch v := plan.Compare(want, live, manager); v.Answer {
	case plan.Same:
		return true
	case plan.Different:
		return false
	}
	would, err := r.as.Apply(ctx, want, cluster.How{Manager: manager, Force: true, DryRun: true})
	return err == nil && sameContent(live, would) && observe.EntryOf(live, manager) == observe.EntryOf(would, manager)
}

// own returns o with the marks of its owner, and without what is not to be
// applied: a namespace where there can be none, and a status.
func own(ctx context.Context, c cluster.Reader, o object.Object, u unit.Unit) (object.Object, error) {
	namespaced, err := c.Namespaced(ctx, o.ID().Kind)
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
	if o.ID().Kind != definitions {
		o = o.Without("status")
	}
	return plan.Normal(o)
}

// known returns what is known of an object, and whether anything is.
func (r *run) known(ctx context.Context, id object.ID, want mark) (plan.Known, bool) {
	s, seen := r.in.look.See(id)
	as, made := r.made.Objects[id]
	if as.Want == want && as.passed(s) {
		return plan.Known{UID: as.UID, Ours: true, Same: true}, true
	}
	if !seen || s.Gone {
		if made && as.Want == want && !as.Once {
			r.strays(id, drift{gone: true})
		}
		return plan.Known{}, false
	}
	k := plan.Known{UID: s.UID, Exempt: s.Exempt, Deleting: s.Deleting, Ours: s.Owner == r.u.Name}
	if !k.Ours {
		k.Owner = r.keeper(ctx, s.Owner, id)
	}
	switch {
	case r.asIs[id]:
		k.Same = true
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
	r.strays(id, drift{by: s.Rival})
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

// strays takes note that others have changed an object.
func (r *run) strays(id object.ID, how drift) {
	if r.drift == nil {
		r.drift = make(map[object.ID]drift)
	}
	r.drift[id] = how
}

// lookFor adds to what is known the objects that are ours and to be deleted, and
// takes those that are not there, or not ours by their labels any more, from what
// is owned: all that is ours is in sight.
func (r *run) lookFor(st plan.State, gone inventory.Set) {
	for id := range gone {
		s, seen := r.in.look.See(id)
		if !seen || s.Gone {
			delete(st.Owned, id)
			continue
		}
		st.Known[id] = plan.Known{UID: s.UID, Ours: s.Owner == r.u.Name, Exempt: r.remembered(id, s.Exempt), Deleting: s.Deleting}
	}
}

// remembered returns what a live object asks for, or asked for when it was made:
// others may have taken that off it since.
func (r *run) remembered(id object.ID, live plan.Exemption) plan.Exemption {
	as := r.made.Objects[id]
	live.Keep = live.Keep || as.Keep
	live.Ignore = live.Ignore || as.Alone
	return live
}

package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/sane-gitops/sane/apply"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/inventory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/unit"
)

// A Preview is a plan, and the objects that it would change as they are and as
// they would be.
type Preview struct {
	Plan  plan.Plan
	Live  map[object.ID]object.Object // what is there
	Would map[object.ID]object.Object // what would be there, as far as the server can tell now

	Secrets []string // keys and values that must not be shown, as [render.Texts] has them
}

// Plan returns what keeping u would do to the cluster that it is kept in if tree
// were its source's tree: nothing is changed. owned is what u has made so far. Unlike a unit that
// is being kept it asks the cluster for every object. The errors of all objects
// that the server refuses are returned as one, beside the preview of the rest.
func (e *Engine) Plan(ctx context.Context, u unit.Unit, owned inventory.Set, tree fs.FS) (Preview, error) {
	v, err := e.preview(ctx, u, owned, tree)
	return v, render.Hush(v.Secrets, err)
}

func (e *Engine) preview(ctx context.Context, u unit.Unit, owned inventory.Set, tree fs.FS) (Preview, error) {
	v := Preview{Live: make(map[object.ID]object.Object), Would: make(map[object.ID]object.Object), Secrets: u.Facts.Secrets()}
	res, _, err := e.c.Renderer.Render(ctx, "preview/"+u.Name.String(), render.Input{Tree: tree, Recipe: u.Recipe, Facts: u.Facts})
	if err != nil {
		return v, err
	}
	objects, err := e.c.Renderer.Objects(ctx, res)
	if err != nil {
		return v, err
	}
	at, err := e.reach(u.Target)
	if err != nil {
		return v, err
	}
	state, err := e.survey(ctx, at, u, owned, objects, &v)
	switch {
	case err != nil && at != e.c.Cluster:
		return v, fmt.Errorf("in the cluster that the kubeconfig names: %w", err)
	case err != nil:
		return v, err
	}
	if v.Plan, err = plan.Make(state, u.Policy); err != nil {
		return v, err
	}
	return v, e.try(ctx, at, u, &v)
}

// survey gathers what is wanted and, from the cluster, what is there.
func (e *Engine) survey(ctx context.Context, at cluster.Cluster, u unit.Unit, owned inventory.Set, objects []object.Object, v *Preview) (plan.State, error) {
	st := plan.State{Known: make(map[object.ID]plan.Known), Owned: owned}
	ids := owned.Union(nil)
	for _, o := range objects {
		v.Secrets = append(v.Secrets, render.Secrets(o)...)
		o, file := render.From(o)
		o, err := own(ctx, at, o, u)
		if err != nil {
			return st, in(file, err)
		}
		st.Want = append(st.Want, plan.Want{Object: o, Exempt: e.c.Dialect.Exempt(o), From: file})
		ids[o.ID()] = o.Version()
	}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for id := range ids {
		g.Go(func() error {
			o, there, err := at.Get(ctx, id)
			if errors.Is(err, cluster.ErrNoKind) || err == nil && !there {
				return nil
			}
			if err != nil {
				return err
			}
			owner, _ := e.c.Dialect.Owner(o.Labels())
			mu.Lock()
			defer mu.Unlock()
			v.Live[id] = o
			st.Known[id] = plan.Known{UID: o.UID(), Ours: owner == u.Name, Exempt: e.c.Dialect.Exempt(o), Deleting: o.Deleting(), Why: "it differs"}
			return nil
		})
	}
	err := g.Wait()
	left, err2 := plan.NewIgnores(u.Ignore)
	if err = cmp.Or(err, err2); err != nil {
		return st, err
	}
	for i, w := range st.Want {
		if live, there := v.Live[w.Object.ID()]; there {
			st.Want[i].Object = left.Of(w.Object).Settle(w.Object, live, u.Owner.Manager)
		}
	}
	for id := range owned {
		if _, there := v.Live[id]; !there {
			st.Owned = st.Owned.Minus(inventory.Set{id: ""})
		}
	}
	return st, nil
}

// try lets the server try the plan, and turns the steps that would change
// nothing into ones that say so.
func (e *Engine) try(ctx context.Context, at cluster.Cluster, u unit.Unit, v *Preview) error {
	later := plan.Awaited(v.Plan)
	var errs []error
	for i := range v.Plan.Stages {
		s := &v.Plan.Stages[i]
		var todo []plan.Step
		for _, step := range s.Steps {
			if later(step) {
				v.Would[step.ID] = step.Want
			} else {
				todo = append(todo, step)
			}
		}
		for o := range apply.Check(ctx, at, todo, apply.By{Manager: u.Owner.Manager, Parallel: 8}) {
			if o.Err != nil {
				errs = append(errs, in(o.Step.From, o.Err))
				continue
			}
			v.Would[o.Step.ID] = o.Live
			if o.Step.Verb == plan.Update && sameContent(v.Live[o.Step.ID], o.Live) {
				o.Step.Verb, o.Step.Why = plan.Keep, "is as it should be"
			}
			s.Replace(o.Step)
		}
	}
	return join(errs)
}

// sameContent reports whether two states of an object say the same, apart from
// what the server keeps for itself.
func sameContent(a, b object.Object) bool {
	return reflect.DeepEqual(Content(a).Body(), Content(b).Body())
}

// Content returns o without what the server keeps for itself, for people to
// read and to compare.
func Content(o object.Object) object.Object {
	for _, field := range []string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"} {
		o = o.Without("metadata", field)
	}
	return o.Without("status")
}

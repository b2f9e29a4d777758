package engine

import (
	"context"
	"errors"
	"io/fs"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/unit"
)

// Wants are the objects that a unit wants to be there.
type Wants struct {
	Objects []plan.Want
	Secrets []string // keys and values that must not be shown, as [render.Texts] has them
}

// ByID returns the objects by their names.
func (w Wants) ByID() map[object.ID]object.Object {
	all := make(map[object.ID]object.Object, len(w.Objects))
	for _, x := range w.Objects {
		all[x.Object.ID()] = x.Object
	}
	return all
}

// A scopes is our cluster, and another that knows of kinds which ours does not.
type scopes struct {
	cluster.Reader
	there cluster.Reader // nil if there is none
}

// Namespaced implements [cluster.Reader].
func (s scopes) Namespaced(ctx context.Context, k object.Kind) (bool, error) {
	yes, err := s.Reader.Namespaced(ctx, k)
	if errors.Is(err, cluster.ErrNoKind) && s.there != nil {
		return s.there.Namespaced(ctx, k)
	}
	return yes, err
}

// Wanted returns what u wants to be there if tree is its source's tree. Nothing
// is asked of the cluster but which kinds live in namespaces; nothing at all of
// another that u is kept in, unless there is a kind that ours does not know.
func (e *Engine) Wanted(ctx context.Context, u unit.Unit, tree fs.FS) (Wants, error) {
	w := Wants{Secrets: u.Facts.Secrets()}
	err := e.wanted(ctx, u, tree, &w)
	return w, render.Hush(w.Secrets, err)
}

func (e *Engine) wanted(ctx context.Context, u unit.Unit, tree fs.FS, w *Wants) error {
	res, _, err := e.c.Renderer.Render(ctx, "preview/"+u.Name.String(), render.Input{Tree: tree, Recipe: u.Recipe, Facts: u.Facts})
	if err != nil {
		return err
	}
	objects, err := e.c.Renderer.Objects(ctx, res)
	if err != nil {
		return err
	}
	known := scopes{Reader: e.c.Cluster}
	if at, err := e.reach(u.Target); err == nil {
		known.there = at
	}
	for _, o := range objects {
		w.Secrets = append(w.Secrets, render.Secrets(o)...)
		o, file := render.From(o)
		if o, err = own(ctx, known, o, u); err != nil {
			return in(file, err)
		}
		w.Objects = append(w.Objects, plan.Want{Object: o, Exempt: e.c.Dialect.Exempt(o), From: file})
	}
	return nil
}

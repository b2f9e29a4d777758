package engine

import (
	"context"
	"io/fs"

	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/unit"
)

// Wanted returns what u wants to be there if tree is its source's tree. Nothing
// is asked of the cluster but which kinds live in namespaces.
func (e *Engine) Wanted(ctx context.Context, u unit.Unit, tree fs.FS) ([]plan.Want, error) {
	res, _, err := e.c.Renderer.Render(ctx, "preview/"+u.Name.String(), render.Input{Tree: tree, Recipe: u.Recipe})
	if err != nil {
		return nil, err
	}
	objects, err := e.c.Renderer.Objects(ctx, res)
	if err != nil {
		return nil, err
	}
	var all []plan.Want
	for _, o := range objects {
		o, file := render.From(o)
		if o, err = own(ctx, e.c.Cluster, o, u); err != nil {
			return nil, in(file, err)
		}
		all = append(all, plan.Want{Object: o, Exempt: e.c.Dialect.Exempt(o), From: file})
	}
	return all, nil
}

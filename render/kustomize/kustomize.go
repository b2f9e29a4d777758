// Package kustomize renders trees with kustomize.
package kustomize

import (
	"cmp"
	"context"
	"fmt"
	gopath "path"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/openapi"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
)

// A Renderer builds in this process. Kustomize keeps its schema in global
// variables, so that one build at a time is all that a process can do.
//
// Bases may lie anywhere in the tree. What is not in the tree is refused:
// remote bases and files, Helm charts, and plugins that are not built in.
type Renderer struct {
	MaxBytes int64 // that may be read of files, all together; 0 means [render.MaxBytes]
}

// turn is held by the build that uses kustomize's global variables.
var turn = make(chan struct{}, 1)

// Render implements [render.Renderer].
func (r Renderer) Render(ctx context.Context, in render.Input) ([]object.Object, error) {
	if !in.Recipe.BuildsOnly() {
		return nil, render.ErrElsewhere
	}
	layout, err := render.Scan(in.Tree, in.Recipe.Dir)
	if err != nil {
		return nil, err
	}
	d := newDisk(ctx, render.Limit(in.Tree, r.MaxBytes))
	empty, err := lay(d, in.Recipe, layout)
	if err != nil || empty {
		return nil, err
	}
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return build(d, in.Recipe, cmp.Or(layout.Kustomization, in.Recipe.Dir))
}

// build runs kustomize on what is laid out in d for a root kustomization.
func build(d *disk, recipe render.Recipe, root string) (objects []object.Object, err error) {
	defer func() {
		if d.schema { // it stays for the next build otherwise
			openapi.ResetOpenAPI()
		}
	}()
	defer func() {
		if p := recover(); p != nil {
			err = fault.Input(fmt.Errorf("%s: kustomize panicked: %v", recipe.Dir, p))
		}
	}()
	order := krusty.ReorderOptionNone
	if d.sorts {
		order = krusty.ReorderOptionUnspecified // kustomize warns otherwise
	}
	m, err := krusty.MakeKustomizer(&krusty.Options{
		Reorder:          order,
		LoadRestrictions: types.LoadRestrictionsNone,
		PluginConfig:     types.DisabledPluginConfig(),
	}).Run(d, path(recipe.Dir))
	if d.err != nil {
		return nil, d.err // whatever kustomize made of it
	}
	if err != nil {
		return nil, fault.Input(fmt.Errorf("%s", condense(recipe.Dir, err.Error())))
	}
	return collect(m, recipe, root)
}

// collect returns the objects in m, labelled and annotated.
func collect(m resmap.ResMap, recipe render.Recipe, root string) ([]object.Object, error) {
	var objects []object.Object
	for _, r := range m.Resources() {
		data, err := r.MarshalJSON()
		if err != nil {
			return nil, fault.Input(fmt.Errorf("%s: %s %s: no JSON: %w", recipe.Dir, r.GetKind(), r.GetName(), err))
		}
		o, err := object.FromJSON(data)
		if err == nil {
			err = o.Check()
		}
		if err != nil {
			return nil, fault.Input(fmt.Errorf("%s: %w", recipe.Dir, err))
		}
		o = o.WithLabels(recipe.Overlay.Labels).WithAnnotations(recipe.Overlay.Annotations)
		objects = append(objects, render.WithFrom(o, from(r, recipe.Dir, root)))
	}
	return objects, nil
}

// from returns the file that r comes from if the user has asked for origins, or
// else root. We do not ask for them ourselves: kustomize takes a third more time
// then, and patches of annotations may come out differently.
func from(r *resource.Resource, dir, root string) string {
	origin, err := r.GetOrigin()
	if err != nil || origin == nil {
		return root
	}
	return gopath.Join(dir, cmp.Or(origin.Path, origin.ConfiguredIn))
}

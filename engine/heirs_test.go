package engine

import (
	"context"
	"testing"

	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

type counting struct {
	forgetful
	renders int
}

func (c *counting) Render(context.Context, string, render.Input) (render.Result, bool, error) {
	c.renders++
	return render.Result{}, false, nil
}

func (c *counting) Objects(context.Context, render.Result) ([]object.Object, error) { return nil, nil }

// TestAskedOnce has many objects come from one unit in one run: what that unit
// wants is found out once.
func TestAskedOnce(t *testing.T) {
	e, c := asker(t, memory.New()), &counting{}
	e.c.Renderer = c
	e.here = e.newPlace(t.Context(), e.c.Cluster)
	defer e.here.look.Close()
	e.take(t.Context(), kustomization("u", "1", 1, "./web"), 1)
	k := e.units[site]
	e.feeds[k.want.Source] = &feed{made: made{tree: &source.Snapshot{}}}
	owned := make(map[object.ID]string)
	ids := []object.ID{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	for _, id := range ids {
		owned[id] = "v1"
	}
	k.status = &unit.Status{Owned: owned}
	r := &run{e: e, u: unit.Unit{Source: k.want.Source}}
	for _, id := range ids {
		if by := r.keeper(t.Context(), site, id); by != "" {
			t.Errorf("%s is kept by %s, which does not want it any more", id.Name, by)
		}
	}
	if c.renders != 1 {
		t.Errorf("%d objects took %d renderings of one unit", len(ids), c.renders)
	}
}

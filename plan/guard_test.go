package plan_test

import (
	"fmt"
	"testing"

	"github.com/sane-gitops/sane/inventory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
)

func TestGuard(t *testing.T) {
	for _, c := range []struct {
		owned, gone, heirs int
		fresh              int // objects that are created
		held               bool
	}{
		{owned: 0},
		{owned: 1, gone: 1, held: true},
		{owned: 1, gone: 1, fresh: 1},
		{owned: 2, gone: 2, fresh: 1, held: true},
		{owned: 2, gone: 2, fresh: 2},
		{owned: 30, gone: 30, fresh: 30, held: true},
		{owned: 2, gone: 1},
		{owned: 2, gone: 2, held: true},
		{owned: 2, gone: 2, heirs: 1},
		{owned: 20, gone: 19},
		{owned: 21, gone: 10},
		{owned: 21, gone: 11, held: true},
		{owned: 21, gone: 11, heirs: 1},
		{owned: 100, gone: 50},
		{owned: 100, gone: 51, held: true},
	} {
		s := plan.State{Owned: make(inventory.Set), Known: make(map[object.ID]plan.Known), Heirs: make(map[object.ID]string)}
		for i := range c.owned {
			o := configMap(fmt.Sprint("c", i))
			s.Owned[o.ID()] = "v1"
			s.Known[o.ID()] = plan.Known{UID: fmt.Sprint(i), Ours: true}
			switch {
			case i < c.heirs:
				s.Heirs[o.ID()] = "another"
			case i >= c.gone:
				s.Want = append(s.Want, plan.Want{Object: o})
			}
		}
		for i := range c.fresh {
			s.Want = append(s.Want, plan.Want{Object: configMap(fmt.Sprint("new", i))})
		}
		guarded := made(t, s, plan.Policy{Prune: true, Guard: true})
		deletions, held := c.gone-c.heirs, 0
		if c.held {
			deletions, held = 0, c.gone-c.heirs
		}
		if d, h := count(guarded, plan.Delete), len(guarded.Held()); d != deletions || h != held {
			t.Errorf("%+v: %d deletions, %d held; want %d, %d", c, d, h, deletions, held)
		}
		for _, p := range []plan.Policy{{Prune: true}, {Prune: true, Guard: true, Approved: string(guarded.Deletions())}} {
			if d := count(made(t, s, p), plan.Delete); d != c.gone-c.heirs {
				t.Errorf("%+v, %+v: %d deletions; want %d", c, p, d, c.gone-c.heirs)
			}
		}
	}
}

func configMap(name string) object.Object {
	return object.Of(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"namespace": "default", "name": name},
	})
}

func made(t *testing.T, s plan.State, p plan.Policy) plan.Plan {
	t.Helper()
	got, err := plan.Make(s, p)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func count(p plan.Plan, v plan.Verb) int {
	n := 0
	for _, s := range p.All() {
		if s.Verb == v {
			n++
		}
	}
	return n
}

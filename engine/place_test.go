package engine

import (
	"slices"
	"testing"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/observe"
	"github.com/sane-gitops/sane/unit"
)

// TestAbandonedPlace has a unit leave a cluster while its worker is there: it is
// watched until the worker has left as well, and not longer.
func TestAbandonedPlace(t *testing.T) {
	e := asker(t, memory.New())
	e.ctx = t.Context()
	e.c.Remote = func(unit.Place) (cluster.Cluster, error) { return memory.New(), nil }
	there := unit.Target{Place: unit.Place{Kubeconfig: "far"}}
	e.in.add(there.Place, site)
	p, err := e.place(t.Context(), there)
	if err != nil || !e.enter(p, site) {
		t.Fatal("no place", err)
	}
	e.mu.Lock()
	e.in.remove(there.Place, site)
	e.abandon(unit.Unit{Name: site, Target: there})
	e.mu.Unlock()
	configMap := slices.Values([]object.ID{{Kind: object.Kind{Name: "ConfigMap"}, Namespace: "apps", Name: "c"}})
	who := observe.Viewer{Unit: site}
	if err := p.look.Watch(t.Context(), who, configMap); err != nil {
		t.Error("it is closed under the worker:", err)
	}
	e.leave(p, site)
	e.closing.Wait()
	if err := p.look.Watch(t.Context(), who, configMap); err == nil || len(e.places) > 0 {
		t.Errorf("it is open when nobody is there any more: %v, %d places", err, len(e.places))
	}
	if e.enter(p, site) {
		t.Error("somebody may enter a place that is closed")
	}
}

// TestOverlooked has a unit check another object's health than before.
func TestOverlooked(t *testing.T) {
	e := asker(t, memory.New())
	e.here = e.newPlace(t.Context(), e.c.Cluster)
	defer e.here.look.Close()
	checking := func(version, job string) object.Object {
		return kustomization("u", version, 1, "./web").WithAnnotations(map[string]string{"v": version}).With(
			[]any{map[string]any{"apiVersion": "batch/v1", "kind": "Job", "namespace": "apps", "name": job}}, "spec", "healthChecks")
	}
	for version, job := range map[string]string{"1": "one", "2": "two", "3": "three"} {
		e.take(t.Context(), checking(version, job), 1)
		for _, id := range e.units[site].want.Checks {
			if err := e.here.look.WatchObject(t.Context(), observe.Viewer{Unit: site}, id); err != nil {
				t.Fatal(err)
			}
		}
		if n, _ := e.here.look.Size(); n != 1 {
			t.Errorf("%d objects are watched, and one is checked", n)
		}
	}
	e.drop(site.ID())
	if n, _ := e.here.look.Size(); n != 0 {
		t.Errorf("%d objects are watched, and none is checked", n)
	}
}

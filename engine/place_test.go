package engine

import (
	"testing"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/unit"
)

// TestAbandonedPlace has a unit leave a cluster while its worker is there: it is
// watched until the worker has left as well, and not longer.
func TestAbandonedPlace(t *testing.T) {
	e := asker(t, memory.New())
	e.ctx = t.Context()
	e.c.Remote = func(string) (cluster.Cluster, error) { return memory.New(), nil }
	there := unit.Target{Kubeconfig: "far"}
	e.in.add("far", site)
	p, err := e.place(t.Context(), there)
	if err != nil || !e.enter(p, site) {
		t.Fatal("no place", err)
	}
	e.mu.Lock()
	e.in.remove("far", site)
	e.abandon("far")
	e.mu.Unlock()
	configMap := object.Kind{Name: "ConfigMap"}
	if err := p.look.Watch(t.Context(), configMap); err != nil {
		t.Error("it is closed under the worker:", err)
	}
	e.leave(p)
	e.closing.Wait()
	if err := p.look.Watch(t.Context(), configMap); err == nil || len(e.places) > 0 {
		t.Errorf("it is open when nobody is there any more: %v, %d places", err, len(e.places))
	}
	if e.enter(p, site) {
		t.Error("somebody may enter a place that is closed")
	}
}

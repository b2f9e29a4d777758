package engine

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/unit"
)

var site = unit.Name{Kind: flux.Kustomization, Namespace: "flux-system", Name: "web"}

// asker returns an engine that keeps nothing yet, over a cluster.
func asker(t *testing.T, c *memory.Cluster) *Engine {
	t.Helper()
	e, err := New(Config{Cluster: c, Renderer: forgetful{}, Dialect: flux.New(flux.Config{}), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	e.refs = newReferences(ctx, e)
	t.Cleanup(func() { stop(); e.refs.close() })
	return e
}

type forgetful struct{ Renderer }

func (forgetful) Forget(string) {}

// kustomization returns web as it asks for a path, at a generation.
func kustomization(uid, version string, generation int64, path string) object.Object {
	return object.Of(map[string]any{
		"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
		"metadata": map[string]any{"namespace": "flux-system", "name": "web", "uid": uid, "resourceVersion": version, "generation": generation},
		"spec": map[string]any{
			"interval": "1m", "prune": true, "path": path, "sourceRef": map[string]any{"kind": "GitRepository", "name": "apps"},
			"postBuild": map[string]any{"substituteFrom": []any{map[string]any{"kind": "ConfigMap", "name": "vars", "optional": true}}},
		},
	})
}

// TestReadsInOrder has a unit change while it is read again for something that
// it refers to: what is read last is what was there last.
func TestReadsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memory.New()
		e := asker(t, c)
		e.take(t.Context(), kustomization("u", "1", 1, "./old"), 1)
		gate := make(chan struct{})
		slow := true
		c.Fail(func(op string, id object.ID) error {
			if op == "get" && slow {
				slow = false
				<-gate
			}
			return nil
		})
		go e.refs.reread(site.ID())
		synctest.Wait()
		go e.take(t.Context(), kustomization("u", "2", 2, "./new"), 1)
		synctest.Wait()
		close(gate)
		synctest.Wait()
		if got := e.units[site].want.Recipe.Dir; got != "new" {
			t.Errorf("the unit is brought to %q after it was changed to ask for \"new\"", got)
		}
	})
}

// TestDroppedWhileRead has a unit deleted while it is read again.
func TestDroppedWhileRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memory.New()
		e := asker(t, c)
		e.take(t.Context(), kustomization("u", "1", 1, "./old"), 1)
		gate := make(chan struct{})
		c.Fail(func(op string, id object.ID) error {
			if op == "get" {
				<-gate
			}
			return nil
		})
		go e.refs.reread(site.ID())
		synctest.Wait()
		go e.drop(site.ID())
		synctest.Wait()
		close(gate)
		synctest.Wait()
		if e.units[site] != nil || len(e.refs.used) > 0 {
			t.Errorf("a deleted unit is still kept: %v, and refers to %d objects", e.units[site] != nil, len(e.refs.used))
		}
	})
}

// TestAnotherOfThatName has a unit deleted and made anew while nobody watches:
// that the first one has been taken down is nothing to the second.
func TestAnotherOfThatName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := asker(t, memory.New())
		e.take(t.Context(), kustomization("first", "1", 1, "./old"), 1)
		e.units[site].gone = true
		e.take(t.Context(), kustomization("second", "9", 1, "./old"), 2)
		if k := e.units[site]; k == nil || k.gone {
			t.Error("the second unit is not kept")
		}
	})
}

// TestSeenAfterConflict has a unit changed just before its finalizer is set: what
// the conflict makes us look at is read, and not taken for an echo.
func TestSeenAfterConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memory.New(memory.Kinds("kustomize.toolkit.fluxcd.io/v1", "Kustomization")...)
		e := asker(t, c)
		put(t, c, object.Of(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "flux-system"}}))
		old := put(t, c, kustomization("", "", 0, "./old").Without("metadata", "uid").Without("metadata", "resourceVersion").Without("metadata", "generation"))
		e.take(t.Context(), old, 1)
		now := c.Edit(site.ID(), "somebody", func(o object.Object) object.Object { return o.With("./new", "spec", "path") })
		if err := e.hold(t.Context(), site.ID()); err == nil {
			t.Fatal("no conflict")
		}
		e.take(t.Context(), now, 1)
		if got := e.units[site].want.Recipe.Dir; got != "new" {
			t.Errorf("the unit is brought to %q after it was changed to ask for \"new\"", got)
		}
	})
}

func put(t *testing.T, c *memory.Cluster, o object.Object) object.Object {
	t.Helper()
	got, err := c.Apply(t.Context(), o, cluster.How{Manager: "somebody"})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

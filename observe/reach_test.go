package observe_test

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/observe"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/unit"
)

// A yard is a Watcher in the name of somebody who may see what others allow.
type yard struct {
	*observe.Watcher
	t     *testing.T
	world *memory.Cluster
	log   strings.Builder

	mu      sync.Mutex
	allowed map[string][]string // guarded by mu; namespaces by user; "" is all of them, and what is in none
	changed []string            // guarded by mu
}

func newYard(t *testing.T) *yard {
	y := &yard{t: t, world: memory.New(), allowed: make(map[string][]string)}
	y.world.Allow(func(who cluster.Identity, d cluster.Deed) bool {
		y.mu.Lock()
		defer y.mu.Unlock()
		may := y.allowed[who.User]
		return slices.Contains(may, "") || slices.Contains(may, d.Object.Namespace+d.Object.Name)
	})
	c := y.world.As(cluster.User("ci"))
	y.Watcher = observe.New(t.Context(), observe.Config{
		Cluster: c, As: func(user string) cluster.Watcher { return c.As(cluster.User(user)) },
		Manager: "m", Log: slog.New(slog.NewTextHandler(&y.log, nil)),
		Owner:  func(map[string]string) (unit.Name, bool) { return unit.Name{}, false },
		Exempt: func(object.Object) plan.Exemption { return plan.Exemption{} },
		Changed: func(_ unit.Name, id object.ID) {
			y.mu.Lock()
			defer y.mu.Unlock()
			y.changed = append(y.changed, id.String())
		},
	})
	for _, ns := range []string{"apps", "data", "ops"} {
		y.put(object.Of(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": ns}}))
		y.put(object.Of(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a", "namespace": ns}}))
	}
	return y
}

func (y *yard) put(o object.Object) {
	y.t.Helper()
	if _, err := y.world.Apply(y.t.Context(), o, cluster.How{Manager: "somebody"}); err != nil {
		y.t.Fatal(err)
	}
}

// allow lets a user see namespaces.
func (y *yard) allow(user string, namespaces ...string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.allowed[user] = namespaces
}

// watches watches objects for a unit, and checks that the world is asked so.
func (y *yard) watches(v observe.Viewer, ids iter.Seq[object.ID], asked ...string) error {
	y.t.Helper()
	y.world.ForgetCalls()
	err := y.Watch(y.t.Context(), v, ids)
	synctest.Wait()
	y.asked(asked...)
	return err
}

// asked checks what the world was asked.
func (y *yard) asked(want ...string) {
	y.t.Helper()
	var got []string
	for _, c := range y.world.Calls() {
		got = append(got, strings.TrimSuffix(c.String(), " for ci"))
	}
	if !slices.Equal(got, want) {
		y.t.Errorf("asked %q, want %q", got, want)
	}
	y.world.ForgetCalls()
}

// told returns of which objects was told since it was last called.
func (y *yard) told() []string {
	synctest.Wait()
	y.mu.Lock()
	defer y.mu.Unlock()
	all := y.changed
	y.changed = nil
	slices.Sort(all)
	return all
}

// sees checks whose ConfigMaps are seen.
func (y *yard) sees(namespaces ...string) {
	y.t.Helper()
	var got []string
	for id := range one("ConfigMap", "apps", "data", "ops") {
		if s, ok := y.See(id); ok && !s.Gone {
			got = append(got, id.Namespace)
		}
	}
	if !slices.Equal(got, namespaces) {
		y.t.Errorf("sees %q, want %q", got, namespaces)
	}
}

// TestByNamespace holds that who may see some namespaces only sees those.
func TestByNamespace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t)
		defer y.Close()
		y.allow("ci", "apps", "data")
		if err := y.watches(shop, one("ConfigMap", "apps"), "watch ConfigMap", "watch ConfigMap in apps"); err != nil {
			t.Fatal(err)
		}
		y.sees("apps")
		if err := y.watches(stock, one("ConfigMap", "apps", "data"), "watch ConfigMap in data"); err != nil {
			t.Fatal(err)
		}
		y.sees("apps", "data")

		err := y.watches(shop, one("ConfigMap", "apps", "ops"), "watch ConfigMap in ops", "watch ConfigMap")
		if !errors.Is(err, cluster.ErrForbidden) || !strings.Contains(err.Error(), `watch ConfigMap in ops: forbidden: user "ci" cannot watch it`) {
			t.Errorf("what may not be seen: %v", err)
		}
		for range 5 {
			if err := y.Watch(t.Context(), shop, one("ConfigMap", "apps", "ops")); err == nil {
				t.Error("what may not be seen is watched")
			}
		}
		if n := strings.Count(y.log.String(), "forbidden"); n != 2 {
			t.Errorf("%d lines of what is forbidden, want one for all namespaces and one for ops:\n%s", n, y.log.String())
		}

		y.Unwatch(stock.Unit)
		<-time.After(time.Hour)
		y.sees("apps")
		y.allow("ci", "")
		y.world.ForgetCalls()
		if err := y.watches(shop, one("ConfigMap", "ops"), "watch ConfigMap"); err != nil {
			t.Fatal(err)
		}
	})
}

// TestByName holds that what is in no namespace is seen by its name, if that is
// allowed.
func TestByName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t)
		defer y.Close()
		y.allow("ci", "a")
		y.put(object.Of(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "a"}}))
		if err := y.watches(shop, one("Namespace", ""), "watch Namespace", "watch Namespace/a"); err != nil {
			t.Fatal(err)
		}
		id := object.ID{Kind: object.Kind{Name: "Namespace"}, Name: "a"}
		if _, seen := y.See(id); !seen {
			t.Error("it is not seen")
		}
	})
}

// TestAsTenant holds that what we may not see ourselves is seen as who keeps it.
func TestAsTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t)
		defer y.Close()
		y.allow("tenant", "apps")
		tenant := observe.Viewer{Unit: shop.Unit, As: "tenant"}
		err := y.watches(tenant, one("ConfigMap", "apps"), "watch ConfigMap", "watch ConfigMap in apps", "watch ConfigMap in apps for tenant")
		if err != nil {
			t.Fatal(err)
		}
		y.sees("apps")
		if err := y.watches(tenant, one("ConfigMap", "apps")); err != nil {
			t.Error(err)
		}
		if err := y.WatchObject(t.Context(), tenant, object.ID{Kind: object.Kind{Name: "Secret"}, Namespace: "apps", Name: "s"}); err == nil {
			t.Error("the tenant sees what it may not")
		}
	})
}

// TestUnused holds that what nobody wants to see any more is watched on for a
// while only.
func TestUnused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t)
		defer y.Close()
		y.allow("ci", "")
		check := func(when string, want int) {
			t.Helper()
			synctest.Wait()
			if n, _ := y.Size(); n != want {
				t.Errorf("%s: %d watches, want %d", when, n, want)
			}
		}
		if err := y.watches(shop, one("ConfigMap", "apps"), "watch ConfigMap"); err != nil {
			t.Fatal(err)
		}
		if err := y.watches(stock, one("Secret", "apps"), "watch Secret"); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		check("in use", 2)
		y.Unwatch(shop.Unit)
		<-time.After(time.Minute)
		check("after a minute", 2)
		if err := y.watches(shop, one("ConfigMap", "apps")); err != nil { // it was not asked for again
			t.Fatal(err)
		}
		if err := y.watches(stock, one("ConfigMap", "apps")); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		check("of one kind", 1)
		y.sees("apps", "data", "ops")
		y.Unwatch(shop.Unit)
		y.Unwatch(stock.Unit)
		<-time.After(time.Hour)
		check("of nobody", 0)
		y.sees()
	})
}

// TestRevoked holds that who loses the right to see everything is told, and sees
// what may still be seen.
func TestRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t)
		defer y.Close()
		y.allow("ci", "")
		if err := y.watches(shop, one("ConfigMap", "apps", "data"), "watch ConfigMap"); err != nil {
			t.Fatal(err)
		}
		y.allow("ci", "apps")
		y.told()
		y.world.Lose()
		<-time.After(time.Minute)
		if got, want := y.told(), []string{"ConfigMap/apps/a", "ConfigMap/data/a", "ConfigMap/ops/a"}; !slices.Equal(got, want) {
			t.Errorf("told of %q, want %q", got, want)
		}
		if err := y.watches(shop, one("ConfigMap", "apps"), "watch ConfigMap in apps"); err != nil {
			t.Error(err)
		}
		if err := y.world.Delete(t.Context(), object.ID{Kind: object.Kind{Name: "ConfigMap"}, Namespace: "apps", Name: "a"}, cluster.Where{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		y.sees("data", "ops") // as they were: nobody asks for them
	})
}

// A list has what it lists, and does not tell of changes.
type list struct{}

func (list) Watch(context.Context, cluster.Selection) iter.Seq2[cluster.Change, error] {
	return func(yield func(cluster.Change, error) bool) {
		_ = yield(cluster.Change{Type: cluster.Listing}, nil) && yield(cluster.Change{Type: cluster.Listed}, nil) &&
			yield(cluster.Change{}, cluster.ErrForbidden)
	}
}

// TestListOnly holds that who may list and not watch is told so, and not at once
// each time anew.
func TestListOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatcher(t, list{})
		defer w.Close()
		for range 2 { // all of the kind, and those in the namespace
			if err := w.Watch(t.Context(), shop, one("ConfigMap", "apps")); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		if err := w.Watch(t.Context(), shop, one("ConfigMap", "apps")); !errors.Is(err, cluster.ErrForbidden) {
			t.Errorf("what may not be watched: %v", err)
		}
	})
}

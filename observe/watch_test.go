package observe_test

import (
	"errors"
	"iter"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/observe"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/unit"
)

func newWatcher(t *testing.T, c cluster.Watcher) *observe.Watcher {
	w := observe.New(t.Context(), observe.Config{
		Cluster: c, Selector: "app", Manager: "m", Log: slog.New(slog.DiscardHandler),
		Owner:   func(map[string]string) (unit.Name, bool) { return unit.Name{}, false },
		Exempt:  func(object.Object) plan.Exemption { return plan.Exemption{} },
		Changed: func(unit.Name, object.ID) {},
	})
	t.Cleanup(w.Close)
	return w
}

// shop and stock are units of a tenant.
var (
	shop  = observe.Viewer{Unit: unit.Name{Namespace: "apps", Name: "shop"}}
	stock = observe.Viewer{Unit: unit.Name{Namespace: "apps", Name: "stock"}}
)

// one yields the name of an object of a kind, and of more in other namespaces.
func one(kind string, namespaces ...string) iter.Seq[object.ID] {
	return func(yield func(object.ID) bool) {
		for _, ns := range namespaces {
			if !yield(object.ID{Kind: object.Kind{Name: kind}, Namespace: ns, Name: "a"}) {
				return
			}
		}
	}
}

// TestUnlisted holds that nobody takes for gone what could not be listed.
func TestUnlisted(t *testing.T) {
	configMap := one("ConfigMap", "apps")
	c := memory.New()
	w := newWatcher(t, c)
	c.Fail(func(op string, id object.ID) error {
		if op == "watch" {
			return cluster.ErrForbidden
		}
		return nil
	})
	if err := w.Watch(t.Context(), shop, configMap); !errors.Is(err, cluster.ErrForbidden) {
		t.Errorf("Watch of what must not be listed: %v", err)
	}
	c.Fail(nil)
	if err := w.Watch(t.Context(), shop, configMap); err != nil {
		t.Errorf("Watch of what may be listed now: %v", err)
	}
	if err := w.Watch(t.Context(), shop, one("Unknown", "apps")); err != nil {
		t.Errorf("Watch of a kind that there is not: %v", err)
	}
	w.Close()
	if err := w.Watch(t.Context(), shop, one("Secret", "apps")); err == nil {
		t.Error("a closed Watcher says that it has listed Secrets")
	}
}

// TestUnwatched holds that an object of which nobody wants to know any more is
// not watched on.
func TestUnwatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memory.New()
		w := newWatcher(t, c)
		id := object.ID{Kind: object.Kind{Group: "batch", Name: "Job"}, Namespace: "apps", Name: "migrate"}
		for range 3 {
			if err := w.WatchObject(t.Context(), shop, id); err != nil {
				t.Fatal(err)
			}
			if n, _ := w.Size(); n != 1 {
				t.Errorf("%d watches of one object", n)
			}
			w.UnwatchObject(id)
			if n, _ := w.Size(); n != 0 {
				t.Errorf("%d watches of an object that nobody cares for", n)
			}
		}
	})
}

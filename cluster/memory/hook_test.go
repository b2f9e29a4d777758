package memory_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/object"
)

var how = cluster.How{Manager: "sane"}

func config(name string) object.Object {
	return object.Of(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{"k": "v"},
		"metadata": map[string]any{"name": name, "namespace": "default"},
	})
}

func TestFail(t *testing.T) {
	c := memory.New()
	var ops []string
	c.Fail(func(op string, id object.ID) error {
		ops = append(ops, op+" "+id.Name)
		switch op {
		case "apply":
			return cluster.ErrBusy
		case "created":
			return cluster.ErrUnavailable
		}
		return nil
	})
	a, b := config("a"), config("b")
	if _, err := c.Apply(t.Context(), a, how); !errors.Is(err, cluster.ErrBusy) {
		t.Errorf("apply: %v", err)
	}
	if _, err := c.Create(t.Context(), b, how); !errors.Is(err, cluster.ErrUnavailable) || err.Error() != "create ConfigMap/default/b: server is not available" {
		t.Errorf("create: %v", err)
	}
	if _, err := c.Apply(t.Context(), b, cluster.How{Manager: "x", DryRun: true, Force: true}); err != nil {
		t.Error(err)
	}
	_, hasA, _ := c.Get(t.Context(), a.ID())
	_, hasB, _ := c.Get(t.Context(), b.ID())
	if hasA || !hasB {
		t.Errorf("there is a: %v, b: %v; want only b, of which the answer was lost", hasA, hasB)
	}
	want := []string{"apply a", "create b", "created b", "dry-run apply b", "get a", "get b"}
	if !slices.Equal(ops, want) {
		t.Errorf("asked %q, want %q", ops, want)
	}
}

func TestCalls(t *testing.T) {
	c := memory.New()
	a := config("a")
	c.Apply(t.Context(), a, cluster.How{Manager: "sane", DryRun: true})
	c.As(cluster.User("deployer")).Apply(t.Context(), a, how)
	c.Patch(t.Context(), a.ID(), cluster.Patch{Type: cluster.MergePatch, Data: []byte("{}")}, cluster.How{Subresource: "status"})
	for range c.List(t.Context(), cluster.Selection{Kind: a.ID().Kind, Namespace: "default"}) {
	}
	c.Delete(t.Context(), a.ID(), cluster.Where{})
	var got []string
	for _, call := range c.Calls() {
		got = append(got, call.String())
	}
	want := []string{
		"dry-run apply ConfigMap/default/a as sane",
		"apply ConfigMap/default/a as sane for deployer",
		"patch status of ConfigMap/default/a",
		"list ConfigMap in default",
		"delete ConfigMap/default/a",
	}
	if !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
	if c.ForgetCalls(); len(c.Calls()) != 0 {
		t.Error("calls are not forgotten")
	}
}

func TestKinds(t *testing.T) {
	c := memory.New(memory.Kinds("example.com/v1", "Thing")...)
	o := object.Of(map[string]any{
		"apiVersion": "example.com/v1", "kind": "Thing", "spec": map[string]any{"n": int64(1)},
		"metadata": map[string]any{"name": "a", "namespace": "default"},
	})
	if _, err := c.Apply(t.Context(), o, how); err != nil {
		t.Fatal(err)
	}
	got := c.SetStatus(o.ID(), map[string]any{"phase": "Ready"})
	if v, _ := got.Get("status", "phase"); v != "Ready" || got.Generation() != 1 {
		t.Errorf("after SetStatus: %s", got.JSON())
	}
	got = c.Edit(o.ID(), "kubectl", func(o object.Object) object.Object { return o.With(int64(2), "spec", "n") })
	if got.Generation() != 2 {
		t.Errorf("after Edit: %s", got.JSON())
	}
	if _, err := c.Apply(t.Context(), o, how); !errors.Is(err, cluster.ErrConflict) {
		t.Errorf("apply after another's edit: %v", err)
	}
}

// tell sends what a watch tells, as text, until ctx is done.
func tell(ctx context.Context, c cluster.Watcher, sel cluster.Selection, told func(string)) {
	for change, err := range c.Watch(ctx, sel) {
		switch {
		case err != nil:
			told("error: " + err.Error())
		case change.Object.IsZero():
			told([]string{"listing", "listed", "following"}[change.Type])
		default:
			told(fmt.Sprint([]string{cluster.Put: "put ", cluster.Gone: "gone "}[change.Type], change.Object.Name()))
		}
	}
	told("end")
}

func TestWatchInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memory.New()
		refuse := true
		c.Fail(func(op string, _ object.ID) error {
			if op == "watch" && refuse {
				refuse = false
				return cluster.ErrUnavailable
			}
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		go tell(ctx, c, cluster.Selection{Kind: object.Kind{Name: "ConfigMap"}}, func(s string) { got = append(got, s) })
		<-time.After(time.Minute) // of the bubble, which takes no time
		c.Apply(ctx, config("a"), how)
		synctest.Wait()
		c.Relist()
		synctest.Wait()
		c.Delete(ctx, config("a").ID(), cluster.Where{})
		synctest.Wait()
		cancel()
		synctest.Wait()
		want := []string{
			"error: watch ConfigMap: server is not available",
			"listing", "listed", "following", "put a", "listing", "put a", "listed", "following", "gone a", "end",
		}
		if !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

func BenchmarkApplyUnchanged(b *testing.B) {
	c := memory.New()
	for b.Loop() {
		if _, err := c.Apply(b.Context(), config("a"), how); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		memory.New()
	}
}

func TestAllow(t *testing.T) {
	c := memory.New()
	c.Allow(func(who cluster.Identity, d cluster.Deed) bool { return who.User == "ada" || d.Verb == "get" })
	id := object.ID{Kind: object.Kind{Name: "Namespace"}, Name: "default"}
	for user, want := range map[string]bool{"": true, "ada": true, "eve": false} {
		as := c.As(cluster.User(user))
		if got, err := as.May(t.Context(), cluster.Deed{Verb: "delete", Object: id}); got != want || err != nil {
			t.Errorf("%q may: %v, %v", user, got, err)
		}
		if _, _, err := as.Get(t.Context(), id); err != nil {
			t.Errorf("%q: %v", user, err)
		}
		_, err := as.Patch(t.Context(), id, cluster.Patch{Type: cluster.MergePatch, Data: []byte("{}")}, cluster.How{})
		if errors.Is(err, cluster.ErrForbidden) == want {
			t.Errorf("%q: %v", user, err)
		}
	}
}

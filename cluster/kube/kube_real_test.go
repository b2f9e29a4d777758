package kube_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/kube"
	"github.com/sane-gitops/sane/object"
)

// namespace makes a namespace for the time of the test.
func namespace(t testing.TB, c *kube.Cluster) string {
	name := fmt.Sprintf("sane-test-%x", time.Now().UnixNano())
	ns := object.Of(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}})
	if _, err := c.Apply(t.Context(), ns, cluster.How{Manager: "sane"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Delete(context.Background(), ns.ID(), cluster.Where{}) })
	return name
}

func config(ns, name string) object.Object {
	return object.Of(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{"k": "v"},
		"metadata": map[string]any{"name": name, "namespace": ns, "labels": map[string]any{"test": "yes"}},
	})
}

// TestPages lists more than one page, whole and as metadata.
func TestPages(t *testing.T) {
	c := connect(t, kube.Options{})
	const n = 1001
	ns := namespace(t, c)
	for i := range n {
		if _, err := c.Apply(t.Context(), config(ns, fmt.Sprintf("c%04d", i)), cluster.How{Manager: "sane"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, metadata := range []bool{false, true} {
		names := map[string]bool{}
		sel := cluster.Selection{Kind: object.Kind{Name: "ConfigMap"}, Namespace: ns, Labels: "test=yes", Metadata: metadata}
		for o, err := range c.List(t.Context(), sel) {
			if err != nil {
				t.Fatal(err)
			}
			names[o.Name()] = true
		}
		if len(names) != n {
			t.Errorf("metadata %v: %d objects, want %d", metadata, len(names), n)
		}
	}
}

// TestImpersonation does as a service account what it may not.
func TestImpersonation(t *testing.T) {
	c := connect(t, kube.Options{}).As(cluster.User("system:serviceaccount:default:nobody-in-particular"))
	_, err := c.Apply(t.Context(), config("default", "a"), cluster.How{Manager: "sane"})
	if !errors.Is(err, cluster.ErrForbidden) {
		t.Error(err)
	}
	for change, err := range c.Watch(t.Context(), cluster.Selection{Kind: object.Kind{Name: "Secret"}}) {
		if !errors.Is(err, cluster.ErrForbidden) {
			t.Fatal(change, err)
		}
	}
}

// TestRights asks what others may do, and who they are.
func TestRights(t *testing.T) {
	c := connect(t, kube.Options{})
	deed := cluster.Deed{Verb: "list", Object: object.ID{Kind: object.Kind{Name: "Pod"}, Namespace: "default"}, Subresource: "log"}
	for _, tt := range []struct {
		who  cluster.Identity
		want bool
	}{
		{cluster.User("nobody-in-particular"), false},
		{cluster.Identity{User: "nobody-in-particular", Groups: []string{"system:masters"}}, true},
		{cluster.Identity{User: "nobody-in-particular", Extra: map[string][]string{"example.com/team": {"a b"}}}, false},
	} {
		if got, err := c.As(tt.who).May(t.Context(), deed); got != tt.want || err != nil {
			t.Errorf("%v: %v, %v", tt.who, got, err)
		}
	}
	if who, err := c.Review(t.Context(), "nonsense"); !errors.Is(err, cluster.ErrForbidden) {
		t.Errorf("a token that is none is %v's: %v", who, err)
	}
}

// BenchmarkApply applies what is there already, and tells what that costs here.
func BenchmarkApply(b *testing.B) {
	c := connect(b, kube.Options{})
	o := config(namespace(b, c), "a")
	before := cpu(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Apply(b.Context(), o, cluster.How{Manager: "sane"}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu(b)-before)/1e3/float64(b.N), "cpu-µs/op")
}

// cpu returns the processor time of this process so far, in nanoseconds.
func cpu(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

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

// TestEstablished applies an object of a kind as soon as that is established.
func TestEstablished(t *testing.T) {
	c := connect(t, kube.Options{})
	ns := namespace(t, c)
	group := ns + ".example.com"
	crd := object.Of(map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "widgets." + group},
		"spec": map[string]any{
			"group": group, "scope": "Namespaced", "names": map[string]any{"kind": "Widget", "plural": "widgets"},
			"versions": []any{map[string]any{
				"name": "v1", "served": true, "storage": true, "schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object"}},
			}},
		},
	})
	if _, err := c.Namespaced(t.Context(), configMap); err != nil { // so that kinds are known before
		t.Fatal(err)
	}
	if _, err := c.Apply(t.Context(), crd, cluster.How{Manager: "sane"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Delete(context.Background(), crd.ID(), cluster.Where{}) })
	for change, err := range c.Watch(t.Context(), cluster.Selection{Kind: crd.ID().Kind, Name: crd.Name()}) {
		if err != nil {
			t.Fatal(err)
		}
		if change.Type == cluster.Put && change.Object.Condition("Established").Text("status") == "True" {
			break
		}
	}
	widget := object.Of(map[string]any{"apiVersion": group + "/v1", "kind": "Widget", "metadata": map[string]any{"name": "w", "namespace": ns}})
	for tries := 1; ; tries++ {
		_, err := c.Apply(t.Context(), widget, cluster.How{Manager: "sane"})
		if err == nil {
			t.Logf("applied at try %d", tries)
			return
		}
		if !errors.Is(err, cluster.ErrNoKind) {
			t.Fatal(err)
		}
	}
}

var configMap = object.Kind{Name: "ConfigMap"}

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

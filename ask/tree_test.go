package ask_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/object"
)

// A shop is a cluster with one unit.
type shop struct {
	*memory.Cluster
	t     *testing.T
	unit  object.ID
	owned []string // as the inventory has them
}

func newShop(t *testing.T) *shop {
	s := &shop{t: t, Cluster: memory.New(slices.Concat(
		memory.Kinds("kustomize.toolkit.fluxcd.io/v1", "Kustomization"), memory.Kinds("source.toolkit.fluxcd.io/v1", "GitRepository"))...)}
	s.unit = object.ID{Kind: flux.Kustomization, Namespace: "default", Name: "shop"}
	s.put(map[string]any{"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization"}, "default", "shop", map[string]any{
		"spec": map[string]any{"interval": "1m", "prune": true, "sourceRef": map[string]any{"kind": "GitRepository", "name": "shop"}},
	})
	return s
}

func (s *shop) desk(c cluster.Cluster) *ask.Desk {
	return &ask.Desk{Cluster: c, Namespace: "default", Dialect: flux.New(flux.Config{}), Language: ask.Language{
		Nouns: []ask.Noun{{Kind: flux.Kustomization, Names: []string{"ks"}}, {Kind: flux.GitRepository, Names: []string{"git"}, Feed: true}},
		Pause: []string{"spec", "suspend"},
	}}
}

func (s *shop) put(kind map[string]any, namespace, name string, rest map[string]any) object.Object {
	o := object.Of(kind).With(name, "metadata", "name").With(map[string]any{
		"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": "default",
	}, "metadata", "labels")
	if namespace != "" {
		o = o.With(namespace, "metadata", "namespace")
	}
	for k, v := range rest {
		o = o.With(v, k)
	}
	o, err := s.Apply(s.t.Context(), o, cluster.How{Manager: "test", Force: true})
	if err != nil {
		s.t.Fatal(err)
	}
	return o
}

func (s *shop) owns(o object.Object) object.Object {
	id := o.ID()
	s.owned = append(s.owned, fmt.Sprintf("%s_%s_%s_%s", id.Namespace, id.Name, id.Kind.Group, id.Kind.Name))
	return o
}

// keep writes the inventory.
func (s *shop) keep() {
	var entries []any
	for _, id := range s.owned {
		entries = append(entries, map[string]any{"id": id, "v": "v1"})
	}
	s.SetStatus(s.unit, map[string]any{
		"inventory":  map[string]any{"entries": entries},
		"conditions": []any{map[string]any{"type": "Ready", "status": "True", "observedGeneration": int64(1)}},
	})
}

func (s *shop) config(namespace, name string) object.Object {
	return s.owns(s.put(map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}, namespace, name, nil))
}

var labels = map[string]any{"app": "web"}

// deploy makes a Deployment with a ReplicaSet and a pod.
func (s *shop) deploy(namespace, name string) {
	selector := map[string]any{"matchLabels": labels}
	template := map[string]any{
		"metadata": map[string]any{"labels": labels},
		"spec":     map[string]any{"containers": []any{map[string]any{"name": "main", "image": "web:1"}}},
	}
	d := s.owns(s.put(map[string]any{"apiVersion": "apps/v1", "kind": "Deployment"}, namespace, name, map[string]any{
		"spec": map[string]any{"selector": selector, "template": template},
	}))
	r := s.put(below(d, "apps/v1", "ReplicaSet"), namespace, name+"-1", map[string]any{
		"spec": map[string]any{"replicas": int64(1), "selector": selector, "template": template},
	})
	s.put(below(r, "v1", "Pod"), namespace, name+"-1-a", map[string]any{"spec": template["spec"]})
}

// below returns the beginning of an object that o owns.
func below(o object.Object, apiVersion, kind string) map[string]any {
	return map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"ownerReferences": []any{map[string]any{
		"apiVersion": o.APIVersion(), "kind": o.ID().Kind.Name, "name": o.Name(), "uid": o.UID(), "controller": true,
	}}}}
}

func (s *shop) tree(c cluster.Cluster) *ask.Node {
	s.t.Helper()
	o, err := ask.Must(s.t.Context(), c, s.unit)
	if err != nil {
		s.t.Fatal(err)
	}
	n, err := s.desk(c).Tree(s.t.Context(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// Many objects take no more lists than few, and no questions one by one.
func TestTreeCost(t *testing.T) {
	s := newShop(t)
	for _, ns := range []string{"a", "b"} {
		s.put(map[string]any{"apiVersion": "v1", "kind": "Namespace"}, "", ns, nil)
		for i := range 100 {
			s.config(ns, fmt.Sprint("c", i))
			s.deploy(ns, fmt.Sprint("d", i))
		}
	}
	for i := range 100 {
		s.owned = append(s.owned, fmt.Sprintf("a_gone%d__ConfigMap", i))
	}
	s.keep()
	s.ForgetCalls()
	n := s.tree(s)
	count := 0
	n.All(func(*ask.Node) bool { count++; return true })
	if want := 1 + 2*100*4 + 100; count != want {
		t.Errorf("the tree has %d nodes, want %d", count, want)
	}
	if n.Worst() != health.Missing || len(n.Unknown) > 0 {
		t.Errorf("at worst %s; not known: %q", n.Worst(), n.Unknown)
	}
	var lists []string
	for _, c := range s.Calls() {
		lists = append(lists, c.String())
	}
	want := []string{
		"get Kustomization/default/shop",
		"list ConfigMap", "list Deployment.apps",
		"list Pod in a", "list Pod in b", "list ReplicaSet.apps in a", "list ReplicaSet.apps in b",
		"list ConfigMap in a", // for what is missing there
	}
	if !slices.Equal(lists, want) {
		t.Errorf("it took\n%s\nwant\n%s", strings.Join(lists, "\n"), strings.Join(want, "\n"))
	}
}

// What a viewer may not see is said, and nothing of it is told.
func TestTreeRights(t *testing.T) {
	s := newShop(t)
	for _, ns := range []string{"a", "b"} {
		s.put(map[string]any{"apiVersion": "v1", "kind": "Namespace"}, "", ns, nil)
		s.config(ns, "c")
		s.deploy(ns, "d")
	}
	s.keep()
	s.Allow(func(_ cluster.Identity, d cluster.Deed) bool {
		return d.Object.Kind == flux.Kustomization || d.Object.Namespace == "a" && d.Object.Kind.Name != "Pod"
	})
	n := s.tree(s.As(cluster.User("ann")))
	var got []string
	n.All(func(n *ask.Node) bool {
		got = append(got, fmt.Sprintf("%s %s %s", n.Object, n.Health, n.Why))
		return true
	})
	want := []string{
		"Kustomization/default/shop Healthy ",
		"ConfigMap/a/c Healthy ",
		"ConfigMap/b/c Unknown it can't be seen",
		"Deployment/a/d Progressing Replicas: 0/1",
		"ReplicaSet/a/d-1 Progressing Labelled: 0/1",
		"Deployment/b/d Unknown it can't be seen",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var not []string
	for _, u := range n.Unknown {
		what, _, _ := strings.Cut(u, ":")
		not = append(not, what)
	}
	if want := []string{"ConfigMap in b", "Deployment.apps in b", "Pod in a", "Pod in b", "ReplicaSet.apps in b"}; !slices.Equal(not, want) {
		t.Errorf("not known: %q, want %q", n.Unknown, want)
	}
}

// A pod that will not get well by itself is ill; one that starts is not.
func TestTreePods(t *testing.T) {
	s := newShop(t)
	for name, reason := range map[string]string{"pull": "ImagePullBackOff", "start": "ContainerCreating"} {
		s.deploy("default", name)
		s.SetStatus(object.ID{Kind: object.Kind{Name: "Pod"}, Namespace: "default", Name: name + "-1-a"}, map[string]any{
			"phase": "Pending", "containerStatuses": []any{map[string]any{
				"name": "main", "state": map[string]any{"waiting": map[string]any{"reason": reason}},
			}},
		})
	}
	s.keep()
	got := make(map[string]string)
	s.tree(s.Cluster).All(func(n *ask.Node) bool {
		got[n.ID.Kind.Name+" "+n.ID.Name] = n.Health.String() + " " + n.Why
		return true
	})
	for name, want := range map[string]string{
		"Pod pull-1-a":     `Degraded container "main" can't start: ImagePullBackOff`,
		"Pod start-1-a":    "Progressing Pod is in the Pending phase",
		"Deployment pull":  "Progressing Replicas: 0/1",
		"Deployment start": "Progressing Replicas: 0/1",
	} {
		if got[name] != want {
			t.Errorf("%s is %s, want %s", name, got[name], want)
		}
	}
}

// Whoever watches is told of what changes, of new objects, and of the end.
func TestTrees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t)
		c := s.config("default", "a")
		s.keep()
		var seen []string
		var last error
		step := 0
		for n, err := range s.desk(s).Trees(t.Context(), s.unit) {
			if last = err; err != nil {
				break
			}
			var all []string
			n.All(func(n *ask.Node) bool { all = append(all, n.Object+" "+n.Health.String()); return true })
			seen = append(seen, strings.Join(all[1:], ", "))
			switch step++; step {
			case 1:
				s.Delete(t.Context(), c.ID(), cluster.Where{})
			case 2:
				s.deploy("default", "d")
				s.keep()
			case 3:
				s.Delete(t.Context(), object.ID{Kind: object.Kind{Name: "Pod"}, Namespace: "default", Name: "d-1-a"}, cluster.Where{})
			case 4:
				s.Delete(t.Context(), s.unit, cluster.Where{})
			}
		}
		want := []string{
			"ConfigMap/default/a Healthy",
			"ConfigMap/default/a Missing",
			"ConfigMap/default/a Missing, Deployment/default/d Progressing, ReplicaSet/default/d-1 Progressing, Pod/default/d-1-a Progressing",
			"ConfigMap/default/a Missing, Deployment/default/d Progressing, ReplicaSet/default/d-1 Progressing",
		}
		if !slices.Equal(seen, want) {
			t.Errorf("saw\n%s\nwant\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
		}
		if last == nil || !strings.Contains(last.Error(), "there is none of that name") {
			t.Errorf("it ends with %v", last)
		}
	})
	s := newShop(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for range s.desk(s).Trees(ctx, s.unit) {
		n++
		cancel()
	}
	if n != 1 {
		t.Errorf("%d trees, and it goes on after its end", n)
	}
}

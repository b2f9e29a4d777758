package clustertest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

func (b *bench) deployment(name, app string) object.Object {
	return b.object("apps/v1", "Deployment", name, map[string]any{
		"replicas": int64(0),
		"selector": map[string]any{"matchLabels": map[string]any{"app": app}},
		"template": map[string]any{
			"metadata": map[string]any{"labels": map[string]any{"app": app}},
			"spec": map[string]any{"containers": []any{map[string]any{
				"name": "web", "image": "example.com/web", "ports": []any{map[string]any{"containerPort": int64(80)}},
			}}},
		},
	})
}

func (b *bench) service(name string) object.Object {
	return b.object("v1", "Service", name, map[string]any{
		"selector": map[string]any{"app": name}, "ports": []any{map[string]any{"port": int64(80), "targetPort": "http"}},
	})
}

func (b *bench) job(name, tag string) object.Object {
	return b.object("batch/v1", "Job", name, map[string]any{
		"suspend": true,
		"template": map[string]any{"spec": map[string]any{
			"restartPolicy": "Never",
			"containers":    []any{map[string]any{"name": "main", "image": "example.com/job:" + tag}},
		}},
	})
}

// object returns an object of the test with a spec.
func (b *bench) object(apiVersion, kind, name string, spec map[string]any) object.Object {
	return object.Of(map[string]any{
		"apiVersion": apiVersion, "kind": kind, "spec": spec,
		"metadata": map[string]any{"name": name, "namespace": b.ns},
	})
}

var definition = object.ID{Kind: object.Kind{Group: "apiextensions.k8s.io", Name: "CustomResourceDefinition"}}

// widget returns a kind that only this test knows, and its definition.
func (b *bench) widget() (object.Kind, object.Object) {
	kind := object.Kind{Group: b.ns + ".example.com", Name: "Widget"}
	text, anything := map[string]any{"type": "string"}, map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	parts := map[string]any{
		"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": []any{"name"},
		"items": map[string]any{"type": "object", "required": []any{"name"}, "properties": map[string]any{"name": text, "color": text}},
	}
	spec := map[string]any{"type": "object", "properties": map[string]any{
		"size": map[string]any{"type": "integer"}, "port": map[string]any{"x-kubernetes-int-or-string": true},
		"free": anything, "parts": parts, "labels": map[string]any{"type": "object", "additionalProperties": text},
	}}
	version := func(name string, storage bool) map[string]any {
		return map[string]any{
			"name": name, "served": true, "storage": storage,
			"subresources": map[string]any{"status": map[string]any{}},
			"schema": map[string]any{"openAPIV3Schema": map[string]any{
				"type": "object", "properties": map[string]any{"spec": spec, "status": anything},
			}},
		}
	}
	return kind, object.Of(map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": definition.Kind.Name,
		"metadata": map[string]any{"name": "widgets." + kind.Group},
		"spec": map[string]any{
			"group": kind.Group, "scope": "Namespaced",
			"names": map[string]any{
				"kind": "Widget", "listKind": "WidgetList", "plural": "widgets", "singular": "widget",
			},
			"versions": []any{version("v1", true), version("v1beta1", false)},
		},
	})
}

// known waits until the server serves a kind.
func (b *bench) known(k object.Kind) {
	b.t.Helper()
	b.eventually(func() error {
		in, err := b.Namespaced(b.ctx, k)
		if err == nil && !in {
			b.t.Fatalf("%s is not namespaced", k)
		}
		if err != nil {
			return err
		}
		_, _, err = b.Get(b.ctx, object.ID{Kind: k, Namespace: b.ns, Name: "none"})
		return err
	})
}

func kinds(b *bench) {
	kind, crd := b.widget()
	o := b.object(kind.Group+"/v1", "Widget", "a", map[string]any{"size": int64(1)})
	sel := cluster.Selection{Kind: kind, Namespace: b.ns}
	b.noKind(kind, o)

	b.apply(crd)
	b.cleanup(crd.ID())
	b.known(kind)
	got := b.apply(o)
	if got.Generation() != 1 || got.APIVersion() != kind.Group+"/v1" {
		b.t.Errorf("apply returned %s", got.JSON())
	}
	older, err := b.Apply(b.ctx, o.With(kind.Group+"/v1beta1", "apiVersion"), cluster.How{Manager: manager, DryRun: true})
	if err != nil || older.Version() != "v1beta1" {
		b.t.Errorf("apply in another version = %s, %v", older.Version(), err)
	}
	_, err = b.Apply(b.ctx, o.With(kind.Group+"/v7", "apiVersion"), how)
	b.wants(err, cluster.ErrNoKind, "apply Widget/"+b.ns+"/a: ")
	w := b.watch(sel)
	w.expect("listing", "put a", "listed", "following")

	b.remove(crd.ID())
	w.expect("gone a")
	w.ends(cluster.ErrNoKind)
	b.eventually(func() error {
		if _, err := b.Namespaced(b.ctx, kind); !errors.Is(err, cluster.ErrNoKind) {
			return fmt.Errorf("a deleted kind: %v", err)
		}
		return nil
	})
	b.noKind(kind, o)
}

// noKind checks that nothing can be done with a kind.
func (b *bench) noKind(kind object.Kind, o object.Object) {
	b.t.Helper()
	_, err := b.Namespaced(b.ctx, kind)
	b.wants(err, cluster.ErrNoKind, "Widget")
	_, _, err = b.Get(b.ctx, o.ID())
	b.wants(err, cluster.ErrNoKind, "get Widget/"+b.ns+"/a: ")
	_, err = b.Apply(b.ctx, o, how)
	b.wants(err, cluster.ErrNoKind, "apply Widget/"+b.ns+"/a: ")
	b.wants(b.Delete(b.ctx, o.ID(), cluster.Where{}), cluster.ErrNoKind)
	for _, err := range b.List(b.ctx, cluster.Selection{Kind: kind}) {
		b.wants(err, cluster.ErrNoKind, "list Widget."+kind.Group+": ")
	}
	b.watch(cluster.Selection{Kind: kind}).ends(cluster.ErrNoKind)
}

// ends checks that a watch tells an error and ends. Other errors may come before.
func (s stream) ends(want error) {
	s.b.t.Helper()
	for {
		_, err, ok := s.next()
		if !ok || err == nil {
			s.b.t.Fatalf("watch: %v, %v; want the end by %q", err, ok, want)
		}
		if errors.Is(err, want) {
			break
		}
	}
	if _, err, ok := s.next(); ok {
		s.b.t.Fatalf("watch goes on after %q: %v", want, err)
	}
}

func status(b *bench) {
	kind, crd := b.widget()
	b.apply(crd)
	b.cleanup(crd.ID())
	b.known(kind)
	o := b.object(kind.Group+"/v1", "Widget", "a", map[string]any{"size": int64(1)})
	first := b.apply(o.With("ignored", "status", "phase"))
	if _, ok := first.Get("status", "phase"); ok {
		b.t.Errorf("apply of the object wrote its status: %s", first.JSON())
	}

	o = o.With("Ready", "status", "phase").With(int64(7), "spec", "size")
	sub := cluster.How{Manager: manager, Subresource: "status"}
	got, err := b.Apply(b.ctx, o, sub)
	if err != nil {
		b.t.Fatal(err)
	}
	b.check(got, 1, int64(1), "Ready")
	if e := entry(got, manager, "Apply", "status"); !strings.Contains(e, `"f:phase":{}`) {
		b.t.Errorf("entry of status: %s", e)
	}
	got = b.apply(o.With("ignored", "status", "phase"))
	b.check(got, 2, int64(7), "Ready")
	merge := cluster.Patch{Type: cluster.MergePatch, Data: []byte(`{"spec":{"size":9},"status":{"phase":"Failed"}}`)}
	got, err = b.Patch(b.ctx, o.ID(), merge, sub)
	if err != nil {
		b.t.Fatal(err)
	}
	b.check(got, 2, int64(7), "Failed")
	got, err = b.Patch(b.ctx, o.ID(), merge, how)
	if err != nil {
		b.t.Fatal(err)
	}
	b.check(got, 3, int64(9), "Failed")
}

func (b *bench) check(o object.Object, generation int64, size any, phase string) {
	b.t.Helper()
	s, _ := o.Get("spec", "size")
	p, _ := o.Get("status", "phase")
	if o.Generation() != generation || s != size || p != phase {
		b.t.Errorf("generation %d, size %v, phase %v; want %d, %v, %v", o.Generation(), s, p, generation, size, phase)
	}
}

func schema(b *bench) {
	kind, crd := b.widget()
	b.apply(crd)
	b.cleanup(crd.ID())
	b.known(kind)
	part := func(name, color string) any { return map[string]any{"name": name, "color": color} }
	widget := func(spec map[string]any) object.Object { return b.object(kind.Group+"/v1", "Widget", "a", spec) }
	b.apply(widget(map[string]any{
		"parts": []any{part("wheel", "red")}, "port": "http", "labels": map[string]any{"a": "b"},
		"free": map[string]any{"of": []any{"form", int64(1)}},
	}).With([]any{"example.com/ours"}, "metadata", "finalizers"))
	got, err := b.Apply(b.ctx, widget(map[string]any{"parts": []any{part("door", "blue")}, "port": int64(80)}).
		With([]any{"example.com/theirs"}, "metadata", "finalizers"), cluster.How{Manager: "somebody-else", Force: true})
	if err != nil {
		b.t.Fatal(err)
	}
	v, _ := got.Get("spec", "parts")
	if parts, _ := v.([]any); len(parts) != 2 || len(got.Finalizers()) != 2 {
		b.t.Errorf("parts %v, finalizers %v; want those of two managers", v, got.Finalizers())
	}
	if p, _ := got.Get("spec", "port"); p != int64(80) {
		b.t.Errorf("port %v", p)
	}
	const want = `{"f:metadata":{"f:finalizers":{"v:\"example.com/theirs\"":{}}},"f:spec":{"f:parts":{"k:{\"name\":\"door\"}":{".":{},"f:color":{},"f:name":{}}},"f:port":{}}}`
	if e := entry(got, "somebody-else", "Apply", ""); e != want {
		b.t.Errorf("entry %s; want %s", e, want)
	}
	_, err = b.Apply(b.ctx, widget(map[string]any{"typo": "x"}), how)
	b.wants(err, cluster.ErrInvalid, ".spec.typo", "field not declared in schema")
	_, err = b.Create(b.ctx, widget(map[string]any{"typo": "x"}).With("new", "metadata", "name"), how)
	b.wants(err, cluster.ErrInvalid, "spec.typo")
	b.patch(got.ID(), `{"metadata":{"finalizers":null}}`)
}

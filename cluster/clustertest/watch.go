package clustertest

import (
	"context"
	"slices"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// What is read by lists and by watches.

func watch(b *bench) {
	b.apply(b.config("a", "k", "v"))
	w := b.watch(b.configs())
	o := w.expect("listing", "put a", "listed", "following")
	if !o.IsZero() {
		b.t.Errorf("listed has an object: %s", o)
	}
	b.apply(b.config("b", "k", "v"))
	w.expect("put b")
	b.apply(b.config("unseen").With(nil, "metadata", "labels"))
	changed := b.apply(b.config("a", "k", "w"))
	o = w.expect("put a")
	if v, _ := o.Get("data", "k"); v != "w" || o.ResourceVersion() != changed.ResourceVersion() || o.APIVersion() != "v1" || o.ID() != changed.ID() {
		b.t.Errorf("put of a change: %s", o.JSON())
	}
	b.patch(o.ID(), `{"metadata":{"labels":{"test":null}}}`)
	o = w.expect("gone a")
	if o.UID() != changed.UID() || o.Label("test") != "yes" {
		b.t.Errorf("gone shows %s; want it as last seen", o.JSON())
	}
	b.patch(o.ID(), `{"metadata":{"labels":{"test":"yes"}}}`)
	w.expect("put a")
	b.remove(o.ID())
	o = w.expect("gone a")
	if o.UID() != changed.UID() {
		b.t.Errorf("gone shows %s", o.JSON())
	}
	b.patch(b.config("b").ID(), `{"metadata":{"finalizers":["example.com/wait"]}}`)
	w.expect("put b")
	b.remove(b.config("b").ID())
	if o := w.expect("put b"); !o.Deleting() {
		b.t.Errorf("put of a deletion shows %s", o.JSON())
	}
	b.patch(b.config("b").ID(), `{"metadata":{"finalizers":null}}`)
	w.expect("gone b")
}

func watchNothing(b *bench) {
	w := b.watch(b.configs())
	w.expect("listing", "listed", "following")
	b.apply(b.config("a"))
	w.expect("put a")
}

func byName(b *bench) {
	b.apply(b.config("a"))
	b.apply(b.config("b"))
	for _, sel := range []cluster.Selection{
		{Kind: object.Kind{Name: "ConfigMap"}, Namespace: b.ns, Name: "b"},
		{Kind: object.Kind{Name: "ConfigMap"}, Namespace: b.ns, Name: "b", Labels: "test=yes", Metadata: true},
		{Kind: object.Kind{Name: "Namespace"}, Name: b.ns},
	} {
		var names []string
		for o, err := range b.List(b.ctx, sel) {
			if err != nil {
				b.t.Fatal(err)
			}
			names = append(names, o.Name())
		}
		if !slices.Equal(names, []string{sel.Name}) {
			b.t.Errorf("%+v selects %v", sel, names)
		}
	}
	w := b.watch(cluster.Selection{Kind: object.Kind{Name: "ConfigMap"}, Namespace: b.ns, Name: "b"})
	w.expect("listing", "put b", "listed", "following")
	b.apply(b.config("a", "k", "v"))
	b.remove(b.config("a").ID())
	b.apply(b.config("b", "k", "v"))
	w.expect("put b")
	b.remove(b.config("b").ID())
	w.expect("gone b")
}

func byFields(b *bench) {
	event := func(name, about string) object.Object {
		return object.Of(map[string]any{
			"apiVersion": "v1", "kind": "Event", "metadata": map[string]any{"name": name, "namespace": b.ns},
			"involvedObject": map[string]any{"kind": about, "name": "x", "namespace": b.ns},
		})
	}
	b.apply(event("a", "Pod"))
	b.apply(event("b", "Kustomization"))
	sel := cluster.Selection{Kind: object.Kind{Name: "Event"}, Namespace: b.ns, Fields: "involvedObject.kind=Kustomization"}
	for _, name := range []string{"", "b"} {
		sel.Name = name
		var names []string
		for o, err := range b.List(b.ctx, sel) {
			if err != nil {
				b.t.Fatal(err)
			}
			names = append(names, o.Name())
		}
		if !slices.Equal(names, []string{"b"}) {
			b.t.Errorf("%+v selects %v", sel, names)
		}
	}
	sel.Name = ""
	w := b.watch(sel)
	w.expect("listing", "put b", "listed", "following")
	b.apply(event("c", "Pod"))
	b.apply(event("d", "Kustomization"))
	w.expect("put d")
}

func metadata(b *bench) {
	b.apply(b.config("a", "k", "v"))
	sel := b.configs()
	sel.Metadata = true
	check := func(o object.Object) {
		b.t.Helper()
		if o.ID() != b.config("a").ID() || o.APIVersion() != "v1" || o.Label("test") != "yes" || o.UID() == "" {
			b.t.Errorf("metadata is %s", o.JSON())
		}
		if _, ok := o.Get("data"); ok {
			b.t.Errorf("data came with the metadata: %s", o.JSON())
		}
		if entry(o, manager, "Apply", "") == "" {
			b.t.Errorf("no managed fields in the metadata: %s", o.JSON())
		}
	}
	n := 0
	for o, err := range b.List(b.ctx, sel) {
		if n++; err != nil {
			b.t.Fatal(err)
		}
		check(o)
	}
	if n != 1 {
		b.t.Errorf("list has %d objects", n)
	}
	w := b.watch(sel)
	w.expect("listing")
	check(w.expect("put a"))
	w.expect("listed", "following")
	b.apply(b.config("a", "k", "w"))
	check(w.expect("put a"))
	b.remove(b.config("a").ID())
	check(w.expect("gone a"))
}

func canceled(b *bench) {
	b.apply(b.config("a"))
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	n := 0
	for c, err := range b.Watch(ctx, b.configs()) {
		if err != nil {
			b.t.Error(err)
		}
		if n++; c.Type == cluster.Listed {
			cancel()
		}
	}
	if n != 3 {
		b.t.Errorf("%d changes before the end", n)
	}
	_, err := b.Apply(ctx, b.config("b"), how)
	b.wants(err, context.Canceled)
	_, _, err = b.Get(ctx, b.config("b").ID())
	b.wants(err, context.Canceled)
	for _, err := range b.List(ctx, b.configs()) {
		b.wants(err, context.Canceled)
	}
}

// Package clustertest checks that a cluster keeps the promises of package cluster.
package clustertest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// Run checks a cluster, which open returns for each test, new or the same as
// before. The tests make namespaces and custom resource definitions of their
// own, and remove them.
func Run(t *testing.T, open func(t *testing.T) cluster.Cluster) {
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(start(t, open(t))) })
	}
}

// RunLost checks that a cluster's watches tell that the cluster can't be reached,
// and that it can be again. Open returns a cluster and what cuts the connection
// to it, or mends that.
func RunLost(t *testing.T, open func(t *testing.T) (c cluster.Cluster, cut func(bool))) {
	c, cut := open(t)
	b := start(t, c)
	b.apply(b.config("a"))
	w := b.watch(b.configs())
	w.expect("listing", "put a", "listed", "following")
	cut(true)
	if _, err, ok := w.next(); !ok || !errors.Is(err, cluster.ErrUnavailable) {
		t.Fatalf("watch: %v, %v; want one that goes on after %q", err, ok, cluster.ErrUnavailable)
	}
	cut(false)
	w.recover("a")
	b.apply(b.config("b"))
	w.expect("put b")
}

// recover checks that a watch goes on: with a listing of what is there, or where
// it was. Other errors may come before.
func (s stream) recover(there string) {
	s.b.t.Helper()
	c, err, ok := s.next()
	for ok && err != nil {
		c, err, ok = s.next()
	}
	switch {
	case ok && c.Type == cluster.Following:
	case ok && c.Type == cluster.Listing:
		s.expect("put "+there, "listed", "following")
	default:
		s.b.t.Fatalf("watch: %v, %v, %v; want it to go on", c, err, ok)
	}
}

// A bench is what one test works at.
type bench struct {
	cluster.Cluster
	t   *testing.T
	ctx context.Context
	ns  string // the test's own
}

const manager = "clustertest"

var (
	how   = cluster.How{Manager: manager}
	dry   = cluster.How{Manager: manager, DryRun: true}
	other = cluster.How{Manager: "somebody-else"}
)

func start(t *testing.T, c cluster.Cluster) *bench {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	b := &bench{Cluster: c, t: t, ctx: ctx}
	b.ns = b.namespace()
	return b
}

// namespace makes a new one.
func (b *bench) namespace() string {
	b.t.Helper()
	name := fmt.Sprintf("clustertest-%x", time.Now().UnixNano())
	ns := object.Of(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}})
	if _, err := b.Create(b.ctx, ns, how); err != nil {
		b.t.Fatal(err)
	}
	b.cleanup(ns.ID())
	return name
}

// cleanup deletes an object when the test is over.
func (b *bench) cleanup(id object.ID) {
	b.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Delete(ctx, id, cluster.Where{}); err != nil && !errors.Is(err, cluster.ErrNoKind) {
			b.t.Errorf("cleanup: %v", err)
		}
	})
}

// config returns a ConfigMap of the test.
func (b *bench) config(name string, data ...string) object.Object {
	m := map[string]any{}
	for i := 0; i < len(data); i += 2 {
		m[data[i]] = data[i+1]
	}
	return object.Of(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "data": m,
		"metadata": map[string]any{"name": name, "namespace": b.ns, "labels": map[string]any{"test": "yes"}},
	})
}

// configs selects the ConfigMaps of the test.
func (b *bench) configs() cluster.Selection {
	return cluster.Selection{Kind: object.Kind{Name: "ConfigMap"}, Namespace: b.ns, Labels: "test=yes"}
}

func (b *bench) apply(o object.Object) object.Object {
	b.t.Helper()
	got, err := b.Apply(b.ctx, o, how)
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

func (b *bench) get(id object.ID) object.Object {
	b.t.Helper()
	o, ok, err := b.Get(b.ctx, id)
	if err != nil {
		b.t.Fatal(err)
	}
	if !ok {
		b.t.Fatalf("%s is not there", id)
	}
	return o
}

func (b *bench) absent(id object.ID) {
	b.t.Helper()
	if _, ok, err := b.Get(b.ctx, id); ok || err != nil {
		b.t.Fatalf("Get %s = %v, %v; want nothing", id, ok, err)
	}
}

func (b *bench) patch(id object.ID, merge string) object.Object {
	b.t.Helper()
	o, err := b.Patch(b.ctx, id, cluster.Patch{Type: cluster.MergePatch, Data: []byte(merge)}, how)
	if err != nil {
		b.t.Fatal(err)
	}
	return o
}

func (b *bench) remove(id object.ID) {
	b.t.Helper()
	if err := b.Delete(b.ctx, id, cluster.Where{}); err != nil {
		b.t.Fatal(err)
	}
}

// wants checks that err is of a kind and says the words.
func (b *bench) wants(err, kind error, words ...string) {
	b.t.Helper()
	if !errors.Is(err, kind) {
		b.t.Fatalf("error %v; want one that is %q", err, kind)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			b.t.Errorf("error %q does not say %q", err, w)
		}
	}
}

// eventually waits until f returns nil.
func (b *bench) eventually(f func() error) {
	b.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-b.ctx.Done():
			b.t.Fatalf("still: %v", err)
		case <-tick.C:
		}
	}
}

// A stream is a watch, one change at a time.
type stream struct {
	b    *bench
	next func() (cluster.Change, error, bool)
}

func (b *bench) watch(sel cluster.Selection) stream {
	next, stop := iter.Pull2(b.Watch(b.ctx, sel))
	b.t.Cleanup(stop)
	return stream{b, next}
}

// change returns the next change.
func (s stream) change() cluster.Change {
	s.b.t.Helper()
	c, err, ok := s.next()
	if err != nil || !ok {
		s.b.t.Fatalf("watch: %v, %v; want a change", err, ok)
	}
	return c
}

// expect checks what comes next: "listing", "listed", "following", "put NAME" or "gone NAME".
func (s stream) expect(want ...string) (last object.Object) {
	s.b.t.Helper()
	for _, w := range want {
		c := s.change()
		got := map[cluster.ChangeType]string{
			cluster.Listing: "listing", cluster.Listed: "listed", cluster.Following: "following", cluster.Put: "put ", cluster.Gone: "gone ",
		}[c.Type] + c.Object.Name()
		if got != w {
			s.b.t.Fatalf("watch: %s; want %s", got, w)
		}
		last = c.Object
	}
	return last
}

package engine

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// sharded returns an engine that keeps what is labelled shard=a, over a cluster.
func sharded(t *testing.T, c *memory.Cluster) *Engine {
	e := asker(t, c)
	e.c.Selected = func(labels map[string]string) bool { return labels["shard"] == "a" }
	return e
}

var ours, others = map[string]string{"shard": "a"}, map[string]string{"shard": "b"}

type heard []report.Event

func (h *heard) Report(ev report.Event) { *h = append(*h, ev) }

// TestToldAfterConflict has a source change while it is looked at: what became of
// it is told as long as it is ours.
func TestToldAfterConflict(t *testing.T) {
	for _, to := range []map[string]string{ours, others} {
		c := memory.New(memory.Kinds("source.toolkit.fluxcd.io/v1", "GitRepository")...)
		e := sharded(t, c)
		var said heard
		e.c.Sinks = []report.Sink{&said}
		put(t, c, object.Of(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "flux-system"}}))
		apps := put(t, c, object.Of(map[string]any{
			"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": map[string]any{"namespace": "flux-system", "name": "apps"},
			"spec": map[string]any{"interval": "1m", "url": "https://git.example/apps"},
		}).WithLabels(ours))
		e.take(t.Context(), apps, 1)
		c.Edit(apps.ID(), "somebody", func(o object.Object) object.Object {
			return o.WithLabels(to).WithAnnotations(map[string]string{"a": "b"})
		})
		live := func() object.Object {
			o, _, _ := c.Get(t.Context(), apps.ID())
			return o
		}
		f := *e.feeds[source.FeedName{Kind: "GitRepository", Namespace: "flux-system", Name: "apps"}]
		st := f.status
		st.Revision = source.Revision{Name: "main@sha1:1", Digest: "sha1:1"}
		e.tellFeed(t.Context(), f, st)
		if e.foreign(live()) {
			e.tellFeed(t.Context(), f, st) // again, when that is known
		}
		rev, _ := live().Get("status", "artifact", "revision")
		if told := rev == "main@sha1:1"; told != (to["shard"] == "a") {
			t.Errorf("shard %s: its status tells of revision %v", to["shard"], rev)
		}
		if told := len(said) > 0; told != (to["shard"] == "a") {
			t.Errorf("shard %s: %d events", to["shard"], len(said))
		}
	}
}

// TestOthersTell has a unit handed over while its worker has something to say.
func TestOthersTell(t *testing.T) {
	e := sharded(t, memory.New())
	var said heard
	e.c.Sinks = []report.Sink{&said}
	e.take(t.Context(), kustomization("u", "1", 1, "./web").WithLabels(ours), 1)
	r, ok := e.begin(site, func() {})
	if !ok {
		t.Fatal("it is not kept")
	}
	e.take(t.Context(), kustomization("u", "2", 1, "./web").WithLabels(others), 1)
	r.st.Err = errors.New("it has failed")
	if err := r.say(t.Context()); err != nil || len(said) > 0 {
		t.Errorf("%v, and %d events of what others keep", err, len(said))
	}
}

// A mumbling dialect understands nothing of what others keep.
type mumbling struct{ dialect.Dialect }

func (mumbling) ReadForeign(object.Object) (dialect.Asked, error) {
	return dialect.Asked{}, errors.New("what?")
}

// TestHandedOverUnread has a unit handed over in words that are not understood:
// it is kept no more.
func TestHandedOverUnread(t *testing.T) {
	e := sharded(t, memory.New())
	e.c.Dialect = mumbling{e.c.Dialect}
	e.take(t.Context(), kustomization("u", "1", 1, "./web").WithLabels(ours), 1)
	ctx, stop := context.WithCancel(t.Context())
	if _, ok := e.begin(site, stop); !ok {
		t.Fatal("it is not kept")
	}
	e.take(t.Context(), kustomization("u", "2", 1, "./web").WithLabels(others), 1)
	if e.units[site] != nil || ctx.Err() == nil {
		t.Error("it is still kept")
	}
	e.take(t.Context(), kustomization("u", "3", 1, "./web").WithLabels(ours), 1)
	if e.units[site] == nil {
		t.Error("it has come back, and is not kept")
	}
}

// TestOthersReadOnce has many objects come from one unit of others in one run:
// what that unit refers to is read once.
func TestOthersReadOnce(t *testing.T) {
	c := memory.New()
	e := sharded(t, c)
	entries := []any{}
	ids := []object.ID{}
	for _, name := range []string{"a", "b", "c"} {
		entries = append(entries, map[string]any{"id": "default_" + name + "__ConfigMap", "v": "v1"})
		ids = append(ids, object.ID{Kind: object.Kind{Name: "ConfigMap"}, Namespace: "default", Name: name})
	}
	e.take(t.Context(), kustomization("u", "1", 1, "./web").WithLabels(others).With(entries, "status", "inventory", "entries"), 1)
	reads := 0
	c.Fail(func(op string, _ object.ID) error {
		if op == "get" {
			reads++
		}
		return nil
	})
	r := &run{e: e, u: unit.Unit{Source: source.FeedName{Kind: flux.GitRepository.Name, Namespace: "flux-system", Name: "other"}}}
	for _, id := range slices.Concat(ids, ids) {
		if by := r.keeper(t.Context(), site, id); by != site.String() {
			t.Errorf("%s is kept by %q", id, by)
		}
	}
	if by := r.keeper(t.Context(), site, object.ID{Name: "d"}); by != "" {
		t.Errorf("what it does not own is kept by %s", by)
	}
	if reads != 1 {
		t.Errorf("one unit was read by %d requests", reads)
	}
}

// A locked publisher is not let in where the content is.
type locked struct{ Publisher }

func (locked) Publish(context.Context, source.FeedName, *source.Snapshot) (source.Artifact, error) {
	return source.Artifact{}, source.ErrAuth
}

// TestFetchedAfterAuth has a publisher fail by the credentials by which a snapshot
// came: it is fetched anew, and units have what they had meanwhile.
func TestFetchedAfterAuth(t *testing.T) {
	e := asker(t, memory.New())
	e.c.Publisher = locked{}
	name := source.FeedName{Kind: "OCIRepository", Namespace: "flux-system", Name: "apps"}
	snap := &source.Snapshot{Revision: source.Revision{Name: "v1"}}
	f := &feed{want: source.Feed{Name: name}, made: made{own: snap, tree: snap}}
	f.asked = askedFor(f.want)
	e.feeds[name] = f
	if st := e.publish(t.Context(), *f, source.Status{}, snap); !errors.Is(st.Err, source.ErrAuth) {
		t.Fatal(st.Err)
	}
	if f.has(snap.Revision) || f.tree != snap {
		t.Errorf("it is not fetched anew: %v; units have it still: %v", f.has(snap.Revision), f.tree == snap)
	}
}

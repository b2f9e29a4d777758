package journal

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
)

// A world is a cluster in memory for a test.
type world struct {
	*memory.Cluster
	t *testing.T
}

func newWorld(t *testing.T) world {
	c := memory.New(slices.Concat(memory.Kinds("kustomize.toolkit.fluxcd.io/v1", "Kustomization"), memory.Kinds("source.toolkit.fluxcd.io/v1", "GitRepository"))...)
	w := world{c, t}
	w.apply(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "shop"}})
	return w
}

func (w world) memory() Memory { return Memory{Cluster: w, Dialect: flux.New(flux.Config{})} }

func (w world) apply(body map[string]any) object.ID {
	w.t.Helper()
	o, err := w.Apply(context.Background(), object.Of(body), cluster.How{Manager: "test", Force: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return o.ID()
}

// unit puts a unit whose history says that it was ready at revision 1 at ten, and
// failed at revision 2 at eleven.
func (w world) unit(name string) object.ID {
	id := w.apply(map[string]any{
		"apiVersion": units.Group + "/v1", "kind": units.Name, "metadata": map[string]any{"namespace": "shop", "name": name},
		"spec": map[string]any{"interval": "10m", "sourceRef": map[string]any{"kind": "GitRepository", "name": "apps"}},
	})
	entry := func(hour int, status, revision string) any {
		at := noon.Add(time.Duration(hour-12) * time.Hour).Format(time.RFC3339)
		return map[string]any{"firstReconciled": at, "lastReconciled": at, "lastReconciledStatus": status, "metadata": map[string]any{"revision": revision}}
	}
	w.SetStatus(id, map[string]any{"history": []any{entry(11, "BuildFailed", "2"), entry(10, "ReconciliationSucceeded", "1")}})
	return id
}

// event puts an Event about a unit, some minutes after noon.
func (w world) event(minute int, about, reason, message, revision string, count int) {
	at := noon.Add(time.Duration(minute) * time.Minute)
	kind, sort := units.Name, "Normal"
	if reason == "BuildFailed" {
		sort = "Warning"
	}
	if about == "pod" {
		kind = "Pod"
	}
	w.apply(map[string]any{
		"apiVersion": "v1", "kind": "Event", "metadata": map[string]any{
			"namespace": "shop", "name": fmt.Sprintf("%s.%s.%d", about, strings.ToLower(reason), minute),
			"annotations": map[string]any{units.Group + "/revision": revision},
		},
		"involvedObject": map[string]any{"apiVersion": units.Group + "/v1", "kind": kind, "namespace": "shop", "name": about},
		"type":           sort, "reason": reason, "message": message, "count": int64(count),
		"firstTimestamp": at.Format(time.RFC3339), "lastTimestamp": at.Add(time.Minute).Format(time.RFC3339),
	})
}

// A lost journal is made up again from what the cluster tells, each thing once.
func TestRecall(t *testing.T) {
	w := newWorld(t)
	w.unit("web")
	w.unit("db")
	w.event(1, "web", "Progressing", "Deployment/shop/web configured", "1", 3)
	w.event(2, "web", "BuildFailed", "bad <b>", "2", 1)
	w.event(3, "pod", "BuildFailed", "is no unit", "2", 1)
	w.event(9, "web", "ReconciliationSucceeded", "is not over yet", "3", 1)
	j := opened(t, Config{})
	want := `12:02 shop/web failed
12:01 shop/web applied 3 times Deployment/shop/web configured
11:00 shop/db failed
10:00 shop/db ready
`
	for range 2 {
		if err := j.Recall(t.Context(), w.memory(), noon.Add(5*time.Minute)); err != nil {
			t.Fatal(err)
		}
		same(t, "recalled", list(t, j, Query{}), want)
	}
	w.event(1, "web", "Progressing", "Deployment/shop/web configured", "1", 4)
	if err := j.Recall(t.Context(), w.memory(), noon.Add(5*time.Minute)); err != nil {
		t.Fatal(err)
	}
	same(t, "counted", list(t, j, Query{}), strings.Replace(want, "3 times", "4 times", 1))
}

// What we were told ourselves is not recalled beside it, though Events tell it in
// other words.
func TestRecallTold(t *testing.T) {
	w := newWorld(t)
	w.unit("web")
	web := object.ID{Kind: object.Kind{Group: "apps", Name: "Deployment"}, Namespace: "shop", Name: "web"}
	j := opened(t, Config{})
	ready := told(3, "shop", "web", report.Facts{Kind: report.Recovered, Revision: "1"}, "Reconciliation finished")
	ready.Reason = "ReconciliationSucceeded"
	bad := told(5, "shop", "web", report.Facts{Kind: report.Failed, Revision: "2"}, "bad")
	bad.Reason, bad.Severity = "BuildFailed", report.Error
	again := bad
	again.At = again.At.Add(15 * time.Minute)
	fast := told(1, "shop", "web", report.Facts{Kind: report.Applied, Revision: "1", Changes: []report.Change{{ID: web, Done: "configured", Undid: true, By: "ada"}}}, "Deployment/shop/web configured")
	fast.At = fast.At.Add(700 * time.Millisecond)
	tell(j, fast, ready, bad, again)
	before := list(t, j, Query{})
	w.event(1, "web", "Progressing", "Deployment/shop/web configured", "1", 1)
	w.event(3, "web", "ReconciliationSucceeded", "Reconciliation finished", "1", 1)
	w.event(5, "web", "BuildFailed", "bad", "2", 1)
	w.event(20, "web", "BuildFailed", "bad", "2", 1)
	recall := func() {
		t.Helper()
		if err := j.Recall(t.Context(), w.memory(), noon.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	recall()
	same(t, "known", list(t, j, Query{}), before)
	w.event(30, "web", "Progressing", "Deployment/shop/web deleted", "1", 1)
	recall()
	same(t, "missed", list(t, j, Query{}), "12:30 shop/web pruned Deployment/shop/web deleted\n"+before)
}

// What may not be listed is said, and the rest is recalled; so is what is in the
// one namespace that may be.
func TestRecallForbidden(t *testing.T) {
	w := newWorld(t)
	w.unit("web")
	w.event(1, "web", "Resumed", "x", "1", 1)
	m := w.memory()
	m.Cluster = fenced{w, func(sel cluster.Selection) bool { return sel.Kind.Name != "Event" || sel.Namespace == "shop" }}
	j := opened(t, Config{})
	if err := j.Recall(t.Context(), m, noon.Add(time.Hour)); err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Error(err)
	}
	same(t, "the histories", list(t, j, Query{}), "11:00 shop/web failed\n10:00 shop/web ready\n")
	m.Namespace = "shop"
	if err := j.Recall(t.Context(), m, noon.Add(time.Hour)); err != nil {
		t.Error(err)
	}
	same(t, "all", list(t, j, Query{}), "12:01 shop/web resumed\n11:00 shop/web failed\n10:00 shop/web ready\n")
}

// A fenced cluster lets only some selections be seen.
type fenced struct {
	cluster.Cluster
	may func(cluster.Selection) bool
}

func (f fenced) List(ctx context.Context, sel cluster.Selection) iter.Seq2[object.Object, error] {
	if !f.may(sel) {
		return func(yield func(object.Object, error) bool) {
			yield(object.Object{}, fmt.Errorf("list: %w", cluster.ErrForbidden))
		}
	}
	return f.Cluster.List(ctx, sel)
}

// A journal that is set aside is made up again.
func TestKeep(t *testing.T) {
	w := newWorld(t)
	w.unit("web")
	j := opened(t, Config{Path: t.TempDir() + "/journal.db"})
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	all.Go(func() { j.Keep(ctx, w.memory(), false) })
	want := "11:00 shop/web failed\n10:00 shop/web ready\n"
	until(t, j, want)
	if !j.renew(j.now()) {
		t.Fatal("there is no new file")
	}
	until(t, j, want)
}

// To go on where one has stopped costs no request.
func TestKeepAgain(t *testing.T) {
	w := newWorld(t)
	w.unit("web")
	j := opened(t, Config{Path: t.TempDir() + "/journal.db"})
	if err := j.Recall(t.Context(), w.memory(), j.c.Now()); err != nil {
		t.Fatal(err)
	}
	for _, others := range []bool{false, true} {
		w.Cluster.ForgetCalls()
		ctx, stop := context.WithCancel(t.Context())
		stop()
		j.Keep(ctx, w.memory(), others)
		if n := len(w.Cluster.Calls()); (n > 0) != others {
			t.Errorf("others have been told, %v: %d requests", others, n)
		}
	}
}

// until waits for a journal to tell something.
func until(t *testing.T, j *Journal, want string) {
	t.Helper()
	for {
		j.mu.Lock()
		turned := j.turned
		j.mu.Unlock()
		got := list(t, j, Query{})
		if got == want {
			return
		}
		select {
		case <-turned:
		case <-time.After(20 * time.Second):
			t.Fatalf("it tells\n%swant\n%s", got, want)
		}
	}
}

// Where nobody tells us, we read what is told, and who leaves what alone.
func TestFollow(t *testing.T) {
	w := newWorld(t)
	id := w.unit("web")
	w.event(1, "web", "Progressing", "Deployment/shop/web configured", "1", 1)
	j := opened(t, Config{})
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	all.Go(func() { j.Follow(ctx, w.memory()) })
	want := "12:01 shop/web applied Deployment/shop/web configured\n11:00 shop/web failed\n"
	until(t, j, want)
	w.event(4, "web", "ReconciliationSucceeded", "Reconciliation finished", "3", 1)
	want = "12:04 shop/web ready\n" + want
	until(t, j, want)
	say := func(p dialect.Pause, manager string) {
		t.Helper()
		data := object.Of(flux.New(flux.Config{}).SetPause(p)).JSON()
		if _, err := w.Patch(ctx, id, cluster.Patch{Type: cluster.MergePatch, Data: data}, cluster.How{Manager: manager}); err != nil {
			t.Fatal(err)
		}
	}
	kinds := Query{Kinds: []report.Kind{report.Suspended, report.Resumed}}
	wait := func(n int) []Entry {
		t.Helper()
		for {
			j.mu.Lock()
			turned := j.turned
			j.mu.Unlock()
			p, err := j.Read(ctx, kinds)
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Entries) == n {
				return p.Entries
			}
			select {
			case <-turned:
			case <-time.After(20 * time.Second):
				t.Fatalf("%d entries: %v", len(p.Entries), p.Entries)
			}
		}
	}
	say(dialect.Pause{On: true, By: "ada", Why: "<i>migration</i>"}, "sane")
	wait(1)
	say(dialect.Pause{}, "flux")
	got := wait(2)
	if got[0].Kind != report.Resumed || got[0].Who != "flux" || got[1].Who != "ada" || !strings.Contains(got[1].Message, "<i>migration</i>") {
		t.Error(got)
	}
}

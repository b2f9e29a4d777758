package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// keptPages are pages of the shop, and what each shows that no other page does.
var keptPages = map[string]string{
	webUnit:                               "What it has made",
	webUnit + "?view=list":                "What it has made",
	appsSource:                            "stored artifact",
	"/object/Deployment.apps/shop/web":    "replicas: 5",
	"/timeline":                           "the vault is open",
	"/timeline?what=suspended":            "suspended by ada",
	"/":                                   "/shop/web",
	"/sources?sort=users":                 appsSource,
	"/object/ConfigMap/shop/settings":     "greeting",
	"/object/Pod/shop/web-6797f58d-khx80": "web-6797f58d-khx80",
}

// A page that is opened anew while the API server is lost is shown as it was, with
// since when and why, and to nobody else; when rights are too old it says only that.
func TestKeptPages(t *testing.T) {
	st := past(t, true)
	st.story()
	b, other := st.insider(), st.insider()
	for path, want := range keptPages {
		b.get(path).has(t, want, `!class="stale"`)
	}
	st.world.Fail(func(string, object.ID) error { return fmt.Errorf("%w: <nobody> is there", cluster.ErrUnavailable) })
	st.clock.pass(3 * time.Minute)
	for path, want := range keptPages {
		if path == "/" || strings.HasPrefix(path, "/sources") {
			continue // the rows are at hand: they are not older for that
		}
		a := b.get(path)
		a.has(t, want)
		if !strings.HasPrefix(path, "/timeline") { // of which nothing but rights is asked
			a.has(t, "This page: not as it is now, for 3m.", "&lt;nobody&gt; is there", `data-live="`)
		}
		b.get(path, fragmentHeader, "main").has(t, want, "!<html")
	}
	b.get(webUnit+"?done=reconcile").has(t, "What it has made", "This page: not as it is now")
	for path, want := range map[string]int{"/object/Deployment.apps/shop/web": 503, "/object/Secret/shop/key": 503} {
		if a := other.get(path); a.status != want || strings.Contains(a.body, "replicas: 5") {
			t.Errorf("%s is shown to who has not seen it: %v", path, a)
		}
	}
	// What lists know of it they may list.
	other.get(webUnit).has(t, "Kustomization/shop/web: not as it is now", "This is what lists know of it", "Available: 1/2 &lt;script&gt;", "!<script>alert", "!What it has made")
	other.get(appsSource).has(t, "GitRepository/shop/apps: not as it is now", "https://example.com/apps")

	st.clock.pass(rightStands)
	for path := range keptPages {
		if strings.HasPrefix(path, "/timeline") {
			continue // nothing of it is in the cluster, and who looks as ourselves has all rights
		}
		if a := b.get(path); a.status != http.StatusServiceUnavailable {
			t.Errorf("%s, when rights are too old: %v", path, a)
		}
	}
	st.world.Fail(nil)
	b.get(webUnit).has(t, "What it has made", `!class="stale"`)
}

// What somebody may not see any more is not kept for them, whatever comes then.
func TestKeptRights(t *testing.T) {
	st := shop(t, reviewed(map[string]cluster.Identity{"ada": {User: "ada"}, "bob": {User: "bob"}}))
	b, bob := st.caller(), st.caller()
	b.login("ada", "/")
	bob.login("bob", "/")
	st.world.Allow(func(who cluster.Identity, d cluster.Deed) bool { return who.User != "bob" })
	bob.get("/")
	for _, path := range []string{webUnit, webUnit + "?view=list", "/object/Secret/shop/key"} {
		if a := b.get(path); a.status != http.StatusOK {
			t.Fatal(a)
		}
	}
	st.world.Allow(func(who cluster.Identity, d cluster.Deed) bool { return who.User == "" })
	if a := b.get("/object/Secret/shop/key"); a.status != http.StatusForbidden {
		t.Error(a)
	}
	st.world.Fail(func(string, object.ID) error { return cluster.ErrUnavailable })
	st.world.Allow(nil) // nobody can say who may do what
	if a := b.get("/object/Secret/shop/key"); a.status != http.StatusServiceUnavailable {
		t.Errorf("what was refused is shown again: %v", a)
	}
	for _, path := range []string{webUnit, webUnit + "?view=list"} {
		b.get(path).has(t, "!What it has made")
	}
	for _, path := range []string{webUnit, appsSource, "/object/Deployment.apps/shop/web"} {
		if a := bob.get(path); a.status != http.StatusServiceUnavailable || strings.Contains(a.body, "example.com") || strings.Contains(a.body, "Available") {
			t.Errorf("bob, who may see nothing, is shown %v", a)
		}
	}
}

// What is not there any more is not shown again in whatever way it was shown before.
func TestKeptGone(t *testing.T) {
	st := shop(t, nil)
	b := st.insider()
	ways := []string{webUnit, webUnit + "?view=list"}
	for _, path := range append(ways, appsSource) {
		if a := b.get(path); a.status != http.StatusOK {
			t.Fatal(a)
		}
	}
	if err := st.world.Delete(t.Context(), webID, cluster.Where{}); err != nil {
		t.Fatal(err)
	}
	if a := b.get(webUnit); a.status != http.StatusNotFound {
		t.Fatal(a)
	}
	st.world.Fail(func(string, object.ID) error { return cluster.ErrUnavailable })
	for _, path := range ways {
		b.get(path).has(t, "!What it has made")
	}
	b.get(appsSource).has(t, "This page: not as it is now", "stored artifact")
}

// A page that is open is not replaced by one that says less.
func TestScantFragment(t *testing.T) {
	st := shop(t, nil)
	b, other := st.insider(), st.insider()
	b.get("/")
	st.world.Fail(func(string, object.ID) error { return cluster.ErrUnavailable })
	other.get(webUnit).has(t, "This is what lists know of it")
	if a := other.get(webUnit, fragmentHeader, "main"); a.status != http.StatusServiceUnavailable {
		t.Errorf("our script is given %v", a)
	}
}

// What was answered after the time of a page is no silence, and a journal that is slow
// is not the cluster's.
func TestSilent(t *testing.T) {
	st := stageOf(t, nil)
	v := st.viewerOf(session{Who: cluster.Identity{User: "ada"}})
	v.cluster = lateCluster{v.cluster}
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for _, want := range []bool{true, false} {
		st.world.Allow(func(cluster.Identity, cluster.Deed) bool { return want })
		st.clock.pass(2 * rightLasts)
		if ok, err := st.may(late, v, cluster.Deed{Verb: "get", Object: webID}); ok != want || err != nil {
			t.Errorf("rights that were answered late: %v, %v, want %v", ok, err, want)
		}
	}
	if silent(late, fmt.Errorf("%w: %w", errUnread, late.Err())) || !silent(late, late.Err()) {
		t.Error("a slow journal is taken for a silent cluster")
	}
}

// Pages that are kept are few, and those of one viewer push out their own.
func TestKeptBounds(t *testing.T) {
	var k kept
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	put := func(session string, n, size int) {
		k.put(&keptPage{key: keptKey{session, fmt.Sprint(n)}, packed: make([]byte, size), at: now})
	}
	put("quiet", 0, 1000)
	for i := range 3 * maxKept {
		put("eager", i, 1000)
	}
	if n := k.order.Len(); n != maxKept+1 || k.get(keptKey{"quiet", "0"}) == nil || k.get(keptKey{"eager", "0"}) != nil || k.get(keptKey{"eager", fmt.Sprint(3*maxKept - 1)}) == nil {
		t.Errorf("%d pages are kept", n)
	}
	put("quiet", 0, 3000)
	if want := maxKept*1000 + 3000; k.bytes != want {
		t.Errorf("%d bytes are counted, want %d", k.bytes, want)
	}
	for i := range 100 {
		put(fmt.Sprint("s", i), 0, maxBytes/maxKept)
	}
	if k.bytes > maxBytes || len(k.by) != k.order.Len() || k.get(keptKey{"quiet", "0"}) != nil {
		t.Errorf("%d bytes are kept in %d pages", k.bytes, len(k.by))
	}
	now = now.Add(rightStands + time.Second)
	put("later", 0, 1)
	if n := k.order.Len(); n != 1 || k.bytes != 1 || len(k.of) != 1 {
		t.Errorf("%d old pages are kept", n-1)
	}
}

// An API server that does not answer in time is as one that is not there.
func TestSlowCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := false
		st := stageOf(t, func(c *Config) { c.Cluster = slowCluster{c.Cluster, &slow} })
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- st.Run(ctx) }()
		id := st.apply(unitBody("shop", "web", "apps", says("Ready", "True", "ReconciliationSucceeded", "Applied")))
		st.apply(sourceBody("shop", "apps"))
		in := httptest.NewRecorder()
		st.ServeHTTP(in, httptest.NewRequest("GET", "http://127.0.0.1/enter?pass="+pass, nil))
		get := func(path string) (*httptest.ResponseRecorder, time.Duration) {
			r := httptest.NewRequest("GET", "http://127.0.0.1"+path, nil)
			for _, c := range in.Result().Cookies() {
				r.AddCookie(c)
			}
			w, began := httptest.NewRecorder(), time.Now()
			st.ServeHTTP(w, r)
			return w, time.Since(began)
		}
		for _, path := range []string{"/", st.address(id)} {
			if w, _ := get(path); w.Code != http.StatusOK {
				t.Fatal(w.Body)
			}
		}
		slow = true
		st.clock.pass(time.Minute) // rights are asked for again
		for path, want := range map[string]string{
			"/": "/shop/web", st.address(id): "it has not answered within 10s", "/object/Secret/shop/key": "it has not answered within 10s",
		} {
			w, took := get(path)
			if !strings.Contains(w.Body.String(), want) || took > pageLasts {
				t.Errorf("%s, after %v: %d %s", path, took, w.Code, w.Body)
			}
		}
		stop()
		<-ended
	})
}

// A lateCluster says who may do what though nobody waits for it any more.
type lateCluster struct{ cluster.Cluster }

func (c lateCluster) May(ctx context.Context, d cluster.Deed) (bool, error) {
	return c.Cluster.May(context.WithoutCancel(ctx), d)
}

// A slowCluster answers to nobody in time.
type slowCluster struct {
	cluster.Cluster
	slow *bool
}

func (c slowCluster) Get(ctx context.Context, id object.ID) (object.Object, bool, error) {
	if *c.slow {
		<-ctx.Done()
	}
	return c.Cluster.Get(ctx, id)
}

func (c slowCluster) May(ctx context.Context, d cluster.Deed) (bool, error) {
	if *c.slow {
		<-ctx.Done()
	}
	return c.Cluster.May(ctx, d)
}

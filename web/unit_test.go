package web

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/internal/browser"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/render/plain"
	"github.com/sane-gitops/sane/source"
)

// Revisions of the shop's source.
const (
	oldCommit = "4204876ba8c7112864c0312481fb9a7d83985e91"
	newCommit = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b"
	oldRev    = "main@sha1:" + oldCommit
	newRev    = "main@sha1:" + newCommit
)

// hostile is what nobody should have to read but as text.
const hostile = `<script>alert(1)</script><img src=x onerror=alert(1)>`

// A shelf of trees is a source whose commits are at hand.
type trees map[string]fs.FS

func (t trees) Resolve(_ context.Context, _ source.Remote, ref source.Ref) (source.Revision, error) {
	id := ref.Commit
	if id == "" {
		id = newCommit
	}
	if t[id] == nil {
		return source.Revision{}, fmt.Errorf("there is no commit %s", id)
	}
	return source.Revision{Name: "main@sha1:" + id, Digest: digest.Digest("sha1:" + id)}, nil
}

func (t trees) Fetch(_ context.Context, _ source.Remote, _ source.Ref, rev source.Revision) (*source.Snapshot, error) {
	_, id, _ := strings.Cut(rev.Name, ":")
	return &source.Snapshot{Revision: rev, Tree: t[id], Commit: source.Commit{
		Author: "Ada Lovelace <ada@example.com>", Subject: "change " + id[:8] + " " + hostile, When: time.Date(2026, 1, 2, 2, 0, 0, 0, time.UTC),
	}}, nil
}

// manifests are what the shop's source holds.
func manifests(replicas int, image, password string, more string) fs.FS {
	return fstest.MapFS{"web/all.yaml": &fstest.MapFile{Data: []byte(fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: %q}]}
---
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: shop}
stringData: {password: %s}
`+more, replicas, image, password))}}
}

const settings = `---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {greeting: hello}
`

// shop sets a stage with a unit that is not well, and all that belongs to it.
func shop(t testing.TB, set func(*Config)) *stage {
	keeper, err := render.NewKeeper(plain.Renderer{}, render.Config{})
	if err != nil {
		t.Fatal(err)
	}
	at := trees{oldCommit: manifests(2, "web:1", "0ldpassword", settings), newCommit: manifests(3, "web:2", "n3wpassword", "")}
	st := play(t, func(c *Config) {
		c.Language.Approve = flux.Approve
		c.Equip = func() (*ask.Gear, error) {
			return &ask.Gear{Sources: map[string]source.Source{"git": at}, Renderer: keeper, Close: keeper.Close}, nil
		}
		if set != nil {
			set(c)
		}
	})
	labels := map[string]any{"kustomize.toolkit.fluxcd.io/name": "web", "kustomize.toolkit.fluxcd.io/namespace": "shop"}
	st.apply(sourceBody("shop", "apps", says("Ready", "True", "Succeeded", "stored artifact")))
	u := unitBody("shop", "web", "apps", says("Ready", "False", "HealthCheckFailed", "Deployment/shop/web: Available: 1/2 "+hostile))
	u["status"].(map[string]any)["inventory"] = map[string]any{"entries": []any{
		map[string]any{"id": "shop_web_apps_Deployment", "v": "v1"}, map[string]any{"id": "shop_key__Secret", "v": "v1"},
		map[string]any{"id": "shop_settings__ConfigMap", "v": "v1"},
	}}
	u["status"].(map[string]any)["history"] = []any{
		map[string]any{"digest": "sha256:2", "firstReconciled": "2026-01-02T02:49:00Z", "lastReconciled": "2026-01-02T02:50:00Z", "lastReconciledDuration": "1m2.5s", "lastReconciledStatus": "HealthCheckFailed", "totalReconciliations": int64(4), "metadata": map[string]any{"revision": newRev}},
		map[string]any{"digest": "sha256:1", "firstReconciled": "2026-01-01T02:00:00Z", "lastReconciled": "2026-01-02T01:00:00Z", "lastReconciledDuration": "420ms", "lastReconciledStatus": "ReconciliationSucceeded", "totalReconciliations": int64(1), "metadata": map[string]any{"revision": oldRev}},
	}
	u["status"].(map[string]any)["lastAttemptedRevision"] = newRev
	st.apply(u)
	web := st.apply(map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "web", "namespace": "shop", "labels": labels, "generation": int64(1)},
		"spec": map[string]any{"replicas": int64(5), "selector": map[string]any{"matchLabels": map[string]any{"app": "web"}},
			"template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "web"}}, "spec": map[string]any{"containers": []any{map[string]any{"name": "main", "image": "web:1"}}}}},
		"status": map[string]any{"observedGeneration": int64(1), "replicas": int64(2), "updatedReplicas": int64(2), "availableReplicas": int64(1), "readyReplicas": int64(1)},
	})
	st.apply(map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "key", "namespace": "shop", "labels": labels}, "data": map[string]any{"password": "aDB0cGFzc3dvcmQ="}})
	st.apply(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "settings", "namespace": "shop", "labels": labels}, "data": map[string]any{"greeting": hostile}})
	rs := st.apply(owned(st, web, "apps/v1", "ReplicaSet", "web-6797f58d", map[string]any{
		"spec":   map[string]any{"replicas": int64(2), "selector": map[string]any{"matchLabels": map[string]any{"app": "web"}}},
		"status": map[string]any{"observedGeneration": int64(1), "replicas": int64(2), "availableReplicas": int64(1)},
	}))
	for i, bad := range []bool{false, true} {
		st.apply(podOf(st, rs, fmt.Sprintf("web-6797f58d-khx8%d", i), bad))
	}
	return st
}

// owned returns an object that another has made.
func owned(st *stage, by object.ID, version, kind, name string, rest map[string]any) map[string]any {
	o, _, err := st.world.Get(context.Background(), by)
	if err != nil {
		st.t.Fatal(err)
	}
	body := map[string]any{"apiVersion": version, "kind": kind, "metadata": map[string]any{
		"name": name, "namespace": by.Namespace, "labels": map[string]any{"app": "web"},
		"ownerReferences": []any{map[string]any{"apiVersion": o.APIVersion(), "kind": by.Kind.Name, "name": by.Name, "uid": o.UID(), "controller": true}},
	}}
	for k, v := range rest {
		body[k] = v
	}
	return body
}

func podOf(st *stage, rs object.ID, name string, bad bool) map[string]any {
	state := map[string]any{"running": map[string]any{"startedAt": "2026-01-02T02:00:00Z"}}
	phase, ready := "Running", "True"
	if bad {
		phase, ready = "Pending", "False"
		state = map[string]any{"waiting": map[string]any{"reason": "ImagePullBackOff", "message": `Back-off pulling image "web:2"`}}
	}
	return owned(st, rs, "v1", "Pod", name, map[string]any{
		"spec": map[string]any{"containers": []any{map[string]any{"name": "main", "image": "web:2"}}},
		"status": map[string]any{"phase": phase, "conditions": []any{map[string]any{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-02T02:49:00Z"}},
			"containerStatuses": []any{map[string]any{"name": "main", "ready": !bad, "state": state}}},
	})
}

// has fails the test for what a page lacks, and for what it should not have.
func (a answer) has(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		not := strings.HasPrefix(w, "!")
		if strings.Contains(a.body, strings.TrimPrefix(w, "!")) == not {
			t.Errorf("want %q in %d %s", w, a.status, a.body)
		}
	}
}

const webUnit = "/unit/kustomization/shop/web"

func TestUnit(t *testing.T) {
	st := shop(t, nil)
	a := st.insider().get(webUnit)
	if a.status != 200 {
		t.Fatal(a)
	}
	a.has(t,
		"web-6797f58d-khx81", `container &#34;main&#34; can&#39;t start: ImagePullBackOff`, "So not ready: HealthCheckFailed",
		"&lt;script&gt;alert(1)", "!<script>alert", "!<img src=x",
		`href="/object/Deployment.apps/shop/web"`, `id="n-Pod/shop/web-6797f58d-khx81"`, "sane rollback ",
		"/compare?from=", "took 1m3s", `action="/unit/kustomization/shop/web/reconcile"`, "data-load=\"/unit/kustomization/shop/web/plan?of=",
	)
}

func TestPlan(t *testing.T) {
	st := shop(t, nil)
	st.insider().get(webUnit+"/plan").has(t,
		"spec.replicas", "*** (changed)", "!n3wpassword", "!"+"bjN3cGFzc3dvcmQ", "!aDB0cGFzc3dvcmQ", `<span class="verb">delete</span>`, "settings", "&lt;script&gt;", "!<script>alert",
	)
}

func TestCompare(t *testing.T) {
	st := shop(t, nil)
	b := st.insider()
	b.get(webUnit+"/compare?"+query("from", oldRev, "to", newRev)).has(t, "data-load=", "/compared?from=")
	b.get(webUnit+"/compared?"+query("from", oldRev, "to", newRev)).has(t, "3 objects differ", "image: web:1", "*** (changed)", "!0ldpassword", "!n3wpassword")
	b.get(webUnit+"/compared?"+query("from", oldRev, "to", "refs/heads/secret")).has(t, "is no revision that this unit has been at lately")
	b.get(webUnit+"/commit?"+query("revision", newRev)).has(t, "Ada Lovelace", "change 9f86d081 &lt;script&gt;")
	if a := b.get(webUnit + "/commit?revision=other"); a.status != 404 {
		t.Error(a)
	}
}

func TestObject(t *testing.T) {
	st := shop(t, nil)
	b := st.insider()
	b.get("/object/Deployment.apps/shop/web").has(t, "ImagePullBackOff", `<span class="name">web</span>`, "replicas: 5", "owned by test", "/restart", "/logs")
	b.get("/object/Deployment.apps/shop/web/origin").has(t, "web/all.yaml:1", "Ada Lovelace", "spec.replicas", "<td>5</td>", "As its source has it")
	b.get("/object/Secret/shop/key").has(t, "password: &#39;***&#39;", "!aDB0cGFzc3dvcmQ")
	b.get("/object/Secret/shop/key/origin").has(t, "*** (changed)", "!aDB0cGFzc3dvcmQ", "!n3wpassword", "!0ldpassword", "!bjN3cGFzc3dvcmQ")
	b.get("/object/ConfigMap/shop/settings").has(t, "&lt;script&gt;", "!<script>alert", "!/restart")
	b.get("/object/Pod/shop/web-6797f58d-khx81").has(t, "Delete this pod", "Made by", "ReplicaSet")
	if a := b.get("/object/Pod/shop/none"); a.status != 404 {
		t.Error(a)
	}
	if a := b.get("/object/Nothing.example.com/shop/none"); a.status != 404 {
		t.Error(a)
	}
	if a := b.get("/object/Kustomization.kustomize.toolkit.fluxcd.io/shop/web"); a.header.Get("Location") != webUnit {
		t.Error(a)
	}
}

// A viewer who may see the unit and not all that it keeps.
func TestRightsOfAUnit(t *testing.T) {
	secret, pod, configMap := object.Kind{Name: "Secret"}, object.Kind{Name: "Pod"}, object.Kind{Name: "ConfigMap"}
	source := true
	st := shop(t, nil)
	st.world.Allow(func(who cluster.Identity, d cluster.Deed) bool {
		switch {
		case who.User == "":
			return true
		case d.Verb == "patch" || d.Verb == "delete" || d.Object.Kind == secret || d.Object.Kind == pod || d.Object.Kind == configMap:
			return false
		case d.Object.Kind == flux.GitRepository:
			return source
		}
		return d.Verb == "get" || d.Verb == "list" || d.Verb == "watch"
	})
	who := cluster.Identity{User: "eve"}
	st.c.Door.Pass = ""
	st.c.Door.Review = func(context.Context, string) (cluster.Identity, error) { return who, nil }
	b := st.caller()
	x := st.begin(who, "")
	u, _ := url.Parse(st.http.URL)
	r := b.request("GET", "/", "")
	b.Jar.SetCookies(u, []*http.Cookie{{Name: st.cookie(r, "session"), Value: st.seal.close("session", x), Path: "/"}})
	b.get(webUnit).has(t, "it can&#39;t be seen", "!khx81", "!/reconcile", "!Suspend")
	b.get(webUnit+"/plan").has(t, "spec.replicas", "2 objects are left out", "!settings", "!password")
	b.get("/object/Deployment.apps/shop/web").has(t, "replicas: 5", "!/restart", "!khx81")
	for _, path := range []string{"/object/Secret/shop/key", "/object/Secret/shop/key/origin", "/object/Deployment.apps/shop/web/logs", "/object/Pod/shop/web-6797f58d-khx81"} {
		if a := b.get(path); a.status != 403 || strings.Contains(a.body, "password") {
			t.Errorf("%s: %v", path, a)
		}
	}
	for _, what := range []string{"reconcile", "suspend", "resume"} {
		if a := b.post(webUnit+"/"+what, nil); a.status != 403 {
			t.Errorf("%s: %v", what, a)
		}
	}
	source = false
	st.clock.pass(time.Minute)
	b.get(webUnit+"/plan").has(t, "what its source holds is not shown", "!spec.replicas")
	b.get(webUnit+"/compared?"+query("from", oldRev, "to", newRev)).has(t, "what its source holds is not shown", "!web:1")
	if a := b.get(webUnit + "/commit?" + query("revision", newRev)); strings.Contains(a.body, "Ada") {
		t.Error(a)
	}
}

func TestActions(t *testing.T) {
	st := shop(t, nil)
	b := st.insider()
	unit := object.ID{Kind: flux.Kustomization, Namespace: "shop", Name: "web"}
	now := func(id object.ID) object.Object {
		o, _, err := st.world.Get(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	done := func(path string, values url.Values, want int) {
		t.Helper()
		if a := b.post(path, values); a.status != want {
			t.Fatal(a)
		}
	}
	if a := b.post(webUnit+"/reconcile", url.Values{"form": {"forged"}}); a.status != 403 {
		t.Error(a)
	}
	done(webUnit+"/reconcile", url.Values{"to": {webUnit + "?view=list"}}, 303)
	if now(unit).Annotation(language.Request) == "" {
		t.Error("no look was asked for")
	}
	done(webUnit+"/suspend", url.Values{"reason": {hostile}, "for": {"2h"}}, 303)
	b.get(webUnit).has(t, "Suspended", "&lt;script&gt;alert(1)", "!<script>alert", ">Resume<")
	if until := now(unit).Annotation("sane-gitops.io/suspend-until"); until != "2026-01-02T05:04:05Z" {
		t.Errorf("it is suspended until %q", until)
	}
	done(webUnit+"/reconcile", nil, 409)
	done(webUnit+"/suspend", url.Values{"for": {"-2h"}}, 400)
	done(webUnit+"/resume", nil, 303)
	if language.Paused(now(unit)) {
		t.Error("it is still suspended")
	}
	done(webUnit+"/approve", url.Values{"digest": {"sha256:0f"}}, 409)
	st.world.SetStatus(unit, map[string]any{"conditions": []any{says("Ready", "False", "DeletionHeld", "deletion held: it would delete 2 of 2 objects; if that is meant, annotate it with sane-gitops.io/approve=sha256:0f")}})
	done(webUnit+"/approve", url.Values{"digest": {"sha256:0e"}}, 409)
	done(webUnit+"/approve", url.Values{"digest": {"sha256:0f"}}, 303)
	if now(unit).Annotation(flux.Approve) != "sha256:0f" {
		t.Error("it was not approved")
	}
	web := object.ID{Kind: object.Kind{Group: "apps", Name: "Deployment"}, Namespace: "shop", Name: "web"}
	done("/object/Deployment.apps/shop/web/restart", nil, 303)
	if now(web).Text("spec", "template", "metadata", "annotations", restartedAt) == "" {
		t.Error("it was not restarted")
	}
	done("/object/Secret/shop/key/restart", nil, 400)
	done("/object/Secret/shop/key/delete", nil, 400)
	pod := object.ID{Kind: podKind, Namespace: "shop", Name: "web-6797f58d-khx81"}
	done("/object/Pod/shop/web-6797f58d-khx81/delete", url.Values{"uid": {"another"}}, 409)
	done("/object/Pod/shop/web-6797f58d-khx81/delete", url.Values{"uid": {now(pod).UID()}}, 303)
	if !now(pod).IsZero() {
		t.Error("the pod is still there")
	}
	if log := st.log.String(); !strings.Contains(log, "did=restart") || !strings.Contains(log, "did=suspend") || !strings.Contains(log, "not done") {
		t.Errorf("the log tells\n%s", log)
	}
}

func TestLogs(t *testing.T) {
	st := shop(t, nil)
	pod := object.ID{Kind: podKind, Namespace: "shop", Name: "web-6797f58d-khx80"}
	st.world.Say(pod, "main", "hello "+hostile, "\x1b[31mred\x1b[0m \x07bell", strings.Repeat("long", 5000))
	b := st.insider()
	at := "/object/Deployment.apps/shop/web/logs"
	a := b.get(at)
	a.has(t, "hello &lt;script&gt;", "!<script>alert", "red ·bell", "data-follow=")
	if len(a.body) > 20000 {
		t.Errorf("the page has %d bytes", len(a.body))
	}
	b.get(at+"?q=RED").has(t, "red ·bell", "!hello")
	b.get(at+"?of=web-6797f58d-khx81/main").has(t, "!hello")
}

// TestFollowedLogs reads along while several containers speak, hostile as they may
// be, and searches what comes.
func TestFollowedLogs(t *testing.T) {
	st := shop(t, nil)
	one := object.ID{Kind: podKind, Namespace: "shop", Name: "web-6797f58d-khx80"}
	other := object.ID{Kind: podKind, Namespace: "shop", Name: "web-6797f58d-khx81"}
	st.world.Say(one, "main", "began")
	tab := st.tab(browser.Start(t), 1280, 900, "light")
	tab.Open(st.http.URL + "/object/Deployment.apps/shop/web/logs")
	tab.UntilText("began")
	st.world.Say(one, "main", "GET /cart 200 "+hostile)
	st.world.Say(other, "main", "from the other pod")
	tab.UntilText("GET /cart 200 " + hostile)
	tab.UntilText("from the other pod")
	tab.Audit()
	tab.Open(st.http.URL + "/object/Deployment.apps/shop/web/logs?q=cart")
	tab.UntilText("GET /cart 200")
	st.world.Say(one, "main", "GET /checkout 200", "GET /cart 500")
	tab.UntilText("GET /cart 500")
	if text := tab.Text(); strings.Contains(text, "checkout") {
		t.Errorf("a search for cart shows\n%s", text)
	}
}

func TestLooksOfAUnit(t *testing.T) {
	st := shop(t, nil)
	pod := object.ID{Kind: podKind, Namespace: "shop", Name: "web-6797f58d-khx80"}
	for i := range 60 {
		st.world.Say(pod, "main", fmt.Sprintf("GET /cart/%d 200 %dms", i, i*7%40))
	}
	st.looked(browser.Start(t), map[string]string{
		"unit": webUnit, "object": "/object/Deployment.apps/shop/web", "secret": "/object/Secret/shop/key", "logs": "/object/Deployment.apps/shop/web/logs",
		"compare": webUnit + "/compare?" + query("from", oldRev, "to", newRev),
	})
}

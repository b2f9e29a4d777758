package scenario

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/object"
)

// A mailbox takes in events that are posted to it.
type mailbox struct {
	mu    sync.Mutex
	posts []map[string]any // guarded by mu
}

func (m *mailbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var post map[string]any
	if r.Method != http.MethodPost || r.URL.Path != "/" || json.NewDecoder(r.Body).Decode(&post) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.posts = append(m.posts, post)
}

// about returns what was posted about an object for a reason.
func (m *mailbox) about(id object.ID, reason string) (posts []object.Object) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.posts {
		o := object.Of(p)
		if text(o, "involvedObject", "kind") == id.Kind.Name && text(o, "involvedObject", "name") == id.Name && text(o, "reason") == reason {
			posts = append(posts, o)
		}
	}
	return posts
}

// may lets a service account do all in the scene's namespace.
func (s *scene) may(account string) {
	s.Helper()
	s.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: " + account + ", namespace: $NS}}")
	s.apply(`apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: ` + account + `, namespace: $NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: ` + account + `, namespace: $NS}]
`)
}

// TestLockdown: a controller that is started with much that Flux's can be told,
// and what each of these flags chooses.
func TestLockdown(t *testing.T) {
	s := openAlone(t)
	box := new(mailbox)
	post := httptest.NewServer(box)
	t.Cleanup(post.Close)
	data := filepath.Join(t.TempDir(), "data")
	args := []string{
		"--concurrent=1", "--requeue-dependency=5s", "--no-remote-bases", "--no-cross-namespace-refs", "--watch-all-namespaces=false",
		"--default-service-account=tenant", "--default-kubeconfig-service-account=tenant", "--deletion-guard=off", "--events-addr=" + post.URL,
		"--feature-gates=StrictPostBuildSubstitutions=false,AdditiveCELDependencyCheck=true,ObjectLevelWorkloadIdentity=true,CancelHealthCheckOnNewRevision=true",
	}
	p := s.controller(s.kubeconfig, data, args...)
	files := map[string]string{
		"all/a.yaml": configMap("all-a"), "all/b.yaml": configMap("all-b"),
		"other/a.yaml": configMap("other"), "far/a.yaml": configMap("far"), "lax/a.yaml": configMap("lax", "x: 'a${none}b'"),
		"remote/kustomization.yaml": "resources: ['https://example.com/base']\n",
		"busy/web.yaml":             deployment("busy", "web:1", 1, "unready"), "dep/a.yaml": configMap("dep"),
	}
	rev := s.commit(files)
	s.feed()
	elsewhere := s.ns + "-b"
	s.apply("{apiVersion: v1, kind: Namespace, metadata: {name: " + elsewhere + ", labels: {scenario.sane.dev/test: \"yes\"}}}")
	t.Cleanup(func() { s.delete(object.ID{Kind: namespaces, Name: elsewhere}) })

	s.row("the default service account", func(s *scene) {
		s.unit("all", "path: all")
		s.refused(s.unitID("all"), "ReconciliationFailed", "ConfigMap/$NS/all-a", "forbidden", "system:serviceaccount:$NS:tenant")
		s.may("tenant")
		s.ready("all", rev)
		s.unit("other", "path: other", "serviceAccountName: nobody")
		s.refused(s.unitID("other"), "ReconciliationFailed", "forbidden", "system:serviceaccount:$NS:nobody")
	})
	s.row("the account for other clusters", func(s *scene) {
		s.login("there", "''", "https://kubernetes.default.svc")
		s.unit("far", "path: far", "kubeConfig: {configMapRef: {name: there}}")
		s.ready("far", rev)
		s.here(s.id(configMaps, "far"))
	})
	s.row("other namespaces", func(s *scene) {
		s.unit("across", "path: other", "sourceRef: {kind: GitRepository, name: app, namespace: "+elsewhere+"}")
		o := s.refused(s.unitID("across"), "AccessDenied", "can't access 'GitRepository/"+elsewhere+"/app', cross-namespace references have been blocked")
		s.same("conditions", conditions(o), "Ready=False AccessDenied", "Stalled=True AccessDenied")
		s.unit("asks", "path: other", "dependsOn: [{name: x, namespace: "+elsewhere+", readyExpr: 'true'}]")
		s.refused(s.unitID("asks"), "AccessDenied", "readyExpr can't read", elsewhere+"/x")
		s.apply(`apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: unseen, namespace: ` + elsewhere + `}
spec: {interval: 10m, prune: true, sourceRef: {kind: GitRepository, name: app}}
`)
	})
	s.row("variables that are not set", func(s *scene) {
		s.unit("lax", "path: lax", "postBuild: {substitute: {a: x}}")
		s.ready("lax", rev)
		s.value("lax data.x", "ab")
	})
	s.row("remote bases", func(s *scene) {
		s.unit("remote", "path: remote")
		s.refused(s.unitID("remote"), "BuildFailed", "example.com")
	})
	s.row("the only worker", func(s *scene) {
		s.unit("busy", "path: busy", "wait: true", "timeout: 1h")
		s.until(s.unitID("busy"), "waits for its Deployment", func(o object.Object) bool {
			status, _, _ := condition(o, "Healthy")
			return status == "Unknown"
		})
		s.asks(s.unitID("all")) // though the other holds on
		s.unit("dep", "path: dep", "dependsOn: [{name: busy, readyExpr: 'true'}]")
		s.refused(s.unitID("dep"), "DependencyNotReady", "dependency '$NS/busy' is not ready")
		next := s.push(map[string]string{"busy/web.yaml": deployment("busy", "web:1", 1, "")})
		s.ready("busy", next)
		s.ready("dep", next)
	})
	s.row("events", func(s *scene) {
		id := s.unitID("all")
		s.patch(id, "tester", `{"metadata":{"annotations":{"event.toolkit.fluxcd.io/team":"shop","event.toolkit.fluxcd.io/change_request":"7","example.com/other":"x"}}}`)
		next := s.push(map[string]string{"all/a.yaml": configMap("all-a", "n: new")})
		o := s.ready("all", next)
		var e object.Object
		s.eventually("the change is posted", func() bool {
			for _, e = range box.about(id, "Progressing") {
				if strings.Contains(text(e, "message"), s.expand("ConfigMap/$NS/all-a configured")) {
					return true
				}
			}
			return false
		})
		for path, want := range map[string]any{
			"severity": "info", "reportingController": "kustomize-controller", "involvedObject.namespace": s.ns, "involvedObject.uid": o.UID(),
			"involvedObject.apiVersion": "kustomize.toolkit.fluxcd.io/v1",
		} {
			s.is(e, want, strings.Split(path, ".")...)
		}
		for key, want := range map[string]any{
			"kustomize.toolkit.fluxcd.io/revision": next, "event.toolkit.fluxcd.io/team": "shop", "event.toolkit.fluxcd.io/change_request": "7", "example.com/other": nil,
		} {
			s.is(e, want, "metadata", key)
		}
		if text(e, "timestamp") == "" || text(e, "reportingInstance") == "" {
			s.Errorf("it is not told when, or by whom: %s", e.JSON())
		}
		s.eventually("a failure is posted", func() bool { return len(box.about(s.unitID("remote"), "BuildFailed")) > 0 })
		s.is(box.about(s.unitID("remote"), "BuildFailed")[0], "error", "severity")
		s.eventually("an artifact is posted", func() bool { return len(box.about(s.feedID(), "NewArtifact")) > 0 })
		a := box.about(s.feedID(), "NewArtifact")[0]
		s.is(a, rev, "metadata", "source.toolkit.fluxcd.io/revision")
		s.is(a, "source-controller", "reportingController")
		made := s.event(id, "Progressing", "ConfigMap/$NS/all-a configured")
		s.is(made, "shop", "metadata", "annotations", "event.toolkit.fluxcd.io/team")
	})
	s.row("deletions that nobody holds", func(s *scene) {
		s.delete(s.unitID("remote")) // of which nobody knows what it may want
		s.gone(s.unitID("remote"))
		next := s.push(map[string]string{"all/a.yaml": gitserver.Delete, "all/b.yaml": gitserver.Delete, "all/README": "nothing"})
		s.ready("all", next)
		s.gone(s.id(configMaps, "all-a"))
		s.gone(s.id(configMaps, "all-b"))
	})
	s.row("a namespace that is not ours", func(s *scene) {
		o := s.get(object.ID{Kind: units, Namespace: elsewhere, Name: "unseen"})
		if len(o.Finalizers()) > 0 {
			s.Errorf("it is kept: %s", o.JSON())
		}
	})
	p.stop()
	s.row("an inventory that can't be read", func(row *scene) {
		id := s.unitID("lax")
		_, err := s.Patch(t.Context(), id, cluster.Patch{Type: cluster.MergePatch, Data: []byte(`{"status":{"inventory":{"entries":[{"id":"nonsense","v":"v1"}]}}}`)}, cluster.How{Manager: "tester", Subresource: "status"})
		s.must(err)
		s.delete(id)
		s.controller(s.kubeconfig, data, args...) // until the whole test ends
		row.refused(id, "ReconciliationFailed", "can't read the inventory in the status, mend it first", "nonsense", "set spec.deletionPolicy to Orphan")
		row.here(s.id(configMaps, "lax"))
		row.unit("lax", "path: lax", "deletionPolicy: Orphan")
		row.gone(id)
		row.here(s.id(configMaps, "lax"))
	})
	s.row("an account that has gone", func(s *scene) {
		s.delete(s.id(object.Kind{Group: "rbac.authorization.k8s.io", Name: "RoleBinding"}, "tenant"))
		s.delete(s.id(object.Kind{Name: "ServiceAccount"}, "tenant"))
		s.delete(s.unitID("dep"))
		s.refused(s.unitID("dep"), "PruneFailed", "ConfigMap/$NS/dep", "forbidden", "set spec.deletionPolicy to Orphan to leave its objects where they are")
		s.event(s.unitID("dep"), "PruneFailed", "set spec.deletionPolicy to Orphan")
		s.here(s.id(configMaps, "dep"))
		s.may("tenant")
		s.gone(s.unitID("dep"))
		s.gone(s.id(configMaps, "dep"))
	})
}

// TestGuardOfMany: of more than twenty objects half may go, and no more without
// approval; what is approved is what was shown.
func TestGuardOfMany(t *testing.T) {
	s := open(t)
	files := make(map[string]string)
	for i := range 24 {
		files[fmt.Sprintf("x/%02d.yaml", i)] = configMap(fmt.Sprintf("c%02d", i))
	}
	s.commit(files)
	s.feed()
	s.unit("apps", "path: x")
	s.ready("apps", "")
	drop := func(from, to int) string {
		gone := make(map[string]string)
		for i := from; i < to; i++ {
			gone[fmt.Sprintf("x/%02d.yaml", i)] = gitserver.Delete
		}
		return s.push(gone)
	}
	approve := func(what string) {
		s.patch(s.unitID("apps"), "somebody", `{"metadata":{"annotations":{"sane-gitops.io/approve":"`+what+`"}}}`)
	}
	shown := func(o object.Object) string {
		_, _, message := condition(o, "Ready")
		_, digest, _ := strings.Cut(message, "sane-gitops.io/approve=")
		return digest
	}
	s.ready("apps", drop(0, 2)) // 2 of 24
	drop(2, 14)                 // 12 of 22
	few := shown(s.refused(s.unitID("apps"), "DeletionHeld", "12 of 22", "sane-gitops.io/approve=sha256:"))
	s.here(s.id(configMaps, "c02"))
	approve("sha256:" + strings.Repeat("0", 64))
	s.asks(s.unitID("apps"))
	s.here(s.id(configMaps, "c02"))
	rev := drop(14, 15)
	more := s.until(s.unitID("apps"), "shows more", func(o object.Object) bool {
		_, reason, message := condition(o, "Ready")
		return reason == "DeletionHeld" && strings.Contains(message, "13 of 22") && text(o, "status", "lastAttemptedRevision") == rev
	})
	approve(few) // what was shown then is not what would be deleted now
	s.asks(s.unitID("apps"))
	s.here(s.id(configMaps, "c02"))
	approve(shown(more))
	s.ready("apps", rev)
	for _, name := range []string{"c02", "c13", "c14"} {
		s.gone(s.id(configMaps, name))
	}
	s.here(s.id(configMaps, "c15"))
}

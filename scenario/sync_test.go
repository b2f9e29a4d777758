package scenario

import (
	"slices"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/object"
)

// TestSync follows one unit from its first push to its end.
func TestSync(t *testing.T) {
	s := open(t)
	first := s.commit(map[string]string{
		"web.yaml": deployment("web", "web:1", 2, "") + service("web", 80),
		"cm.yaml":  configMap("settings", "a: b"),
	})
	s.feed()
	s.unit("apps", "wait: true")
	s.run("wait", "--for=condition=Ready", "--timeout=60s", "kustomization/apps")
	ks := s.ready("apps", first)
	web := s.get(s.id(deployments, "web"))

	t.Run("status", func(t *testing.T) { s.under(t).afterFirst(ks, first) })
	t.Run("objects", func(t *testing.T) { s.under(t).marks(web) })
	t.Run("columns", func(t *testing.T) { s.under(t).columns(first) })
	t.Run("events", func(t *testing.T) { s.under(t).firstEvents(first) })

	second := s.push(map[string]string{"web.yaml": deployment("web", "web:2", 2, "") + service("web", 80)})
	ks = s.ready("apps", second)
	web = s.get(web.ID())
	if !strings.Contains(string(web.JSON()), "web:2") {
		t.Error("the Deployment has not changed")
	}
	s.is(web, web.Generation(), "status", "observedGeneration")
	s.is(web, 2, "status", "updatedReplicas") // healthy before it was said to be
	s.event(s.unitID("apps"), "Progressing", "Deployment/$NS/web configured")

	third := s.push(map[string]string{"cm.yaml": gitserver.Delete})
	ks = s.ready("apps", third)
	s.gone(s.id(configMaps, "settings"))
	s.same("inventory", inventory(ks), "$NS_web__Service v1", "$NS_web_apps_Deployment v1")
	s.event(s.unitID("apps"), "Progressing", "ConfigMap/$NS/settings deleted")

	s.asks(s.unitID("apps"))
	s.asks(s.feedID())

	s.run("delete", "kustomization", "apps", "--timeout=60s")
	s.gone(web.ID())
	s.gone(s.id(services, "web"))
	s.run("delete", "gitrepository", "app", "--timeout=60s")
}

// under returns the scene for a part of its test.
func (s *scene) under(t *testing.T) *scene {
	part := *s
	part.T = t
	return &part
}

func (s *scene) afterFirst(ks object.Object, rev string) {
	for _, c := range []struct{ name, status, reason, message string }{
		{"Ready", "True", "ReconciliationSucceeded", "Applied revision: " + rev},
		{"Healthy", "True", "Succeeded", ""},
		{"Reconciling", "", "", ""},
		{"Stalled", "", "", ""},
	} {
		status, reason, message := condition(ks, c.name)
		if status != c.status || reason != c.reason || c.message != "" && message != c.message {
			s.Errorf("%s=%s %s (%s)", c.name, status, reason, message)
		}
	}
	s.is(ks, rev, "status", "lastAppliedRevision")
	s.is(ks, rev, "status", "lastAttemptedRevision")
	s.same("inventory", inventory(ks), "$NS_settings__ConfigMap v1", "$NS_web__Service v1", "$NS_web_apps_Deployment v1")
	s.same("finalizers", ks.Finalizers(), "finalizers.fluxcd.io")
	if h, _ := ks.Get("status", "history"); h == nil {
		s.Error("no history")
	}
	s.managed(ks, "gotk-kustomize-controller", "status")

	repo := s.get(s.feedID())
	s.same("finalizers", repo.Finalizers(), "finalizers.fluxcd.io")
	s.is(repo, rev, "status", "artifact", "revision")
	s.is(repo, 1, "status", "observedGeneration")
	s.is(repo, "", "status", "artifact", "url") // which nobody serves
	for _, f := range []string{"path", "digest", "lastUpdateTime"} {
		if text(repo, "status", "artifact", f) == "" {
			s.Errorf("the artifact has no %s", f)
		}
	}
	if status, reason, message := condition(repo, "Ready"); status != "True" || reason != "Succeeded" || message != "stored artifact for revision '"+rev+"'" {
		s.Errorf("the GitRepository is Ready=%s %s (%s)", status, reason, message)
	}
	if status, _, _ := condition(repo, "ArtifactInStorage"); status != "True" {
		s.Error("the artifact is not in storage")
	}
}

// managed complains if a field manager has no part in an object.
func (s *scene) managed(o object.Object, manager, subresource string) {
	s.Helper()
	v, _ := o.Get("metadata", "managedFields")
	list, _ := v.([]any)
	if !slices.ContainsFunc(list, func(e any) bool {
		m, _ := e.(map[string]any)
		sub, _ := m["subresource"].(string)
		return m["manager"] == manager && sub == subresource
	}) {
		s.Errorf("%s: %q has no part in it", o.ID(), manager)
	}
}

func (s *scene) marks(web object.Object) {
	s.is(web, "apps", "metadata", "labels", "kustomize.toolkit.fluxcd.io/name")
	s.is(web, s.ns, "metadata", "labels", "kustomize.toolkit.fluxcd.io/namespace")
	s.managed(web, "kustomize-controller", "")
	s.is(web, 2, "status", "readyReplicas")
}

func (s *scene) columns(rev string) {
	out := s.run("get", "ks,gitrepo")
	for _, want := range []string{
		"AGE", "READY", "STATUS", "URL", "True",
		"kustomization.kustomize.toolkit.fluxcd.io/apps", "Applied revision: " + rev,
		"gitrepository.source.toolkit.fluxcd.io/app", "stored artifact for revision '" + rev + "'", s.git.URL("app"),
	} {
		if !strings.Contains(out, want) {
			s.Errorf("no %q in\n%s", want, out)
		}
	}
}

func (s *scene) firstEvents(rev string) {
	const group = "kustomize.toolkit.fluxcd.io"
	made := s.event(s.unitID("apps"), "Progressing", "Deployment/$NS/web created")
	if m := text(made, "message"); !strings.Contains(m, s.expand("Service/$NS/web created")) {
		s.Errorf("the event says %q", m)
	}
	e := s.event(s.unitID("apps"), "ReconciliationSucceeded", "Reconciliation finished")
	s.is(e, "Normal", "type")
	s.is(e, rev, "metadata", "annotations", group+"/revision")
	s.is(e, "update", "metadata", "annotations", group+"/commit_status")
	s.is(e, "kustomize-controller", "source", "component")
	s.event(s.unitID("apps"), "Progressing", "Health check passed")
	e = s.event(s.feedID(), "NewArtifact", "stored artifact for commit 'change'")
	s.is(e, rev, "metadata", "annotations", "source.toolkit.fluxcd.io/revision")
}

// TestSuspend: what is suspended is left alone, and brought up when it is not any
// more. Another unit shows that time has passed.
func TestSuspend(t *testing.T) {
	s := open(t)
	s.commit(map[string]string{"a/cm.yaml": configMap("a", "n: one"), "b/cm.yaml": configMap("b", "n: one")})
	s.feed()
	s.unit("a", "path: a")
	s.unit("b", "path: b")
	s.ready("a", "")
	s.ready("b", "")

	s.patch(s.unitID("a"), "kubectl", `{"spec":{"suspend":true}}`)
	rev := s.push(map[string]string{"a/cm.yaml": configMap("a", "n: two"), "b/cm.yaml": configMap("b", "n: two")})
	s.delete(s.id(configMaps, "a"))
	s.ask(s.unitID("a"))
	s.ready("b", rev)
	s.delete(s.id(configMaps, "b"))
	s.has(s.id(configMaps, "b"), "two", "data", "n")
	if o := s.get(s.id(configMaps, "a")); !o.IsZero() {
		t.Error("a suspended unit has been kept")
	}
	s.patch(s.unitID("a"), "kubectl", `{"spec":{"suspend":false}}`)
	s.ready("a", rev)
	s.has(s.id(configMaps, "a"), "two", "data", "n")

	s.patch(s.feedID(), "kubectl", `{"spec":{"suspend":true}}`)
	later := s.push(map[string]string{"a/cm.yaml": configMap("a", "n: three")})
	s.asks(s.unitID("a"))
	s.has(s.id(configMaps, "a"), "two", "data", "n")
	s.patch(s.feedID(), "kubectl", `{"spec":{"suspend":false}}`)
	s.ready("a", later)

	// What is deleted while it is suspended leaves its objects.
	s.patch(s.unitID("b"), "kubectl", `{"spec":{"suspend":true}}`)
	s.run("delete", "kustomization", "b", "--timeout=60s")
	if s.get(s.id(configMaps, "b")).IsZero() {
		t.Error("a suspended unit has deleted its objects")
	}
}

// TestPolicy: what is deleted with a unit, and what is not.
func TestPolicy(t *testing.T) {
	s := open(t)
	keep := "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: kept\n  namespace: $NS\n  annotations: {kustomize.toolkit.fluxcd.io/prune: disabled}\n"
	s.commit(map[string]string{
		"orphan/cm.yaml": configMap("orphan"), "noprune/cm.yaml": configMap("noprune"),
		"kept/cm.yaml": keep, "kept/gone.yaml": configMap("gone"),
		"wait/cm.yaml": configMap("wait"),
	})
	s.feed()
	s.unit("orphan", "path: orphan", "deletionPolicy: Orphan")
	s.unit("noprune", "path: noprune", "prune: false")
	s.unit("kept", "path: kept")
	s.unit("wait", "path: wait", "deletionPolicy: WaitForTermination")
	for _, name := range []string{"orphan", "noprune", "kept", "wait"} {
		s.ready(name, "")
	}
	s.run("delete", "kustomization", "--all", "--timeout=60s")
	var left []string
	for _, name := range []string{"orphan", "noprune", "kept", "gone", "wait"} {
		if !s.get(s.id(configMaps, name)).IsZero() {
			left = append(left, name)
		}
	}
	s.same("left", left, "orphan", "noprune", "kept")
}

// TestAcross: a unit whose source is in another namespace, whose path has bases
// above it, and that is told much by its spec.
func TestAcross(t *testing.T) {
	s := open(t)
	rev := s.commit(map[string]string{
		"base/kustomization.yaml":      "resources: [web.yaml]\nconfigMapGenerator:\n- name: conf\n  literals: [a=b]\n",
		"base/web.yaml":                strings.ReplaceAll(deployment("web", "web", 1, ""), "namespace: $NS", "namespace: elsewhere"),
		"over/prod/kustomization.yaml": "resources: [../../base]\nreplicas: [{name: web, count: 3}]\n",
	})
	s.feed()
	other := s.ns + "-b"
	s.apply("{apiVersion: v1, kind: Namespace, metadata: {name: " + other + ", labels: {scenario.sane.dev/test: \"yes\"}}}")
	t.Cleanup(func() { s.delete(object.ID{Kind: namespaces, Name: other}) })
	s.apply(`apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: apps, namespace: ` + other + `}
spec:
  interval: 10m
  prune: true
  wait: true
  sourceRef: {kind: GitRepository, name: app, namespace: $NS}
  path: ./over/prod
  targetNamespace: $NS
  namePrefix: pre-
  nameSuffix: -post
  commonMetadata: {labels: {team: x}, annotations: {note: "y"}}
  images: [{name: web, newName: registry.example.com/web, newTag: "7"}]
  patches:
  - target: {kind: Deployment}
    patch: |
      - {op: add, path: /spec/template/metadata/annotations/patched, value: "yes"}
`)
	s.run("wait", "-n", other, "--for=condition=Ready", "--timeout=60s", "kustomization/apps")
	ks := s.get(object.ID{Kind: units, Namespace: other, Name: "apps"})
	s.is(ks, rev, "status", "lastAppliedRevision")
	web := s.get(s.id(deployments, "pre-web-post"))
	s.is(web, 3, "status", "readyReplicas")
	s.is(web, "x", "metadata", "labels", "team")
	s.is(web, "y", "metadata", "annotations", "note")
	for _, want := range []string{`"registry.example.com/web:7"`, `"patched":"yes"`} {
		if !strings.Contains(string(web.JSON()), want) {
			t.Errorf("no %s in %s", want, web.JSON())
		}
	}
}

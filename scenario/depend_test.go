package scenario

import (
	"strings"
	"testing"

	"github.com/sane-gitops/sane/internal/gitserver"
)

// TestDepends: units come one after the other, each when the one before is
// healthy.
func TestDepends(t *testing.T) {
	s := open(t)
	s.commit(map[string]string{
		"a/web.yaml": deployment("a", "web:1", 1, "unready"), "b/web.yaml": deployment("b", "web:1", 1, ""),
		"c/cm.yaml": configMap("c"),
	})
	s.feed()
	s.unit("c", "path: c", "wait: true", "dependsOn: [{name: b}]")
	s.unit("b", "path: b", "wait: true", "dependsOn: [{name: a}]")
	s.refused(s.unitID("b"), "DependencyNotReady", "dependency '$NS/a' is not ready: not found")
	s.unit("a", "path: a", "wait: true")
	s.here(s.id(deployments, "a"))
	s.refused(s.unitID("b"), "DependencyNotReady", "dependency '$NS/a' is not ready: it is being brought up")
	s.refused(s.unitID("c"), "DependencyNotReady", "dependency '$NS/b' is not ready")
	s.event(s.unitID("b"), "DependencyNotReady", "dependency '$NS/a' is not ready")
	if !s.get(s.id(deployments, "b")).IsZero() || !s.get(s.id(configMaps, "c")).IsZero() {
		t.Error("a unit did not wait for the one before")
	}
	rev := s.push(map[string]string{"a/web.yaml": deployment("a", "web:1", 1, "")})
	for _, name := range []string{"a", "b", "c"} {
		s.ready(name, rev)
	}
}

// TestCircle: units that wait for each other are told so.
func TestCircle(t *testing.T) {
	s := open(t)
	rev := s.commit(map[string]string{"a/cm.yaml": configMap("a"), "b/cm.yaml": configMap("b")})
	s.feed()
	s.unit("a", "path: a", "dependsOn: [{name: b}]")
	s.unit("b", "path: b", "dependsOn: [{name: a}]")
	s.refused(s.unitID("a"), "DependencyNotReady", "circle", "$NS/a → $NS/b → $NS/a")
	s.refused(s.unitID("b"), "DependencyNotReady", "circle")
	s.unit("b", "path: b")
	s.ready("a", rev)
	s.ready("b", rev)
}

// TestUnhealthy: workloads that fail, each in its way, are told and then mended
// by a push. 30 s is the shortest timeout that Flux knows.
func TestUnhealthy(t *testing.T) {
	hasty := func(text string) string {
		return strings.Replace(text, "progressDeadlineSeconds: 600", "progressDeadlineSeconds: 2", 1)
	}
	job := func(name, fare string) string {
		return `apiVersion: batch/v1
kind: Job
metadata: {name: ` + name + `, namespace: $NS}
spec:
  backoffLimit: 0
  template:
    metadata: {annotations: {devcluster.sane.dev/pod: "` + fare + `"}}
    spec: {restartPolicy: Never, containers: [{name: main, image: job}]}
`
	}
	checks := []string{"timeout: 30s", "healthChecks: [{apiVersion: apps/v1, kind: Deployment, name: web, namespace: $NS}]"}
	for _, tt := range []struct {
		name      string
		spec      []string
		bad, good string
		words     []string
	}{
		{"deadline", []string{"wait: true"}, hasty(deployment("web", "web:1", 1, "fail")), hasty(deployment("web", "web:1", 1, "")),
			[]string{"Deployment/$NS/web: "}},
		{"timeout", []string{"wait: true", "timeout: 30s"}, deployment("web", "web:1", 1, "unready"), deployment("web", "web:1", 1, ""),
			[]string{"timeout", "Deployment/$NS/web: "}},
		{"checks", checks,
			deployment("web", "web:1", 1, "imagepull"), deployment("web", "web:2", 1, ""),
			[]string{"timeout", "Deployment/$NS/web: "}},
		{"missing", checks,
			configMap("x"), deployment("web", "web:2", 1, ""), []string{"timeout", "Deployment/$NS/web: "}},
		{"job", []string{"wait: true"}, job("one", "fail"), job("two", ""), []string{"Job/$NS/one: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t)
			bad := s.commit(map[string]string{"it.yaml": tt.bad, "old.yaml": configMap("old"), "base.yaml": configMap("base")})
			s.feed()
			s.unit("apps", tt.spec...)
			o := s.refused(s.unitID("apps"), "HealthCheckFailed", tt.words...)
			if status, reason, _ := condition(o, "Healthy"); status != "False" || reason != "HealthCheckFailed" {
				t.Errorf("Healthy=%s %s", status, reason)
			}
			s.is(o, bad, "status", "lastAttemptedRevision")
			s.is(o, nil, "status", "lastAppliedRevision")
			s.event(s.unitID("apps"), "HealthCheckFailed", tt.words[0])
			good := s.push(map[string]string{"it.yaml": tt.good, "old.yaml": gitserver.Delete})
			o = s.ready("apps", good)
			if status, _, _ := condition(o, "Healthy"); status != "True" {
				t.Error("ready and not healthy")
			}
			s.gone(s.id(configMaps, "old"))
		})
	}
}

// TestJobAwaited: a Job is healthy when it is complete, not when it has begun.
func TestJobAwaited(t *testing.T) {
	s := open(t)
	s.commit(map[string]string{"job.yaml": `apiVersion: batch/v1
kind: Job
metadata: {name: slow, namespace: $NS}
spec:
  template:
    metadata: {annotations: {devcluster.sane.dev/pod: unready}}
    spec: {restartPolicy: Never, containers: [{name: main, image: job}]}
`})
	s.feed()
	s.unit("apps", "wait: true", "timeout: 5s")
	s.refused(s.unitID("apps"), "HealthCheckFailed", "timeout", "Job/$NS/slow")
}

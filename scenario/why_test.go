package scenario

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// why returns what `sane why` says.
func (s *scene) why(args ...string) string {
	s.Helper()
	cmd := exec.Command(os.Getenv("SANE_BIN"), append([]string{"why", "--kubeconfig", s.kubeconfig, "-n", s.ns}, args...)...)
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+s.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.Fatalf("sane why %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// says complains if text does not have lines that match, in order. $NS is filled
// in.
func (s *scene) says(text string, lines ...string) {
	s.Helper()
	rest := text
	for _, l := range lines {
		at := regexp.MustCompile(`(?m)^` + s.expand(l) + `$`).FindStringIndex(rest)
		if at == nil {
			s.Errorf("no line %q, or not there, in\n%s", l, text)
			return
		}
		rest = rest[at[1]:]
	}
}

// TestWhyUnhealthy: the chain of reasons leads from a unit that waits to the
// container that fails, for each way in which pods fail.
func TestWhyUnhealthy(t *testing.T) {
	s := open(t)
	s.commit(map[string]string{
		"db/db.yaml":    "# the database\n" + deployment("db", "db:1", 2, "imagepull"),
		"web/web.yaml":  deployment("web", "web:1", 1, "fail"),
		"front/cm.yaml": configMap("front"),
	})
	s.feed()
	s.unit("db", "path: db", "wait: true")
	s.unit("web", "path: web")
	s.unit("front", "path: front", "dependsOn: [{name: db}]")
	s.ready("web", "")
	s.refused(s.unitID("front"), "DependencyNotReady", "dependency '$NS/db' is not ready")
	s.has(s.id(deployments, "db"), 2, "status", "unavailableReplicas")
	pod := s.failing("db", "ImagePullBackOff")
	crash := s.failing("web", "CrashLoopBackOff")

	s.says(s.why("ks/front"),
		`Kustomization/$NS/front: not ready: DependencyNotReady: dependency '$NS/db' is not ready: .* \(for \w+\)`,
		`Why, the first cause first:`,
		`  Pod/$NS/db-\S+: container "main" can't start: ImagePullBackOff: .*\(for \w+\)`,
		`      and 1 more like it`,
		`    so ReplicaSet/$NS/db-\w+: not healthy: .*\(for \w+\)`,
		`      so Deployment/$NS/db: not healthy: .*\(for \w+\)`,
		`        so Kustomization/$NS/db: not ready.*\(for \w+\)`,
	)
	s.says(s.why("ks", "web"), // which does not wait for health
		`Kustomization/$NS/web: ready at main@sha1:.*`,
		`Not all is well, the first cause first:`,
		`  Pod/$NS/web-\S+: container "main" crashes again and again: it ended with exit code 1 .*`,
		`    so ReplicaSet/$NS/web-\w+: .*`,
		`      so Deployment/$NS/web: .*`,
	)
	s.says(s.why("pod/"+crash),
		`Pod/$NS/`+crash+`: container "main" crashes again and again: .*`,
		`kept by +Kustomization/$NS/web: ready at .*`,
		`made by +ReplicaSet/$NS/web-\w+, made by Deployment/$NS/web`,
		`file +web/web.yaml:1`,
	)
	s.says(s.why("deploy", "db"), `Deployment/$NS/db: not healthy: .*`, `kept by +Kustomization/$NS/db: .*`, `file +db/db.yaml:2`)

	var told struct {
		State struct {
			Because []struct{ Because []struct{ About string } }
		}
	}
	s.must(json.Unmarshal([]byte(s.why("deploy/db", "-o", "json")), &told))
	if b := told.State.Because; len(b) != 1 || len(b[0].Because) != 1 || !strings.HasPrefix(b[0].Because[0].About, "Pod/"+s.ns+"/db-") {
		t.Errorf("JSON says %+v, want the pods of one ReplicaSet, such as %s", told, pod)
	}
}

// failing returns a pod of an app once its container waits for a reason.
func (s *scene) failing(app, reason string) string {
	s.Helper()
	names := strings.Fields(s.run("wait", "pod", "-l", "app="+app, "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}="+reason, "--timeout=60s", "-o", "name"))
	if len(names) == 0 {
		s.Fatalf("no pod of %s waits for %s", app, reason)
	}
	return strings.TrimPrefix(names[0], "pod/")
}

// TestWhyRefused: everything that the server refuses, and a deletion that waits
// for approval.
func TestWhyRefused(t *testing.T) {
	s := open(t)
	s.commit(map[string]string{"a.yaml": configMap("a"), "b.yaml": configMap("b")})
	s.feed()
	s.unit("apps")
	s.ready("apps", "")

	s.push(map[string]string{
		"a.yaml": strings.Replace(configMap("a"), "k: v", "k: {}", 1),
		"b.yaml": strings.Replace(service("b", 80), "port: 80", "port: 100000", 1),
	})
	s.refused(s.unitID("apps"), "ReconciliationFailed", "Service/$NS/b")
	s.says(s.why("apps"),
		`Kustomization/$NS/apps: not ready: ReconciliationFailed: .* \(and 1 more\) \(for \w+\)`,
		`  Kustomization/$NS/apps: .*ConfigMap/$NS/a.*`,
		`  Kustomization/$NS/apps: .*Service/$NS/b.*100000.*`,
		`revision +main@sha1:\w{8}, by .*`,
		`tries +main@sha1:\w{8}, by .*`,
	)

	s.push(map[string]string{"a.yaml": "# nothing\n", "b.yaml": "# nothing\n"})
	s.refused(s.unitID("apps"), "DeletionHeld", "sane-gitops.io/approve=")
	s.says(s.why("apps"),
		`Kustomization/$NS/apps: not ready: DeletionHeld: .*sane-gitops.io/approve=sha256:\w+ \(for \w+\)`,
		`  Kustomization/$NS/apps: waits until somebody approves what it would delete`,
		`      would delete ConfigMap/$NS/a`,
		`      would delete ConfigMap/$NS/b`,
	)
	s.says(s.why("configmap/a"), `kept by +Kustomization/$NS/apps: not ready: DeletionHeld.*`, `file +a.yaml:1`)
}

package cli_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/cli"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/object"
)

// following runs a command that goes on, and returns its lines as they come. It is
// stopped with the test.
func following(t *testing.T, c *memory.Cluster, args ...string) *bufio.Scanner {
	return followingAt(t, program(c), args...)
}

func followingAt(t *testing.T, p cli.Program, args ...string) *bufio.Scanner {
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Main(ctx, p, args, w, w)
		w.Close()
	}()
	t.Cleanup(func() {
		stop()
		go func() { _, _ = io.Copy(io.Discard, r) }()
		if status := <-ended; status != 0 {
			t.Errorf("sane %v ended with status %d", args, status)
		}
	})
	return bufio.NewScanner(r)
}

func expect(t *testing.T, lines *bufio.Scanner, want string) {
	t.Helper()
	if !lines.Scan() || !strings.HasSuffix(lines.Text(), want) {
		t.Fatalf("line %q, %v; want %q", lines.Text(), lines.Err(), want)
	}
}

const speakingPod = `apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: apps, labels: {app: web}, ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: UID(StatefulSet/apps/web), controller: true}]}
spec: {containers: [{name: main, image: "web:1"}]}
status: {phase: Running, containerStatuses: [{name: main, state: {running: {}}}]}
`

// What pods will say is followed, also that of pods that come later.
func TestFollowLogs(t *testing.T) {
	c := memory.New()
	load(t, c, "test", []byte(`apiVersion: v1
kind: Namespace
metadata: {name: apps}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web, namespace: apps}
spec: {replicas: 2, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: main, image: "web:1"}]}}}
`))
	pod := func(name string) object.ID {
		load(t, c, "test", fmt.Appendf(nil, speakingPod, name))
		return object.ID{Kind: object.Kind{Name: "Pod"}, Namespace: "apps", Name: name}
	}
	first := pod("web-0")
	c.Say(first, "main", "one", "noise")
	lines := following(t, c, "logs", "statefulset/web", "-f", "--grep", "o.?e$")
	expect(t, lines, "web-0/main | one")
	c.Say(first, "main", "noise", "ore")
	expect(t, lines, "web-0/main | ore")
	c.Say(pod("web-1"), "main", "one")
	expect(t, lines, "web-1/main | one")
}

// What happens after what was told is told.
func TestFollowEvents(t *testing.T) {
	c := memory.New(memory.Kinds("kustomize.toolkit.fluxcd.io/v1", "Kustomization")...)
	event := func(name, kind, about, message string) {
		load(t, c, "test", fmt.Appendf(nil, `apiVersion: v1
kind: Event
metadata: {name: %s, namespace: apps}
involvedObject: {apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: %s, namespace: apps, name: %s}
type: Warning
reason: Because
message: %s
lastTimestamp: "EARLIER"
`, name, kind, about, message))
	}
	load(t, c, "test", []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: apps}\n---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: web, namespace: apps}\nspec: {interval: 1m, prune: true, sourceRef: {kind: GitRepository, name: apps}}\n"))
	event("a", "Kustomization", "web", "before")
	lines := following(t, c, "events", "web", "-w")
	expect(t, lines, "MESSAGE")
	expect(t, lines, "before")
	event("b", "Kustomization", "other", "of another")
	event("c", "Kustomization", "web", "after")
	expect(t, lines, "! Because Kustomization/apps/web: after")
}

// A tree is shown, and then each change to it: here, or in another cluster. It ends
// when it is told to.
func TestFollowTree(t *testing.T) {
	for _, tt := range []struct{ name, afar string }{{"here", ""}, {"elsewhere", ", kubeConfig: {secretRef: {name: there}}"}} {
		t.Run(tt.name, func(t *testing.T) {
			here := memory.New(memory.Kinds("kustomize.toolkit.fluxcd.io/v1", "Kustomization")...)
			there := here
			load(t, here, "test", []byte(`apiVersion: v1
kind: Namespace
metadata: {name: apps}
---
apiVersion: v1
kind: Secret
metadata: {name: there, namespace: apps}
stringData: {value: elsewhere}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: web, namespace: apps}
spec: {interval: 1m, prune: true, sourceRef: {kind: GitRepository, name: apps}`+tt.afar+`}
status:
  lastAppliedRevision: "main@sha1:1f0c3d2e4b5a69788796a5b4c3d2e1f00f1e2d3c"
  inventory: {entries: [{id: apps_web_apps_StatefulSet, v: v1}]}
  conditions: [{type: Ready, status: "True", reason: ReconciliationSucceeded, message: "Applied revision", observedGeneration: 1}]
`))
			if tt.afar != "" {
				there = memory.New()
				load(t, there, "test", []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: apps}\n"))
			}
			load(t, there, "test", []byte(`apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web, namespace: apps, labels: {kustomize.toolkit.fluxcd.io/name: web, kustomize.toolkit.fluxcd.io/namespace: apps}}
spec: {replicas: 0, serviceName: web, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: main, image: "web:1"}]}}}
status: {observedGeneration: 1, replicas: 0}
`))
			lines := followingAt(t, program(here, there), "tree", "web", "-w")
			expect(t, lines, "WHY")
			expect(t, lines, "at main@sha1:1f0c3d2e")
			expect(t, lines, "└─ StatefulSet/web   Healthy")
			load(t, there, "test", fmt.Appendf(nil, speakingPod, "web-0"))
			expect(t, lines, "new Pod/apps/web-0: Progressing: container \"main\" runs and is not ready")
			pod := object.ID{Kind: object.Kind{Name: "Pod"}, Namespace: "apps", Name: "web-0"}
			there.SetStatus(pod, map[string]any{"phase": "Running", "conditions": []any{map[string]any{"type": "Ready", "status": "True"}}})
			expect(t, lines, "Pod/apps/web-0: Healthy")
			if err := there.Delete(t.Context(), pod, cluster.Where{}); err != nil {
				t.Fatal(err)
			}
			expect(t, lines, "gone Pod/apps/web-0")
		})
	}
}

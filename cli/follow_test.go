package cli_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/cli"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/object"
)

// following runs a command that goes on, and returns its lines as they come. It is
// stopped with the test.
func following(t *testing.T, c *memory.Cluster, args ...string) *bufio.Scanner {
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Main(ctx, program(c), args, w, w)
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

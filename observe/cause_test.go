package observe_test

import (
	"strings"
	"testing"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/observe"
)

const web = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: default}, spec: {
  selector: {matchLabels: {app: web}, matchExpressions: [{key: tier, operator: In, values: [a, b]}, {key: x, operator: DoesNotExist}]},
  template: {metadata: {labels: {app: web, tier: a}}, spec: {containers: [{name: main, image: i}]}}}}`

// pod returns a pod of web's with a status.
func pod(name, status string) string {
	return `{apiVersion: v1, kind: Pod, metadata: {name: ` + name + `, namespace: default, labels: {app: web, tier: a}}, spec: {containers: [{name: main, image: i}]}, status: ` + status + `}`
}

func TestCause(t *testing.T) {
	main := func(state string) string {
		return `{phase: Running, containerStatuses: [{name: main, ready: false, ` + state + `}]}`
	}
	const deployment = "Deployment"
	for _, tt := range []struct {
		name    string
		objects []string
		want    string
	}{
		{"no pods", []string{web}, ""},
		{"all is well", []string{web, pod("a", `{phase: Running, containerStatuses: [{name: main, ready: true, state: {running: {}}}]}`)}, ""},
		{"being made", []string{web, pod("a", main(`state: {waiting: {reason: ContainerCreating}}`))}, ""},
		{"not ready", []string{web, pod("a", main(`state: {running: {}}`))}, `container "main" runs and is not ready`},
		{"image", []string{web, pod("a", main(`state: {waiting: {reason: ImagePullBackOff, message: 'Back-off pulling image "i"'}}`))}, `container "main" can't start: ImagePullBackOff: Back-off pulling image "i"`},
		{"a key in a URL", []string{web, pod("a", main(`state: {waiting: {reason: ErrImagePull, message: 'get "https://r.example/x?sig=secret": denied'}}`))}, `container "main" can't start: ErrImagePull: get "https://r.example/x?…": denied`},
		{"crash", []string{web, pod("a", main(`state: {waiting: {reason: CrashLoopBackOff, message: back-off 40s restarting}}, lastState: {terminated: {exitCode: 137, reason: OOMKilled, message: password}}, restartCount: 7`))}, `container "main" crashes again and again: it ended with exit code 137 (OOMKilled)`},
		{"crash, unknown", []string{web, pod("a", main(`state: {waiting: {reason: CrashLoopBackOff, message: back-off 40s restarting}}`))}, `container "main" crashes again and again`},
		{"between crashes", []string{web, pod("a", main(`state: {running: {}}, lastState: {terminated: {exitCode: 2, reason: Error}}`))}, `container "main" is not ready: it was started again after it ended with exit code 2`},
		{"ended", []string{web, pod("a", `{phase: Failed, containerStatuses: [{name: main, state: {terminated: {exitCode: 3, reason: Error, message: password}}}]}`)}, `container "main" ended with exit code 3`},
		{"evicted", []string{web, pod("a", `{phase: Failed, reason: Evicted, message: "low on\nmemory"}`)}, `its pod has failed: Evicted: low on memory`},
		{"nowhere to go", []string{web, pod("a", `{phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, message: 0/3 nodes are available}]}`)}, `its pod can't be scheduled: 0/3 nodes are available`},
		{"init container", []string{web, pod("a", `{phase: Pending, initContainerStatuses: [{name: init, state: {waiting: {reason: CreateContainerConfigError, message: 'secret "s" not found'}}}], containerStatuses: [{name: main, state: {waiting: {reason: PodInitializing}}}]}`)}, `container "init" can't start: CreateContainerConfigError: secret "s" not found`},
		{"the worst of several", []string{web, pod("a", main(`state: {running: {}}`)), pod("b", main(`state: {waiting: {reason: InvalidImageName}}`)), pod("c", main(`state: {running: {}}`))}, `container "main" can't start: InvalidImageName`},
		{"another's pod", []string{web, strings.Replace(pod("a", main(`state: {waiting: {reason: X}}`)), "tier: a", "tier: c", 1)}, ""},
		{"no leave to make pods", []string{strings.TrimSuffix(web, "}") + `, status: {conditions: [{type: ReplicaFailure, status: "True", message: exceeded quota}]}}`}, "exceeded quota"},
		{"long words", []string{web, pod("a", main(`state: {waiting: {reason: X, message: "`+strings.Repeat("é", 500)+`"}}`))}, "…"},
	} {
		c := memory.New()
		for _, text := range tt.objects {
			put(t, c, text)
		}
		got, err := observe.Cause(t.Context(), c, object.ID{Kind: object.Kind{Group: "apps", Name: deployment}, Namespace: "default", Name: "web"})
		if err != nil || tt.want == "…" && (len(got) > 310 || !strings.HasSuffix(got, "…")) || tt.want != "…" && got != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
}

// put makes an object with its status.
func put(t *testing.T, c *memory.Cluster, text string) {
	t.Helper()
	all, err := object.Parse([]byte(text))
	if err != nil {
		t.Fatal(text, err)
	}
	o := all[0]
	ns := object.Of(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "default"}})
	for _, o := range []object.Object{ns, o.Without("status")} {
		if _, err := c.Apply(t.Context(), o, cluster.How{Manager: "test", Force: true}); err != nil {
			t.Fatal(err)
		}
	}
	if status, ok := o.Get("status"); ok {
		c.SetStatus(o.ID(), status.(map[string]any))
	}
}

func TestCauseOfOthers(t *testing.T) {
	c := memory.New()
	put(t, c, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: default}}`)
	put(t, c, pod("p", `{phase: Pending, conditions: [{type: PodScheduled, status: "False", message: no room}]}`))
	c.ForgetCalls()
	for _, tt := range []struct {
		id   object.ID
		want string
	}{
		{object.ID{Kind: object.Kind{Name: "ConfigMap"}, Namespace: "default", Name: "c"}, ""},
		{object.ID{Kind: object.Kind{Name: "Pod"}, Namespace: "default", Name: "p"}, "its pod can't be scheduled: no room"},
		{object.ID{Kind: object.Kind{Group: "apps", Name: "DaemonSet"}, Namespace: "default", Name: "none"}, ""},
	} {
		if got, err := observe.Cause(t.Context(), c, tt.id); err != nil || got != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.id, got, err, tt.want)
		}
	}
	if n := len(c.Calls()); n != 2 {
		t.Errorf("%d requests, want one for each that can have a cause", n)
	}
}

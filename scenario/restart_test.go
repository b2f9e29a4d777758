package scenario

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/object"
)

// many are objects of many kinds, with much that the server adds to, or spells
// otherwise than they do.
const many = `apiVersion: v1
kind: Secret
metadata: {name: s, namespace: $NS}
stringData: {a: b}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: sa, namespace: $NS}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: r, namespace: $NS}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: rb, namespace: $NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}
subjects: [{kind: ServiceAccount, name: sa}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: $NS}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: $NS}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: main
        image: web
        ports: [{containerPort: 80}]
        env: [{name: A, value: "1"}]
        resources: {requests: {cpu: 0.1, memory: 1024Mi}, limits: {cpu: 1000m}}
        readinessProbe: {httpGet: {path: /, port: 80}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: cron, namespace: $NS}
spec:
  schedule: "0 0 1 1 *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: job}]}}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: $NS}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: $NS}
spec: {rules: [{host: example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: $NS}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: $NS}
spec: {podSelector: {}, ingress: [{ports: [{port: 80}]}]}
---
`

var manyKinds = []object.Kind{
	configMaps, secrets, services, deployments, {Name: "ServiceAccount"},
	{Group: "rbac.authorization.k8s.io", Name: "Role"}, {Group: "rbac.authorization.k8s.io", Name: "RoleBinding"},
	{Group: "batch", Name: "CronJob"}, {Group: "autoscaling", Name: "HorizontalPodAutoscaler"},
	{Group: "networking.k8s.io", Name: "Ingress"}, {Group: "networking.k8s.io", Name: "NetworkPolicy"},
	{Group: "policy", Name: "PodDisruptionBudget"},
}

// TestRestart: a controller that starts anew changes nothing, and with the data
// that it had it does not even ask. Nor does it say anything while the Git
// server takes its time.
func TestRestart(t *testing.T) {
	need(t)
	t.Parallel()
	var slow atomic.Bool
	s := set(t, home, gitserver.Options{Hook: func(_ http.ResponseWriter, r *http.Request) bool {
		if slow.Load() {
			select {
			case <-time.After(2 * time.Second):
			case <-r.Context().Done():
			}
		}
		return false
	}})
	s.alone = true
	f := stand(t, s.stage)
	data := filepath.Join(t.TempDir(), "data")
	rev := s.commit(map[string]string{
		"plain/it.yaml":           many + configMap("a"),
		"over/kustomization.yaml": "resources: [web.yaml]\nconfigMapGenerator: [{name: conf, literals: [a=b]}]\n",
		"over/web.yaml":           deployment("over", "web:1", 2, ""),
	})
	s.feed()
	s.unit("plain", "path: plain", "wait: true")
	s.unit("over", "path: over", "wait: true", "targetNamespace: $NS", "dependsOn: [{name: plain}]")
	p := s.controller(f.kubeconfig, data)
	s.ready("plain", rev)
	s.ready("over", rev)
	s.settled(p, 0)
	p.stop()
	before := s.standing()

	for _, tt := range []struct {
		name       string
		lose, slow bool
	}{{"same data", false, false}, {"slow source", false, true}, {"no data", true, true}} {
		slow.Store(tt.slow)
		if tt.lose {
			s.must(os.RemoveAll(data))
		}
		f.count()
		looked := s.git.Requests()
		p := s.controller(f.kubeconfig, data)
		s.settled(p, looked)
		p.stop()
		writes, dry := f.count()
		t.Logf("%s: %d writes, %d dry runs", tt.name, len(writes), dry)
		if len(writes) > 0 {
			t.Errorf("%s: %q; the events are\n%s", tt.name, writes, s.run("get", "events", "--sort-by=.metadata.creationTimestamp"))
		}
		if !tt.lose && dry > 0 {
			t.Errorf("%s: %d dry runs", tt.name, dry)
		}
		s.same(tt.name, s.standing(), before...)
	}
	slow.Store(false)
	s.controller(f.kubeconfig, data) // for the end of the scene
	s.run("delete", "kustomization,gitrepository", "--all", "--timeout=60s")
}

// settled returns when a controller has looked at all that there is, and has
// nothing to do.
func (s *scene) settled(p *program, looked int) {
	s.Helper()
	s.eventually("the controller has looked at all and rests", func() bool {
		for _, unit := range []string{"plain", "over"} {
			if p.metric(`gotk_reconcile_duration_seconds_count{kind="Kustomization",name="`+unit+`",namespace="`+s.ns+`"}`) == "" {
				return false
			}
		}
		return s.git.Requests() > looked && p.metric("sane_queue_length") == "0"
	})
}

// standing returns the names and resource versions of all that the controller
// might change. Statuses change by themselves: what counts is what it has written.
func (s *scene) standing() []string {
	s.Helper()
	var all []string
	for _, k := range append(slices.Clone(manyKinds), units, feeds) {
		for o, err := range s.List(context.Background(), cluster.Selection{Kind: k, Namespace: s.ns}) {
			s.must(err)
			v, _ := o.Get("metadata", "managedFields")
			entries, _ := v.([]any)
			for _, e := range entries {
				m, _ := e.(map[string]any)
				if manager, _ := m["manager"].(string); strings.Contains(manager, "kustomize-controller") || strings.Contains(manager, "source-controller") {
					all = append(all, o.ID().String()+" "+o.UID()+" "+manager+" "+m["time"].(string))
				}
			}
		}
	}
	slices.Sort(all)
	return all
}

// TestLeader: of two controllers one waits, and goes on when the other ends.
func TestLeader(t *testing.T) {
	s := openAlone(t)
	rev := s.commit(map[string]string{"cm.yaml": configMap("a")})
	s.feed()
	s.unit("apps")
	data := t.TempDir()
	one := s.controller(s.kubeconfig, filepath.Join(data, "one"), "--enable-leader-election")
	s.ready("apps", rev)
	two := s.controller(s.kubeconfig, filepath.Join(data, "two"), "--enable-leader-election")
	s.eventually("the second one waits", func() bool { return len(two.says("waiting to lead")) == 1 })
	s.eventually("the second one is ready to wait", func() bool {
		r, err := http.Get("http://" + two.address("health") + "/readyz")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	lease := s.holder("")
	rev = s.push(map[string]string{"cm.yaml": configMap("a", "n: two")})
	s.ready("apps", rev)
	if said := two.says(`"msg":"leading"`); len(said) > 0 {
		t.Fatal("both lead")
	}
	s.must(one.cmd.Process.Signal(syscall.SIGTERM))
	s.holder(lease)
	rev = s.push(map[string]string{"cm.yaml": configMap("a", "n: three")})
	s.ready("apps", rev)
	s.run("delete", "kustomization,gitrepository", "--all", "--timeout=60s")
}

// holder returns who holds the lease, once that is somebody else than other.
func (s *scene) holder(other string) string {
	s.Helper()
	var holder string
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for ch, err := range s.Watch(ctx, cluster.Selection{Kind: leases, Namespace: s.ns}) {
		if err != nil || ch.Type != cluster.Put {
			continue
		}
		if holder = text(ch.Object, "spec", "holderIdentity"); holder != "" && holder != other {
			return holder
		}
	}
	s.Fatalf("nobody but %q leads", other)
	return ""
}

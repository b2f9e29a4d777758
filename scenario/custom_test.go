package scenario

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// TestHealthExpressions: users say what is healthy, of a kind of which usually
// only metadata are watched, and of one that has its own ideas.
func TestHealthExpressions(t *testing.T) {
	s := open(t)
	s.commit(map[string]string{"a/cm.yaml": configMap("a"), "b/web.yaml": deployment("web", "web:1", 1, "unready")})
	s.feed()
	s.unit("plain", "path: a")
	s.ready("plain", "")
	s.unit("looker", "path: b", "timeout: 10m", "healthChecks: [{apiVersion: v1, kind: ConfigMap, name: a, namespace: $NS}, {apiVersion: apps/v1, kind: Deployment, name: web, namespace: $NS}]",
		"healthCheckExprs: [{apiVersion: v1, kind: ConfigMap, failed: \"has(data.broken)\", current: \"has(data.done)\"}, {apiVersion: apps/v1, current: \"status.observedGeneration == metadata.generation\"}]")
	s.until(s.unitID("looker"), "waits for the ConfigMap alone", func(o object.Object) bool {
		_, _, doing := condition(o, "Reconciling")
		return strings.Contains(doing, "ConfigMap/"+s.ns+"/a") && !strings.Contains(doing, "Deployment")
	})
	s.patch(s.id(configMaps, "a"), "tester", `{"data":{"broken":"yes"}}`)
	s.refused(s.unitID("looker"), "HealthCheckFailed", "ConfigMap/$NS/a")
	s.patch(s.id(configMaps, "a"), "tester", `{"data":{"broken":null,"done":"yes"}}`)
	s.ready("looker", "")
	s.unit("looker", "path: b", "healthCheckExprs: [{apiVersion: v1, kind: ConfigMap, current: \"1 +\"}]")
	o := s.refused(s.unitID("looker"), "InvalidCELExpression", "spec.healthCheckExprs", "line 1")
	if status, _, _ := condition(o, "Stalled"); status != "True" {
		t.Error("not stalled")
	}
}

// TestReadyExpression: a unit comes after another when an expression says so.
func TestReadyExpression(t *testing.T) {
	s := open(t)
	s.commit(map[string]string{"a/web.yaml": deployment("web", "web:1", 1, "unready"), "b/cm.yaml": configMap("b")})
	s.feed()
	s.unit("a", "path: a", "wait: true", "timeout: 10m")
	s.unit("b", "path: b", "dependsOn: [{name: a, readyExpr: \"dep.metadata.labels['v'] == 'two' && self.metadata.name == 'b'\"}]")
	s.refused(s.unitID("b"), "DependencyNotReady", "dependency '$NS/a' is not ready", "no such key")
	s.patch(s.unitID("a"), "tester", `{"metadata":{"labels":{"v":"one"}}}`)
	s.refused(s.unitID("b"), "DependencyNotReady", "does not hold")
	s.patch(s.unitID("a"), "tester", `{"metadata":{"labels":{"v":"two"}}}`)
	s.ready("b", "")
	if status, _, _ := condition(s.get(s.unitID("a")), "Ready"); status == "True" {
		t.Error("the unit before is ready: nothing was shown")
	}
}

// TestTermination: a unit stays until its objects have gone, or its time is up.
func TestTermination(t *testing.T) {
	s := open(t)
	held := func(name string) string {
		return strings.Replace(configMap(name), "namespace: $NS", "namespace: $NS, finalizers: [scenario.sane.dev/hold]", 1)
	}
	s.commit(map[string]string{"a/cm.yaml": held("a") + configMap("a2"), "b/cm.yaml": held("b"), "c/cm.yaml": configMap("c")})
	s.feed()
	s.unit("a", "path: a", "deletionPolicy: WaitForTermination", "timeout: 10m")
	s.unit("b", "path: b", "deletionPolicy: WaitForTermination", "timeout: 30s") // no shorter one is heeded
	s.unit("c", "path: c", "deletionPolicy: Delete", "prune: false")
	for _, name := range []string{"a", "b", "c"} {
		s.ready(name, "")
		s.delete(s.unitID(name))
	}
	t.Cleanup(func() {
		for _, name := range []string{"a", "b"} {
			_, _ = s.Patch(context.Background(), s.id(configMaps, name), cluster.Patch{Type: cluster.MergePatch, Data: []byte(`{"metadata":{"finalizers":null}}`)}, cluster.How{Manager: "tester"})
		}
	})
	s.gone(s.id(configMaps, "c"))
	s.gone(s.unitID("c"))
	s.gone(s.id(configMaps, "a2"))
	s.until(s.unitID("a"), "says what it waits for", func(o object.Object) bool {
		_, _, doing := condition(o, "Reconciling")
		return strings.Contains(doing, "waiting for the end of ConfigMap/"+s.ns+"/a") && !strings.Contains(doing, "/a2")
	})
	s.event(s.unitID("b"), "PruneFailed", "timeout after 30s waiting for the end of ConfigMap/$NS/b")
	s.gone(s.unitID("b"))
	if s.get(s.unitID("a")).IsZero() || !s.get(s.id(configMaps, "b")).Deleting() {
		t.Error("a unit has gone before its object, or an object was not deleted")
	}
	s.patch(s.id(configMaps, "a"), "tester", `{"metadata":{"finalizers":null}}`)
	s.gone(s.unitID("a"))
}

// TestIgnored: fields that are left to others, whoever they are.
func TestIgnored(t *testing.T) {
	s := open(t)
	files := func(image, note string) map[string]string {
		return map[string]string{"web.yaml": deployment("web", image, 2, ""), "cm.yaml": configMap("cm", "theirs: ours", "note: "+note)}
	}
	s.commit(files("web:1", "one"))
	s.feed()
	s.unit("apps", "ignore: [{paths: [/spec/replicas], target: {kind: Deployment}}, {paths: [/data/theirs], target: {kind: Config.*}}]")
	s.ready("apps", "")
	s.is(s.get(s.id(deployments, "web")), 2, "spec", "replicas") // not on creation

	s.run("scale", "deployment", "web", "--replicas=5")
	s.serverSide("operator", `{apiVersion: v1, kind: ConfigMap, metadata: {name: cm, namespace: $NS}, data: {theirs: theirs}}`)
	rev := s.push(files("web:2", "two"))
	s.ready("apps", rev)
	s.is(s.get(s.id(deployments, "web")), 5, "spec", "replicas")
	o := s.has(s.id(configMaps, "cm"), "two", "data", "note")
	s.is(o, "theirs", "data", "theirs")

	// What is not left to others is brought back, and what is stays.
	s.patch(s.id(deployments, "web"), "somebody", `{"spec":{"replicas":4,"paused":true,"template":{"metadata":{"labels":{"app":"web"},"annotations":{"devcluster.sane.dev/pod":"unready"}}}}}`)
	s.has(s.id(deployments, "web"), "", "spec", "template", "metadata", "annotations", "devcluster.sane.dev/pod")
	s.is(s.get(s.id(deployments, "web")), 4, "spec", "replicas")

	s.unit("apps", "ignore: []")
	s.has(s.id(deployments, "web"), 2, "spec", "replicas")
	s.has(s.id(configMaps, "cm"), "ours", "data", "theirs")
}

// TestCauses: who is told that something is not healthy is told why.
func TestCauses(t *testing.T) {
	s := open(t)
	fares := map[string]string{
		"imagepull": "ImagePullBackOff", "fail": "crashes again and again: it ended with exit code 1", "unready": `container "main" runs and is not ready`,
	}
	files := map[string]string{"job/job.yaml": `apiVersion: batch/v1
kind: Job
metadata: {name: job, namespace: $NS}
spec:
  backoffLimit: 0
  template:
    metadata: {annotations: {devcluster.sane.dev/pod: fail}}
    spec: {restartPolicy: Never, containers: [{name: work, image: work}]}
`}
	for fare := range fares {
		files[fare+"/web.yaml"] = deployment(fare, "web:1", 1, fare)
	}
	s.commit(files)
	s.feed()
	s.unit("job", "path: job", "wait: true")
	for fare := range fares {
		s.unit(fare, "path: "+fare, "wait: true", "timeout: 30s")
	}
	s.refused(s.unitID("job"), "HealthCheckFailed", "Job/$NS/job", `container "work" ended with exit code 1`)
	for fare, words := range fares {
		s.refused(s.unitID(fare), "HealthCheckFailed", "Deployment/$NS/"+fare, words)
	}
}

// TestOptOuts: what objects ask for, in Git, of those that are there already,
// and what was asked for before somebody took it off.
func TestOptOuts(t *testing.T) {
	s := open(t)
	asking := func(name, key, value string) string {
		return strings.Replace(configMap(name), "namespace: $NS", "namespace: $NS, annotations: {kustomize.toolkit.fluxcd.io/"+key+": "+value+"}", 1)
	}
	s.apply(`{apiVersion: v1, kind: ConfigMap, metadata: {name: once, namespace: $NS}, data: {k: theirs}}`)
	s.run("create", "configmap", "merged", "--from-literal=theirs=v")
	s.run("create", "configmap", "taken", "--from-literal=theirs=v")
	s.commit(map[string]string{
		"once/cm.yaml": asking("once", "ssa", "IfNotPresent"),
		"all/cm.yaml":  asking("kept", "prune", "disabled") + asking("merged", "ssa", "Merge") + asking("left", "ssa", "Ignore") + configMap("taken"),
	})
	s.feed()
	s.unit("once", "path: once", "wait: true")
	s.unit("all", "path: all")
	s.ready("once", "")
	s.ready("all", "")
	s.is(s.get(s.id(configMaps, "once")), "map[k:theirs]", "data")
	s.is(s.get(s.id(configMaps, "merged")), "map[k:v theirs:v]", "data")
	s.is(s.get(s.id(configMaps, "taken")), "map[k:v]", "data")
	if !s.get(s.id(configMaps, "left")).IsZero() {
		t.Error("what asks to be left alone was made")
	}

	s.unit("all", "path: all", "suspend: true")
	s.patch(s.id(configMaps, "kept"), "somebody", `{"metadata":{"annotations":null}}`)
	s.push(map[string]string{"all/cm.yaml": configMap("taken")})
	s.unit("all", "path: all", "suspend: false")
	s.gone(s.id(configMaps, "merged"))
	s.ready("all", "")
	if s.get(s.id(configMaps, "kept")).IsZero() {
		t.Error("what asked not to be deleted was deleted, since somebody had taken that off")
	}
	s.delete(s.unitID("once"))
	s.gone(s.unitID("once"))
	if s.get(s.id(configMaps, "once")).IsZero() {
		t.Error("what was there before was deleted")
	}
}

// TestKubectlBefore: what was applied by kubectl is taken over, with all that it
// kept there.
func TestKubectlBefore(t *testing.T) {
	s := open(t)
	const noted = "kubectl.kubernetes.io/last-applied-configuration"
	file := t.TempDir() + "/cm.yaml"
	s.must(os.WriteFile(file, []byte(s.expand(configMap("cm", "old: x"))), 0o600))
	s.run("apply", "-f", file)
	if s.get(s.id(configMaps, "cm")).Annotation(noted) == "" {
		t.Fatal("kubectl has kept no note: nothing can be shown")
	}
	s.commit(map[string]string{"cm.yaml": configMap("cm")})
	s.feed()
	s.unit("apps")
	s.ready("apps", "")
	o := s.get(s.id(configMaps, "cm"))
	s.is(o, "map[k:v]", "data")
	if o.Annotation(noted) != "" {
		t.Error("kubectl's note is still there")
	}
}

// TestFlags: managers that are overruled beside kubectl, and kinds that come
// early.
func TestFlags(t *testing.T) {
	s := openAlone(t)
	s.controller(s.kubeconfig, t.TempDir(), "--override-manager=legacy", "--custom-apply-stage-kinds=apps/Deployment,example.com/Widget")
	s.commit(map[string]string{"cm.yaml": configMap("cm"), "web.yaml": deployment("web", "web:1", 1, "unready")})
	s.feed()
	s.unit("apps", "timeout: 10m")
	s.until(s.unitID("apps"), "waits for the early stage", func(o object.Object) bool {
		_, _, doing := condition(o, "Reconciling")
		return strings.Contains(doing, "Deployment/"+s.ns+"/web")
	})
	if !s.get(s.id(configMaps, "cm")).IsZero() {
		t.Error("a later stage has begun before the early one is healthy")
	}
	s.push(map[string]string{"web.yaml": deployment("web", "web:1", 1, "")})
	s.ready("apps", "")
	s.patch(s.id(configMaps, "cm"), "friend", `{"data":{"theirs":"v"}}`)
	s.patch(s.id(configMaps, "cm"), "legacy", `{"data":{"more":"x"}}`)
	s.has(s.id(configMaps, "cm"), "map[k:v theirs:v]", "data")
}

// TestForceful: leave to replace is no leave to delete what a policy protects, or
// what can't be had back.
func TestForceful(t *testing.T) {
	s := open(t)
	s.apply(`apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: $NS}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [UPDATE], resources: [configmaps]}]}
  validations: [{expression: "object.data == oldObject.data", message: "no changes this week"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: $NS}
spec:
  policyName: $NS
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $NS}}}
`)
	policy := object.ID{Kind: object.Kind{Group: "admissionregistration.k8s.io", Name: "ValidatingAdmissionPolicy"}, Name: s.ns}
	binding := object.ID{Kind: object.Kind{Group: policy.Kind.Group, Name: "ValidatingAdmissionPolicyBinding"}, Name: s.ns}
	t.Cleanup(func() { s.delete(binding); s.delete(policy) })
	claim := func(size string) string {
		return "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data, namespace: $NS}\nspec: {accessModes: [ReadWriteOnce], storageClassName: " + size + ", resources: {requests: {storage: 1Gi}}}\n"
	}
	foreign := strings.NewReplacer("app: web", "app: theirs").Replace(deployment("theirs", "web:1", 1, ""))
	s.apply(foreign)
	s.commit(map[string]string{"cm/cm.yaml": configMap("cm"), "pvc/pvc.yaml": claim("one"), "theirs/web.yaml": strings.ReplaceAll(deployment("theirs", "web:1", 1, ""), "{app: theirs}", "{app: ours}")})
	s.feed()
	s.unit("cm", "path: cm", "force: true")
	s.unit("pvc", "path: pvc", "force: true")
	s.ready("cm", "")
	s.ready("pvc", "")
	pvc := s.id(object.Kind{Name: "PersistentVolumeClaim"}, "data")
	cm, data, theirs := s.get(s.id(configMaps, "cm")).UID(), s.get(pvc).UID(), s.get(s.id(deployments, "theirs")).UID()
	trial := s.get(s.id(configMaps, "cm"))
	s.eventually("the policy is in force", func() bool {
		_, err := s.Patch(context.Background(), trial.ID(), cluster.Patch{Type: cluster.MergePatch, Data: []byte(`{"data":{"k":"w"}}`)}, cluster.How{Manager: "tester", DryRun: true})
		return err != nil
	})
	s.push(map[string]string{"cm/cm.yaml": configMap("cm", "n: new"), "pvc/pvc.yaml": claim("two")})
	s.unit("theirs", "path: theirs", "force: true")
	s.refused(s.unitID("cm"), "ReconciliationFailed", "no changes this week")
	s.refused(s.unitID("pvc"), "ReconciliationFailed", "PersistentVolumeClaim/$NS/data", "immutable")
	s.refused(s.unitID("theirs"), "ReconciliationFailed", "spec.selector", "immutable")
	s.is(s.get(trial.ID()), cm, "metadata", "uid")
	s.is(s.get(pvc), data, "metadata", "uid")
	s.is(s.get(s.id(deployments, "theirs")), theirs, "metadata", "uid")
}

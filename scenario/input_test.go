package scenario

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/object"
)

// eventually returns when ok says so, for what can't be watched.
func (s *scene) eventually(what string, ok func() bool) {
	s.Helper()
	end := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			s.Fatalf("not so after %s: %s", patience, what)
		}
	}
}

const widget = "apiVersion: widgets.example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: $NS}\n"

// TestBadInput: one push after the other that can't be carried out. Each time
// the unit says why, what was there stays, and a unit beside it goes on.
func TestBadInput(t *testing.T) {
	s := open(t)
	s.commit(map[string]string{"x/good.yaml": configMap("good"), "beside/cm.yaml": configMap("beside")})
	s.feed()
	s.unit("apps", "path: x")
	s.unit("beside", "path: beside")
	s.ready("apps", "")
	last := make(map[string]string)
	for _, tt := range []struct {
		name, reason string
		commit       gitserver.Commit
		words        []string
	}{
		{"invalid YAML", "BuildFailed",
			gitserver.Commit{Files: map[string]string{"x/bad.yaml": "a: b: c\n"}}, []string{"x/bad.yaml", "invalid YAML"}},
		{"twice", "BuildFailed",
			gitserver.Commit{Files: map[string]string{"x/bad.yaml": configMap("good")}}, []string{"x/good.yaml", "x/bad.yaml", "ConfigMap/$NS/good"}},
		{"unknown kind", "ReconciliationFailed",
			gitserver.Commit{Files: map[string]string{"x/bad.yaml": widget}}, []string{"Widget"}},
		{"unknown field", "ReconciliationFailed",
			gitserver.Commit{Files: map[string]string{"x/bad.yaml": strings.Replace(deployment("bad", "web", 1, ""), "replicas", "replicaz", 1)}},
			[]string{"Deployment/$NS/bad", "replicaz"}},
		{"invalid value", "ReconciliationFailed",
			gitserver.Commit{Files: map[string]string{"x/bad.yaml": service("bad", 99999) + service("worse", 88888)}},
			[]string{"Service/$NS/bad", "Service/$NS/worse", "port"}},
		{"no such namespace", "ReconciliationFailed",
			gitserver.Commit{Files: map[string]string{"x/bad.yaml": strings.ReplaceAll(configMap("bad"), "$NS", "$NS-nowhere")}},
			[]string{"$NS-nowhere"}},
		{"no namespace", "ReconciliationFailed",
			gitserver.Commit{Files: map[string]string{"x/bad.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: bad}}"}},
			[]string{"ConfigMap/bad", "namespace not specified"}},
		{"base out of the tree", "BuildFailed",
			gitserver.Commit{Files: map[string]string{"x/kustomization.yaml": "resources: [good.yaml, ../../../etc]\n"}}, []string{"../../../etc"}},
		{"remote base", "BuildFailed",
			gitserver.Commit{Files: map[string]string{"x/kustomization.yaml": "resources: [good.yaml, 'https://example.com/base.git']\n"}},
			[]string{"example.com"}},
		{"base in a circle", "BuildFailed",
			gitserver.Commit{Files: map[string]string{"x/kustomization.yaml": "resources: [good.yaml, ../y]\n", "y/kustomization.yaml": "resources: [../x]\n"}},
			[]string{"cycle"}},
		{"link out of the tree", "BuildFailed",
			gitserver.Commit{Files: map[string]string{"x/kustomization.yaml": "resources: [good.yaml, bad.yaml]\n"},
				Links: map[string]string{"x/bad.yaml": "../../../../etc/hostname"}}, []string{"bad.yaml"}},
		{"links in a circle", "BuildFailed",
			gitserver.Commit{Files: map[string]string{"x/kustomization.yaml": "resources: [good.yaml, bad.yaml]\n"},
				Links: map[string]string{"x/bad.yaml": "worse.yaml", "x/worse.yaml": "bad.yaml"}}, []string{"bad.yaml"}},
		{"50 MB", "BuildFailed",
			gitserver.Commit{Files: map[string]string{"x/bad.yaml": configMap("big") + "# " + strings.Repeat(strings.Repeat("x", 98)+"\n# ", 500_000) + "\n"}},
			[]string{"x/bad.yaml", "limit"}},
		{"too big for the cluster", "ReconciliationFailed",
			gitserver.Commit{Files: map[string]string{"x/bad.yaml": configMap("big", "v: "+strings.Repeat("x", 2<<20))}},
			[]string{"ConfigMap/$NS/big"}},
	} {
		began := time.Now()
		for name, text := range tt.commit.Files {
			last[name] = text
		}
		next := tt.commit
		next.Files = last
		bad := s.write(next)
		s.ask(s.feedID())
		s.until(s.unitID("apps"), tt.name+": is refused at "+bad, func(o object.Object) bool {
			status, reason, _ := condition(o, "Ready")
			return status == "False" && text(o, "status", "lastAttemptedRevision") == bad && reason != "Progressing"
		})
		o := s.refused(s.unitID("apps"), tt.reason, tt.words...)
		s.ready("beside", bad)
		if s.get(s.id(configMaps, "good")).IsZero() || !slices.Contains(inventory(o), s.ns+"_good__ConfigMap v1") {
			t.Fatalf("%s: what was there is gone", tt.name)
		}
		_, _, message := condition(o, "Ready")
		t.Logf("%-24s %4d ms  %.300s", tt.name, time.Since(began).Milliseconds(), message)
		last = make(map[string]string) // it is taken back with the next one
		for name := range tt.commit.Files {
			last[name] = gitserver.Delete
		}
		for name := range tt.commit.Links {
			last[name] = gitserver.Delete
		}
	}
	s.ready("apps", s.push(last))
	s.same("left", s.owned(configMaps, "apps"), "good")
	s.same("left", s.owned(services, "apps"))
}

// write puts a commit with more than files on the branch and returns the revision.
func (s *scene) write(c gitserver.Commit) string {
	s.Helper()
	files := make(map[string]string)
	for name, text := range c.Files {
		files[name] = s.expand(text)
	}
	c.Files = files
	ids, err := s.git.Write("app", "main", slices.Values([]gitserver.Commit{c}))
	s.must(err)
	return "main@sha1:" + ids[0]
}

// TestBadPath: a path that is missing, leads out, or is a file. Nothing is
// deleted.
func TestBadPath(t *testing.T) {
	s := open(t)
	s.commit(map[string]string{"x/good.yaml": configMap("good")})
	s.write(gitserver.Commit{Links: map[string]string{"round": "about", "about": "round", "out": "../../etc"}})
	s.feed()
	s.unit("apps", "path: x")
	s.ready("apps", "")
	for _, path := range []string{"y", "../../../../etc", "x/good.yaml", "round", "out"} {
		s.unit("apps", fmt.Sprintf("path: %q", path))
		o := s.refused(s.unitID("apps"), "ArtifactFailed", "path")
		_, _, message := condition(o, "Ready")
		t.Logf("%-20s %s", path, message)
		if s.get(s.id(configMaps, "good")).IsZero() {
			t.Fatalf("%s: what was there is gone", path)
		}
	}
	s.unit("apps", "path: /x/")
	s.ready("apps", "")
}

// TestBadObject: requests that contradict themselves, and what is not there.
func TestBadObject(t *testing.T) {
	s := open(t)
	s.unit("apps")
	s.refused(s.unitID("apps"), "ArtifactFailed", "not found")
	s.commit(map[string]string{"cm.yaml": configMap("a")})
	s.feed("ref: {branch: nothing}")
	s.refused(s.feedID(), "GitOperationFailed", "nothing")
	s.refused(s.unitID("apps"), "ArtifactFailed")
	s.feed("ref: {tag: v1}")
	s.refused(s.feedID(), "GitOperationFailed", "v1")
	s.must(s.git.Set("app", "refs/tags/v1", strings.TrimPrefix(s.commit(map[string]string{"b.yaml": configMap("b")}), "main@sha1:")))
	s.ready("apps", "") // by itself
	s.unit("apps", "kubeConfig: {configMapRef: {name: cloud}}")
	s.refused(s.unitID("apps"), "ReconciliationFailed", "configmap", "not found")
	s.unit("apps", "healthCheckExprs: [{apiVersion: v1, kind: ConfigMap, current: \"1 +\"}]")
	o := s.refused(s.unitID("apps"), "InvalidCELExpression", "spec.healthCheckExprs")
	if status, _, _ := condition(o, "Stalled"); status != "True" {
		t.Error("not stalled")
	}
	s.unit("apps")
	s.ready("apps", "")
}

// TestImmutable: a field that can't change, without and with leave to replace.
func TestImmutable(t *testing.T) {
	job := func(image, note string) string {
		return fmt.Sprintf(`apiVersion: batch/v1
kind: Job
metadata: {name: job, namespace: $NS, annotations: {%s}}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: %q}]}}}
`, note, image)
	}
	relabelled := strings.Replace(strings.Replace(deployment("web", "web", 1, ""), "matchLabels: {app: web}", "matchLabels: {app: other}", 1),
		"labels: {app: web}", "labels: {app: other}", 1)
	s := open(t)
	s.commit(map[string]string{"web/it.yaml": deployment("web", "web", 1, ""), "job/it.yaml": job("one", ""), "job/cm.yaml": configMap("a")})
	s.feed()
	s.unit("web", "path: web", "wait: true")
	s.unit("job", "path: job")
	s.ready("web", "")
	s.ready("job", "")
	web, first := s.get(s.id(deployments, "web")), s.get(s.id(jobs, "job"))

	s.push(map[string]string{"web/it.yaml": relabelled, "job/it.yaml": job("two", ""), "job/cm.yaml": configMap("a", "n: new")})
	s.refused(s.unitID("web"), "ReconciliationFailed", "Deployment/$NS/web", "spec.selector", "immutable")
	s.refused(s.unitID("job"), "ReconciliationFailed", "Job/$NS/job", "spec.template", "immutable")
	s.is(s.get(web.ID()), web.UID(), "metadata", "uid")
	s.is(s.get(s.id(configMaps, "a")), "map[k:v]", "data") // all or nothing

	s.unit("web", "path: web", "wait: true", "force: true")
	s.ready("web", "")
	if s.get(web.ID()).UID() == web.UID() {
		t.Error("the Deployment has not been replaced")
	}
	rev := s.push(map[string]string{"job/it.yaml": job("two", "kustomize.toolkit.fluxcd.io/force: enabled")})
	s.ready("job", rev)
	if s.get(first.ID()).UID() == first.UID() {
		t.Error("the Job has not been replaced")
	}
	// What is refused for itself is not replaced.
	uid := s.get(web.ID()).UID()
	s.push(map[string]string{"web/it.yaml": strings.Replace(relabelled, "replicas: 1", "replicas: -1", 1)})
	s.refused(s.unitID("web"), "ReconciliationFailed", "replicas")
	s.is(s.get(web.ID()), uid, "metadata", "uid")
}

// TestAdmission: a policy refuses an object, and then does not any more.
func TestAdmission(t *testing.T) {
	s := open(t)
	const policy = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: $NS}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}]
  validations: [{expression: "object.metadata.name != 'forbidden'", message: "nobody may have that name"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: $NS}
spec:
  policyName: $NS
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $NS}}}
`
	s.apply(policy)
	admission := object.ID{Kind: object.Kind{Group: "admissionregistration.k8s.io", Name: "ValidatingAdmissionPolicyBinding"}, Name: s.ns}
	t.Cleanup(func() {
		s.delete(admission)
		admission.Kind.Name = "ValidatingAdmissionPolicy"
		s.delete(admission)
	})
	trial, err := object.Parse([]byte(s.expand(configMap("forbidden"))))
	s.must(err)
	s.eventually("the policy is in force", func() bool {
		_, err := s.Apply(context.Background(), trial[0], cluster.How{Manager: "tester", DryRun: true})
		return err != nil
	})
	s.commit(map[string]string{"cm.yaml": configMap("allowed")})
	s.feed()
	s.unit("apps")
	s.ready("apps", "")
	rev := s.push(map[string]string{"cm.yaml": configMap("allowed", "n: new"), "bad.yaml": configMap("forbidden")})
	s.refused(s.unitID("apps"), "ReconciliationFailed", "ConfigMap/$NS/forbidden", "nobody may have that name")
	s.is(s.get(s.id(configMaps, "allowed")), "map[k:v]", "data")
	s.delete(admission)
	s.ready("apps", rev)
	s.here(s.id(configMaps, "forbidden"))
}

// TestEndingNamespace: the namespace is deleted, and its end is held up. The
// unit says so, and makes all anew when it has ended.
func TestEndingNamespace(t *testing.T) {
	s := open(t)
	inside := s.ns + "-in"
	namespace := object.ID{Kind: namespaces, Name: inside}
	cm := object.ID{Kind: configMaps, Namespace: inside, Name: "a"}
	stuck := object.ID{Kind: configMaps, Namespace: inside, Name: "stuck"}
	s.commit(map[string]string{
		"own/ns.yaml":    "{apiVersion: v1, kind: Namespace, metadata: {name: " + inside + "}}\n",
		"own/cm.yaml":    strings.ReplaceAll(configMap("a"), "$NS", inside),
		"others/cm.yaml": strings.ReplaceAll(configMap("b"), "$NS", inside),
	})
	s.feed()
	s.unit("own", "path: own")
	s.ready("own", "")
	s.unit("others", "path: others")
	s.ready("others", "")
	uid := s.get(namespace).UID()
	s.apply(`{apiVersion: v1, kind: ConfigMap, metadata: {name: stuck, namespace: ` + inside + `, finalizers: [scenario.sane.dev/stuck]}}`)
	t.Cleanup(func() {
		_, _ = s.kubectl("patch", "configmap", "stuck", "-n", inside, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	})
	s.delete(namespace)
	s.until(s.unitID("own"), "says what it waits for", func(o object.Object) bool {
		_, _, doing := condition(o, "Reconciling")
		return strings.Contains(doing, "Namespace/"+inside) && strings.Contains(doing, "deletion")
	})
	s.refused(s.unitID("others"), "ReconciliationFailed", inside, "terminated")
	s.patch(stuck, "tester", `{"metadata":{"finalizers":null}}`)
	s.until(namespace, "is another", func(o object.Object) bool { return !o.IsZero() && o.UID() != uid && !o.Deleting() })
	s.here(cm)
	s.ready("own", "")
	s.ready("others", "")
	s.here(object.ID{Kind: configMaps, Namespace: inside, Name: "b"})
	s.run("delete", "kustomization", "--all", "--timeout=60s")
	s.gone(namespace)
}

// TestTwoOwners: two units want one object. The second is told whose it is, and
// gets it when the first gives it up.
func TestTwoOwners(t *testing.T) {
	s := open(t)
	s.commit(map[string]string{"a/x.yaml": configMap("x"), "b/x.yaml": configMap("x", "n: b"), "b/y.yaml": configMap("y")})
	s.feed()
	s.unit("a", "path: a")
	s.ready("a", "")
	s.unit("b", "path: b")
	s.refused(s.unitID("b"), "ReconciliationFailed", "ConfigMap/$NS/x", "Kustomization/$NS/a")
	s.is(s.get(s.id(configMaps, "x")), "a", "metadata", "labels", "kustomize.toolkit.fluxcd.io/name")
	s.is(s.get(s.id(configMaps, "x")), "map[k:v]", "data")
	rev := s.push(map[string]string{"a/x.yaml": gitserver.Delete, "a/z.yaml": configMap("z")})
	s.ready("a", rev)
	s.ready("b", rev)
	s.has(s.id(configMaps, "x"), "b", "data", "n")
	s.same("a's", s.owned(configMaps, "a"), "z")
	s.same("b's", s.owned(configMaps, "b"), "x", "y")
}

// TestAdopt: what somebody else has made is adopted, and goes with the unit.
// What is not the unit's stays.
func TestAdopt(t *testing.T) {
	s := open(t)
	s.apply(configMap("mine", "n: old") + configMap("foreign"))
	s.run("create", "configmap", "by-hand", "--from-literal=k=other", "--from-literal=more=x")
	rev := s.commit(map[string]string{"cm.yaml": configMap("mine") + configMap("by-hand")})
	s.feed()
	s.unit("apps")
	s.ready("apps", rev)
	s.is(s.get(s.id(configMaps, "by-hand")), "map[k:v]", "data")
	s.run("delete", "kustomization", "apps", "--timeout=60s")
	s.gone(s.id(configMaps, "mine"))
	s.gone(s.id(configMaps, "by-hand"))
	s.here(s.id(configMaps, "foreign"))
}

// TestDefinition: a kind and its objects come in one push; another unit has
// waited for the kind.
func TestDefinition(t *testing.T) {
	s := open(t)
	group := s.ns + ".example.com"
	of := func(name string) string {
		return "apiVersion: " + group + "/v1\nkind: Widget\nmetadata: {name: " + name + ", namespace: $NS}\nspec: {size: 3}\n"
	}
	s.commit(map[string]string{"late/w.yaml": of("late")})
	s.feed()
	s.unit("late", "path: late", "wait: true")
	s.refused(s.unitID("late"), "ReconciliationFailed", "Widget")
	rev := s.push(map[string]string{
		"both/a.yaml": of("w"),
		"both/z.yaml": `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.` + group + `}
spec:
  group: ` + group + `
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
`,
	})
	s.unit("both", "path: both", "wait: true")
	s.ready("both", rev)
	s.ready("late", rev)
	kind := object.Kind{Group: group, Name: "Widget"}
	s.patch(s.id(kind, "w"), "somebody", `{"spec":{"size":4}}`)
	s.has(s.id(kind, "w"), 3, "spec", "size")
	s.run("delete", "kustomization", "both", "--timeout=60s")
	s.gone(object.ID{Kind: object.Kind{Group: "apiextensions.k8s.io", Name: "CustomResourceDefinition"}, Name: "widgets." + group})
	s.run("delete", "kustomization", "late", "--timeout=60s")
}

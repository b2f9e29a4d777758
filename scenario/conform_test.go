package scenario

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// TestConformance looks at a controller of Kustomizations from outside, as a
// suite for Flux's own would: the test keeps the sources, and all that it knows
// it knows from the API.
func TestConformance(t *testing.T) {
	s := openAlone(t)
	k := keep(s)
	data := filepath.Join(t.TempDir(), "data")
	s.controller(s.kubeconfig, data, "--controllers=kustomization")
	for _, part := range []struct {
		name string
		play func(*keeper)
	}{
		{"a status begins as its definition says", begins},
		{"the first revision", first},
		{"a new revision", second},
		{"a request is answered", answered},
		{"a failure is tried again", failure},
		{"what can't be cured by trying stalls", terminal},
		{"a source without artifact", waiting},
		{"an artifact that is not there", vanished},
		{"an artifact that is another", mismatch},
		{"after others", dependency},
		{"a suspended unit", suspended},
		{"deletion", deletion},
		{"health", healthy},
	} {
		t.Run(part.name, func(t *testing.T) { part.play(k.in(t)) })
	}
}

const finalizer = "finalizers.fluxcd.io"

// conditions returns the types and statuses of an object's conditions, in order.
func conditions(o object.Object) []string {
	v, _ := o.Get("status", "conditions")
	list, _ := v.([]any)
	var out []string
	for _, c := range list {
		m, _ := c.(map[string]any)
		out = append(out, fmt.Sprint(m["type"], "=", m["status"], " ", m["reason"]))
	}
	slices.Sort(out)
	return out
}

// at returns a Kustomization once it is ready at a revision, and complains about
// anything in its status that is not as it must be then.
func (k *keeper) at(id object.ID, revision string) object.Object {
	k.Helper()
	o := k.ready(id.Name, revision)
	k.is(o, revision, "status", "lastAttemptedRevision")
	k.is(o, o.Generation(), "status", "observedGeneration")
	want := []string{"Ready=True ReconciliationSucceeded"}
	if v, _ := o.Get("spec", "wait"); v == true {
		want = append([]string{"Healthy=True Succeeded"}, want...)
	}
	k.same("conditions", conditions(o), want...)
	if !slices.Contains(o.Finalizers(), finalizer) {
		k.Errorf("%s: no finalizer", o)
	}
	return o
}

// failed returns a Kustomization once it has failed for a reason and is to be
// tried again, at a revision unless that is "".
func (k *keeper) failed(id object.ID, reason, attempted string, words ...string) object.Object {
	k.Helper()
	o := k.refused(id, reason, words...)
	for _, c := range []string{"Ready=False " + reason, "Reconciling=True ProgressingWithRetry"} {
		if !slices.Contains(conditions(o), c) {
			k.Errorf("%s: conditions %q lack %s", o, conditions(o), c)
		}
	}
	if status, _, _ := condition(o, "Stalled"); status != "" {
		k.Errorf("%s: it is stalled", o)
	}
	if attempted != "" {
		k.is(o, attempted, "status", "lastAttemptedRevision")
	}
	return o
}

// untouched complains if anybody but the test has written to a source.
func (k *keeper) untouched(id object.ID) {
	k.Helper()
	o := k.get(id)
	if len(o.Finalizers()) > 0 {
		k.Errorf("%s: finalizers %q", o, o.Finalizers())
	}
	fields, _ := o.Get("metadata", "managedFields")
	list, _ := fields.([]any)
	for _, f := range list {
		m, _ := f.(map[string]any)
		if by := fmt.Sprint(m["manager"]); by != "keeper" && by != "tester" {
			k.Errorf("%s: written to by %s", o, by)
		}
	}
	for e, err := range k.List(context.Background(), cluster.Selection{Kind: events, Namespace: k.ns}) {
		k.must(err)
		if text(e, "involvedObject", "kind") == id.Kind.Name && text(e, "involvedObject", "name") == id.Name {
			k.Errorf("%s: an event is told: %s", o, text(e, "message"))
		}
	}
}

// told returns the reasons and revisions of the events about an object.
func (k *keeper) told(id object.ID) []string {
	k.Helper()
	var out []string
	for e, err := range k.List(context.Background(), cluster.Selection{Kind: events, Namespace: k.ns}) {
		k.must(err)
		if text(e, "involvedObject", "kind") == id.Kind.Name && text(e, "involvedObject", "name") == id.Name {
			out = append(out, text(e, "reason")+" "+e.Annotation("kustomize.toolkit.fluxcd.io/revision"))
		}
	}
	return out
}

func begins(k *keeper) {
	id := k.of(k.repo("begins"), "begins", "suspend: true")
	o := k.until(id, "is held", func(o object.Object) bool { return slices.Contains(o.Finalizers(), finalizer) })
	st, _ := o.Get("status")
	if fmt.Sprint(st) != "map[observedGeneration:-1]" {
		k.Errorf("the status is %v", st)
	}
}

func first(k *keeper) {
	repo := k.repo("first")
	k.offer(repo, "main@sha1:1111", map[string]string{
		"one.yaml":       configMap("first-a"),
		"deep/two.yaml":  service("first-b", 80),
		"deep/role.yaml": "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: 'first:c', namespace: $NS}\nrules: []\n",
	})
	id := k.of(repo, "first")
	o := k.at(id, "main@sha1:1111")
	k.same("inventory", inventory(o), "$NS_first-a__ConfigMap v1", "$NS_first-b__Service v1", "$NS_first__c_rbac.authorization.k8s.io_Role v1")
	cm := k.get(k.id(configMaps, "first-a"))
	k.is(cm, "first", "metadata", "labels", "kustomize.toolkit.fluxcd.io/name")
	k.is(cm, k.ns, "metadata", "labels", "kustomize.toolkit.fluxcd.io/namespace")
	if !strings.Contains(string(cm.JSON()), `"manager":"kustomize-controller"`) {
		k.Error("it was applied by another")
	}
	k.event(id, "Progressing", "ConfigMap/$NS/first-a created")
	e := k.event(id, "ReconciliationSucceeded", "Reconciliation finished")
	k.is(e, "main@sha1:1111", "metadata", "annotations", "kustomize.toolkit.fluxcd.io/revision")
	k.is(e, "kustomize-controller", "source", "component")
	k.untouched(repo)
}

func second(k *keeper) {
	repo := k.repo("second")
	k.offer(repo, "main@sha1:1111", map[string]string{"a.yaml": configMap("second-a"), "b.yaml": configMap("second-b")})
	id := k.of(repo, "second")
	k.at(id, "main@sha1:1111")
	k.offer(repo, "main@sha1:2222", map[string]string{"a.yaml": configMap("second-a", "n: new"), "c.yaml": configMap("second-c")})
	o := k.at(id, "main@sha1:2222")
	k.same("inventory", inventory(o), "$NS_second-a__ConfigMap v1", "$NS_second-c__ConfigMap v1")
	k.is(k.get(k.id(configMaps, "second-a")), "new", "data", "n")
	k.gone(k.id(configMaps, "second-b"))
	k.event(id, "Progressing", "ConfigMap/$NS/second-b deleted")
	k.eventually("each revision is told", func() bool {
		told := k.told(id)
		return slices.Contains(told, "ReconciliationSucceeded main@sha1:1111") && slices.Contains(told, "ReconciliationSucceeded main@sha1:2222")
	})
	v, _ := o.Get("status", "history")
	if history, _ := v.([]any); len(history) != 2 {
		k.Errorf("the history has %d entries: %v", len(history), v)
	}
	// A revision that changes nothing for the unit is applied nevertheless.
	k.offer(repo, "main@sha1:3333", map[string]string{"a.yaml": configMap("second-a", "n: new"), "c.yaml": configMap("second-c"), "README.md": "words"})
	k.at(id, "main@sha1:3333")
}

func answered(k *keeper) {
	repo := k.repo("answered")
	k.offer(repo, "v1.0.0@sha1:1111", map[string]string{"a.yaml": configMap("answered-a")})
	id := k.of(repo, "answered")
	k.at(id, "v1.0.0@sha1:1111")
	k.asks(id)
	k.delete(k.id(configMaps, "answered-a"))
	k.asks(id)
	k.here(k.id(configMaps, "answered-a"))
	k.at(id, "v1.0.0@sha1:1111")
	k.offer(repo, "v2.0.0@sha1:2222", map[string]string{"a.yaml": "kind: ["})
	k.failed(id, "BuildFailed", "v2.0.0@sha1:2222")
	k.asks(id) // also when it fails
}

func failure(k *keeper) {
	repo := k.repo("failure")
	k.offer(repo, "main@sha1:1111", map[string]string{"a.yaml": configMap("failure-a")})
	id := k.of(repo, "failure")
	k.at(id, "main@sha1:1111")

	k.offer(repo, "main@sha1:2222", map[string]string{"a.yaml": "kind: ["})
	o := k.failed(id, "BuildFailed", "main@sha1:2222", "a.yaml")
	k.is(o, "main@sha1:1111", "status", "lastAppliedRevision")
	k.event(id, "BuildFailed", "a.yaml")

	k.offer(repo, "main@sha1:3333", map[string]string{"a.yaml": configMap("failure-a", "n: new"), "b.yaml": configMap("Not_A_Name")})
	o = k.failed(id, "ReconciliationFailed", "main@sha1:3333", "Not_A_Name")
	k.is(o, "main@sha1:1111", "status", "lastAppliedRevision")
	k.is(k.get(k.id(configMaps, "failure-a")), nil, "data", "n") // nothing of it is applied

	k.offer(repo, "main@sha1:4444", map[string]string{"a.yaml": configMap("failure-a")})
	o = k.at(id, "main@sha1:4444")
	k.same("inventory", inventory(o), "$NS_failure-a__ConfigMap v1")

	k.patch(id, "tester", `{"spec":{"path":"./not/there"}}`)
	k.failed(id, "ArtifactFailed", "", "not/there")
	k.patch(id, "tester", `{"spec":{"path":"./"}}`)
	k.at(id, "main@sha1:4444")
}

func terminal(k *keeper) {
	repo := k.repo("terminal")
	k.offer(repo, "main@sha1:1111", map[string]string{"a.yaml": configMap("terminal-a")})
	id := k.of(object.ID{Kind: externals, Name: "terminal"}, "terminal")
	o := k.until(id, "is stalled", func(o object.Object) bool {
		status, reason, _ := condition(o, "Stalled")
		return status == "True" && reason == "AccessDenied"
	})
	k.same("conditions", conditions(o), "Ready=False AccessDenied", "Stalled=True AccessDenied")
	k.is(o, o.Generation(), "status", "observedGeneration")
	k.patch(id, "tester", `{"spec":{"sourceRef":{"kind":"GitRepository"}}}`)
	k.at(id, "main@sha1:1111")
}

func waiting(k *keeper) {
	id := k.of(k.id(feeds, "waiting"), "waiting")
	k.failed(id, "ArtifactFailed", "", `GitRepository.source.toolkit.fluxcd.io "waiting" not found`)
	repo := k.repo("waiting")
	o := k.failed(id, "ArtifactFailed", "", "Source artifact not found")
	k.is(o, -1, "status", "observedGeneration")
	k.patch(repo, "tester", `{"spec":{"suspend":true}}`) // which is no concern of ours
	k.offer(repo, "main@sha1:1111", map[string]string{"a.yaml": configMap("waiting-a")})
	k.at(id, "main@sha1:1111")
	k.delete(repo)
	k.gone(repo) // nobody holds it
	o = k.failed(id, "ArtifactFailed", "", `"waiting" not found`)
	k.is(o, "main@sha1:1111", "status", "lastAppliedRevision")
	k.here(k.id(configMaps, "waiting-a"))
}

func vanished(k *keeper) {
	repo := k.repo("vanished")
	was := k.offer(repo, "main@sha1:1111", map[string]string{"a.yaml": configMap("vanished-a")})
	id := k.of(repo, "vanished")
	k.at(id, "main@sha1:1111")
	k.serve(was, nil) // it has been had
	k.delete(k.id(configMaps, "vanished-a"))
	k.here(k.id(configMaps, "vanished-a"))
	k.at(id, "main@sha1:1111")

	next := k.pack(repo, "main@sha1:2222", map[string]string{"a.yaml": configMap("vanished-a", "n: new")})
	k.tell(repo, next)
	o := k.failed(id, "ArtifactFailed", "main@sha1:1111", "main@sha1:2222", "404")
	k.is(o, "main@sha1:1111", "status", "lastAppliedRevision")
	k.serve(next, next.data)
	k.at(id, "main@sha1:2222")
	k.untouched(repo)
}

func mismatch(k *keeper) {
	repo := k.repo("mismatch")
	good := k.pack(repo, "main@sha1:1111", map[string]string{"a.yaml": configMap("mismatch-a")})
	evil := k.pack(repo, "main@sha1:1111", map[string]string{"a.yaml": configMap("mismatch-evil")})
	k.serve(good, evil.data)
	k.tell(repo, good)
	id := k.of(repo, "mismatch")
	k.failed(id, "ArtifactFailed", "", "digest", "sha256:")
	k.event(id, "ArtifactFailed", "digest")
	k.serve(good, good.data)
	k.at(id, "main@sha1:1111")
	if _, there, err := k.Get(context.Background(), k.id(configMaps, "mismatch-evil")); there || err != nil {
		k.Errorf("what is not what it is said to be was applied: %v", err)
	}
	k.serve(good, []byte("<html>not a tarball</html>")) // it is not asked for again
	k.asks(id)
	k.at(id, "main@sha1:1111")
}

func dependency(k *keeper) {
	base, top := k.repo("base"), k.repo("top")
	k.offer(top, "main@sha1:9999", map[string]string{"a.yaml": configMap("top-a")})
	id := k.of(top, "top", "dependsOn: [{name: base}]")
	k.failed(id, "DependencyNotReady", "", "$NS/base", "not found")
	k.of(base, "base")
	k.failed(id, "DependencyNotReady", "", "$NS/base", "not ready")
	k.offer(base, "main@sha1:1111", map[string]string{"a.yaml": configMap("base-a")})
	k.at(k.unitID("base"), "main@sha1:1111")
	k.at(id, "main@sha1:9999")
	k.event(id, "DependencyNotReady", "Dependencies do not meet ready condition")
}

func suspended(k *keeper) {
	repo := k.repo("suspended")
	k.offer(repo, "main@sha1:1111", map[string]string{"a.yaml": configMap("suspended-a")})
	id := k.of(repo, "suspended")
	was := k.at(id, "main@sha1:1111")
	k.patch(id, "tester", `{"spec":{"suspend":true}}`)
	k.offer(repo, "main@sha1:2222", map[string]string{"a.yaml": configMap("suspended-a", "n: new")})
	witness := k.of(repo, "witness", "targetNamespace: $NS", "namePrefix: witness-")
	k.at(witness, "main@sha1:2222") // so the suspended one has had its time
	o := k.get(id)
	if fmt.Sprint(conditions(o)) != fmt.Sprint(conditions(was)) {
		k.Errorf("the conditions are %q, were %q", conditions(o), conditions(was))
	}
	k.is(o, "main@sha1:1111", "status", "lastAppliedRevision")
	k.patch(id, "tester", `{"spec":{"suspend":false}}`)
	k.at(id, "main@sha1:2222")
}

func deletion(k *keeper) {
	for _, tt := range []struct {
		name, fields string
		left         bool
	}{
		{"pruned", "prune: true", false},
		{"left", "prune: false", true},
		{"orphaned", "deletionPolicy: Orphan", true},
		{"deleted", "deletionPolicy: Delete", false},
		{"asleep", "suspend: true", true},
	} {
		repo := k.repo(tt.name)
		k.offer(repo, "main@sha1:1111", map[string]string{"a.yaml": configMap(tt.name + "-a")})
		id := k.of(repo, tt.name)
		k.at(id, "main@sha1:1111")
		k.of(repo, tt.name, tt.fields)
		k.delete(id)
		k.gone(id)
		_, there, err := k.Get(context.Background(), k.id(configMaps, tt.name+"-a"))
		if err != nil || there != tt.left {
			k.Errorf("%s: its object is there: %v, want %v (%v)", tt.name, there, tt.left, err)
		}
		k.untouched(repo)
	}
}

func healthy(k *keeper) {
	repo := k.repo("healthy")
	k.offer(repo, "main@sha1:1111", map[string]string{"a.yaml": deployment("healthy-a", "web:1", 1, "")})
	id := k.of(repo, "healthy", "wait: true")
	k.at(id, "main@sha1:1111")
	k.event(id, "Progressing", "Health check passed")
}

package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/object"
)

// patience is how long anything may take. The machine may be slow.
const patience = 75 * time.Second

// ours selects the namespaces of scenarios.
const ours = "scenario.sane.dev/test=yes"

// A scene is what one scenario has for itself: a namespace, and a Git server
// with a repository "app".
type scene struct {
	*testing.T
	*stage
	ns    string
	git   *gitserver.Server
	alone bool // the shared controller leaves it alone
}

// open sets a scene on the shared stage, for a test that runs beside others.
func open(t *testing.T) *scene {
	t.Helper()
	need(t)
	t.Parallel()
	return set(t, home, gitserver.Options{})
}

// openAlone sets a scene that is left to a controller of its own.
func openAlone(t *testing.T) *scene {
	t.Helper()
	s := open(t)
	s.alone = true
	return s
}

func need(t *testing.T) {
	t.Helper()
	if unfit != "" {
		t.Skip(unfit)
	}
}

var scenes, asked atomic.Int64

// set sets a scene.
func set(t *testing.T, on *stage, opts gitserver.Options) *scene {
	t.Helper()
	name := strings.ToLower(regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(strings.TrimPrefix(t.Name(), "Test"), "-"))
	s := &scene{T: t, stage: on, ns: fmt.Sprintf("%.40s-%x%02x", name, os.Getpid(), scenes.Add(1))}
	git, err := gitserver.Start(t.TempDir(), opts)
	s.must(err)
	s.git = git
	s.must(git.Create("app"))
	t.Cleanup(git.Close)
	s.apply(`{apiVersion: v1, kind: Namespace, metadata: {name: $NS, labels: {scenario.sane.dev/test: "yes"}}}`)
	t.Cleanup(func() {
		if t.Failed() {
			s.tell()
		}
		if s.alone {
			s.release() // its controller has ended
		}
		_ = on.Delete(context.Background(), object.ID{Kind: namespaces, Name: s.ns}, cluster.Where{})
	})
	return s
}

// tell logs what the controller had to say about the scene.
func (s *scene) tell() {
	if s.stage != home || s.alone {
		return
	}
	for _, line := range sane.says(s.ns) {
		s.Log(line)
	}
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// expand fills in $NS, the scene's namespace, and $URL, that of its repository.
func (s *scene) expand(text string) string {
	return strings.NewReplacer("$NS", s.ns, "$URL", s.git.URL("app")).Replace(text)
}

// apply makes objects so, as their user does.
func (s *scene) apply(text string) {
	s.Helper()
	all, err := object.Parse([]byte(s.expand(text)))
	s.must(err)
	for _, o := range all {
		if s.alone && strings.HasSuffix(o.ID().Kind.Group, ".toolkit.fluxcd.io") {
			o = o.WithLabels(map[string]string{alone: s.ns})
		}
		_, err := s.Apply(context.Background(), o, cluster.How{Manager: "tester", Force: true})
		s.must(err)
	}
}

// feed makes the GitRepository "app" with more fields of its spec as YAML.
func (s *scene) feed(fields ...string) {
	s.Helper()
	s.apply("apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: app, namespace: $NS}\nspec:" +
		fieldsOf([]string{"interval: 10m", "url: $URL", "ref: {branch: main}"}, fields))
}

// unit makes a Kustomization of "app" with more fields of its spec as YAML.
func (s *scene) unit(name string, fields ...string) {
	s.Helper()
	s.apply("apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: " + name + ", namespace: $NS}\nspec:" +
		fieldsOf([]string{"interval: 10m", "retryInterval: 2s", "timeout: 60s", "prune: true", "sourceRef: {kind: GitRepository, name: app}"}, fields))
}

// fieldsOf returns fields, each on a line, the later instead of an earlier one of
// its name.
func fieldsOf(usual, more []string) string {
	var text strings.Builder
	for _, f := range usual {
		name, _, _ := strings.Cut(f, ":")
		if !slices.ContainsFunc(more, func(m string) bool { return strings.HasPrefix(m, name+":") }) {
			text.WriteString("\n  " + f)
		}
	}
	for _, f := range more {
		text.WriteString("\n  " + f)
	}
	return text.String()
}

// commit changes the files of the repository and returns the revision.
func (s *scene) commit(files map[string]string) string {
	s.Helper()
	all := make(map[string]string, len(files))
	for name, text := range files {
		all[name] = s.expand(text)
	}
	id, err := s.git.Commit("app", "main", "change", all)
	s.must(err)
	return "main@sha1:" + id
}

// push changes the files of the repository, has the controller look at it, as a
// forge's webhook does, and returns the revision.
func (s *scene) push(files map[string]string) string {
	s.Helper()
	rev := s.commit(files)
	s.ask(s.feedID())
	return rev
}

// ask has the controller look at an object now, and returns the token by which
// it did.
func (s *scene) ask(id object.ID) string {
	s.Helper()
	token := fmt.Sprintf("%s-%d", s.ns, asked.Add(1))
	s.patch(id, "flux", `{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":"`+token+`"}}}`)
	return token
}

// asks has the controller look at an object and returns when it has.
func (s *scene) asks(id object.ID) object.Object {
	s.Helper()
	token := s.ask(id)
	return s.until(id, "lastHandledReconcileAt is "+token, func(o object.Object) bool {
		return text(o, "status", "lastHandledReconcileAt") == token
	})
}

// patch changes an object in the name of a field manager.
func (s *scene) patch(id object.ID, manager, data string) object.Object {
	s.Helper()
	o, err := s.Patch(context.Background(), id, cluster.Patch{Type: cluster.MergePatch, Data: []byte(s.expand(data))}, cluster.How{Manager: manager})
	s.must(err)
	return o
}

func (s *scene) delete(id object.ID) {
	s.Helper()
	s.must(s.Delete(context.Background(), id, cluster.Where{}))
}

func (s *scene) id(k object.Kind, name string) object.ID {
	return object.ID{Kind: k, Namespace: s.ns, Name: name}
}

func (s *scene) feedID() object.ID            { return s.id(feeds, "app") }
func (s *scene) unitID(name string) object.ID { return s.id(units, name) }

// get returns an object as it is now; zero if it is not there.
func (s *scene) get(id object.ID) object.Object {
	s.Helper()
	o, _, err := s.Get(context.Background(), id)
	s.must(err)
	return o
}

// until returns an object once ok finds it as it should be. The zero Object is
// one that is not there.
func (s *scene) until(id object.ID, what string, ok func(object.Object) bool) object.Object {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var last object.Object
	for ch, err := range s.Watch(ctx, cluster.Selection{Kind: id.Kind, Namespace: id.Namespace, Name: id.Name}) {
		switch {
		case err != nil:
			s.Logf("watch %s: %v", id, err)
			continue
		case ch.Type == cluster.Listing:
			last = object.Object{}
			continue
		case ch.Type == cluster.Gone:
			last = object.Object{}
		case ch.Type == cluster.Put:
			last = ch.Object
		}
		if (ch.Type == cluster.Listed || ch.Type != cluster.Put || !last.IsZero()) && ok(last) {
			return last
		}
	}
	s.Fatalf("%s: not so after %s: %s; it is\n%s", id, patience, what, show(last))
	return last
}

func show(o object.Object) string {
	if o.IsZero() {
		return "not there"
	}
	data, _ := json.MarshalIndent(o.Without("metadata", "managedFields"), "", " ")
	return string(data)
}

// here returns an object once it is there.
func (s *scene) here(id object.ID) object.Object {
	s.Helper()
	return s.until(id, "is there", func(o object.Object) bool { return !o.IsZero() })
}

// gone returns once an object is not there.
func (s *scene) gone(id object.ID) {
	s.Helper()
	s.until(id, "is gone", object.Object.IsZero)
}

// has returns an object once the value at a path is so.
func (s *scene) has(id object.ID, want any, path ...string) object.Object {
	s.Helper()
	return s.until(id, fmt.Sprintf("%s is %v", strings.Join(path, "."), want), func(o object.Object) bool {
		got, _ := o.Get(path...)
		return fmt.Sprint(got) == fmt.Sprint(want)
	})
}

// ready returns a Kustomization once it is ready, at a revision unless that is "".
func (s *scene) ready(unit, rev string) object.Object {
	s.Helper()
	return s.until(s.unitID(unit), "is ready at "+rev, func(o object.Object) bool {
		status, _, message := condition(o, "Ready")
		return status == "True" && observed(o) && (rev == "" || text(o, "status", "lastAppliedRevision") == rev && message == "Applied revision: "+rev)
	})
}

// refused returns an object once it is not ready for a reason, with a message
// that contains all the given words.
func (s *scene) refused(id object.ID, reason string, words ...string) object.Object {
	s.Helper()
	return s.until(id, fmt.Sprintf("is not ready: %s, with %q", reason, words), func(o object.Object) bool {
		status, r, message := condition(o, "Ready")
		for _, w := range words {
			if !strings.Contains(message, s.expand(w)) {
				return false
			}
		}
		return status == "False" && r == reason && current(o)
	})
}

// observed reports whether the status is about the spec as it is.
func observed(o object.Object) bool {
	v, _ := o.Get("status", "observedGeneration")
	return fmt.Sprint(v) == fmt.Sprint(o.Generation())
}

// current reports whether the Ready condition is about the spec as it is.
func current(o object.Object) bool {
	v, _ := o.Get("status", "conditions")
	list, _ := v.([]any)
	return slices.ContainsFunc(list, func(c any) bool {
		m, _ := c.(map[string]any)
		return m["type"] == "Ready" && fmt.Sprint(m["observedGeneration"]) == fmt.Sprint(o.Generation())
	})
}

// condition returns one of an object's conditions.
func condition(o object.Object, name string) (status, reason, message string) {
	v, _ := o.Get("status", "conditions")
	list, _ := v.([]any)
	for _, c := range list {
		if c := object.Of(c.(map[string]any)); text(c, "type") == name {
			return text(c, "status"), text(c, "reason"), text(c, "message")
		}
	}
	return "", "", ""
}

// text returns a text at a path, or "".
func text(o object.Object, path ...string) string {
	v, _ := o.Get(path...)
	s, _ := v.(string)
	return s
}

// inventory returns what a Kustomization says that it owns, in order.
func inventory(o object.Object) []string {
	v, _ := o.Get("status", "inventory", "entries")
	list, _ := v.([]any)
	var ids []string
	for _, e := range list {
		m, _ := e.(map[string]any)
		ids = append(ids, fmt.Sprint(m["id"], " ", m["v"]))
	}
	slices.Sort(ids)
	return ids
}

// event returns once an event about an object has been told.
func (s *scene) event(about object.ID, reason, words string) object.Object {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var heard []string
	for ch, err := range s.Watch(ctx, cluster.Selection{Kind: events, Namespace: about.Namespace}) {
		if err != nil || ch.Type != cluster.Put {
			continue
		}
		o := ch.Object
		if text(o, "involvedObject", "kind") != about.Kind.Name || text(o, "involvedObject", "name") != about.Name {
			continue
		}
		heard = append(heard, text(o, "reason")+": "+text(o, "message"))
		if text(o, "reason") == reason && strings.Contains(text(o, "message"), s.expand(words)) {
			return o
		}
	}
	s.Fatalf("%s: no event %s with %q; heard\n%s", about, reason, words, strings.Join(heard, "\n"))
	return object.Object{}
}

// owned returns the names of the objects of one kind that bear the label of a
// unit, in order.
func (s *scene) owned(k object.Kind, unit string) []string {
	s.Helper()
	var names []string
	for o, err := range s.List(context.Background(), cluster.Selection{
		Kind: k, Labels: "kustomize.toolkit.fluxcd.io/name=" + unit + ",kustomize.toolkit.fluxcd.io/namespace=" + s.ns,
	}) {
		s.must(err)
		names = append(names, o.Name())
	}
	slices.Sort(names)
	return names
}

// same complains if two lists differ.
func (s *scene) same(what string, got []string, want ...string) {
	s.Helper()
	for i := range want {
		want[i] = s.expand(want[i])
	}
	if !slices.Equal(got, want) {
		s.Errorf("%s: %q, want %q", what, got, want)
	}
}

// is complains if a value at a path of an object is another.
func (s *scene) is(o object.Object, want any, path ...string) {
	s.Helper()
	if got, _ := o.Get(path...); fmt.Sprint(got) != fmt.Sprint(want) {
		s.Errorf("%s: %s is %v, want %v", o.ID(), strings.Join(path, "."), got, want)
	}
}

// run runs kubectl in the scene's namespace and returns what it prints.
func (s *scene) run(args ...string) string {
	s.Helper()
	out, err := s.kubectl(append([]string{"-n", s.ns}, args...)...)
	s.must(err)
	return out
}

// controller starts a controller that sees to this scene alone, with data in a
// directory of the test's.
func (s *scene) controller(kubeconfig, data string, args ...string) *program {
	s.Helper()
	p, err := startAs(data, filepath.Join(s.TempDir(), "log"), []string{"RUNTIME_NAMESPACE=" + s.ns},
		append([]string{"--kubeconfig", kubeconfig, "--watch-label-selector", alone + "=" + s.ns}, args...)...)
	s.must(err)
	s.Cleanup(func() {
		p.stop()
		if s.Failed() {
			s.Log("the log of this test's own controller:\n" + strings.Join(p.says(""), "\n"))
		}
	})
	return p
}

// release takes the finalizers off what no controller is left for.
func (s *scene) release() {
	for _, k := range []object.Kind{units, feeds} {
		for o, err := range s.List(context.Background(), cluster.Selection{Kind: k, Namespace: s.ns}) {
			if err == nil {
				_, _ = s.Patch(context.Background(), o.ID(), cluster.Patch{Type: cluster.MergePatch, Data: []byte(`{"metadata":{"finalizers":null}}`)}, cluster.How{Manager: "tester"})
			}
		}
	}
}

// Manifests.

func configMap(name string, data ...string) string {
	text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: $NS}\ndata:\n  k: v\n"
	for _, d := range data {
		text += "  " + d + "\n"
	}
	return text + "---\n"
}

// deployment returns a Deployment whose pods fare as the last argument says; ""
// is well.
func deployment(name, image string, replicas int, fare string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: $NS}
spec:
  replicas: %[3]d
  progressDeadlineSeconds: 600
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata:
      labels: {app: %[1]s}
      annotations: {devcluster.sane.dev/pod: %[4]q}
    spec:
      containers: [{name: main, image: %[2]q}]
---
`, name, image, replicas, fare)
}

func service(name string, port int) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: $NS}
spec:
  selector: {app: %[1]s}
  ports: [{name: http, port: %[2]d, targetPort: 8080}]
---
`, name, port)
}

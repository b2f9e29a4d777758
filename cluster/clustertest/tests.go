package clustertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

var tests = []struct {
	name string
	run  func(*bench)
}{
	{"apply, get, list and delete", basics},
	{"create makes only what is not there", create},
	{"namespaced", namespaced},
	{"an apply that changes nothing keeps the resource version", noop},
	{"apply takes away what is not wanted any more", withdraw},
	{"a dry run changes nothing", dryRun},
	{"conflict and force", conflict},
	{"managed fields", managedFields},
	{"patch", patch},
	{"patch with a precondition", patchPrecondition},
	{"delete with preconditions", deletePrecondition},
	{"finalizers", finalizers},
	{"invalid objects", invalid},
	{"immutable fields", immutable},
	{"a secret's content is not quoted", secrets},
	{"missing namespace", missingNamespace},
	{"terminating namespace", terminatingNamespace},
	{"watch", watch},
	{"watch of nothing", watchNothing},
	{"selection by name", byName},
	{"selection by fields", byFields},
	{"metadata only", metadata},
	{"brief answers", brief},
	{"a kind comes and goes", kinds},
	{"status subresource", status},
	{"custom resource with a schema", schema},
	{"rights", rights},
	{"logs", logs},
	{"canceled context", canceled},
}

func basics(b *bench) {
	got := b.apply(b.config("a", "k", "v"))
	if got.UID() == "" || got.ResourceVersion() == "" || got.Label("test") != "yes" {
		b.t.Errorf("apply returned %s", got.JSON())
	}
	b.apply(b.config("b"))
	o := b.get(got.ID())
	if v, _ := o.Get("data", "k"); v != "v" || o.APIVersion() != "v1" || o.ID() != got.ID() {
		b.t.Errorf("get returned %s", o.JSON())
	}
	var names []string
	for o, err := range b.List(b.ctx, b.configs()) {
		if err != nil {
			b.t.Fatal(err)
		}
		if o.ID().Kind != (object.Kind{Name: "ConfigMap"}) || o.APIVersion() != "v1" {
			b.t.Errorf("list has %s %s", o.APIVersion(), o.ID())
		}
		names = append(names, o.Name())
	}
	if slices.Sort(names); !slices.Equal(names, []string{"a", "b"}) {
		b.t.Errorf("list = %v", names)
	}
	b.remove(got.ID())
	b.remove(got.ID())
	b.absent(got.ID())
}

func create(b *bench) {
	o := b.config("a", "k", "v")
	if _, err := b.Create(b.ctx, o, how); err != nil {
		b.t.Fatal(err)
	}
	_, err := b.Create(b.ctx, o, how)
	b.wants(err, cluster.ErrConflict, "create ConfigMap/"+b.ns+"/a: ", "already exists")
}

func namespaced(b *bench) {
	for kind, want := range map[object.Kind]bool{
		{Name: "ConfigMap"}:                                         true,
		{Name: "Namespace"}:                                         false,
		{Group: "apps", Name: "Deployment"}:                         true,
		{Group: "rbac.authorization.k8s.io", Name: "ClusterRole"}:   false,
		{Group: "apiextensions.k8s.io", Name: definition.Kind.Name}: false,
		{Group: "networking.k8s.io", Name: "NetworkPolicy"}:         true,
		{Group: "autoscaling", Name: "HorizontalPodAutoscaler"}:     true,
		{Group: "policy", Name: "PodDisruptionBudget"}:              true,
		{Group: "storage.k8s.io", Name: "StorageClass"}:             false,
		{Group: "coordination.k8s.io", Name: "Lease"}:               true,
		{Group: "batch", Name: "CronJob"}:                           true,
		{Group: "rbac.authorization.k8s.io", Name: "RoleBinding"}:   true,
		{Group: "networking.k8s.io", Name: "Ingress"}:               true,
		{Group: "rbac.authorization.k8s.io", Name: "Role"}:          true,
		{Group: "", Name: "PersistentVolumeClaim"}:                  true,
		{Group: "", Name: "ServiceAccount"}:                         true,
		{Group: "apps", Name: "StatefulSet"}:                        true,
		{Group: "batch", Name: "Job"}:                               true,
		{Group: "scheduling.k8s.io", Name: "PriorityClass"}:         false,
	} {
		if got, err := b.Namespaced(b.ctx, kind); got != want || err != nil {
			b.t.Errorf("Namespaced(%s) = %v, %v; want %v", kind, got, err, want)
		}
	}
}

func noop(b *bench) {
	for _, o := range []object.Object{b.config("a", "k", "v"), b.deployment("web", "web"), b.service("web"), b.secret("s", "stringData", "v")} {
		first := b.apply(o)
		again := b.apply(o)
		if first.ResourceVersion() != again.ResourceVersion() && o.ID().Kind.Group == "" {
			b.t.Errorf("%s: resource version %s became %s", o, first.ResourceVersion(), again.ResourceVersion())
		}
		if first.Generation() != again.Generation() || first.UID() != again.UID() {
			b.t.Errorf("%s: %s became %s", o, first.JSON(), again.JSON())
		}
	}
}

func withdraw(b *bench) {
	b.apply(b.config("a", "k", "v", "gone", "v"))
	b.patch(b.config("a").ID(), `{"data":{"foreign":"v"}}`)
	got := b.apply(b.config("a", "k", "w"))
	data, _ := got.Get("data")
	if text, _ := json.Marshal(data); string(text) != `{"foreign":"v","k":"w"}` {
		b.t.Errorf("data = %s", text)
	}
}

func dryRun(b *bench) {
	o := b.config("a", "k", "v")
	got, err := b.Apply(b.ctx, o, dry)
	if v, _ := got.Get("data", "k"); err != nil || v != "v" {
		b.t.Fatalf("dry run = %v, %v", got, err)
	}
	if _, err := b.Create(b.ctx, o, dry); err != nil {
		b.t.Fatal(err)
	}
	b.absent(o.ID())

	before := b.apply(o)
	got, err = b.Apply(b.ctx, b.config("a", "k", "w"), dry)
	if v, _ := got.Get("data", "k"); err != nil || v != "w" {
		b.t.Fatalf("dry run = %v, %v", got, err)
	}
	if got.UID() != before.UID() {
		b.t.Errorf("dry run changed UID %s to %s", before.UID(), got.UID())
	}
	merge := cluster.Patch{Type: cluster.MergePatch, Data: []byte(`{"data":{"k":"x"}}`)}
	got, err = b.Patch(b.ctx, o.ID(), merge, dry)
	if v, _ := got.Get("data", "k"); err != nil || v != "x" {
		b.t.Fatalf("dry run = %v, %v", got, err)
	}
	if after := b.get(o.ID()); after.ResourceVersion() != before.ResourceVersion() {
		b.t.Errorf("dry run made %s of %s", after.JSON(), before.JSON())
	}
	got, err = b.Apply(b.ctx, o, dry)
	if err != nil || got.ResourceVersion() != before.ResourceVersion() {
		b.t.Errorf("dry run of the same = %s, %v; want resource version %s", got.ResourceVersion(), err, before.ResourceVersion())
	}
}

func conflict(b *bench) {
	b.apply(b.config("a", "k", "v", "l", "v"))
	theirs := b.config("a", "k", "w", "l", "w")
	_, err := b.Apply(b.ctx, theirs, other)
	b.wants(err, cluster.ErrConflict, "apply ConfigMap/"+b.ns+"/a: ", manager, ".data.k", ".data.l")
	if _, err := b.Apply(b.ctx, theirs, cluster.How{Manager: "somebody-else", DryRun: true}); !errors.Is(err, cluster.ErrConflict) {
		b.t.Errorf("dry run: %v; want a conflict", err)
	}
	got, err := b.Apply(b.ctx, theirs, cluster.How{Manager: "somebody-else", Force: true})
	if v, _ := got.Get("data", "k"); err != nil || v != "w" {
		b.t.Fatalf("forced = %v, %v", got, err)
	}
	_, err = b.Apply(b.ctx, b.config("a", "k", "v"), how)
	b.wants(err, cluster.ErrConflict, "somebody-else")
}

// entry returns the field set that a manager has by an operation, as JSON.
func entry(o object.Object, manager, operation, subresource string) string {
	v, _ := o.Get("metadata", "managedFields")
	list, _ := v.([]any)
	for _, e := range list {
		m, _ := e.(map[string]any)
		sub, _ := m["subresource"].(string)
		if m["manager"] == manager && m["operation"] == operation && sub == subresource {
			data, _ := json.Marshal(m["fieldsV1"])
			return string(data)
		}
	}
	return ""
}

func managedFields(b *bench) {
	o := b.apply(b.config("a", "k", "v"))
	const want = `{"f:data":{"f:k":{}},"f:metadata":{"f:labels":{"f:test":{}}}}`
	if got := entry(o, manager, "Apply", ""); got != want {
		b.t.Errorf("after apply: %s; want %s", got, want)
	}
	merge := cluster.Patch{Type: cluster.MergePatch, Data: []byte(`{"data":{"k":"theirs","l":"theirs"}}`)}
	o, err := b.Patch(b.ctx, o.ID(), merge, other)
	if err != nil {
		b.t.Fatal(err)
	}
	const rest = `{"f:metadata":{"f:labels":{"f:test":{}}}}`
	if got := entry(o, manager, "Apply", ""); got != rest {
		b.t.Errorf("after another's patch: %s; want %s", got, rest)
	}
	const theirs = `{"f:data":{"f:k":{},"f:l":{}}}`
	if got := entry(o, "somebody-else", "Update", ""); got != theirs {
		b.t.Errorf("the other has %s; want %s", got, theirs)
	}
	d := b.apply(b.deployment("web", "web"))
	if got := entry(d, manager, "Apply", ""); !strings.Contains(got, `"k:{\"name\":\"web\"}":{".":{},"f:image":{},"f:name":{},"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}"`) {
		b.t.Errorf("of a Deployment: %s", got)
	}
}

func patch(b *bench) {
	id := b.apply(b.config("a", "k", "v")).ID()
	got, err := b.Patch(b.ctx, id, cluster.Patch{Type: cluster.JSONPatch, Data: []byte(`[{"op":"test","path":"/data/k","value":"v"},{"op":"add","path":"/data/l","value":"w"}]`)}, how)
	if v, _ := got.Get("data", "l"); err != nil || v != "w" {
		b.t.Fatalf("patch = %v, %v", got, err)
	}
	_, err = b.Patch(b.ctx, id, cluster.Patch{Type: cluster.JSONPatch, Data: []byte(`[{"op":"test","path":"/data/k","value":"x"}]`)}, how)
	b.wants(err, cluster.ErrInvalid, "patch ConfigMap/")
	missing := b.config("missing").ID()
	_, err = b.Patch(b.ctx, missing, cluster.Patch{Type: cluster.MergePatch, Data: []byte(`{"data":{"k":"v"}}`)}, how)
	b.wants(err, cluster.ErrNotFound, "patch ConfigMap/"+b.ns+"/missing: ")
}

func patchPrecondition(b *bench) {
	old := b.apply(b.config("a", "k", "v"))
	now := b.apply(b.config("a", "k", "w"))
	text := func(o object.Object) []byte {
		return fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q},"data":{"k":"x"}}`, o.ResourceVersion())
	}
	_, err := b.Patch(b.ctx, old.ID(), cluster.Patch{Type: cluster.MergePatch, Data: text(old)}, how)
	b.wants(err, cluster.ErrConflict, "modified")
	if _, err := b.Patch(b.ctx, old.ID(), cluster.Patch{Type: cluster.MergePatch, Data: text(now)}, how); err != nil {
		b.t.Error(err)
	}
}

func deletePrecondition(b *bench) {
	o := b.apply(b.config("a", "k", "v"))
	err := b.Delete(b.ctx, o.ID(), cluster.Where{UID: "0e6c61a4-0000-4000-8000-000000000000"})
	b.wants(err, cluster.ErrConflict, "delete ConfigMap/"+b.ns+"/a: ")
	newer := b.apply(b.config("a", "k", "w"))
	err = b.Delete(b.ctx, o.ID(), cluster.Where{UID: o.UID(), ResourceVersion: o.ResourceVersion()})
	b.wants(err, cluster.ErrConflict)
	if err := b.Delete(b.ctx, o.ID(), cluster.Where{UID: o.UID(), ResourceVersion: newer.ResourceVersion()}); err != nil {
		b.t.Fatal(err)
	}
	b.absent(o.ID())
}

func finalizers(b *bench) {
	o := b.apply(b.config("a").With([]any{"example.com/wait"}, "metadata", "finalizers"))
	b.remove(o.ID())
	deleting := b.get(o.ID())
	if !deleting.Deleting() || deleting.ResourceVersion() == o.ResourceVersion() {
		b.t.Errorf("deleting = %s", deleting.JSON())
	}
	add := cluster.Patch{Type: cluster.MergePatch, Data: []byte(`{"metadata":{"finalizers":["example.com/wait","example.com/more"]}}`)}
	_, err := b.Patch(b.ctx, o.ID(), add, how)
	b.wants(err, cluster.ErrInvalid, "finalizers")
	b.patch(o.ID(), `{"metadata":{"finalizers":null}}`)
	b.absent(o.ID())
}

func invalid(b *bench) {
	bad := b.config("a").WithLabels(map[string]string{"one": "not valid!", "two": "neither!"})
	_, err := b.Apply(b.ctx, bad, how)
	b.wants(err, cluster.ErrInvalid, "apply ConfigMap/"+b.ns+"/a: ", "metadata.labels", "not valid!", "neither!")
	_, err = b.Create(b.ctx, bad, how)
	b.wants(err, cluster.ErrInvalid, "create ConfigMap/"+b.ns+"/a: ", "metadata.labels")
	_, err = b.Apply(b.ctx, b.deployment("web", "web").With("x", "spec", "typo"), dry)
	b.wants(err, cluster.ErrInvalid, "dry-run apply Deployment/"+b.ns+"/web: ", ".spec.typo")
	_, err = b.Create(b.ctx, b.deployment("web", "web").With("x", "spec", "typo"), how)
	b.wants(err, cluster.ErrInvalid, "spec.typo")
	_, err = b.Apply(b.ctx, b.config("Not_A_Name"), how)
	b.wants(err, cluster.ErrInvalid, "metadata.name")
	nowhere := b.config("a").Without("metadata", "namespace")
	_, err = b.Apply(b.ctx, nowhere, how)
	b.wants(err, cluster.ErrInvalid, "apply ConfigMap/a: ", "namespace")
	_, err = b.Apply(b.ctx, b.config("a"), cluster.How{})
	b.wants(err, cluster.ErrInvalid, "fieldManager")
}

func immutable(b *bench) {
	b.apply(b.deployment("web", "web"))
	_, err := b.Apply(b.ctx, b.deployment("web", "another"), cluster.How{Manager: manager, Force: true})
	b.wants(err, cluster.ErrInvalid, "spec.selector", "field is immutable")

	b.apply(b.job("migrate", "v1"))
	_, err = b.Apply(b.ctx, b.job("migrate", "v2"), dry)
	b.wants(err, cluster.ErrInvalid, "spec.template", "field is immutable")

	sealed := b.config("sealed", "k", "v").With(true, "immutable")
	b.apply(sealed)
	_, err = b.Apply(b.ctx, sealed.With("w", "data", "k"), how)
	b.wants(err, cluster.ErrInvalid, "field is immutable")
}

func (b *bench) secret(name, field, value string) object.Object {
	return object.Of(map[string]any{
		"apiVersion": "v1", "kind": "Secret", field: map[string]any{"k": value},
		"metadata": map[string]any{"name": name, "namespace": b.ns},
	})
}

func secrets(b *bench) {
	const hush = "hush-hush"
	hidden := func(err error, words ...string) {
		b.t.Helper()
		b.wants(err, cluster.ErrInvalid, append(words, "Secret/"+b.ns+"/s: ")...)
		if strings.Contains(err.Error(), hush) {
			b.t.Errorf("error tells the secret: %q", err)
		}
	}
	o := b.secret("s", "stringData", hush)
	_, err := b.Apply(b.ctx, o.With(map[string]any{"a": hush}, "stringData", "k"), how)
	hidden(err)
	_, err = b.Apply(b.ctx, o.WithLabels(map[string]string{"l": hush + "!"}), how)
	hidden(err, "metadata.labels")
	_, err = b.Create(b.ctx, o.With(hush, "typo"), how)
	hidden(err)

	got := b.apply(o)
	if v, _ := got.Get("data", "k"); v != "aHVzaC1odXNo" {
		b.t.Errorf("data = %v", v)
	}
	_, err = b.Apply(b.ctx, o.With("example.com/"+hush, "type"), cluster.How{Manager: manager, Force: true})
	hidden(err, "type", "field is immutable")
}

func missingNamespace(b *bench) {
	o := b.config("a").With(b.ns+"-none", "metadata", "namespace")
	for _, h := range []cluster.How{how, dry} {
		_, err := b.Apply(b.ctx, o, h)
		b.wants(err, cluster.ErrNotFound, "apply ConfigMap/", `namespaces "`+b.ns+`-none" not found`)
		_, err = b.Create(b.ctx, o, h)
		b.wants(err, cluster.ErrNotFound)
	}
	b.absent(o.ID())
	b.remove(o.ID())
}

func terminatingNamespace(b *bench) {
	ns := b.namespace()
	o := b.config("a").With(ns, "metadata", "namespace").With([]any{"example.com/wait"}, "metadata", "finalizers")
	b.apply(o)
	id := object.ID{Kind: object.Kind{Name: "Namespace"}, Name: ns}
	b.remove(id)
	if !b.get(id).Deleting() {
		b.t.Fatal("the namespace is not being deleted")
	}
	for _, h := range []cluster.How{how, dry} {
		_, err := b.Apply(b.ctx, o.With("b", "metadata", "name"), h)
		b.wants(err, cluster.ErrTerminating, "apply ConfigMap/"+ns+"/b: ")
	}
	b.eventually(func() error {
		if !b.get(o.ID()).Deleting() {
			return errors.New("the object in the namespace is not being deleted")
		}
		return nil
	})
	b.patch(o.ID(), `{"metadata":{"finalizers":null}}`)
	b.eventually(func() error {
		if _, ok, err := b.Get(b.ctx, id); ok || err != nil {
			return fmt.Errorf("the namespace is there: %v, %v", ok, err)
		}
		return nil
	})
}

func brief(b *bench) {
	for _, dry := range []bool{true, false} {
		got, err := b.Apply(b.ctx, b.config("brief", "k", "v"), cluster.How{Manager: manager, Brief: true, DryRun: dry})
		if err != nil {
			b.t.Fatal(err)
		}
		if _, more := got.Get("data"); more || got.ID() != b.config("brief").ID() || got.APIVersion() != "v1" || got.UID() == "" {
			b.t.Errorf("dry-run %v returned %s", dry, got.JSON())
		}
	}
	if v, _ := b.get(b.config("brief").ID()).Get("data", "k"); v != "v" {
		b.t.Errorf("was applied with %v", v)
	}
}

func rights(b *bench) {
	deed := cluster.Deed{Verb: "delete", Object: b.config("a").ID()}
	if ok, err := b.May(b.ctx, deed); !ok || err != nil {
		b.t.Errorf("may delete: %v, %v", ok, err)
	}
	deed.Object.Kind = object.Kind{Group: "clustertest.example.com", Name: "Nothing"}
	if ok, err := b.May(b.ctx, deed); ok || !errors.Is(err, cluster.ErrNoKind) {
		b.t.Errorf("of a kind that is not there: %v, %v", ok, err)
	}
}

// logs asks for those of a pod that runs nowhere: it says nothing.
func logs(b *bench) {
	pod := object.Of(map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "p", "namespace": b.ns},
		"spec": map[string]any{
			"schedulerName": "nobody", "automountServiceAccountToken": false,
			"containers": []any{map[string]any{"name": "a", "image": "a"}, map[string]any{"name": "b", "image": "b"}},
		},
	})
	_, err := b.Logs(b.ctx, pod.ID(), cluster.LogOptions{})
	b.wants(err, cluster.ErrNotFound, "read log of Pod/"+b.ns+"/p: ")
	b.eventually(func() error { // the namespace may have no service account yet
		_, err := b.Apply(b.ctx, pod, how)
		return err
	})
	for _, opts := range []cluster.LogOptions{{}, {Container: "c"}} {
		_, err := b.Logs(b.ctx, pod.ID(), opts)
		b.wants(err, cluster.ErrInvalid, "container")
	}
	for _, opts := range []cluster.LogOptions{
		{Container: "a"},
		{Container: "b", Timestamps: true, Tail: 3, Limit: 100, Since: time.Now()},
	} {
		log, err := b.Logs(b.ctx, pod.ID(), opts)
		if err != nil {
			b.t.Fatal(err)
		}
		if data, err := io.ReadAll(log); len(data) > 0 || err != nil {
			b.t.Errorf("%+v: %q, %v", opts, data, err)
		}
		log.Close()
	}
}

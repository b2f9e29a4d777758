package diff

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/sane-gitops/sane/object"
)

// managed is a Deployment whose fields have several owners.
const managed = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, labels: {app: web, "a.b/c": d}, finalizers: [x/y], managedFields: [
  {manager: us, operation: Apply, time: "2026-01-01T00:00:00Z", fieldsV1: {"f:metadata": {"f:labels": {"f:app": {}}}, "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {'k:{"name":"main"}': {".": {}, "f:name": {}, "f:image": {}, "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}}}}}}}}},
  {manager: kubectl, operation: Update, subresource: scale, time: "2026-01-02T00:00:00Z", fieldsV1: {"f:spec": {"f:replicas": {}}}},
  {manager: someone, operation: Update, time: "2026-01-03T00:00:00Z", fieldsV1: {"f:metadata": {"f:labels": {"f:a.b/c": {}}, "f:finalizers": {".": {}, 'v:"x/y"': {}}}, "f:spec": {"f:paused": {}, "f:gone": {}, "f:template": {"f:spec": {"f:containers": {'k:{"name":"main"}': {"f:env": {}}}}}}}},
  {manager: kube-controller-manager, operation: Update, subresource: status, time: "2026-01-04T00:00:00Z", fieldsV1: {"f:status": {"f:replicas": {}}}}]},
  spec: {replicas: 5, paused: true, template: {spec: {containers: [{name: main, image: "i:1", env: [{name: A, value: b}], ports: [{containerPort: 80, protocol: TCP}]}]}}}, status: {replicas: 1}}`

func TestStrays(t *testing.T) {
	o := manifest(t, managed)
	var got []string
	for _, s := range Strays(o, "us") {
		got = append(got, s.Field+" "+s.By+" "+s.Since.Format("01-02"))
	}
	want := `metadata.finalizers[0] someone 01-03
metadata.labels[a.b/c] someone 01-03
spec.paused someone 01-03
spec.template.spec.containers[main].env someone 01-03`
	if s := strings.Join(got, "\n"); s != want {
		t.Errorf("strays are\n%s\nwant\n%s", s, want)
	}
}

func TestMismatches(t *testing.T) {
	live := manifest(t, managed)
	for _, tt := range []struct{ name, want, say string }{
		{"the same", `{spec: {replicas: 5}}`, ``},
		{"a field that two own", `{spec: {replicas: 2}}`, `spec.replicas: 5 → 2 by kubectl`},
		{"in an item", `{spec: {template: {spec: {containers: [{name: main, image: "i:2"}]}}}}`, `spec.template.spec.containers[main].image: i:1 → i:2 by us`},
		{"a new item", `{spec: {template: {spec: {containers: [{name: more, image: "i:2"}]}}}}`, `spec.template.spec.containers[more]:  → {"image":"i:2","name":"more"} by `},
		{"a port", `{spec: {template: {spec: {containers: [{name: main, ports: [{containerPort: 80, protocol: TCP, name: http}]}]}}}}`, `spec.template.spec.containers[main].ports[80].name:  → http by `},
		{"as a whole", `{spec: {template: {spec: {containers: [{name: main, env: [{name: A, value: c}]}]}}}}`, `spec.template.spec.containers[main].env[A].value: b → c by someone`},
		{"a label", `{metadata: {labels: {"a.b/c": e}}}`, `metadata.labels[a.b/c]: d → e by someone`},
		{"long and of two lines", `{metadata: {labels: {app: "` + strings.Repeat("x y\\n", 40) + `"}}}`, `metadata.labels.app: web → ` + strings.Repeat("x y ", 14) + `x y… by us`},
	} {
		var got []string
		for _, m := range Mismatches(live, Over(live, manifest(t, tt.want)), live) {
			got = append(got, fmt.Sprintf("%s: %s → %s by %s", m.Field, m.Is, m.Want, m.By))
		}
		if s := strings.Join(got, "\n"); s != tt.say {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, s, tt.say)
		}
	}
}

// FuzzOwners reads managedFields and objects that nobody has checked.
func FuzzOwners(f *testing.F) {
	data, err := json.Marshal(manifest(f, managed).Body())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"metadata":{"managedFields":[{"fieldsV1":{"f:a":{"k:{":{},"v:":{},"k:{\"a\":{}}":{},"i:0":{}}}}]},"a":[1,{"a":{}},null]}`))
	f.Add([]byte(`{"metadata":{"managedFields":[{"manager":"a"},{"time":"2026-01-02T00:00:00Z"}]}}`))
	f.Add([]byte(`{"metadata":{"managedFields":[1,{"time":1,"fieldsV1":{"f:":{"f:":1}}}]},"":{"":[]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := object.FromJSON(data)
		if err != nil || o.Body() == nil {
			return
		}
		for _, s := range Strays(o, "us") {
			if !slices.ContainsFunc(stewards(o), func(x steward) bool { return x.manager == s.By && x.owns(s.path) }) {
				t.Errorf("%q belongs to %q, who does not own it", s.Field, s.By)
			}
		}
		Mismatches(o, Over(o, object.Of(map[string]any{"a": []any{int64(1)}})), o)
	})
}

func manifest(t testing.TB, text string) object.Object {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o, err := object.FromJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

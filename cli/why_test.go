package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/yaml"

	"github.com/sane-gitops/sane/object"
)

func files(pairs ...string) fstest.MapFS {
	tree := make(fstest.MapFS)
	for i := 0; i < len(pairs); i += 2 {
		tree[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return tree
}

func TestLocate(t *testing.T) {
	const web, other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n"
	for _, tt := range []struct {
		name string
		tree fstest.MapFS
		from string
		want string
	}{
		{"a file", files("a.yaml", web), "a.yaml", "a.yaml:1"},
		{"the second document", files("a.yaml", "# first\n"+other+"---\n# second\n"+web), "a.yaml", "a.yaml:7"},
		{"JSON", files("a.json", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"web"}}`), "a.json", "a.json:1"},
		{"in a list", files("a.yaml", "apiVersion: v1\nkind: List\nitems:\n- "+strings.ReplaceAll(other, "\n", "\n  ")+"\n- "+strings.ReplaceAll(web, "\n", "\n  ")), "a.yaml", "a.yaml:8"},
		{"another group", files("a.yaml", "apiVersion: x/v1\nkind: ConfigMap\nmetadata: {name: web}\n---\n"+web), "a.yaml", "a.yaml:5"},
		{"its own namespace before others", files("a.yaml", web+"---\n"+strings.Replace(web, "name: web", "name: web, namespace: apps", 1)), "a.yaml", "a.yaml:5"},
		{"with a prefix", files("a.yaml", other+"---\n"+strings.Replace(web, "web", "eb", 1)), "a.yaml", "a.yaml:5"},
		{"a directory", files("d/a.yaml", other, "d/sub/b.yml", web, "d/README", web), "d", "d/sub/b.yml:1"},
		{"a kustomization", files("d/kustomization.yaml", "resources: [../base, b.yaml]\n", "d/b.yaml", other, "base/kustomization.yaml", "resources:\n- a.yaml\n", "base/a.yaml", web), "d/kustomization.yaml", "base/a.yaml:1"},
		{"what a kustomization does not name", files("d/kustomization.yaml", "resources: [b.yaml]\n", "d/b.yaml", other, "d/a.yaml", web), "d", "d:0"},
		{"a circle", files("d/kustomization.yaml", "resources: [../d, ../e]\n", "e/kustomization.yaml", "resources: [../d]\n"), "d", "d:0"},
		{"outside", files("d/kustomization.yaml", "resources: [../../x.yaml, /etc/passwd, 'https://example.com/x']\n"), "d", "d:0"},
		{"no YAML", files("a.yaml", "a: b: c\n"), "a.yaml", "a.yaml:0"},
		{"YAML up to a point", files("a.yaml", web+"---\na: b: c\n"), "a.yaml", "a.yaml:1"},
		{"nothing", files(), "a.yaml", "a.yaml:0"},
		{"not known", files("a.yaml", web), "", ":0"},
	} {
		want, err := object.Parse([]byte(strings.Replace(web, "name: web", "name: web, namespace: apps", 1)))
		if err != nil {
			t.Fatal(err)
		}
		file, line := locate(tt.tree, tt.from, want[0])
		if got := fmt.Sprintf("%s:%d", file, line); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func FuzzLocate(f *testing.F) {
	for _, s := range []string{
		"apiVersion: v1\nkind: A\nmetadata: {name: a}\n", "kind: List\nitems: [{kind: A, metadata: {name: a}}, 1, []]\n",
		"resources: [.., a.yaml, {}, '']\n", "a: &a [*a]\n", "a: b: c", "--- !!binary x\n---\n%YAML 1.1\n", "\xff", "metadata: {name: [1]}\nkind: {}\n",
	} {
		f.Add(s)
	}
	want := object.Of(map[string]any{"apiVersion": "v1", "kind": "A", "metadata": map[string]any{"name": "a", "namespace": "n"}})
	f.Fuzz(func(t *testing.T, data string) {
		for _, name := range []string{"kustomization.yaml", "a.yaml"} {
			if file, line := locate(files(name, data, "b/a.yaml", data), name, want); file == "" || line < 0 || line > strings.Count(data, "\n")+1 {
				t.Errorf("%s:%d in %q", file, line, data)
			}
		}
	})
}

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
	for _, s := range straysOf(o, "us") {
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
		for _, m := range mismatchesOf(live, over(live, manifest(t, tt.want)), live) {
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
		for _, s := range straysOf(o, "us") {
			if !slices.ContainsFunc(stewards(o), func(x steward) bool { return x.manager == s.By && x.owns(s.path) }) {
				t.Errorf("%q belongs to %q, who does not own it", s.Field, s.By)
			}
		}
		mismatchesOf(o, over(o, object.Of(map[string]any{"a": []any{int64(1)}})), o)
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

func TestSafe(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 世":          "plain é 世",
		"two\nlines\t":       "two lines",
		"\x1b[31mred\x07":    `\x1b[31mred\a`,
		"bidi \u202e\u200b":  `bidi \u202e\u200b`,
		"c1 \u009b31m":       `c1 \u009b31m`,
		"not \xff UTF-8":     "not \ufffd UTF-8",
		"a\u0000b":           `a\x00b`,
		"quotes \" and ' \\": "quotes \" and ' \\",
	} {
		if got := safe(in); got != want {
			t.Errorf("safe(%q) = %q, want %q", in, got, want)
		}
	}
	if n := len([]rune(safe(strings.Repeat("x", 5000)))); n != 1000 {
		t.Errorf("%d characters are left of 5000", n)
	}
}

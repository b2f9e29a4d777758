package ask

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

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

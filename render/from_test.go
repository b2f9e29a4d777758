package render_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/render/kustomize"
	"github.com/sane-gitops/sane/render/plain"
)

func TestWithFrom(t *testing.T) {
	for _, before := range []string{
		`{"kind":"A"}`,
		`{"kind":"A","metadata":{"name":"a"}}`,
		`{"kind":"A","metadata":{"annotations":{"a":"b"},"name":"a"}}`,
	} {
		o, err := object.FromJSON([]byte(before))
		if err != nil {
			t.Fatal(err)
		}
		marked := render.WithFrom(render.WithFrom(o, "old"), "web/a.yaml")
		after, file := render.From(marked)
		after = after.With("A", "kind")
		if file != "web/a.yaml" || strings.Replace(string(after.JSON()), `,"metadata":{}`, "", 1) != before {
			t.Errorf("From(WithFrom(%s)) = %s, %q", before, after.JSON(), file)
		}
	}
}

// Objects come with their files, also after a restart, and what the files are
// called makes no difference to the digest.
func TestKeptWithFiles(t *testing.T) {
	dir := t.TempDir()
	tree := fstest.MapFS{
		"plain/a.yaml":                 {Data: []byte(cm("a", "1"))},
		"moved/b.yaml":                 {Data: []byte(cm("a", "1"))},
		"pretends/p.yaml":              {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {internal.sane/from: x}}\n")},
		"built/kustomization.yaml":     {Data: []byte("resources: [../plain/a.yaml]\n")},
		"asked/kustomization.yaml":     {Data: []byte("resources: [../plain/a.yaml]\nbuildMetadata: [originAnnotations]\n")},
		"generated/kustomization.yaml": {Data: []byte("configMapGenerator: [{name: a, literals: [a=b]}]\nbuildMetadata: [originAnnotations]\n")},
	}
	digests := make(map[string]bool)
	for _, fresh := range []bool{true, false} {
		k := keeper(t, render.First(plain.Renderer{}, kustomize.Renderer{}), dir)
		for unit, want := range map[string]string{
			"plain": "plain/a.yaml", "moved": "moved/b.yaml", "pretends": "pretends/p.yaml",
			"built": "built/kustomization.yaml", "asked": "plain/a.yaml", "generated": "generated/kustomization.yaml",
		} {
			res, isFresh, err := k.Render(t.Context(), unit, render.Input{Tree: tree, Recipe: render.Recipe{Dir: unit}})
			if err != nil || isFresh != fresh {
				t.Fatalf("%s: fresh is %v, %v", unit, isFresh, err)
			}
			objects, err := k.Objects(t.Context(), res)
			if err != nil || len(objects) != 1 {
				t.Fatalf("%s: %d objects, %v", unit, len(objects), err)
			}
			if _, file := render.From(objects[0]); file != want {
				t.Errorf("%s comes from %q, want %q", unit, file, want)
			}
			if unit == "plain" || unit == "moved" || unit == "built" {
				digests[string(res.Digest)] = true
			}
		}
		k.Close()
	}
	if len(digests) != 1 {
		t.Errorf("digests %v, want one", digests)
	}
}

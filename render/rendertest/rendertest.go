// Package rendertest checks that a renderer keeps its promises.
package rendertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/trace"
)

var update = flag.Bool("update", false, "rewrite the objects in the cases of rendertest")

// A Case is a tree and what must become of it. It is a txtar archive:
//
//	what it is about
//	-- recipe --
//	a [render.Recipe] as YAML; the default is dir: .
//	-- facts --
//	variables as YAML; those that begin with "secret_" are secret
//	-- keys/sops.agekey --
//	what to decrypt with
//	-- tree/apps/web.yaml --
//	files
//	-- objects --
//	what comes out, as YAML; or
//	-- error --
//	lines that must each be in the text of the error
type Case struct {
	Name    string
	Recipe  render.Recipe
	Tree    fstest.MapFS
	Facts   render.Known
	Objects string
	Errors  []string

	file    string
	archive *txtar.Archive
}

// Cases returns the cases in a directory.
func Cases(t *testing.T, dir string) []Case {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in %s: %v", dir, err)
	}
	var cases []Case
	for _, f := range files {
		cases = append(cases, load(t, f))
	}
	return cases
}

func load(t *testing.T, file string) Case {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := Case{
		Name:    strings.TrimSuffix(filepath.Base(file), ".txtar"),
		Recipe:  render.Recipe{Dir: "."},
		Tree:    fstest.MapFS{},
		Facts:   render.Known{},
		file:    file,
		archive: a,
	}
	keys := make(map[string]string)
	for _, f := range a.Files {
		name, inTree := strings.CutPrefix(f.Name, "tree/")
		key, isKey := strings.CutPrefix(f.Name, "keys/")
		switch {
		case inTree:
			c.Tree[name] = &fstest.MapFile{Data: f.Data}
		case f.Name == "recipe":
			if err := yaml.UnmarshalStrict(f.Data, &c.Recipe); err != nil {
				t.Fatalf("%s: recipe: %v", file, err)
			}
		case f.Name == "facts":
			c.variables(t, f.Data)
		case isKey:
			keys[key] = string(f.Data)
		case f.Name == "objects":
			c.Objects = string(f.Data)
		case f.Name == "error":
			c.Errors = strings.Split(strings.TrimSpace(string(f.Data)), "\n")
		default:
			t.Fatalf("%s: what is %s?", file, f.Name)
		}
	}
	if len(keys) > 0 {
		data, _ := json.Marshal(keys)
		c.Facts[render.Keys] = render.Fact{Value: string(data), Secret: true}
	}
	return c
}

func (c *Case) variables(t *testing.T, data []byte) {
	t.Helper()
	var values map[string]string
	if err := yaml.UnmarshalStrict(data, &values); err != nil {
		t.Fatalf("%s: facts: %v", c.file, err)
	}
	for name, value := range values {
		c.Facts[render.Var(name)] = render.Fact{Value: value, Secret: strings.HasPrefix(name, "secret_")}
	}
}

// Run tests r with the cases in a directory. A case that r leaves to others
// with [render.ErrElsewhere] counts only if that is so for all of them.
func Run(t *testing.T, r render.Renderer, dir string) {
	cases := Cases(t, dir)
	rendered := 0
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			if c.run(t, r) {
				rendered++
			}
		})
	}
	if rendered == 0 && !t.Failed() {
		t.Error("nothing was rendered")
	}
	t.Run("concurrently", func(t *testing.T) { concurrently(t, r, cases) })
	t.Run("huge file", func(t *testing.T) { huge(t, r) })
	t.Run("canceled", func(t *testing.T) { canceled(t, r) })
}

// huge checks that what is read is bounded.
func huge(t *testing.T, r render.Renderer) {
	data := append([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  k: "), bytes.Repeat([]byte("x"), 50<<20)...)
	tree := fstest.MapFS{"apps/small.yaml": {}, "apps/huge.yaml": {Data: data}}
	_, err := r.Render(t.Context(), render.Input{Tree: tree, Recipe: render.Recipe{Dir: "apps"}})
	if !fault.IsInput(err) || !strings.Contains(err.Error(), "apps/huge.yaml: too large") {
		t.Errorf("error is %v", err)
	}
}

// canceled checks that nothing is made of an error of the context.
func canceled(t *testing.T, r render.Renderer) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tree := fstest.MapFS{"a.yaml": {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")}}
	_, err := r.Render(ctx, render.Input{Tree: tree, Recipe: render.Recipe{Dir: "."}})
	if !errors.Is(err, context.Canceled) || fault.IsInput(err) {
		t.Errorf("error is %v", err)
	}
}

// run reports whether r renders the case.
func (c Case) run(t *testing.T, r render.Renderer) bool {
	tree := trace.New(c.Tree)
	got, err := text(r, t, render.Input{Tree: tree, Recipe: c.Recipe, Facts: c.Facts})
	if errors.Is(err, render.ErrElsewhere) {
		return false
	}
	c.judge(t, got, err)
	log := tree.Log()
	for name := range c.Tree {
		if read(log, name) {
			continue
		}
		other := c.with(name, "changed: {")
		if !log.Holds(other) {
			t.Errorf("the log does not hold although %s was not read", name)
		}
		again, err2 := text(r, t, render.Input{Tree: other, Recipe: c.Recipe, Facts: c.Facts})
		if again != got || fmt.Sprint(err2) != fmt.Sprint(err) {
			t.Errorf("%s was not read, and matters: %s%v", name, again, err2)
		}
	}
	return true
}

func (c Case) judge(t *testing.T, got string, err error) {
	t.Helper()
	for _, want := range c.Errors {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want it to say %q", err, want)
		}
	}
	switch {
	case err != nil && len(c.Errors) == 0:
		t.Errorf("Render: %v", err)
	case err != nil && !fault.IsInput(err):
		t.Errorf("not marked as a fault of the input: %v", err)
	case err == nil && *update:
		c.rewrite(t, got)
	case err == nil && got != c.Objects:
		t.Errorf("got\n%s\nwant\n%s", got, c.Objects)
	}
}

func (c Case) rewrite(t *testing.T, objects string) {
	for i, f := range c.archive.Files {
		if f.Name == "objects" {
			c.archive.Files = c.archive.Files[:i]
		}
	}
	c.archive.Files = append(c.archive.Files, txtar.File{Name: "objects", Data: []byte(objects)})
	if err := os.WriteFile(c.file, txtar.Format(c.archive), 0o666); err != nil {
		t.Fatal(err)
	}
}

// with returns the tree with another content of one file.
func (c Case) with(name, data string) fs.FS {
	other := make(fstest.MapFS, len(c.Tree))
	for k, v := range c.Tree {
		other[k] = v
	}
	other[name] = &fstest.MapFile{Data: []byte(data)}
	return other
}

func read(log trace.Log, name string) bool {
	for _, r := range log {
		if r.Op == trace.File && r.Name == name {
			return true
		}
	}
	return false
}

func concurrently(t *testing.T, r render.Renderer, cases []Case) {
	var wg sync.WaitGroup
	for _, c := range cases {
		for range 3 {
			wg.Go(func() {
				got, err := text(r, t, render.Input{Tree: c.Tree, Recipe: c.Recipe, Facts: c.Facts})
				if err == nil && got != c.Objects && !*update {
					t.Errorf("%s: got\n%s", c.Name, got)
				}
				if err != nil && !errors.Is(err, render.ErrElsewhere) && len(c.Errors) == 0 {
					t.Errorf("%s: %v", c.Name, err)
				}
			})
		}
	}
	wg.Wait()
}

func text(r render.Renderer, t *testing.T, in render.Input) (string, error) {
	objects, err := r.Render(t.Context(), in)
	return Text(objects), err
}

// Text returns objects in the form that cases have them: without the files that
// they come from.
func Text(objects []object.Object) string {
	var b bytes.Buffer
	for i, o := range objects {
		if i > 0 {
			b.WriteString("---\n")
		}
		o, _ = render.From(o)
		data, err := yaml.Marshal(o)
		if err != nil {
			panic(err)
		}
		b.Write(data)
	}
	return b.String()
}

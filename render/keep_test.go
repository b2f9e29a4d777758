package render_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/render/kustomize"
	"github.com/sane-gitops/sane/render/plain"
	"github.com/sane-gitops/sane/trace"
)

// counting counts what it renders: a ConfigMap with the content of a file.
type counting struct{ n int }

func (c *counting) Render(ctx context.Context, in render.Input) ([]object.Object, error) {
	c.n++
	data, err := fs.ReadFile(in.Tree, in.Recipe.Dir)
	if err != nil {
		return nil, fault.Input(err)
	}
	switch string(data) {
	case "stop":
		return nil, fault.Input(fmt.Errorf("too long: %w", render.ErrStopped))
	case "luck":
		return nil, errors.New("bad luck")
	case "none":
		return nil, nil
	}
	return []object.Object{object.Of(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a"}, "data": map[string]any{"k": string(data)},
	})}, nil
}

func keeper(t testing.TB, r render.Renderer, dir string) *render.Keeper {
	t.Helper()
	k, err := render.NewKeeper(r, render.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

func input(content string) render.Input {
	tree := fstest.MapFS{"other": {Data: []byte("x")}}
	if content != "" {
		tree["a"] = &fstest.MapFile{Data: []byte(content)}
	}
	return render.Input{Tree: tree, Recipe: render.Recipe{Dir: "a"}}
}

func content(t testing.TB, k *render.Keeper, res render.Result) string {
	t.Helper()
	objects, err := k.Objects(t.Context(), res)
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) == 0 {
		return "none"
	}
	v, _ := objects[0].Get("data", "k")
	return v.(string)
}

// Each step renders one content under one key; the steps of a case share a
// keeper.
func TestKeeper(t *testing.T) {
	type step struct {
		key, content string
		fresh        bool
		err          string
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"kept until it changes", []step{{"u", "1", true, ""}, {"u", "1", false, ""}, {"u", "2", true, ""}, {"u", "2", false, ""}, {"u", "1", true, ""}}},
		{"keys are apart", []step{{"u", "1", true, ""}, {"v", "1", true, ""}, {"u", "1", false, ""}}},
		{"no objects at all", []step{{"u", "none", true, ""}, {"u", "none", false, ""}}},
		{"input errors are remembered", []step{{"u", "", true, "does not exist"}, {"u", "", false, "does not exist"}, {"u", "1", true, ""}, {"u", "", true, "does not exist"}}},
		{"after an error, what was kept counts", []step{{"u", "1", true, ""}, {"u", "", true, "does not exist"}, {"u", "1", false, ""}, {"u", "", false, "does not exist"}}},
		{"bad luck is not remembered", []step{{"u", "luck", true, "bad luck"}, {"u", "luck", true, "bad luck"}}},
		{"being stopped is not remembered", []step{{"u", "stop", true, "too long"}, {"u", "stop", true, "too long"}}},
	} {
		for _, dir := range []string{"", t.TempDir()} {
			r := &counting{}
			k := keeper(t, r, dir)
			for i, s := range tt.steps {
				before := r.n
				res, fresh, err := k.Render(t.Context(), s.key, input(s.content))
				if fresh != s.fresh || fresh != (r.n > before) {
					t.Errorf("%s: step %d: fresh = %v, want %v (%d rendered)", tt.name, i, fresh, s.fresh, r.n-before)
				}
				if s.err != "" {
					if err == nil || !strings.Contains(err.Error(), s.err) {
						t.Errorf("%s: step %d: error is %v, want %q", tt.name, i, err, s.err)
					}
					continue
				}
				if err != nil {
					t.Fatalf("%s: step %d: %v", tt.name, i, err)
				}
				before = r.n
				if got := content(t, k, res); got != s.content || r.n > before {
					t.Errorf("%s: step %d: objects are %q, want %q (%d rendered)", tt.name, i, got, s.content, r.n-before)
				}
			}
		}
	}
}

func TestKeeperRecipe(t *testing.T) {
	r := &counting{}
	k := keeper(t, r, "")
	in := input("1")
	k.Render(t.Context(), "u", in)
	in.Recipe.Overlay.Namespace = "n"
	if _, fresh, _ := k.Render(t.Context(), "u", in); !fresh {
		t.Error("another recipe is kept")
	}
}

// A keeper that starts where another has ended renders nothing.
func TestKeeperRestarts(t *testing.T) {
	dir := t.TempDir()
	k := keeper(t, &counting{}, dir)
	for i := range 50 {
		for _, version := range []string{"old", "new"} {
			if _, _, err := k.Render(t.Context(), fmt.Sprint("u", i), input(fmt.Sprint(version, i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	k.Forget("u7")
	k.Close()
	if n := files(t, dir); n != 49 {
		t.Errorf("%d objects on disk, want 49", n)
	}
	for _, tt := range []struct {
		name           string
		spoil          func()
		kept, rendered int
	}{
		{"as it was", func() {}, 49, 1},
		{"a torn end, where it said to forget u7", func() { truncate(t, filepath.Join(dir, "rendered"), 5) }, 50, 1},
		{"no index", func() { os.Remove(filepath.Join(dir, "rendered")) }, 0, 50},
		{"no sense", func() { os.WriteFile(filepath.Join(dir, "rendered"), bytes.Repeat([]byte("x"), 1000), 0o600) }, 0, 50},
	} {
		tt.spoil()
		r := &counting{}
		k := keeper(t, r, dir)
		kept := 0
		for i := range 50 {
			res, fresh, err := k.Render(t.Context(), fmt.Sprint("u", i), input(fmt.Sprint("new", i)))
			if err != nil || content(t, k, res) != fmt.Sprint("new", i) {
				t.Fatalf("%s: u%d: %v", tt.name, i, err)
			}
			if !fresh {
				kept++
			}
		}
		k.Forget("u7")
		k.Close()
		if kept != tt.kept || r.n != tt.rendered {
			t.Errorf("%s: %d kept and %d rendered, want %d and %d", tt.name, kept, r.n, tt.kept, tt.rendered)
		}
	}
}

func TestKeeperVersion(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		version string
		fresh   bool
	}{{"1", true}, {"1", false}, {"2", true}, {"", true}, {"", false}} {
		k, err := render.NewKeeper(&counting{}, render.Config{Dir: dir, Version: tt.version})
		if err != nil {
			t.Fatal(err)
		}
		if _, fresh, _ := k.Render(t.Context(), "u", input("1")); fresh != tt.fresh {
			t.Errorf("version %q: fresh = %v", tt.version, fresh)
		}
		k.Close()
	}
}

// Objects on disk count for nothing unless they are what their digest says.
func TestKeeperTrustsNothing(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(path string)
	}{
		{"gone", func(p string) { os.Remove(p) }},
		{"empty", func(p string) { os.WriteFile(p, nil, 0o600) }},
		{"changed", func(p string) {
			data, _ := os.ReadFile(p)
			os.WriteFile(p, bytes.Replace(data, []byte(`"k":"1"`), []byte(`"k":"2"`), 1), 0o600)
		}},
	} {
		dir := t.TempDir()
		r := &counting{}
		k := keeper(t, r, dir)
		k.Render(t.Context(), "u", input("1"))
		filepath.WalkDir(filepath.Join(dir, "objects"), func(p string, d fs.DirEntry, _ error) error {
			if !d.IsDir() {
				tt.spoil(p)
			}
			return nil
		})
		res, fresh, err := k.Render(t.Context(), "u", input("1"))
		if fresh || err != nil {
			t.Errorf("%s: fresh = %v, %v", tt.name, fresh, err)
		}
		if got := content(t, k, res); got != "1" || r.n != 2 {
			t.Errorf("%s: objects are %q, %d rendered", tt.name, got, r.n)
		}
		res, _, _ = k.Render(t.Context(), "u", input("1"))
		if got := content(t, k, res); got != "1" || r.n != 2 {
			t.Errorf("%s: after mending: objects are %q, %d rendered", tt.name, got, r.n)
		}
	}
}

func TestKeeperSweeps(t *testing.T) {
	dir := t.TempDir()
	k := keeper(t, &counting{}, dir)
	k.Render(t.Context(), "u", input("same"))
	k.Render(t.Context(), "v", input("same"))
	if n := files(t, dir); n != 1 {
		t.Errorf("%d objects of two equal renderings, want 1", n)
	}
	k.Forget("u")
	if n := files(t, dir); n != 1 {
		t.Errorf("%d objects while one uses them, want 1", n)
	}
	k.Forget("v")
	k.Forget("never")
	if n := files(t, dir); n != 0 {
		t.Errorf("%d objects that nobody uses", n)
	}
	k.Close()
	os.MkdirAll(filepath.Join(dir, "objects", "ab"), 0o700)
	os.WriteFile(filepath.Join(dir, "objects", "ab", ".tmp-1"), nil, 0o600)
	keeper(t, &counting{}, dir)
	if n := files(t, dir); n != 0 {
		t.Errorf("%d left after a crash", n)
	}
}

// The index does not grow for ever.
func TestKeeperRewrites(t *testing.T) {
	dir := t.TempDir()
	k := keeper(t, &counting{}, dir)
	key := strings.Repeat("u", 2000)
	for i := range 1600 {
		k.Render(t.Context(), key, input([]string{"1", "2"}[i%2]))
	}
	info, err := os.Stat(filepath.Join(dir, "rendered"))
	if err != nil || info.Size() > 2<<20 {
		t.Errorf("index has %d bytes, %v", info.Size(), err)
	}
	k.Close()
	r := &counting{}
	if _, fresh, _ := keeper(t, r, dir).Render(t.Context(), key, input("2")); fresh {
		t.Error("lost by rewriting")
	}
}

func files(t testing.TB, dir string) (n int) {
	t.Helper()
	filepath.WalkDir(filepath.Join(dir, "objects"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	return n
}

func truncate(t *testing.T, path string, by int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, info.Size()-by)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Wherever the keeper says "kept", a cold rendering gives the same.
func TestKeptIsWhatWouldCome(t *testing.T) {
	r := render.First(plain.Renderer{}, kustomize.Renderer{})
	kept, rendered := 0, 0
	for seed := range uint64(25) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		tree := forest(rnd)
		k := keeper(t, r, "")
		for range 12 {
			for _, dir := range []string{"apps/a", "apps/b", "flat"} {
				in := render.Input{Tree: tree, Recipe: render.Recipe{Dir: dir}}
				if dir == "apps/b" {
					in.Recipe.Overlay = render.Overlay{NamePrefix: "x-", Components: []string{"../../components/c"}, IgnoreMissingComponents: true}
				}
				res, fresh, err := k.Render(t.Context(), dir, in)
				if fresh {
					rendered++
					continue
				}
				kept++
				cold, err2 := r.Render(t.Context(), in)
				if fmt.Sprint(err) != fmt.Sprint(err2) {
					t.Fatalf("seed %d: %s: kept error %v, cold %v", seed, dir, err, err2)
				}
				if err == nil && res.Digest != lines(cold) {
					t.Fatalf("seed %d: %s: kept %s, cold %s", seed, dir, res.Digest, lines(cold))
				}
			}
			tree = mutate(rnd, tree)
		}
	}
	if kept < 100 || rendered < 100 {
		t.Errorf("%d kept, %d rendered: this proves little", kept, rendered)
	}
}

func lines(objects []object.Object) digest.Digest {
	var b []byte
	for _, o := range objects {
		o, _ = render.From(o)
		b = append(append(b, o.JSON()...), '\n')
	}
	return digest.Of(b)
}

func cm(name, v string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {v: %q}\n", name, v)
}

// forest returns a tree of apps on bases, with a component, and a directory
// without kustomizations.
func forest(rnd *rand.Rand) fstest.MapFS {
	tree := fstest.MapFS{}
	put := func(name, data string) { tree[name] = &fstest.MapFile{Data: []byte(data)} }
	put("apps/a/kustomization.yaml", "resources: [../../base, own.yaml]\npatches: [{path: p.yaml}]\n")
	put("apps/a/own.yaml", cm("own", "1"))
	put("apps/a/p.yaml", cm("base", "patched"))
	put("apps/b/Kustomization", "resources: [../../base]\nconfigMapGenerator: [{name: g, files: [f.txt]}]\n")
	put("apps/b/f.txt", "1")
	put("base/kustomization.yml", "resources: [x.yaml]\n")
	put("base/x.yaml", cm("base", "1"))
	put("components/c/kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [c.yaml]\n")
	put("components/c/c.yaml", cm("c", "1"))
	for i := range 1 + rnd.IntN(3) {
		put(fmt.Sprintf("flat/f%d.yaml", i), cm(fmt.Sprint("f", i), "1"))
	}
	put("flat/deep/d.yml", cm("d", "1"))
	put("README.md", "hello")
	return tree
}

// mutate returns a tree in which one file differs.
func mutate(rnd *rand.Rand, tree fstest.MapFS) fstest.MapFS {
	next, names := fstest.MapFS{}, []string{}
	for name, f := range tree {
		next[name] = f
		names = append(names, name)
	}
	names = append(names, "flat/new.yaml", "flat/deep/kustomization.yaml", "apps/a/kustomization.yml", "base/new.yaml", "flat/note.txt", "components/x/kustomization.yaml")
	slices.Sort(names)
	name := names[rnd.IntN(len(names))]
	contents := []string{cm("new", fmt.Sprint(rnd.IntN(3))), cm("base", "1"), "resources: []\nnamePrefix: p-\n", "a: b: c", "", "just text"}
	switch f := tree[name]; {
	case rnd.IntN(4) == 0:
		delete(next, name)
	case f != nil && rnd.IntN(2) == 0:
		next[name] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(string(f.Data), "1", "2") + "\n# more\n")}
	default:
		next[name] = &fstest.MapFile{Data: []byte(contents[rnd.IntN(len(contents))])}
	}
	return next
}

// A git-like tree: it knows the digests of its files and directories.
type hashed struct {
	fstest.MapFS
	answers map[string]digest.Digest
}

func hash(tree fstest.MapFS) hashed {
	h := hashed{tree, map[string]digest.Digest{}}
	fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, _ error) error {
		for _, op := range []trace.Op{trace.Stat, trace.File, trace.Dir} {
			h.answers[string(op)+p], _ = trace.Ask(tree, op, p)
		}
		return nil
	})
	return h
}

func (h hashed) Answer(op trace.Op, name string) (digest.Digest, error) {
	return h.answers[string(op)+name], nil
}

func units(n int) (hashed, []render.Input) {
	tree := fstest.MapFS{}
	for i := range n {
		for j := range 10 {
			tree[fmt.Sprintf("apps/team-%d/unit-%d/file-%d.yaml", i%20, i, j)] = &fstest.MapFile{Data: []byte(cm(fmt.Sprint("a", j), fmt.Sprint(i)))}
		}
	}
	h := hash(tree)
	var in []render.Input
	for i := range n {
		in = append(in, render.Input{Tree: h, Recipe: render.Recipe{Dir: fmt.Sprintf("apps/team-%d/unit-%d", i%20, i)}})
	}
	return h, in
}

// BenchmarkKept measures finding out that nothing has changed, for one unit of
// ten files.
func BenchmarkKept(b *testing.B) {
	k := keeper(b, plain.Renderer{}, b.TempDir())
	_, in := units(1000)
	for i := range in {
		if _, _, err := k.Render(b.Context(), fmt.Sprint("unit/", i), in[i]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, fresh, _ := k.Render(b.Context(), fmt.Sprint("unit/", i%1000), in[i%1000]); fresh {
			b.Fatal("fresh")
		}
		i++
	}
}

// BenchmarkLoad measures a start with 10,000 units.
func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	k := keeper(b, plain.Renderer{}, dir)
	_, in := units(10000)
	for i := range in {
		if _, _, err := k.Render(b.Context(), fmt.Sprint("unit/", i), in[i]); err != nil {
			b.Fatal(err)
		}
	}
	k.Close()
	info, _ := os.Stat(filepath.Join(dir, "rendered"))
	for b.Loop() {
		k := keeper(b, plain.Renderer{}, dir)
		k.Close()
	}
	b.ReportMetric(float64(info.Size())/10000, "B/unit")
}

// BenchmarkObjects measures loading what is kept, for one unit of ten objects.
func BenchmarkObjects(b *testing.B) {
	k := keeper(b, plain.Renderer{}, b.TempDir())
	_, in := units(1)
	k.Render(b.Context(), "u", in[0])
	for b.Loop() {
		res, _, _ := k.Render(b.Context(), "u", in[0])
		if _, err := k.Objects(b.Context(), res); err != nil {
			b.Fatal(err)
		}
	}
}

package git

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/trace"
)

// TestDiff changes files at random and checks that Diff names everything of
// which a question gets another answer.
func TestDiff(t *testing.T) {
	b := setup(t, gitserver.Options{})
	r := rand.New(rand.NewPCG(1, 2))
	name := func() string {
		return []string{"a", "b", "c/a", "c/b", "c/d/a", "c/d/e/b", "f/a", "f"}[r.IntN(8)]
	}
	b.put(map[string]string{"keep": "1", "c/d/a": "x"})
	old := b.get(source.Ref{Branch: "main"})
	files := map[string]string{"keep": "1", "c/d/a": "x"}
	for range 15 {
		for range 1 + r.IntN(3) {
			mutate(r, files, name())
		}
		_, err := b.Write("app.git", "main", slices.Values([]gitserver.Commit{{Message: "x", Files: files, Only: true}}))
		b.must(err)
		now := b.get(source.Ref{Branch: "main"})
		names, ok := trace.Diff(source.Filter(old.Tree, nil), source.Filter(now.Tree, nil), 100)
		if !ok {
			t.Fatal("Diff can't tell")
		}
		for _, n := range questions(t, old.Tree, now.Tree) {
			for _, op := range []trace.Op{trace.Stat, trace.File, trace.Dir} {
				x, _ := trace.Ask(old.Tree, op, n)
				y, _ := trace.Ask(now.Tree, op, n)
				if x != y && !names[n] {
					t.Fatalf("%s of %s was %q and is %q, and Diff does not name it: %v", op, n, x, y, names)
				}
			}
		}
		old = now
	}
	if _, ok := trace.Diff(old.Tree, old.Tree, 0); !ok {
		t.Error("a tree differs from itself")
	}
}

// mutate adds, changes or removes a file, and what is in its way.
func mutate(r *rand.Rand, files map[string]string, name string) {
	for other := range files {
		if other+"/" == name[:min(len(name), len(other)+1)] || name+"/" == other[:min(len(other), len(name)+1)] {
			delete(files, other)
		}
	}
	if r.IntN(3) == 0 {
		delete(files, name)
		return
	}
	files[name] = fmt.Sprint(r.IntN(3))
}

// questions returns the names in both trees, and some that are in none.
func questions(t *testing.T, trees ...fs.FS) []string {
	names := []string{"none", "c/none", "c/d/none", "f/a/none"}
	for _, tree := range trees {
		err := fs.WalkDir(tree, ".", func(name string, _ fs.DirEntry, err error) error {
			names = append(names, name)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}

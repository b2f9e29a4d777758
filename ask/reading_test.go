package ask

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/source"
)

// A directory that stands for a source holds what the source would hold.
func TestLocalTree(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/b/c.yaml", "d.yaml"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"out": "/etc", "in": "d.yaml", "a/up": "..", "a/b/dir": "../b"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := localTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	if err := fs.WalkDir(tree, ".", func(name string, _ fs.DirEntry, err error) error {
		names = append(names, name)
		return err
	}); err != nil {
		t.Error(err)
	}
	if got := strings.Join(names, " "); got != ". a a/b a/b/c.yaml d.yaml" {
		t.Errorf("the tree holds %s", got)
	}
	if data, err := fs.ReadFile(tree, "a/b/c.yaml"); string(data) != "a/b/c.yaml" {
		t.Errorf("ReadFile = %q, %v", data, err)
	}
	for _, name := range []string{"out", "out/passwd", "in", "a/up/d.yaml", "a/b/dir/c.yaml", "d.yaml/x"} {
		if _, err := fs.Stat(tree, name); !os.IsNotExist(err) {
			t.Errorf("Stat(%s) = %v, want that there is none", name, err)
		}
		if _, err := fs.ReadFile(tree, name); !os.IsNotExist(err) {
			t.Errorf("ReadFile(%s) = %v, want that there is none", name, err)
		}
	}
	if _, err := localTree(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a directory that is not there can be opened")
	}
}

func TestRefAt(t *testing.T) {
	const id = "1f0c3d2e4b5a69788796a5b4c3d2e1f00f1e2d3c"
	was := source.Ref{Branch: "main", Tag: "v1"}
	for _, tt := range []struct {
		revision string
		want     source.Ref
	}{
		{"", was},
		{"feature/x", source.Ref{Branch: "feature/x"}},
		{"refs/tags/v2", source.Ref{Name: "refs/tags/v2"}},
		{id, source.Ref{Branch: "main", Commit: id}},
		{"feature@sha1:" + id, source.Ref{Branch: "main", Commit: id}},
		{"sha1:" + id, source.Ref{Branch: "main", Commit: id}},
		{id[:12], source.Ref{Branch: id[:12]}},
	} {
		if got := refAt(source.Feed{Ref: was}, tt.revision); got != tt.want {
			t.Errorf("%q: got %+v, want %+v", tt.revision, got, tt.want)
		}
	}
}

package git

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/trace"
)

func TestCommitInfo(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{})
	when := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	_, err := b.Write("app.git", "main", func(yield func(gitserver.Commit) bool) {
		yield(gitserver.Commit{Message: "\nfix: the thing\n\nwhy\n", When: when, Files: map[string]string{"a": "1"}})
	})
	b.must(err)
	c := b.get(mainRef).Commit
	if c.Author != "Ada Lovelace <ada@example.com>" || c.Subject != "fix: the thing" || !c.When.Equal(when) {
		t.Errorf("commit is %+v", c)
	}
}

func TestLeftOut(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{})
	_, err := b.Write("app.git", "main", func(yield func(gitserver.Commit) bool) {
		yield(gitserver.Commit{
			Files:   map[string]string{"a": "1", "d/b": "2"},
			Links:   map[string]string{"link": "a", "dirlink": "d", "d/up": "../a"},
			Modules: map[string]string{"sub": strings.Repeat("12", 20)},
		})
	})
	b.must(err)
	tree := b.get(mainRef).Tree
	for _, c := range []struct{ name, words string }{
		{"link", "link is a symbolic link"},
		{"dirlink/b", "dirlink is a symbolic link"},
		{"d/up", "d/up is a symbolic link"},
		{"d/up/x/y", "d/up is a symbolic link"},
		{"sub", "sub is a submodule"},
	} {
		_, err := tree.Open(c.name)
		var path *fs.PathError
		if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &path) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("Open(%q): %v", c.name, err)
		}
		if got, err := trace.Ask(tree, trace.Stat, c.name); got != "" || err != nil {
			t.Errorf("%s answers %q, %v", c.name, got, err)
		}
	}
	list, err := fs.ReadDir(tree, ".")
	if err != nil || len(list) != 2 {
		t.Errorf("listing is %v, %v", list, err)
	}
	if got, _ := trace.Ask(tree, trace.Dir, "."); got != trace.Listing(list) {
		t.Error("the listing's digest counts what is left out")
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{}, Config{Dir: t.TempDir(), Fresh: -1, MaxFile: 1000})
	files := map[string]string{"big": strings.Repeat("x", 1001), "fits": strings.Repeat("y", 1000)}
	b.put(files)
	snap := b.get(mainRef)
	_, err := fs.ReadFile(snap.Tree, "big")
	if !fault.IsInput(err) || !strings.Contains(fmt.Sprint(err), "big: its 1001 bytes are more than the limit of 1000") {
		t.Errorf("big: %v", err)
	}
	b.reads(snap, "fits", files["fits"])
}

func TestHugeDirectory(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{})
	b.put(map[string]string{"few/a": "1"})
	empty, _ := hex.DecodeString(b.git(nil, "hash-object", "-w", "--stdin"))
	var many bytes.Buffer
	for i := range 400_000 {
		fmt.Fprintf(&many, "100644 a-rather-long-name-%07d\x00%s", i, empty)
	}
	few := b.git(nil, "rev-parse", "main:few")
	root := fmt.Sprintf("040000 tree %s\tfew\n040000 tree %s\tmany\n", few,
		b.git(&many, "hash-object", "-w", "-t", "tree", "--stdin"))
	commit := b.git(nil, "commit-tree", "-m", "x", b.git(strings.NewReader(root), "mktree"))
	b.must(b.Set("app.git", "refs/heads/main", commit))

	snap := b.get(mainRef)
	_, err := fs.ReadDir(snap.Tree, "many")
	if !fault.IsInput(err) || !strings.Contains(fmt.Sprint(err), "more than the limit") {
		t.Errorf("ReadDir of 400,000 files: %v", err)
	}
	b.reads(snap, "few/a", "1")
}

func TestSHA256(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{})
	b.must(b.CreateAs("new.git", gitserver.SHA256))
	id, err := b.Commit("new.git", "main", "x", map[string]string{"a": "1", "d/b": "2"})
	b.must(err)
	b.at.URL = b.URL("new.git")
	snap := b.get(mainRef)
	if want := "main@sha256:" + id; snap.Revision.Name != want || len(id) != 64 {
		t.Errorf("revision is %s, want %s", snap.Revision.Name, want)
	}
	b.reads(snap, "d/b", "2")
	if got, _ := trace.Ask(snap.Tree, trace.File, "a"); !strings.HasPrefix(string(got), "sha256:") {
		t.Errorf("a answers %s", got)
	}
	_, err = b.Commit("new.git", "main", "x", map[string]string{"a": "3"})
	b.must(err)
	b.reads(b.get(mainRef), "a", "3")
}

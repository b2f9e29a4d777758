// Package sourcetest checks that a source keeps the promises of
// [source.Source].
package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/trace"
)

// Run checks src at a remote. Publish replaces all files of a branch by
// others, and returns when everybody can see that.
func Run(t *testing.T, src source.Source, at source.Remote, publish func(branch string, files map[string]string)) {
	k := &kit{src: src, at: at, publish: publish}
	for _, c := range []struct {
		name string
		run  func(*kit, *testing.T)
	}{
		{"fetch gives what was published", (*kit).published},
		{"trees are file systems", (*kit).fileSystem},
		{"resolve is stable", (*kit).stable},
		{"snapshots never change", (*kit).immutable},
		{"answers change as content does", (*kit).answers},
		{"branches are apart", (*kit).branches},
		{"many at once", (*kit).concurrent},
		{"what is not there", (*kit).missing},
		{"a stopped call ends", (*kit).stopped},
		{"history begins with what is asked for", (*kit).history},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(k, t) })
	}
}

type kit struct {
	src     source.Source
	at      source.Remote
	publish func(branch string, files map[string]string)
}

func (k *kit) get(t *testing.T, branch string) *source.Snapshot {
	t.Helper()
	snap, err := k.try(t.Context(), branch)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func (k *kit) try(ctx context.Context, branch string) (*source.Snapshot, error) {
	ref := source.Ref{Branch: branch}
	rev, err := k.src.Resolve(ctx, k.at, ref)
	if err != nil {
		return nil, err
	}
	return k.src.Fetch(ctx, k.at, ref, rev)
}

// holds checks that a tree has exactly these files.
func holds(t *testing.T, tree fs.FS, files map[string]string) {
	t.Helper()
	got := make(map[string]string)
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(tree, name)
		got[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, files) {
		t.Errorf("the tree holds %q, want %q", got, files)
	}
}

func (k *kit) published(t *testing.T) {
	files := map[string]string{"a.yaml": "a: 1\n", "deploy/b.yaml": "b", "deploy/deep/er/c": "", "deploy.yaml": "sorts oddly", "empty": ""}
	k.publish("main", files)
	snap := k.get(t, "main")
	holds(t, snap.Tree, files)
	if snap.Revision.IsZero() || snap.Revision.Digest == "" {
		t.Errorf("the revision is %v", snap.Revision)
	}
}

func (k *kit) fileSystem(t *testing.T) {
	k.publish("main", map[string]string{"a": "1", "b/c.txt": "2", "b/d/e": "3", "b.txt": "4", "ü/ö": "5"})
	tree := k.get(t, "main").Tree
	if err := fstest.TestFS(tree, "a", "b/c.txt", "b/d/e", "b.txt", "ü/ö"); err != nil {
		t.Error(err)
	}
	for _, i := range []bool{is[fs.StatFS](tree), is[fs.ReadFileFS](tree), is[fs.ReadDirFS](tree), is[trace.Answerer](tree)} {
		if !i {
			t.Errorf("%T lacks a method", tree)
		}
	}
}

func is[T any](v any) bool {
	_, ok := v.(T)
	return ok
}

func (k *kit) stable(t *testing.T) {
	k.publish("main", map[string]string{"a": "stable"})
	ref := source.Ref{Branch: "main"}
	one, err := k.src.Resolve(t.Context(), k.at, ref)
	if err != nil {
		t.Fatal(err)
	}
	two, err := k.src.Resolve(t.Context(), k.at, ref)
	if err != nil || one != two {
		t.Errorf("Resolve = %v, then %v, %v", one, two, err)
	}
	k.publish("main", map[string]string{"a": "moved"})
	three, err := k.src.Resolve(t.Context(), k.at, ref)
	if err != nil || three == one {
		t.Errorf("after a change Resolve = %v, %v", three, err)
	}
}

func (k *kit) immutable(t *testing.T) {
	old := map[string]string{"a": "old", "d/b": "old"}
	k.publish("main", old)
	snap := k.get(t, "main")
	k.publish("main", map[string]string{"a": "new"})
	holds(t, k.get(t, "main").Tree, map[string]string{"a": "new"})
	holds(t, snap.Tree, old)
	again, err := k.src.Fetch(t.Context(), k.at, source.Ref{Branch: "main"}, snap.Revision)
	if err != nil {
		t.Fatalf("Fetch of an earlier revision: %v", err)
	}
	holds(t, again.Tree, old)
}

func (k *kit) answers(t *testing.T) {
	k.publish("main", map[string]string{"same": "s", "other": "1", "d/x": "x", "e/x": "x"})
	one := k.get(t, "main").Tree
	k.publish("main", map[string]string{"same": "s", "other": "2", "d/x": "y", "e/x": "x", "e/y": "y"})
	two := k.get(t, "main").Tree
	for _, c := range []struct {
		op   trace.Op
		name string
		same bool
		zero bool
	}{
		{trace.File, "same", true, false},
		{trace.File, "other", false, false},
		{trace.Stat, "other", true, false},
		{trace.File, "d/x", false, false},
		{trace.Dir, "d", true, false},
		{trace.Dir, "e", false, false},
		{trace.Dir, ".", true, false},
		{trace.Stat, ".", true, false},
		{trace.File, "d", true, true},
		{trace.Dir, "same", true, true},
		{trace.File, "none", true, true},
		{trace.Stat, "same/none", true, true},
		{trace.Stat, "e/y", false, false},
	} {
		a, err := trace.Ask(one, c.op, c.name)
		b, err2 := trace.Ask(two, c.op, c.name)
		if err != nil || err2 != nil || (a == b) != c.same || (b == "") != c.zero {
			t.Errorf("%s %s: %q, %v, then %q, %v; want the same: %v", c.op, c.name, a, err, b, err2, c.same)
		}
	}
	list, _ := fs.ReadDir(two, ".")
	if got, _ := trace.Ask(two, trace.Dir, "."); got != trace.Listing(list) {
		t.Errorf("a directory answers %s, its listing is %s", got, trace.Listing(list))
	}
}

func (k *kit) branches(t *testing.T) {
	k.publish("main", map[string]string{"a": "main"})
	k.publish("feature/x", map[string]string{"a": "x"})
	holds(t, k.get(t, "feature/x").Tree, map[string]string{"a": "x"})
	holds(t, k.get(t, "main").Tree, map[string]string{"a": "main"})
}

func (k *kit) concurrent(t *testing.T) {
	files := make(map[string]string)
	for i := range 50 {
		files[fmt.Sprintf("d%d/f%d", i%7, i)] = fmt.Sprint(i)
	}
	k.publish("main", files)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			snap, err := k.try(t.Context(), "main")
			if err != nil {
				t.Error(err)
				return
			}
			for name, want := range files {
				if got, err := fs.ReadFile(snap.Tree, name); err != nil || string(got) != want {
					t.Errorf("%s = %q, %v", name, got, err)
				}
			}
		})
	}
	wg.Wait()
}

func (k *kit) missing(t *testing.T) {
	k.publish("main", map[string]string{"a": "1"})
	_, err := k.src.Resolve(t.Context(), k.at, source.Ref{Branch: "no-such-branch"})
	if !errors.Is(err, source.ErrNotFound) || !strings.Contains(fmt.Sprint(err), "no-such-branch") {
		t.Errorf("Resolve of a branch that is not there: %v", err)
	}
	tree := k.get(t, "main").Tree
	for _, name := range []string{"b", "a/b", "x/y/z"} {
		if _, err := fs.ReadFile(tree, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadFile(%q): %v", name, err)
		}
	}
	for _, name := range []string{"", "/a", "../a", "a/", "./a"} {
		if _, err := fs.Stat(tree, name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Stat(%q): %v", name, err)
		}
	}
	rev := source.Revision{Name: "main@sha1:nonsense", Digest: "sha1:nonsense"}
	if _, err := k.src.Fetch(t.Context(), k.at, source.Ref{Branch: "main"}, rev); err == nil {
		t.Error("Fetch of nonsense gives no error")
	}
	kinds := []error{source.ErrURL, source.ErrAuth, source.ErrNotFound, source.ErrEmpty, source.ErrNetwork, source.ErrStorage, source.ErrRef}
	n := len(slices.DeleteFunc(kinds, func(kind error) bool { return !errors.Is(err, kind) }))
	if n != 1 {
		t.Errorf("%v is of %d kinds", err, n)
	}
}

func (k *kit) stopped(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	cancel()
	k.publish("main", map[string]string{"a": "not yet seen"})
	if _, err := k.try(ctx, "main"); err == nil {
		t.Error("a stopped call succeeds")
	}
	if k.get(t, "main") == nil {
		t.Error("no snapshot after a stopped call")
	}
}

// history is for sources that have any.
func (k *kit) history(t *testing.T) {
	h, ok := k.src.(source.Historian)
	if !ok {
		t.Skip("it has none")
	}
	k.publish("history", map[string]string{"a": "1", "d/b": "1"})
	one := k.get(t, "history").Revision
	k.publish("history", map[string]string{"a": "1", "d/b": "2"})
	two := k.get(t, "history").Revision
	for _, rev := range []source.Revision{one, two, one} {
		log, err := h.History(t.Context(), k.at, source.Ref{Branch: "history"}, rev, source.Query{})
		if err != nil || len(log.Entries) == 0 || log.Entries[0].ID != rev.Digest || log.Looked == 0 {
			t.Errorf("the history of %v is %+v, %v", rev, log, err)
		}
	}
	log, err := h.History(t.Context(), k.at, source.Ref{Branch: "history"}, two, source.Query{Path: "none"})
	if err != nil || len(log.Entries) != 0 {
		t.Errorf("the history of what never was is %+v, %v", log, err)
	}
	nonsense := source.Revision{Name: "history@sha1:nonsense", Digest: "sha1:nonsense"}
	if _, err := h.History(t.Context(), k.at, source.Ref{Branch: "history"}, nonsense, source.Query{}); err == nil {
		t.Error("the history of nonsense gives no error")
	}
}

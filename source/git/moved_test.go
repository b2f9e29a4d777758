package git

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/source"
)

func TestRefs(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{})
	one := b.put(map[string]string{"a": "1"})
	b.must(b.Tag("app.git", "v1.0.0", one))
	b.must(b.Set("app.git", "refs/tags/light", one))
	two := b.put(map[string]string{"a": "2"})
	b.must(b.Tag("app.git", "v1.1.0", two))
	b.must(b.Set("app.git", "refs/pull/1/head", one))
	b.must(b.Set("app.git", "refs/heads/master", one))
	three := b.put(map[string]string{"a": "3"})
	b.must(b.Set("app.git", "refs/tags/v2.0.0-rc.1", three))
	b.must(b.Set("app.git", "refs/tags/v9", three)) // no whole version
	for _, c := range []struct {
		ref        source.Ref
		name, file string
	}{
		{source.Ref{}, "master@sha1:" + one, "1"},
		{source.Ref{Branch: "main"}, "main@sha1:" + three, "3"},
		{source.Ref{Tag: "v1.0.0"}, "v1.0.0@sha1:" + one, "1"},
		{source.Ref{Tag: "light", Branch: "main"}, "light@sha1:" + one, "1"},
		{source.Ref{Semver: ">=1.0.0", Tag: "light"}, "v1.1.0@sha1:" + two, "2"},
		{source.Ref{Semver: "1.0.x"}, "v1.0.0@sha1:" + one, "1"},
		{source.Ref{Semver: ">=1.0.0-0"}, "v2.0.0-rc.1@sha1:" + three, "3"},
		{source.Ref{Name: "refs/pull/1/head", Semver: "*"}, "refs/pull/1/head@sha1:" + one, "1"},
		{source.Ref{Name: "refs/heads/main"}, "refs/heads/main@sha1:" + three, "3"},
		{source.Ref{Name: "refs/tags/v1.1.0^{}"}, "refs/tags/v1.1.0^{}@sha1:" + two, "2"},
		{source.Ref{Name: "refs/tags/v1.1.0"}, "refs/tags/v1.1.0@sha1:" + two, "2"},
		{source.Ref{Name: "HEAD"}, "HEAD@sha1:" + three, "3"},
		{source.Ref{Commit: two, Name: "HEAD"}, "sha1:" + two, "2"},
		{source.Ref{Commit: two, Branch: "main"}, "main@sha1:" + two, "2"},
	} {
		snap, err := b.try(c.ref)
		if err != nil {
			t.Errorf("%+v: %v", c.ref, err)
			continue
		}
		if snap.Revision.Name != c.name || !strings.HasSuffix(c.name, string(snap.Revision.Digest)) {
			t.Errorf("%+v is %v, want %s", c.ref, snap.Revision, c.name)
		}
		b.reads(snap, "a", c.file)
	}
	for _, c := range []struct {
		ref  source.Ref
		kind error
		word string
	}{
		{source.Ref{Branch: "none"}, source.ErrNotFound, "at none: there is no refs/heads/none"},
		{source.Ref{Tag: "none"}, source.ErrNotFound, "refs/tags/none"},
		{source.Ref{Name: "refs/pull/2/head"}, source.ErrNotFound, "refs/pull/2/head"},
		{source.Ref{Semver: ">5"}, source.ErrNotFound, `in the range ">5"`},
		{source.Ref{Semver: "one"}, source.ErrRef, `range "one"`},
		{source.Ref{Commit: "abc"}, source.ErrRef, "whole commit id"},
		{source.Ref{Commit: strings.Repeat("ab", 20)}, source.ErrNotFound, "there is no commit ab"},
		{source.Ref{Branch: "a:b"}, source.ErrRef, "not the name of a ref"},
		{source.Ref{Branch: "-x/../y"}, source.ErrRef, "not the name of a ref"},
		{source.Ref{Name: "main"}, source.ErrRef, "not the name of a ref"},
	} {
		_, err := b.try(c.ref)
		b.fails(err, c.kind, c.word)
	}
}

// Of versions that are equal the one with the newer commit counts.
func TestSemverTies(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{})
	var ids []string
	for _, day := range []int{1, 9, 5} {
		c := gitserver.Commit{When: time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC), Files: map[string]string{"a": fmt.Sprint(day)}}
		id, err := b.Write("app.git", "main", func(yield func(gitserver.Commit) bool) { yield(c) })
		b.must(err)
		ids = append(ids, id...)
	}
	b.must(b.Set("app.git", "refs/tags/1.0.0+c", ids[0]))
	b.must(b.Set("app.git", "refs/tags/1.0.0+b", ids[1]))
	b.must(b.Set("app.git", "refs/tags/1.0.0+a", ids[2]))
	snap := b.get(source.Ref{Semver: "1.x"})
	if want := "1.0.0+b@sha1:" + ids[1]; snap.Revision.Name != want {
		t.Errorf("revision is %s, want %s", snap.Revision.Name, want)
	}
	b.reads(snap, "a", "9")
}

func TestMovedAndGone(t *testing.T) {
	t.Parallel()
	for _, old := range []bool{false, true} {
		b := setup(t, gitserver.Options{Old: old})
		_, err := b.try(mainRef)
		b.fails(err, source.ErrEmpty, "repository is empty")

		one := b.put(map[string]string{"a": "1"})
		first := b.get(mainRef)
		two := b.put(map[string]string{"a": "2"})
		rev, err := b.src.Resolve(t.Context(), b.at, mainRef)
		b.must(err)
		b.put(map[string]string{"a": "3"}) // between Resolve and Fetch
		snap, err := b.src.Fetch(t.Context(), b.at, mainRef, rev)
		b.must(err)
		b.reads(snap, "a", "2")

		b.must(b.Set("app.git", "refs/heads/main", one)) // forced back
		b.reads(b.get(mainRef), "a", "1")
		b.reads(snap, "a", "2")

		b.must(b.Set("app.git", "refs/heads/renamed", two))
		b.must(b.Set("app.git", "refs/heads/main", ""))
		_, err = b.try(mainRef)
		b.fails(err, source.ErrNotFound, "at main: there is no refs/heads/main")
		b.reads(b.get(source.Ref{Branch: "renamed"}), "a", "2")
		b.reads(first, "a", "1")
	}
}

// A commit that the server has dropped between Resolve and Fetch.
func TestDropped(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{})
	one := b.put(map[string]string{"a": "1"})
	b.put(map[string]string{"a": "2"})
	rev, err := b.src.Resolve(t.Context(), b.at, mainRef)
	b.must(err)
	b.must(b.Set("app.git", "refs/heads/main", one))
	out, err := exec.Command("git", "-C", b.Path("app.git"), "prune", "--expire=now").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, err = b.src.Fetch(t.Context(), b.at, mainRef, rev)
	b.fails(err, source.ErrNotFound, "at main", "refs/heads/main", "force-pushed")
	b.reads(b.get(mainRef), "a", "1")
}

// An old server gives a pinned commit only by way of its branch.
func TestPinnedOld(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{Old: true})
	one := b.put(map[string]string{"a": "1"})
	b.put(map[string]string{"a": "2"})
	b.put(map[string]string{"a": "3"})
	b.get(mainRef)
	b.reads(b.get(source.Ref{Commit: one, Branch: "main"}), "a", "1")
	_, err := b.try(source.Ref{Commit: strings.Repeat("12", 20), Branch: "main"})
	b.fails(err, source.ErrNotFound, "not in the history of refs/heads/main")

	other := setup(t, gitserver.Options{Old: true})
	one = other.put(map[string]string{"a": "1"})
	other.put(map[string]string{"a": "2"})
	other.reads(other.get(source.Ref{Commit: one}), "a", "1")
}

package git

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/sourcetest"
	"github.com/sane-gitops/sane/trace"
)

// A bench is a server, a source, and where the one sees the other.
type bench struct {
	*testing.T
	*gitserver.Server
	src *Source
	at  source.Remote
	log *bytes.Buffer
}

var mainRef = source.Ref{Branch: "main"}

// setup serves an empty repository. Answers are never reused.
func setup(t *testing.T, o gitserver.Options, cs ...Config) *bench {
	t.Helper()
	srv, err := gitserver.Start(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	b := &bench{T: t, Server: srv, at: source.Remote{URL: srv.URL("app.git")}, log: new(bytes.Buffer)}
	c := Config{Dir: t.TempDir(), Fresh: -1}
	if len(cs) > 0 {
		c = cs[0]
	}
	c.Log = slog.New(slog.NewTextHandler(b.log, nil))
	b.src = open(t, c)
	b.must(srv.Create("app.git"))
	return b
}

func open(t *testing.T, c Config) *Source {
	t.Helper()
	src, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// put commits to main.
func (b *bench) put(files map[string]string) string {
	b.Helper()
	id, err := b.Commit("app.git", "main", "change", files)
	b.must(err)
	return id
}

func (b *bench) try(ref source.Ref) (*source.Snapshot, error) {
	rev, err := b.src.Resolve(b.Context(), b.at, ref)
	if err != nil {
		return nil, err
	}
	return b.src.Fetch(b.Context(), b.at, ref, rev)
}

func (b *bench) get(ref source.Ref) *source.Snapshot {
	b.Helper()
	snap, err := b.try(ref)
	b.must(err)
	return snap
}

func (b *bench) reads(snap *source.Snapshot, name, want string) {
	b.Helper()
	if got, err := fs.ReadFile(snap.Tree, name); err != nil || string(got) != want {
		b.Errorf("%s = %q, %v; want %q", name, got, err, want)
	}
}

// fails checks the kind and the text of an error.
func (b *bench) fails(err, kind error, words ...string) {
	b.Helper()
	if !errors.Is(err, kind) {
		b.Errorf("error is %v; want %v", err, kind)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			b.Errorf("error is %q, which lacks %q", err, w)
		}
	}
	if want := errors.Is(err, source.ErrURL) || errors.Is(err, source.ErrRef); fault.IsInput(err) != want {
		b.Errorf("IsInput(%v) = %v", err, !want)
	}
}

// dir is where the one mirror is.
func (b *bench) dir() string {
	b.Helper()
	list, _ := filepath.Glob(filepath.Join(b.src.Dir, "*-sha*"))
	if len(list) != 1 {
		b.Fatalf("mirrors: %v", list)
	}
	return list[0]
}

func TestPromisesHTTP(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{TLS: true, Username: "ada", Password: "p w'\""})
	b.at.Access = source.Access{Username: "ada", Password: "p w'\"", CA: b.CA()}
	sourcetest.Run(t, b.src, b.at, publisher(t, b.Repos))
}

func publisher(t *testing.T, r gitserver.Repos) func(string, map[string]string) {
	return func(branch string, files map[string]string) {
		one := func(yield func(gitserver.Commit) bool) { yield(gitserver.Commit{Files: files, Only: true}) }
		if _, err := r.Write("app.git", branch, one); err != nil {
			t.Fatal(err)
		}
	}
}

func sshd(t *testing.T) *gitserver.SSH {
	t.Helper()
	s, err := gitserver.StartSSH(t.TempDir())
	if errors.Is(err, gitserver.ErrNoSSHD) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Create("app.git"); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPromisesSSH(t *testing.T) {
	t.Parallel()
	s := sshd(t)
	src := open(t, Config{Dir: t.TempDir(), Fresh: -1})
	at := source.Remote{URL: s.URL("app.git"), Access: source.Access{Identity: s.Identity, KnownHosts: s.KnownHosts}}
	sourcetest.Run(t, src, at, publisher(t, s.Repos))
}

func TestSSHAccess(t *testing.T) {
	t.Parallel()
	s := sshd(t)
	if _, err := s.Commit("app.git", "main", "x", map[string]string{"a": "1"}); err != nil {
		t.Fatal(err)
	}
	src := open(t, Config{Dir: t.TempDir(), Fresh: -1})
	b := &bench{T: t}
	for _, c := range []struct {
		name   string
		access source.Access
		kind   error
		words  string
	}{
		{"key", source.Access{Identity: s.Identity, KnownHosts: s.KnownHosts}, nil, ""},
		{"passphrase", source.Access{Identity: s.Locked, Password: s.Passphrase, KnownHosts: s.KnownHosts}, nil, ""},
		{"wrong passphrase", source.Access{Identity: s.Locked, Password: "wrong", KnownHosts: s.KnownHosts}, source.ErrAuth, "identity"},
		{"no passphrase", source.Access{Identity: s.Locked, KnownHosts: s.KnownHosts}, source.ErrAuth, "identity"},
		{"stranger", source.Access{Identity: s.Stranger, KnownHosts: s.KnownHosts}, source.ErrAuth, "does not accept the SSH identity"},
		{"other host", source.Access{Identity: s.Identity, KnownHosts: s.OtherHost}, source.ErrAuth, "host key is not in known_hosts"},
		{"unknown host", source.Access{Identity: s.Identity, KnownHosts: []byte("example.com ssh-ed25519 AAAA\n")}, source.ErrAuth, "host key"},
		{"no hosts", source.Access{Identity: s.Identity}, source.ErrAuth, "known_hosts is required"},
		{"no key", source.Access{KnownHosts: s.KnownHosts}, source.ErrAuth, "identity is required"},
	} {
		_, err := src.Resolve(t.Context(), source.Remote{URL: s.URL("app.git"), Access: c.access}, mainRef)
		switch {
		case c.kind == nil && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.kind != nil:
			b.fails(err, c.kind, c.words)
		}
	}
	at := source.Remote{URL: s.URL("none.git"), Access: source.Access{Identity: s.Identity, KnownHosts: s.KnownHosts}}
	_, err := src.Resolve(t.Context(), at, mainRef)
	b.fails(err, source.ErrNotFound, "repository not found")
	if left, _ := os.ReadDir(src.temp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestHTTPAccess(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{Username: "ada", Password: "secret-pw", TLS: true})
	b.put(map[string]string{"a": "1"})
	good := source.Access{Username: "ada", Password: "secret-pw", CA: b.CA()}
	withUser := strings.Replace(b.at.URL, "https://", "https://ada:secret-pw@", 1)
	for _, c := range []struct {
		name   string
		url    string
		access source.Access
		kind   error
		words  string
	}{
		{"good", b.at.URL, good, nil, ""},
		{"in the URL", withUser, source.Access{CA: b.CA()}, nil, ""},
		{"none", b.at.URL, source.Access{CA: b.CA()}, source.ErrAuth, "authentication required"},
		{"wrong", b.at.URL, source.Access{Username: "ada", Password: "wrong-pw", CA: b.CA()}, source.ErrAuth, "does not accept the credentials"},
		{"line break", b.at.URL, source.Access{Username: "ada", Password: "secret-pw\n", CA: b.CA()}, source.ErrAuth, "line break"},
		{"no CA", b.at.URL, source.Access{Username: "ada", Password: "secret-pw"}, source.ErrAuth, "certificate is not trusted"},
		{"no CA, in the URL", withUser, source.Access{}, source.ErrAuth, "certificate is not trusted"},
		{"no repository", b.URL("none.git"), good, source.ErrNotFound, "repository not found"},
	} {
		_, err := b.src.Resolve(t.Context(), source.Remote{URL: c.url, Access: c.access}, mainRef)
		switch {
		case c.kind == nil && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.kind != nil:
			b.fails(err, c.kind, c.words)
		}
		if err != nil && strings.Contains(err.Error(), "-pw") {
			t.Errorf("%s: %v tells the password", c.name, err)
		}
	}
}

func TestBearer(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{Bearer: "token-1"})
	b.put(map[string]string{"a": "1"})
	b.at.Access.Bearer = "token-1"
	b.reads(b.get(mainRef), "a", "1")
	b.at.Access.Bearer = "token-2"
	_, err := b.try(mainRef)
	b.fails(err, source.ErrAuth)
}

// Credentials are nowhere on disk, and no command line tells them.
func TestSecrets(t *testing.T) {
	t.Parallel()
	var seen atomic.Bool
	b := setup(t, gitserver.Options{Username: "ada", Password: "hunter2hunter2", Hook: func(http.ResponseWriter, *http.Request) bool {
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range lines {
			line, _ := os.ReadFile(file)
			if bytes.Contains(line, []byte("hunter2")) || bytes.Contains(line, []byte("YWRhOmh1bnRlcjJ")) {
				seen.Store(true)
			}
		}
		return false
	}})
	b.put(map[string]string{"a": "1"})
	b.at.URL = strings.Replace(b.at.URL, "://", "://ada:hunter2hunter2@", 1)
	b.reads(b.get(mainRef), "a", "1")
	if seen.Load() {
		t.Error("a command line tells the password")
	}
	for _, root := range []string{b.src.Dir, b.src.temp} {
		filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if data, _ := os.ReadFile(name); bytes.Contains(data, []byte("hunter2")) || strings.Contains(name, "hunter2") {
				t.Errorf("%s tells the password", name)
			}
			return nil
		})
	}
	b.at.URL = strings.Replace(b.at.URL, "app.git", "none.git", 1)
	_, err := b.try(mainRef)
	b.fails(err, source.ErrNotFound)
	if text := fmt.Sprint(err) + b.log.String(); strings.Contains(text, "hunter2") {
		t.Errorf("%s tells the password", text)
	}
}

// A server that has moved is followed, but is not told the password unless it
// is the same.
func TestRedirect(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{Username: "ada", Password: "pw"})
	b.put(map[string]string{"a": "1"})
	var told atomic.Value
	told.Store("")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	b.must(err)
	old := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, b.URL("")+strings.TrimPrefix(r.URL.RequestURI(), "/old/"), http.StatusMovedPermanently)
	})}
	go old.Serve(l)
	t.Cleanup(func() { old.Close() })

	at := source.Remote{URL: "http://" + l.Addr().String() + "/old/app.git"}
	at.Access = source.Access{Username: "ada", Password: "pw"}
	_, err = b.src.Resolve(t.Context(), at, mainRef)
	b.fails(err, source.ErrAuth) // another host: it isn't told the password

	same := setup(t, gitserver.Options{})
	same.put(map[string]string{"a": "2"})
	mux := setupMoved(t, same)
	same.at = source.Remote{URL: mux + "/moved.git", Access: source.Access{Username: "x", Password: "y"}}
	same.reads(same.get(mainRef), "a", "2")
	same.at.Access = source.Access{Bearer: "t"}
	_, err = same.try(mainRef)
	same.fails(err, source.ErrURL, "redirects")
}

// setupMoved returns the URL of a server that calls b's repository moved.git.
func setupMoved(t *testing.T, b *bench) string {
	t.Helper()
	var self *gitserver.Server
	self, err := gitserver.Start(string(b.Repos), gitserver.Options{Hook: func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "moved.git") {
			return false
		}
		http.Redirect(w, r, strings.Replace(r.URL.RequestURI(), "moved.git", "app.git", 1), http.StatusMovedPermanently)
		return true
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(self.Close)
	return strings.TrimSuffix(self.URL(""), "/")
}

func TestURLs(t *testing.T) {
	t.Parallel()
	src := open(t, Config{Dir: t.TempDir()})
	b := &bench{T: t}
	for _, url := range []string{
		"", "app", "/srv/app.git", "file:///srv/app.git", "git://example.com/app", "ext::sh -c id", "http://",
		"git@example.com:app.git", "ssh://-oProxyCommand=id/x", "https://ada:hunter2@exa mple.com/x", "https://h/%00", "http://h/%0aa",
	} {
		at := source.Remote{URL: url}
		_, err := src.Resolve(t.Context(), at, mainRef)
		b.fails(err, source.ErrURL)
		if strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%v tells the password", err)
		}
	}
}

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

// git runs git in the server's repository.
func (b *bench) git(in io.Reader, args ...string) string {
	b.Helper()
	cmd := exec.Command("git", append([]string{"-C", b.Path("app.git"), "-c", "user.name=a", "-c", "user.email=a@b"}, args...)...)
	cmd.Stdin = in
	out, err := cmd.Output()
	b.must(err)
	return strings.TrimSpace(string(out))
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

// What is here costs no request.
func TestNoRequest(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{})
	one := b.put(map[string]string{"a": "1"})
	pin := source.Ref{Commit: one}
	b.get(pin)
	before := b.Requests()
	b.reads(b.get(pin), "a", "1")
	if n := b.Requests() - before; n != 0 {
		t.Errorf("a pinned commit that is here costs %d requests", n)
	}
	b.src.Close()
	b.src = open(t, Config{Dir: b.src.Dir})
	b.reads(b.get(pin), "a", "1")
	if n := b.Requests() - before; n != 0 {
		t.Errorf("after a restart it costs %d requests", n)
	}
}

// Callers share requests, and answers, but never an answer from before Expire.
func TestShared(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Unix(1e9, 0)
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	b := setup(t, gitserver.Options{}, Config{Dir: t.TempDir(), Fresh: 2 * time.Second, Now: clock})
	one := b.put(map[string]string{"a": "1"})
	b.must(b.Set("app.git", "refs/heads/master", one))
	b.must(b.Set("app.git", "refs/tags/v1", one))
	resolve := func(ref source.Ref) string {
		rev, err := b.src.Resolve(t.Context(), b.at, ref)
		if err != nil {
			t.Error(err)
		}
		return string(rev.Digest)
	}
	resolve(source.Ref{Tag: "v1"}) // now all ask for tags
	one2 := b.Requests()           // of one listing
	mu.Lock()
	now = now.Add(3 * time.Second)
	mu.Unlock()
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() { resolve([]source.Ref{{Branch: "main"}, {Branch: "master"}, {Tag: "v1"}}[i%3]) })
	}
	wg.Wait()
	if n := b.Requests() - one2; n != one2 {
		t.Errorf("30 callers made %d requests, one makes %d", n, one2)
	}
	two := b.put(map[string]string{"a": "2"})
	if got := resolve(mainRef); got != "sha1:"+one {
		t.Errorf("a fresh answer is not reused: %s", got)
	}
	b.src.Expire(b.at.URL)
	if got := resolve(mainRef); got != "sha1:"+two {
		t.Errorf("after Expire main is %s", got)
	}
	three := b.put(map[string]string{"a": "3"})
	mu.Lock()
	now = now.Add(2 * time.Second)
	mu.Unlock()
	if got := resolve(mainRef); got != "sha1:"+three {
		t.Errorf("after a while main is %s", got)
	}
}

// Who comes while a request hangs gets the next one; who gives up first does
// not take the others with him.
func TestSharedHang(t *testing.T) {
	t.Parallel()
	var hang atomic.Bool
	arrived := make(chan struct{}, 10)
	b := setup(t, gitserver.Options{Hook: func(w http.ResponseWriter, r *http.Request) bool {
		if hang.Load() {
			arrived <- struct{}{}
			<-r.Context().Done()
		}
		return hang.Load()
	}})
	b.put(map[string]string{"a": "1"})
	hang.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := b.src.Resolve(ctx, b.at, mainRef)
		first <- err
	}()
	<-arrived
	second := make(chan error)
	go func() {
		_, err := b.src.Resolve(t.Context(), b.at, mainRef)
		second <- err
	}()
	hang.Store(false)
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("first: %v", err)
	}
	if err := <-second; err != nil {
		t.Errorf("second: %v", err)
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + l.Addr().String() + "/app.git"
	l.Close()
	var mode atomic.Value
	mode.Store("")
	b := setup(t, gitserver.Options{Hook: func(w http.ResponseWriter, r *http.Request) bool {
		switch mode.Load() {
		case "hang":
			<-r.Context().Done()
		case "hang in fetch":
			if r.Method == "GET" {
				return false
			}
			<-r.Context().Done()
		case "500":
			w.WriteHeader(500)
		case "nonsense":
			io.WriteString(w, "<html>hello</html>")
		default:
			return false
		}
		return true
	}})
	b.put(map[string]string{"a": "1"})
	rev, err := b.src.Resolve(t.Context(), b.at, mainRef)
	b.must(err)

	_, err = b.src.Resolve(t.Context(), source.Remote{URL: nobody}, mainRef)
	b.fails(err, source.ErrNetwork, nobody)
	_, err = b.src.Resolve(t.Context(), source.Remote{URL: "https://no-such-host.invalid/x"}, mainRef)
	b.fails(err, source.ErrNetwork, "no-such-host.invalid")

	for _, m := range []string{"hang", "hang in fetch", "500"} {
		mode.Store(m)
		at := b.at
		if m != "500" {
			at.Timeout = 300 * time.Millisecond
		}
		if m != "hang in fetch" {
			_, err = b.src.Resolve(t.Context(), at, mainRef)
			b.fails(err, source.ErrNetwork)
		}
		start := time.Now()
		_, err = b.src.Fetch(t.Context(), at, mainRef, rev)
		b.fails(err, source.ErrNetwork)
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s takes %v", m, d)
		}
	}
	b.fails(err, source.ErrNetwork, "500")
	mode.Store("nonsense")
	if _, err = b.src.Resolve(t.Context(), b.at, mainRef); err == nil {
		t.Error("nonsense resolves")
	}
	mode.Store("")
	b.reads(b.get(mainRef), "a", "1")
}

// Whatever is wrong with a mirror, the next Fetch mends it.
func TestDamage(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{}, Config{Dir: t.TempDir(), Fresh: -1, AllowFile: true})
	b.at.URL = "file://" + b.Path("app.git")
	files := map[string]string{"a": "1", "d/b": strings.Repeat("long enough ", 1000)}
	for i := range 120 { // enough for a pack
		files[fmt.Sprintf("f/%d", i)] = fmt.Sprint("file ", i)
	}
	b.put(files)
	b.get(mainRef)
	b.put(map[string]string{"a": "2", "d/c": "new"})
	second := b.get(mainRef).Revision
	third := b.put(map[string]string{"a": "3"})
	b.src.Close()
	for _, c := range damages {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/restart=%v", c.name, restart), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(b.src.Dir)); err != nil {
					t.Fatal(err)
				}
				b := &bench{T: t, at: b.at, src: open(t, Config{Dir: dir, AllowFile: true})}
				files := maps.Clone(files)
				files["a"], files["d/c"] = "2", "new"
				if !restart {
					b.mends(second, files)
				}
				c.do(b)
				b.forget()
				b.mends(second, files)
				files["a"] = "3"
				b.mends(revision("main", third), files)
			})
		}
	}
}

// damages are what may happen to a mirror.
var damages = []struct {
	name string
	do   func(b *bench)
}{
	{"loose objects spoilt", func(b *bench) { b.each("objects/??/*", spoil) }},
	{"loose objects empty", func(b *bench) {
		b.each("objects/??/*", func(n string) { os.Chmod(n, 0o600); os.Truncate(n, 0) })
	}},
	{"loose objects gone", func(b *bench) { b.each("objects/??/*", func(n string) { os.Remove(n) }) }},
	{"pack spoilt", func(b *bench) { b.each("objects/pack/*.pack", spoil) }},
	{"pack gone", func(b *bench) { b.each("objects/pack/*.pack", func(n string) { os.Remove(n) }) }},
	{"index spoilt", func(b *bench) { b.each("objects/pack/*.idx", spoil) }},
	{"objects gone", func(b *bench) { b.each("objects", func(n string) { os.RemoveAll(n) }) }},
	{"locks left", func(b *bench) {
		b.write("shallow.lock", "")
		b.each("refs/sane/*/*", func(n string) { os.WriteFile(n+".lock", nil, 0o600) })
		b.write("config.lock", "")
		b.write("objects/pack/tmp_pack_x", "half")
	}},
	{"refs spoilt", func(b *bench) { b.each("refs/sane/*/*", func(n string) { os.WriteFile(n, []byte("x\n"), 0o600) }) }},
	{"refs to nothing", func(b *bench) {
		b.each("refs/sane/*/*", func(n string) { os.WriteFile(n, []byte(strings.Repeat("ab", 20)+"\n"), 0o600) })
	}},
	{"shallow spoilt", func(b *bench) { b.write("shallow", "nonsense\n") }},
	{"HEAD gone", func(b *bench) { os.Remove(filepath.Join(b.dir(), "HEAD")) }},
	{"config spoilt", func(b *bench) { b.write("config", "[core\n") }},
	{"all gone", func(b *bench) { os.RemoveAll(b.dir()) }},
}

// each calls f with the mirror's files whose names match.
func (b *bench) each(pattern string, f func(name string)) {
	list, _ := filepath.Glob(filepath.Join(b.dir(), pattern))
	if len(list) == 0 {
		b.Errorf("nothing matches %s", pattern)
	}
	for _, name := range list {
		f(name)
	}
}

func (b *bench) write(name, text string) {
	b.must(os.WriteFile(filepath.Join(b.dir(), name), []byte(text), 0o600))
}

func spoil(name string) {
	os.Chmod(name, 0o600)
	data, _ := os.ReadFile(name)
	for i := len(data) / 3; i < len(data); i++ {
		data[i] = 'x'
	}
	os.WriteFile(name, data, 0o600)
}

// forget drops what is cached of the mirror.
func (b *bench) forget() {
	b.src.trees = newCache(b.src.CacheBytes)
	for _, m := range b.src.mirrors {
		m.objects.close()
	}
}

// mends checks that a revision can be read after at most a few errors of storage.
func (b *bench) mends(rev source.Revision, files map[string]string) {
	b.Helper()
	var err error
	for try := range 3 {
		var snap *source.Snapshot
		if snap, err = b.src.Fetch(b.Context(), b.at, mainRef, rev); err != nil {
			b.Fatalf("Fetch, try %d: %v", try, err)
		}
		if err = readAll(snap.Tree, files); err == nil {
			return
		}
		if !errors.Is(err, source.ErrStorage) {
			break
		}
	}
	b.Errorf("the mirror is not mended: %v", err)
}

func readAll(tree fs.FS, files map[string]string) error {
	for name, want := range files {
		got, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		if string(got) != want {
			return fmt.Errorf("%s = %.20q, want %.20q", name, got, want)
		}
	}
	return nil
}

// A git that is killed in the middle of a fetch does no harm.
func TestKilled(t *testing.T) {
	t.Parallel()
	var half atomic.Bool
	cut := make(chan struct{}, 1)
	b := setup(t, gitserver.Options{Hook: func(w http.ResponseWriter, r *http.Request) bool {
		if !half.Load() || r.Method != "POST" || r.ContentLength > 0 && r.ContentLength < 200 {
			return false
		}
		select {
		case cut <- struct{}{}:
		default:
		}
		<-r.Context().Done()
		return true
	}})
	b.put(map[string]string{"a": "1"})
	b.get(mainRef)
	b.put(map[string]string{"a": "2"})
	rev, err := b.src.Resolve(t.Context(), b.at, mainRef)
	b.must(err)
	half.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-cut; cancel() }()
	_, err = b.src.Fetch(ctx, b.at, mainRef, rev)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Fetch: %v", err)
	}
	half.Store(false)
	b.reads(b.get(mainRef), "a", "2")
	if strings.Contains(b.log.String(), "damaged") {
		t.Errorf("log: %s", b.log)
	}
}

// Reading goes on when git cat-file is killed.
func TestReaderKilled(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{})
	b.put(map[string]string{"a": "1", "b": "2"})
	snap := b.get(mainRef)
	b.reads(snap, "a", "1")
	for _, m := range b.src.mirrors {
		m.objects.cmd.Process.Kill()
	}
	b.reads(snap, "b", "2")
}

// Readers end when there is nothing to read, and when the source is closed.
func TestIdle(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{}, Config{Dir: t.TempDir(), Fresh: -1, Idle: 10 * time.Millisecond})
	b.put(map[string]string{"a": "1"})
	snap := b.get(mainRef)
	c := snap.Tree.(*snapshot).mirror.objects
	deadline := time.Now().Add(5 * time.Second)
	for running := true; running && time.Now().Before(deadline); runtime.Gosched() {
		c.mu.Lock()
		running = c.cmd != nil
		c.mu.Unlock()
	}
	if c.cmd != nil {
		t.Error("the reader does not end")
	}
	b.reads(snap, "a", "1")
	b.src.Close()
	if _, err := fs.ReadFile(snap.Tree, "a"); !errors.Is(err, source.ErrStorage) {
		t.Errorf("after Close: %v", err)
	}
	_, err := b.try(mainRef)
	b.fails(err, source.ErrStorage, "closed")
}

// Tidying keeps what Refs and snapshots need, and drops the rest.
func TestTidy(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	b := setup(t, gitserver.Options{}, Config{Dir: t.TempDir(), Fresh: -1, Now: clock})
	b.put(map[string]string{"a": "1"})
	kept := b.get(mainRef)
	b.put(map[string]string{"a": "2"})
	dropped := b.get(mainRef).Revision
	b.put(map[string]string{"a": "3"})
	b.get(mainRef)
	runtime.GC()
	runtime.GC()
	m := kept.Tree.(*snapshot).mirror
	deadline := time.Now().Add(5 * time.Second)
	for n := 9; n > 2 && time.Now().Before(deadline); runtime.GC() {
		m.mu.Lock()
		n = len(m.live)
		m.mu.Unlock()
	}
	m.turn <- struct{}{}
	err := m.tidy(t.Context())
	<-m.turn
	b.must(err)
	b.forget()
	b.reads(kept, "a", "1")
	b.reads(b.get(mainRef), "a", "3")
	_, err = m.objects.read(string(dropped.Digest[5:]), "commit", 1000)
	if !errors.Is(err, source.ErrStorage) {
		t.Errorf("a commit that nobody needs is still here (%v)", err)
	}
	if list, _ := filepath.Glob(filepath.Join(m.dir, "objects/??/*")); len(list) > 0 {
		t.Errorf("loose objects: %v", list)
	}
	again, err := b.src.Fetch(t.Context(), b.at, mainRef, dropped)
	b.must(err)
	b.reads(again, "a", "2")
	runtime.KeepAlive(kept)
}

func TestNewFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, Config{Dir: dir})
	if _, err := New(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("two sources in one directory: %v", err)
	}
	if _, err := New(Config{Dir: t.TempDir(), Git: "no-such-git"}); err == nil {
		t.Error("a git that is not there is no error")
	}
}

package commit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/trace"
)

// A bench is a server with a repository, and a user with a Git configuration.
type bench struct {
	*testing.T
	*gitserver.Server
	home string
}

func setup(t *testing.T, o gitserver.Options) *bench {
	t.Helper()
	srv, err := gitserver.Start(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	b := &bench{t, srv, t.TempDir()}
	t.Setenv("HOME", b.home)
	t.Setenv("XDG_CONFIG_HOME", b.home)
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	b.config("user.name", "Grace Hopper", "user.email", "grace@example.com")
	b.must(srv.Create("app.git"))
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// config sets the user's configuration.
func (b *bench) config(pairs ...string) {
	b.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if out, err := exec.Command("git", "config", "--global", pairs[i], pairs[i+1]).CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
}

// put puts commits on main and returns their ids.
func (b *bench) put(all ...gitserver.Commit) []string {
	b.Helper()
	ids, err := b.Write("app.git", "main", slices.Values(all))
	b.must(err)
	return ids
}

func (b *bench) open(c Config) *Repo {
	b.Helper()
	if c.Way.URL == "" {
		c.Way.URL = b.URL("app.git")
	}
	r, err := Open(b.Context(), c)
	b.must(err)
	b.Cleanup(func() { r.Close() })
	return r
}

// git asks the server's repository.
func (b *bench) git(args ...string) string {
	b.Helper()
	out, err := exec.Command("git", append([]string{"--git-dir", b.Path("app.git")}, args...)...).CombinedOutput()
	if err != nil {
		b.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (b *bench) prepare(r *Repo, to string, paths ...string) *Draft {
	b.Helper()
	d, err := r.Prepare(b.Context(), Change{Branch: "main", To: to, Paths: paths})
	b.must(err)
	return d
}

// roll prepares, commits and pushes.
func (b *bench) roll(r *Repo, to string, paths ...string) (*Draft, string) {
	b.Helper()
	d := b.prepare(r, to, paths...)
	id, err := r.Commit(b.Context(), d, "Roll back\n\nbecause\n")
	b.must(err)
	b.must(r.Push(b.Context(), d, id))
	return d, id
}

// fails checks what an error is, and says.
func (b *bench) fails(err, kind error, words ...string) {
	b.Helper()
	if !errors.Is(err, kind) {
		b.Fatalf("error is %v; want %v", err, kind)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			b.Errorf("error is %q, which lacks %q", err, w)
		}
	}
}

type files = map[string]string

func TestRollBack(t *testing.T) {
	b := setup(t, gitserver.Options{})
	ids := b.put(
		gitserver.Commit{Files: files{"apps/web/a.yaml": "1", "apps/web/deep/b.yaml": "1", "apps/api/a.yaml": "1", "README": "1"},
			Programs: files{"apps/web/run": "#!"}, Links: files{"apps/web/link": "../../README"},
			Modules: files{"apps/web/sub": strings.Repeat("ab", 20)}},
		gitserver.Commit{Files: files{"apps/web/a.yaml": "2", "apps/web/deep/b.yaml": gitserver.Delete, "apps/web/new.yaml": "2", "apps/web/run": "#!", "apps/api/a.yaml": "2",
			"apps/web/link": gitserver.Delete, "apps/web/sub": gitserver.Delete}},
		gitserver.Commit{Files: files{"README": "3"}},
	)
	r := b.open(Config{})
	b.must(r.Check(t.Context()))
	d, id := b.roll(r, ids[0], "apps/web")
	if d.Same() || d.Base.ID != ids[2] || d.Old.ID != ids[0] || d.Old.Author != "Ada Lovelace <ada@example.com>" || d.Old.Subject != "change" {
		t.Errorf("draft is %+v", d)
	}
	want := []string{"apps/web/a.yaml", "apps/web/deep/b.yaml", "apps/web/link", "apps/web/new.yaml", "apps/web/run", "apps/web/sub"}
	if !reflect.DeepEqual(d.Diff, want) {
		t.Errorf("what differs is %q; want %q", d.Diff, want)
	}
	if got := b.git("rev-parse", "main"); got != id {
		t.Errorf("main is at %s; want %s", got, id)
	}
	if was, is := b.git("rev-parse", ids[0]+":apps/web"), b.git("rev-parse", id+":apps/web"); was != is {
		t.Errorf("the path is %s; it was %s", is, was)
	}
	if got := b.git("diff", "--name-only", ids[2], id, "--", ".", ":!apps/web"); got != "" {
		t.Errorf("beside the path, these changed: %s", got)
	}
	if got := b.git("log", "-1", "--format=%P|%an <%ae>|%cn|%B", id); got != ids[2]+"|Grace Hopper <grace@example.com>|Grace Hopper|Roll back\n\nbecause" {
		t.Errorf("the commit is %s", got)
	}
	if got := b.git("fsck", "--strict"); strings.Contains(got, "error") {
		t.Error(got)
	}
}

func TestPaths(t *testing.T) {
	for _, c := range []struct {
		name  string
		old   files
		now   files // beside old
		paths []string
		want  string // all files afterwards, with their content
	}{
		{"the root", files{"a": "1", "d/b": "1"}, files{"a": "2", "d/b": gitserver.Delete, "c": "2"}, []string{"."}, "a=1 d/b=1"},
		{"a file", files{"a": "1", "b": "1"}, files{"a": "2", "b": "2"}, []string{"a"}, "a=1 b=2"},
		{"a path that was not there", files{"a": "1"}, files{"apps/web/x": "2", "apps/web/d/y": "2", "apps/z": "2"}, []string{"apps/web"}, "a=1 apps/z=2"},
		{"a path that was not there, all alone", files{"a": "1"}, files{"apps/web/x": "2"}, []string{"apps/web"}, "a=1"},
		{"a path that is not there any more", files{"apps/web/x": "1", "a": "1"}, files{"apps/web/x": gitserver.Delete, "a": "2"}, []string{"apps/web"}, "a=2 apps/web/x=1"},
		{"neither then nor now", files{"a": "1"}, files{"a": "2"}, []string{"no/where"}, "a=2"},
		{"a directory that is a file now", files{"d/x": "1"}, files{"d/x": gitserver.Delete, "d": "2"}, []string{"d"}, "d/x=1"},
		{"several", files{"apps/web/x": "1", "base/a": "1", "base/b": "1"}, files{"apps/web/x": "2", "base/a": "2", "base/b": "2", "c": "2"}, []string{"apps/web", "base/a"}, "apps/web/x=1 base/a=1 base/b=2 c=2"},
		{"odd names", files{"a b/é\"\\'*?/x": "1", "-x/y": "1"}, files{"a b/é\"\\'*?/x": "2", "-x/y": "2"}, []string{"a b/é\"\\'*?", "-x"}, "-x/y=1 a b/é\"\\'*?/x=1"},
		{"names that begin alike", files{"web/x": "1", "web2/x": "1"}, files{"web/x": "2", "web2/x": "2"}, []string{"web"}, "web/x=1 web2/x=2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := setup(t, gitserver.Options{})
			ids := b.put(gitserver.Commit{Files: c.old}, gitserver.Commit{Files: c.now})
			r := b.open(Config{})
			d := b.prepare(r, ids[0], c.paths...)
			tree, err := r.Tree(t.Context(), d.Tree)
			b.must(err)
			defer tree.Close()
			var got []string
			b.must(fs.WalkDir(tree, ".", func(name string, e fs.DirEntry, err error) error {
				if err == nil && !e.IsDir() {
					var data []byte
					data, err = fs.ReadFile(tree, name)
					got = append(got, name+"="+string(data))
				}
				return err
			}))
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got %s, want %s", s, c.want)
			}
		})
	}
}

func TestInItsPlace(t *testing.T) {
	b := setup(t, gitserver.Options{})
	ids := b.put(gitserver.Commit{Files: files{"apps/web/x": "1"}}, gitserver.Commit{Files: files{"apps/web/x": gitserver.Delete, "apps": "2"}})
	_, err := b.open(Config{}).Prepare(t.Context(), Change{Branch: "main", To: ids[0], Paths: []string{"apps/web"}})
	b.fails(err, ErrInWay, "apps is a file now")
}

func TestNothingToDo(t *testing.T) {
	b := setup(t, gitserver.Options{})
	ids := b.put(gitserver.Commit{Files: files{"web/x": "1", "y": "1"}}, gitserver.Commit{Files: files{"y": "2"}})
	if d := b.prepare(b.open(Config{}), ids[0], "web"); !d.Same() {
		t.Errorf("%v would change", d.Diff)
	}
}

// Others push between the plan and the push, once before git looks at the branch
// and once after.
func TestLostRace(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprint("late=", late), func(t *testing.T) {
			var race atomic.Pointer[func()]
			b := setup(t, gitserver.Options{Hook: func(_ http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, "/git-receive-pack") && r.Method == http.MethodPost {
					if f := race.Swap(nil); f != nil {
						(*f)()
					}
				}
				return false
			}})
			ids := b.put(gitserver.Commit{Files: files{"web/x": "1", "y": "1"}}, gitserver.Commit{Files: files{"web/x": "2"}})
			r := b.open(Config{})
			d := b.prepare(r, ids[0], "web")
			id, err := r.Commit(t.Context(), d, "back")
			b.must(err)
			other := func() { b.put(gitserver.Commit{Files: files{"y": "2"}}) }
			if late {
				race.Store(&other)
			} else {
				other()
			}
			b.fails(r.Push(t.Context(), d, id), ErrMoved)
			if got := b.git("show", "main:y"); got != "2" {
				t.Fatalf("their commit is lost: y is %s", got)
			}

			// Prepared anew, it goes on top of theirs.
			again := b.prepare(r, ids[0], "web")
			if again.Was != d.Was {
				t.Error("the path has not changed, and it says so")
			}
			_, id = b.roll(r, ids[0], "web")
			if got := b.git("show", "main:y") + b.git("show", "main:web/x"); got != "21" || b.git("rev-parse", "main") != id {
				t.Errorf("main has %s", got)
			}

			// If theirs is about the path, that is seen.
			b.put(gitserver.Commit{Files: files{"web/x": "3"}})
			if b.prepare(r, ids[0], "web").Was == d.Was {
				t.Error("the path has changed, and nobody says so")
			}
		})
	}
}

// A branch that was set back is not brought forward again.
func TestBranchSetBack(t *testing.T) {
	b := setup(t, gitserver.Options{})
	ids := b.put(gitserver.Commit{Files: files{"x": "1"}}, gitserver.Commit{Files: files{"y": "2"}}, gitserver.Commit{Files: files{"x": "3"}})
	r := b.open(Config{})
	d := b.prepare(r, ids[0], "x")
	id, err := r.Commit(t.Context(), d, "back")
	b.must(err)
	b.must(b.Set("app.git", "refs/heads/main", ids[1]))
	b.fails(r.Push(t.Context(), d, id), ErrMoved)
	if got := b.git("rev-parse", "main"); got != ids[1] {
		t.Errorf("main is at %s", got)
	}
}

// The server has taken the push, and its answer is lost.
func TestLostAnswer(t *testing.T) {
	var lose atomic.Bool
	var b *bench
	b = setup(t, gitserver.Options{Hook: func(w http.ResponseWriter, r *http.Request) bool {
		if !lose.Load() || r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/git-receive-pack") {
			return false
		}
		lose.Store(false)
		b.ServeHTTP(new(nowhere), r)
		http.Error(w, "the gateway has had enough", http.StatusBadGateway)
		return true
	}})
	ids := b.put(gitserver.Commit{Files: files{"x": "1"}}, gitserver.Commit{Files: files{"x": "2"}})
	lose.Store(true)
	if _, id := b.roll(b.open(Config{}), ids[0], "x"); b.git("rev-parse", "main") != id || lose.Load() {
		t.Error("it is not there")
	}
}

// nowhere is where answers are lost.
type nowhere struct{ h http.Header }

func (n *nowhere) Header() http.Header {
	if n.h == nil {
		n.h = make(http.Header)
	}
	return n.h
}
func (*nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (*nowhere) WriteHeader(int)             {}

func TestProtectedBranch(t *testing.T) {
	b := setup(t, gitserver.Options{})
	ids := b.put(gitserver.Commit{Files: files{"x": "1"}}, gitserver.Commit{Files: files{"x": "2"}})
	hook := "#!/bin/sh\nwhile read old new ref; do case $ref in refs/heads/main) echo 'GH006: main is protected' >&2; exit 1;; esac; done\n"
	b.must(os.MkdirAll(filepath.Join(b.Path("app.git"), "hooks"), 0o777))
	b.must(os.WriteFile(filepath.Join(b.Path("app.git"), "hooks/pre-receive"), []byte(hook), 0o777))
	r := b.open(Config{})
	d := b.prepare(r, ids[0], "x")
	id, err := r.Commit(t.Context(), d, "back")
	b.must(err)
	b.fails(r.Push(t.Context(), d, id), ErrRefused, "pre-receive hook declined", "GH006: main is protected")
	if got := b.git("rev-parse", "main"); got != ids[1] {
		t.Errorf("main is at %s", got)
	}

	// Another branch is not, and is nobody else's.
	b.must(r.PushNew(t.Context(), "back/x", id))
	if got := b.git("rev-parse", "refs/heads/back/x"); got != id {
		t.Errorf("the branch is at %s", got)
	}
	b.must(b.Set("app.git", "refs/heads/theirs", ids[0]))
	b.fails(r.PushNew(t.Context(), "theirs", id), ErrInWay, "there is a branch theirs already")
	if got := b.git("rev-parse", "theirs"); got != ids[0] {
		t.Errorf("theirs is at %s", got)
	}
}

// Who may only read is told so, and no password is repeated.
func TestReadOnly(t *testing.T) {
	b := setup(t, gitserver.Options{Username: "ann", Password: "hunter2", Hook: func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("service") != "git-receive-pack" {
			return false
		}
		http.Error(w, "read only, and your password is hunter2", http.StatusForbidden)
		return true
	}})
	b.config("credential.helper", "!f() { echo username=ann; echo password=hunter2; }; f")
	ids := b.put(gitserver.Commit{Files: files{"x": "1"}}, gitserver.Commit{Files: files{"x": "2"}})
	r := b.open(Config{Way: Way{URL: b.URL("app.git"), Hide: func(s string) string { return strings.ReplaceAll(s, "hunter2", "***") }}})
	d := b.prepare(r, ids[0], "x")
	id, err := r.Commit(t.Context(), d, "back")
	b.must(err)
	err = r.Push(t.Context(), d, id)
	b.fails(err, ErrRefused, "403")
	if strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}

func TestNobody(t *testing.T) {
	b := setup(t, gitserver.Options{})
	b.must(exec.Command("git", "config", "--global", "--unset", "user.email").Run())
	r := b.open(Config{})
	b.fails(r.Check(t.Context()), ErrNobody, "git config --global user.name")
	t.Setenv("GIT_AUTHOR_EMAIL", "a@example.com")
	t.Setenv("GIT_COMMITTER_EMAIL", "c@example.com")
	b.must(r.Check(t.Context()))
}

// A server makes commits of its own for others, without a Git configuration.
func TestForOthers(t *testing.T) {
	b := setup(t, gitserver.Options{})
	ids := b.put(gitserver.Commit{Files: files{"x": "1"}}, gitserver.Commit{Files: files{"x": "2"}})
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null"}
	r := b.open(Config{Way: Way{URL: b.URL("app.git"), Env: env}, Author: &Person{"eve <x>\n", "eve@example.com"}, Committer: &Person{"Sane", "sane@example.com"}})
	b.must(r.Check(t.Context()))
	_, id := b.roll(r, ids[0], "x")
	if got := b.git("log", "-1", "--format=%an|%ae|%cn|%ce", id); got != "eve x|eve@example.com|Sane|sane@example.com" {
		t.Errorf("it is by %s", got)
	}
}

func TestSigned(t *testing.T) {
	b := setup(t, gitserver.Options{})
	key := filepath.Join(b.home, "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Skipf("no ssh-keygen: %v: %s", err, out)
	}
	pub, err := os.ReadFile(key + ".pub")
	b.must(err)
	signers := filepath.Join(b.home, "signers")
	b.must(os.WriteFile(signers, []byte("grace@example.com "+string(pub)), 0o666))
	b.config("gpg.format", "ssh", "gpg.ssh.allowedSignersFile", signers)
	ids := b.put(gitserver.Commit{Files: files{"x": "1"}}, gitserver.Commit{Files: files{"x": "2"}})

	// The key and the wish to sign are those of the clone where the user is.
	clone := t.TempDir()
	for _, args := range [][]string{{"init", "-q"}, {"config", "user.signingKey", key + ".pub"}, {"config", "commit.gpgSign", "true"}, {"config", "user.name", "Grace at work"}} {
		if out, err := exec.Command("git", append([]string{"-C", clone}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if b.open(Config{}).Signs(t.Context()) {
		t.Error("elsewhere it is not signed")
	}
	r := b.open(Config{From: clone})
	if !r.Signs(t.Context()) {
		t.Error("it would not be signed")
	}
	_, id := b.roll(r, ids[0], "x")
	if got := b.git("verify-commit", id); !strings.Contains(got, `Good "git" signature for grace@example.com`) {
		t.Error(got)
	}
	if got := b.git("log", "-1", "--format=%an", id); got != "Grace at work" {
		t.Errorf("it is by %s", got)
	}
}

func TestBundle(t *testing.T) {
	b := setup(t, gitserver.Options{})
	ids := b.put(gitserver.Commit{Files: files{"x": "1"}}, gitserver.Commit{Files: files{"x": "2"}})
	clone := t.TempDir()
	in := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("git", append([]string{"-C", clone}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	in("clone", "-q", b.URL("app.git"), ".")
	r := b.open(Config{})
	d := b.prepare(r, ids[0], "x")
	id, err := r.Commit(t.Context(), d, "back")
	b.must(err)
	file := filepath.Join(t.TempDir(), "back.bundle")
	b.must(r.Bundle(t.Context(), d, id, "main", file))
	if got := b.git("rev-parse", "main"); got != ids[1] {
		t.Errorf("main is at %s", got)
	}
	in("fetch", "-q", file, "main")
	in("push", "-q", "origin", "FETCH_HEAD:main")
	if got := b.git("rev-parse", "main"); got != id {
		t.Errorf("main is at %s", got)
	}
}

// Servers that give no commits by their ids, objects named by SHA-256, and SSH.
func TestServers(t *testing.T) {
	t.Run("old", func(t *testing.T) {
		b := setup(t, gitserver.Options{Old: true})
		ids := b.put(gitserver.Commit{Files: files{"x": "1"}}, gitserver.Commit{Files: files{"x": "2"}}, gitserver.Commit{Files: files{"y": "2"}})
		b.roll(b.open(Config{}), ids[0], "x")
		if got := b.git("show", "main:x"); got != "1" {
			t.Errorf("x is %s", got)
		}
		_, err := b.open(Config{}).Prepare(t.Context(), Change{Branch: "main", To: strings.Repeat("ab", 20), Paths: []string{"x"}})
		if err == nil || !strings.Contains(err.Error(), "it is not in the history of main either") {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("sha256", func(t *testing.T) {
		b := setup(t, gitserver.Options{})
		b.must(os.RemoveAll(b.Path("app.git")))
		b.must(b.CreateAs("app.git", gitserver.SHA256))
		ids := b.put(gitserver.Commit{Files: files{"d/x": "1"}}, gitserver.Commit{Files: files{"d/x": "2"}})
		b.roll(b.open(Config{}), ids[0], "d")
		if got := b.git("show", "main:d/x"); got != "1" {
			t.Errorf("x is %s", got)
		}
	})
	t.Run("ssh", func(t *testing.T) {
		b := setup(t, gitserver.Options{})
		ssh, err := gitserver.StartSSH(string(b.Repos))
		if errors.Is(err, gitserver.ErrNoSSHD) {
			t.Skip(err)
		}
		b.must(err)
		defer ssh.Close()
		key, known := filepath.Join(b.home, "id"), filepath.Join(b.home, "known")
		b.must(os.WriteFile(key, ssh.Identity, 0o600))
		b.must(os.WriteFile(known, ssh.KnownHosts, 0o600))
		b.config("core.sshCommand", "ssh -F /dev/null -i "+key+" -o UserKnownHostsFile="+known)
		ids := b.put(gitserver.Commit{Files: files{"x": "1"}}, gitserver.Commit{Files: files{"x": "2"}})
		b.roll(b.open(Config{Way: Way{URL: ssh.URL("app.git")}}), ids[0], "x")
		if got := b.git("show", "main:x"); got != "1" {
			t.Errorf("x is %s", got)
		}
	})
}

// It ends when its caller does not want it any more.
func TestStopped(t *testing.T) {
	reached := make(chan struct{})
	b := setup(t, gitserver.Options{Hook: func(_ http.ResponseWriter, r *http.Request) bool {
		close(reached)
		<-r.Context().Done()
		return true
	}})
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	go func() { <-reached; cancel(why) }()
	_, err := b.open(Config{}).Prepare(ctx, Change{Branch: "main", To: strings.Repeat("ab", 20), Paths: []string{"x"}})
	b.fails(err, why)
}

func TestTree(t *testing.T) {
	b := setup(t, gitserver.Options{})
	ids := b.put(gitserver.Commit{Files: files{"a/b/c": "1", "d": "22"}, Programs: files{"a/run": "#!"}, Links: files{"a/link": "run"}, Modules: files{"sub": strings.Repeat("ab", 20)}},
		gitserver.Commit{Files: files{"d": "3"}})
	r := b.open(Config{})
	d := b.prepare(r, ids[0], "d")
	tree, err := r.Tree(t.Context(), d.Old.ID)
	b.must(err)
	defer tree.Close()
	b.must(fstest.TestFS(tree, "a/b/c", "d", "a/run"))
	for _, name := range []string{"a/link", "sub", "none", "a/b/c/d"} {
		if _, err := fs.Stat(tree, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := trace.Ask(tree, trace.Stat, name); got != "" || err != nil {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
	now, err := r.Tree(t.Context(), d.Base.ID)
	b.must(err)
	defer now.Close()
	for name, want := range map[string]bool{"a": true, "a/link": true, "d": false, "none": true} {
		if got := tree.Same(now, name); got != want {
			t.Errorf("%s is the same: %v", name, got)
		}
		x, _ := trace.Ask(tree, trace.File, name)
		if y, _ := trace.Ask(now, trace.File, name); (x == y) != want {
			t.Errorf("%s answers %s and %s", name, x, y)
		}
	}
	tree.Close()
	if _, err := fs.ReadFile(tree, "d"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("it can still be read: %v", err)
	}
}

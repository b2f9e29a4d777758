package git

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/source"
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

// git runs git in the server's repository.
func (b *bench) git(in io.Reader, args ...string) string {
	b.Helper()
	cmd := exec.Command("git", append([]string{"-C", b.Path("app.git"), "-c", "user.name=a", "-c", "user.email=a@b"}, args...)...)
	cmd.Stdin = in
	out, err := cmd.Output()
	b.must(err)
	return strings.TrimSpace(string(out))
}

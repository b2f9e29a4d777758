package cli

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/object"
)

// The sample repository, whose URL is filled in when it is served.
//
//go:embed demo/repo
var sampleFiles embed.FS

const (
	sample    = "shop"
	sampleURL = "http://git.example.com/shop"
)

// sampleTree returns the sample repository as it is for one that is served at a
// URL.
func sampleTree(url string) (map[string]string, error) {
	tree, err := fs.Sub(sampleFiles, "demo/repo")
	if err != nil {
		return nil, err
	}
	files := make(map[string]string)
	err = fs.WalkDir(tree, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := fs.ReadFile(tree, name)
		files[name] = strings.ReplaceAll(string(data), sampleURL, url)
		return err
	})
	return files, err
}

// A shop is a Git server with the sample repository, and a clone of it.
type shop struct {
	url   string
	head  string          // the commit that was pushed last by us
	first []object.Object // what is applied by hand

	server *gitserver.Server
	dir    string // the clone
}

type noticed struct{}

// openShop serves a new sample repository. pushed is told of every push, and
// when it began, before the push is answered.
func openShop(dir string, pushed func(context.Context, time.Time)) (s *shop, err error) {
	s = &shop{dir: filepath.Join(dir, "clone")}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	hook := func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/git-receive-pack") || r.Context().Value(noticed{}) != nil {
			return false
		}
		began := time.Now()
		s.server.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), noticed{}, true)))
		pushed(r.Context(), began)
		return true
	}
	if s.server, err = gitserver.Start(dir, gitserver.Options{Hook: hook}); err != nil {
		return nil, err
	}
	s.url = s.server.URL(sample)
	if err := s.fill(); err != nil {
		s.close()
		return nil, fmt.Errorf("make the sample repository: %w", err)
	}
	return s, nil
}

// fill makes the repository and clones it.
func (s *shop) fill() error {
	files, err := sampleTree(s.url)
	if err != nil {
		return err
	}
	if err := s.server.Create(sample); err != nil {
		return err
	}
	if s.head, err = s.server.Commit(sample, "main", "a shop", files); err != nil {
		return err
	}
	if s.first, err = object.Parse([]byte(files[syncFile])); err != nil {
		return err
	}
	return os.MkdirAll(s.dir, 0o700)
}

// close ends the server.
func (s *shop) close() { s.server.Close() }

// An edit is a change to one file of the clone.
type edit struct {
	file, from, to string
	why            string
}

// commit makes an edit and commits it, as a person would.
func (s *shop) commit(ctx context.Context, e edit) error {
	if _, err := os.Stat(filepath.Join(s.dir, ".git")); err != nil {
		if err := s.git(ctx, "clone", "-q", s.url, "."); err != nil {
			return err
		}
	}
	file := filepath.Join(s.dir, e.file)
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !bytes.Contains(data, []byte(e.from)) {
		return fmt.Errorf("%s: there is no %q", e.file, e.from)
	}
	if err := os.WriteFile(file, bytes.Replace(data, []byte(e.from), []byte(e.to), 1), 0o600); err != nil {
		return err
	}
	if err := s.git(ctx, "commit", "-qam", e.why); err != nil {
		return err
	}
	head, err := os.ReadFile(filepath.Join(s.dir, ".git/refs/heads/main"))
	s.head = strings.TrimSpace(string(head))
	return err
}

// push pushes what was committed.
func (s *shop) push(ctx context.Context) error { return s.git(ctx, "push", "-q", "origin", "main") }

func (s *shop) git(ctx context.Context, args ...string) error {
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "http.proxy="}, args...)...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Sane", "GIT_AUTHOR_EMAIL=demo@example.com", "GIT_COMMITTER_NAME=Sane", "GIT_COMMITTER_EMAIL=demo@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

package bench

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sane-gitops/sane/internal/gitserver"
)

// A forge serves Git repositories on loopback, and knows when it last answered.
type forge struct {
	*gitserver.Server
	front  *http.Server
	url    string
	served atomic.Int64 // when the last answer was complete, in Unix nanoseconds
}

func openForge(dir string) (*forge, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	server, err := gitserver.Start(dir, gitserver.Options{})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		server.Close()
		return nil, err
	}
	f := &forge{Server: server, url: "http://" + l.Addr().String() + "/"}
	f.front = &http.Server{Handler: http.HandlerFunc(f.answer)}
	go func() { _ = f.front.Serve(l) }() // it ends by close
	return f, nil
}

func (f *forge) answer(w http.ResponseWriter, r *http.Request) {
	f.Server.ServeHTTP(w, r)
	f.served.Store(time.Now().UnixNano())
}

func (f *forge) close() {
	f.front.Close()
	f.Server.Close()
}

// lastServed returns when the last answer was complete.
func (f *forge) lastServed() time.Time { return time.Unix(0, f.served.Load()) }

// push puts a commit on main and returns its revision as Flux writes it.
func (f *forge) push(repo string, files map[string]string) (string, error) {
	id, err := f.Commit(repo, "main", "change", files)
	if err != nil {
		return "", err
	}
	return revision(id), nil
}

// fill makes a repository with the given commits on main, and returns the last
// revision.
func (f *forge) fill(repo string, commits iter.Seq[gitserver.Commit]) (string, error) {
	if err := f.Create(repo); err != nil {
		return "", err
	}
	last := ""
	for c := range commits {
		ids, err := f.Write(repo, "main", one(c))
		if err != nil {
			return "", err
		}
		last = revision(ids[0])
	}
	return last, nil
}

func revision(commit string) string { return "main@sha1:" + commit }

// git runs git as its users do, and returns how long that took.
func git(ctx context.Context, args ...string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0")
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return time.Since(began), nil
}

// unitsCommit is the first commit of a repository of n units and the chain.
func (s *stage) unitsCommit(n int, ns, version string) gitserver.Commit {
	files := map[string]string{"README.md": "Units for `sane bench`.\n"}
	for i := range n {
		maps.Copy(files, unitFiles(i, ns, version))
		if s.Kustomize {
			files[unitPath(i)+"/kustomization.yaml"] = kustomizationYAML
		}
	}
	maps.Copy(files, chainFiles(ns))
	return gitserver.Commit{Message: "units", Files: files}
}

// one yields c alone.
func one(c gitserver.Commit) iter.Seq[gitserver.Commit] {
	return func(yield func(gitserver.Commit) bool) { yield(c) }
}

// deploymentChange is a change to one unit: its Deployment gets a version.
func deploymentChange(i int, ns, version string) map[string]string {
	name := unitPath(i) + "/deployment.yaml"
	return map[string]string{name: unitFiles(i, ns, version)[name]}
}

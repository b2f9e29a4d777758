package git

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/trace"
)

// large makes a repository of n files, some hundred in a directory.
func large(tb testing.TB, n int) (*gitserver.Server, []string) {
	tb.Helper()
	srv, err := gitserver.Start(tb.TempDir(), gitserver.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(srv.Close)
	if err := srv.Create("app.git"); err != nil {
		tb.Fatal(err)
	}
	files := make(map[string]string, n)
	var names []string
	for i := range n {
		name := fmt.Sprintf("team-%d/app-%d/file-%d.yaml", i/10000, i/100, i)
		files[name] = fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: cm-%d\ndata:\n  key: %x\n", i, i*7919)
		names = append(names, name)
	}
	if _, err := srv.Commit("app.git", "main", "all", files); err != nil {
		tb.Fatal(err)
	}
	return srv, names
}

func sourceOf(tb testing.TB, srv *gitserver.Server) (*Source, source.Remote) {
	tb.Helper()
	src, err := New(Config{Dir: tb.TempDir(), Fresh: -1})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { src.Close() })
	return src, source.Remote{URL: srv.URL("app.git")}
}

// fetchMain is what happens when main has moved.
func fetchMain(tb testing.TB, src *Source, at source.Remote) *source.Snapshot {
	tb.Helper()
	rev, err := src.Resolve(tb.Context(), at, mainRef)
	if err != nil {
		tb.Fatal(err)
	}
	snap, err := src.Fetch(tb.Context(), at, mainRef, rev)
	if err != nil {
		tb.Fatal(err)
	}
	return snap
}

func BenchmarkResolve(b *testing.B) {
	srv, _ := large(b, 100)
	src, at := sourceOf(b, srv)
	for b.Loop() {
		if _, err := src.Resolve(b.Context(), at, mainRef); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFetchHere(b *testing.B) {
	srv, _ := large(b, 100)
	src, at := sourceOf(b, srv)
	snap := fetchMain(b, src, at)
	for b.Loop() {
		if _, err := src.Fetch(b.Context(), at, mainRef, snap.Revision); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFirst compares a first fetch with git clone, and then increments
// with git fetch.
func BenchmarkFirst(b *testing.B) {
	srv, names := large(b, 100_000)
	url := srv.URL("app.git")
	var ours, clone, inc, fetch time.Duration
	clock := func(d *time.Duration, f func()) { t := time.Now(); f(); *d += time.Since(t) }
	git := func(args ...string) {
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
	n := 0
	for b.Loop() {
		n++
		src, at := sourceOf(b, srv)
		dir := filepath.Join(b.TempDir(), "clone.git")
		rev, err := src.Resolve(b.Context(), at, mainRef)
		if err != nil {
			b.Fatal(err)
		}
		clock(&clone, func() { git("clone", "-q", "--bare", "--depth", "1", url, dir) })
		clock(&ours, func() {
			if _, err := src.Fetch(b.Context(), at, mainRef, rev); err != nil {
				b.Fatal(err)
			}
		})
		for i := range 5 {
			if _, err := srv.Commit("app.git", "main", "one", map[string]string{names[i*1000]: fmt.Sprint(time.Now())}); err != nil {
				b.Fatal(err)
			}
			clock(&fetch, func() { git("-C", dir, "fetch", "-q", "--depth", "1", url, "+refs/heads/main:refs/heads/main") })
			rev, _ := src.Resolve(b.Context(), at, mainRef)
			clock(&inc, func() {
				if _, err := src.Fetch(b.Context(), at, mainRef, rev); err != nil {
					b.Fatal(err)
				}
			})
		}
		src.Close()
		os.RemoveAll(dir)
	}
	ms := func(d time.Duration, n int) float64 { return float64(d.Milliseconds()) / float64(n) }
	b.ReportMetric(ms(ours, n), "ms/first")
	b.ReportMetric(ms(clone, n), "ms/clone")
	b.ReportMetric(ms(inc, 5*n), "ms/increment")
	b.ReportMetric(ms(fetch, 5*n), "ms/gitfetch")
}

func BenchmarkReadFile(b *testing.B) {
	srv, names := large(b, 10_000)
	src, at := sourceOf(b, srv)
	tree := fetchMain(b, src, at).Tree
	for i := 0; b.Loop(); i++ {
		if _, err := fs.ReadFile(tree, names[i%len(names)]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	srv, names := large(b, 10_000)
	src, at := sourceOf(b, srv)
	tree := fetchMain(b, src, at).Tree
	for _, filter := range []bool{false, true} {
		b.Run(fmt.Sprintf("filter=%v", filter), func(b *testing.B) {
			if filter {
				tree = source.Filter(tree, nil)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if got, err := trace.Ask(tree, trace.File, names[i%len(names)]); err != nil || !strings.HasPrefix(string(got), "sha1:") {
					b.Fatal(got, err)
				}
			}
		})
	}
}

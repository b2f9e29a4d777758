package worker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/render/kustomize"
	"github.com/sane-gitops/sane/render/plain"
	"github.com/sane-gitops/sane/render/rendertest"
	"github.com/sane-gitops/sane/render/sops"
	"github.com/sane-gitops/sane/render/substitute"
	"github.com/sane-gitops/sane/render/worker"
	"github.com/sane-gitops/sane/trace"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "render-worker" {
		r := map[string]render.Renderer{"kustomize": kustomize.Renderer{}, "odd": odd{}, "substitute": substitute.Renderer{Next: render.First(plain.Renderer{}, kustomize.Renderer{})}, "sops": sops.Renderer{Next: render.First(plain.Renderer{}, kustomize.Renderer{})}}[os.Args[2]]
		if err := worker.Serve(os.Stdin, os.Stdout, r); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// raceEnabled is whether this is the race detector's program, which takes
// much more memory.
var raceEnabled bool

func pool(t testing.TB, renderer string, c worker.Config) *worker.Pool {
	c.Command = []string{os.Args[0], "render-worker", renderer}
	p := worker.New(c)
	t.Cleanup(func() { p.Close() })
	return p
}

// odd does what its recipe's directory is called.
type odd struct{}

var sink []byte

func (odd) Render(_ context.Context, in render.Input) ([]object.Object, error) {
	what := func(s string) ([]object.Object, error) {
		return []object.Object{object.Of(map[string]any{"is": s})}, nil
	}
	switch in.Recipe.Dir {
	case "panic":
		panic("help")
	case "fatal":
		m := map[int]int{}
		for range 8 {
			go func() {
				for {
					m[1]++
				}
			}()
		}
		select {}
	case "memory":
		for {
			sink = append(sink, make([]byte, 16<<20)...)
			for i := 0; i < len(sink); i += 4096 {
				sink[i] = 1
			}
		}
	case "hang":
		select {}
	case "exit":
		os.Exit(0)
	case "suicide":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "noise":
		fmt.Fprintln(os.Stderr, "first")
		fmt.Fprint(os.Stderr, "second")
		os.Exit(3)
	case "garbage":
		os.Stdout.WriteString(strings.Repeat("\xff", 100))
		select {}
	case "elsewhere":
		return nil, render.ErrElsewhere
	case "input":
		return nil, fault.Input(errors.New("bad input"))
	case "plain":
		return nil, errors.New("bad luck")
	case "read":
		_, err := fs.ReadFile(in.Tree, "a")
		return nil, err
	case "walk":
		var names []string
		err := fs.WalkDir(in.Tree, ".", func(p string, d fs.DirEntry, err error) error {
			names = append(names, p)
			return err
		})
		if err != nil {
			return nil, err
		}
		return what(strings.Join(names, " "))
	case "stats":
		for range 1000 {
			if _, err := fs.Stat(in.Tree, "a"); err != nil {
				return nil, err
			}
		}
	case "facts":
		var said []string
		for _, name := range []string{"public", "secret", "empty", "missing", "", "../no path\n"} {
			f, ok, err := in.Facts.Fact(name)
			said = append(said, fmt.Sprintf("%s %v %v %v", f.Value, f.Secret, ok, err))
		}
		return what(strings.Join(said, ", "))
	case "pid":
		return what(strconv.Itoa(os.Getpid()))
	case "world":
		wd, _ := os.Getwd()
		_, err := http.Get("http://127.0.0.1:1/")
		return what(fmt.Sprint(wd, " ", os.Environ(), " ", err))
	}
	return nil, nil
}

func do(t testing.TB, p render.Renderer, dir string, tree fs.FS) (string, error) {
	objects, err := p.Render(t.Context(), render.Input{Tree: tree, Recipe: render.Recipe{Dir: dir}})
	if err != nil || len(objects) == 0 {
		return "", err
	}
	s, _ := objects[0].Get("is")
	return s.(string), nil
}

// A worker knows the facts that it asks for, and no others.
func TestFacts(t *testing.T) {
	p := pool(t, "odd", worker.Config{})
	for _, tt := range []struct {
		facts render.Facts
		want  string
	}{
		{nil, " false false <nil>,  false false <nil>,  false false <nil>,  false false <nil>,  false false <nil>,  false false <nil>"},
		{render.Known{"public": {Value: "a"}, "secret": {Value: "b", Secret: true}, "empty": {}}, "a false true <nil>, b true true <nil>,  false true <nil>,  false false <nil>,  false false <nil>,  false false <nil>"},
	} {
		objects, err := p.Render(t.Context(), render.Input{Tree: fstest.MapFS{}, Recipe: render.Recipe{Dir: "facts"}, Facts: tt.facts})
		if err != nil || len(objects) != 1 {
			t.Fatalf("%d objects, %v", len(objects), err)
		}
		if got, _ := objects[0].Get("is"); got != tt.want {
			t.Errorf("facts are %q, want %q", got, tt.want)
		}
	}
}

// That a fact could not be asked for is no fault of the input, here as there.
func TestBrokenFacts(t *testing.T) {
	tree := fstest.MapFS{"a.yaml": {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: '${a}'}\n")}}
	in := render.Input{Tree: tree, Recipe: render.Recipe{Dir: ".", Substitute: &render.Step{}}, Facts: brokenFacts{}}
	if _, err := pool(t, "substitute", worker.Config{}).Render(t.Context(), in); !errors.Is(err, errBroken) || fault.IsInput(err) {
		t.Errorf("error is %v", err)
	}
}

type brokenFacts struct{}

var errBroken = errors.New("nobody answers")

func (brokenFacts) Fact(string) (render.Fact, bool, error) { return render.Fact{}, false, errBroken }

// Variables are substituted in a worker as they are here.
func TestSubstitute(t *testing.T) {
	rendertest.Run(t, pool(t, "substitute", worker.Config{}), "../substitute/testdata")
}

func TestCases(t *testing.T) {
	rendertest.Run(t, pool(t, "kustomize", worker.Config{Max: 2}), "../rendertest/testdata")
}

// Whatever a worker does, the pool says what it was and goes on.
func TestFailures(t *testing.T) {
	memory := int64(128 << 20)
	if raceEnabled {
		memory = 512 << 20
	}
	p := pool(t, "odd", worker.Config{Max: 1, Memory: memory, Timeout: 30 * time.Second})
	for _, tt := range []struct {
		dir            string
		says           string
		input, stopped bool
	}{
		{"panic", "panic: the renderer crashed: help", true, true},
		{"fatal", "fatal: the renderer crashed: concurrent map writes", true, true},
		{"memory", fmt.Sprintf("memory: rendering took more than %d MiB of memory", memory>>20), true, true},
		{"exit", "render exit: the worker ended", false, false},
		{"suicide", "render suicide: the worker ended: signal: killed", false, false},
		{"noise", "render noise: the worker ended: exit status 3", false, false},
		{"elsewhere", render.ErrElsewhere.Error(), false, false},
		{"input", "bad input", true, false},
		{"plain", "bad luck", false, false},
		{"read", "open a: file does not exist", false, false},
	} {
		if raceEnabled && (tt.dir == "fatal" || tt.dir == "memory") {
			continue // the race detector is there before the runtime and the pool
		}
		_, err := do(t, p, tt.dir, fstest.MapFS{})
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: error is %v, want %q", tt.dir, err, tt.says)
			continue
		}
		if fault.IsInput(err) != tt.input || errors.Is(err, render.ErrStopped) != tt.stopped {
			t.Errorf("%s: IsInput = %v, is ErrStopped = %v", tt.dir, fault.IsInput(err), errors.Is(err, render.ErrStopped))
		}
		if got, err := do(t, p, "pid", fstest.MapFS{}); err != nil || got == "" {
			t.Errorf("after %s: %q, %v", tt.dir, got, err)
		}
	}
}

func TestTimeout(t *testing.T) {
	p := pool(t, "odd", worker.Config{Max: 1, Timeout: 50 * time.Millisecond})
	_, err := do(t, p, "hang", fstest.MapFS{})
	if want := "hang: rendering took longer than 50ms"; err == nil || err.Error() != want || !errors.Is(err, render.ErrStopped) || !fault.IsInput(err) {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func TestGarbage(t *testing.T) {
	p := pool(t, "odd", worker.Config{Max: 1, Timeout: 10 * time.Second})
	if _, err := do(t, p, "garbage", fstest.MapFS{}); err == nil {
		t.Error("no error")
	}
}

// A tree that can't be read is the tree's fault, whatever the worker makes of it.
func TestTreeFails(t *testing.T) {
	p := pool(t, "odd", worker.Config{Max: 1})
	_, err := do(t, p, "read", failing{})
	if !errors.Is(err, errDisk) || fault.IsInput(err) {
		t.Errorf("error is %v, want %v", err, errDisk)
	}
	_, err = do(t, pool(t, "kustomize", worker.Config{Max: 1}), ".", failing{})
	if !errors.Is(err, errDisk) || fault.IsInput(err) {
		t.Errorf("error is %v, want %v", err, errDisk)
	}
}

var errDisk = errors.New("disk on fire")

type failing struct{}

func (failing) Open(string) (fs.File, error) { return nil, errDisk }

func TestReads(t *testing.T) {
	p := pool(t, "odd", worker.Config{Max: 1})
	tree := trace.New(fstest.MapFS{"a/b": {}, "a/c/d": {}, "e": {}})
	got, err := do(t, p, "walk", tree)
	if want := ". a a/b a/c a/c/d e"; got != want || err != nil {
		t.Errorf("walk = %q, %v, want %q", got, err, want)
	}
	var ops []string
	for _, r := range tree.Log() {
		ops = append(ops, string(r.Op)+" "+r.Name)
	}
	if got, want := strings.Join(ops, ","), "dir .,dir a,dir a/c"; got != want {
		t.Errorf("reads: %s, want %s", got, want)
	}
}

// Workers are used again, and end with the pool.
func TestReuse(t *testing.T) {
	p := pool(t, "odd", worker.Config{Max: 2, Idle: time.Hour})
	one, _ := do(t, p, "pid", fstest.MapFS{})
	two, _ := do(t, p, "pid", fstest.MapFS{})
	if one == "" || one != two {
		t.Errorf("workers %s and %s, want the same", one, two)
	}
	p.Close()
	if pid, _ := strconv.Atoi(one); syscall.Kill(pid, 0) == nil {
		t.Error("the worker is still there")
	}
}

func TestIdle(t *testing.T) {
	ended := make(lines, 100)
	log := slog.New(slog.NewTextHandler(ended, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p := pool(t, "odd", worker.Config{Max: 1, Idle: time.Millisecond, Log: log})
	one, err := do(t, p, "pid", fstest.MapFS{})
	if err != nil {
		t.Fatal(err)
	}
	if got := <-ended; !strings.Contains(got, "worker ended") || !strings.Contains(got, "pid="+one) {
		t.Errorf("log says %q", got)
	}
	if two, err := do(t, p, "pid", fstest.MapFS{}); err != nil || one == two {
		t.Errorf("worker %s after %s, %v", two, one, err)
	}
}

type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

func TestBoundAndContext(t *testing.T) {
	p := pool(t, "odd", worker.Config{Max: 1})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			_, err := p.Render(ctx, render.Input{Tree: fstest.MapFS{}, Recipe: render.Recipe{Dir: "hang"}})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error is %v", err)
			}
		})
	}
	cancel()
	wg.Wait()
	var mu sync.Mutex
	pids := map[string]bool{}
	for range 10 {
		wg.Go(func() {
			pid, err := do(t, p, "pid", fstest.MapFS{})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			pids[pid] = true
			mu.Unlock()
		})
	}
	wg.Wait()
	if len(pids) != 1 {
		t.Errorf("%d workers, want 1", len(pids))
	}
}

// A worker knows nothing of the process that it serves but whom to trust, and
// reaches nobody.
func TestWorld(t *testing.T) {
	t.Setenv("SECRET", "hush")
	t.Setenv("SSL_CERT_DIR", "/trusted")
	got, err := do(t, pool(t, "odd", worker.Config{}), "world", fstest.MapFS{})
	if err != nil || strings.Contains(got, "hush") || !strings.HasPrefix(got, "/ [") || !strings.Contains(got, " SSL_CERT_DIR=/trusted") || !strings.Contains(got, "may not use the network") {
		t.Errorf("world = %q, %v", got, err)
	}
}

func TestLogs(t *testing.T) {
	var buf bytes.Buffer
	log := slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug}))
	do(t, pool(t, "odd", worker.Config{Log: log}), "noise", fstest.MapFS{})
	for _, want := range []string{"says=first", "says=second"} {
		if !strings.Contains(buf.String(), want) {
			t.Errorf("log %q lacks %q", buf.String(), want)
		}
	}
}

func TestNoProgram(t *testing.T) {
	_, err := worker.New(worker.Config{Command: []string{"/nonexistent"}}).Render(t.Context(), render.Input{})
	if err == nil || fault.IsInput(err) {
		t.Errorf("error is %v", err)
	}
}

func BenchmarkRender(b *testing.B) {
	tree := small()
	for _, r := range []struct {
		name string
		render.Renderer
	}{
		{"kustomize in this process", kustomize.Renderer{}},
		{"kustomize in a worker", pool(b, "kustomize", worker.Config{Max: 1})},
	} {
		b.Run(r.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := r.Render(b.Context(), render.Input{Tree: tree, Recipe: render.Recipe{Dir: "apps"}}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(held(), "MiB-in-worker")
		})
	}
}

// BenchmarkStart measures from nothing to the first result.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		p := pool(b, "kustomize", worker.Config{Max: 1})
		if _, err := p.Render(b.Context(), render.Input{Tree: small(), Recipe: render.Recipe{Dir: "apps"}}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		p.Close()
		b.StartTimer()
	}
}

// BenchmarkAsk measures one question and its answer.
func BenchmarkAsk(b *testing.B) {
	p := pool(b, "odd", worker.Config{Max: 1})
	for b.Loop() {
		if _, err := do(b, p, "stats", fstest.MapFS{"a": {}}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/1e3/float64(b.N)/1000, "µs/question")
}

// held returns the memory that the children of this process hold, in MiB.
func held() (mib float64) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		data, _ := os.ReadFile(name)
		_, rest, _ := strings.Cut(string(data), ") ")
		if f := strings.Fields(rest); len(f) > 21 && f[1] == strconv.Itoa(os.Getpid()) {
			pages, _ := strconv.Atoi(f[21])
			mib += float64(pages) * float64(os.Getpagesize()) / (1 << 20)
		}
	}
	return mib
}

func small() fstest.MapFS {
	tree := fstest.MapFS{"apps/kustomization.yaml": {Data: []byte("resources: [a0.yaml, a1.yaml, a2.yaml, a3.yaml]\nnamespace: x\n")}}
	for i := range 4 {
		tree[fmt.Sprintf("apps/a%d.yaml", i)] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(
			"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web%}\nspec:\n  replicas: 1\n  template:\n    spec:\n      containers: [{name: a, image: b}]\n", "%", strconv.Itoa(i)))}
	}
	return tree
}

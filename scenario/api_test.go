package scenario

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sane-gitops/sane/internal/gitserver"
)

// TestTroubledServer: an API server that has no time, fails, contradicts, is
// slow, hangs up or hangs, in the middle of what is being done. It converges each
// time, and nothing is lost.
func TestTroubledServer(t *testing.T) {
	s := openAlone(t)
	f := stand(t, s.stage)
	s.commit(map[string]string{"cm.yaml": configMap("first")})
	s.feed("interval: 2s")
	s.unit("apps", "wait: true")
	p := s.controller(f.kubeconfig, filepath.Join(t.TempDir(), "data"))
	s.ready("apps", "")

	// every answers each nth request itself, some times.
	every := func(n int64, which func(*http.Request) bool, answer func(http.ResponseWriter)) frontRule {
		const times = 8
		var seen atomic.Int64
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !which(r) {
				return false
			}
			if i := seen.Add(1); i%n != 0 || i > n*times {
				return false
			}
			answer(w)
			return true
		}
	}
	all := func(*http.Request) bool { return true }
	code := func(code int, reason string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { refuse(w, code, reason) }
	}
	for n, tt := range []struct {
		name string
		rule frontRule
	}{
		{"429", every(2, changes, code(429, "TooManyRequests"))},
		{"409", every(3, changes, code(409, "Conflict"))},
		{"500", every(3, changes, code(500, "InternalError"))},
		{"503 for reads as well", every(3, all, code(503, "ServiceUnavailable"))},
		{"it hangs up", every(3, all, func(http.ResponseWriter) { panic(http.ErrAbortHandler) })},
		{"it is slow", func(_ http.ResponseWriter, r *http.Request) bool {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-r.Context().Done():
			}
			return false
		}},
	} {
		began := time.Now()
		f.obey(tt.rule)
		files := map[string]string{"web.yaml": deployment(fmt.Sprintf("web-%d", n/3), fmt.Sprintf("web:%d", n), 1, "")}
		for i := range 6 {
			files[fmt.Sprintf("cm-%d.yaml", i)] = configMap(fmt.Sprintf("cm-%d-%d", n, i))
		}
		rev := s.commit(files)
		s.ready("apps", rev)
		f.obey(nil)
		var want []string
		for i := range 6 {
			want = append(want, fmt.Sprintf("cm-%d-%d", n, i))
		}
		s.same(tt.name, s.owned(configMaps, "apps"), append(want, "first")...)
		s.same(tt.name, s.owned(deployments, "apps"), fmt.Sprintf("web-%d", n/3))
		t.Logf("%-24s %d ms", tt.name, time.Since(began).Milliseconds())
	}

	// It is away, and the connections are lost. What is pushed meanwhile is there
	// when it is back; what was changed meanwhile, too.
	f.obey(func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) })
	f.server.CloseClientConnections()
	s.delete(s.id(configMaps, "cm-5-0"))
	rev := s.commit(map[string]string{"cm.yaml": configMap("first", "n: new")})
	s.eventually("the push is noticed", func() bool { return len(p.says(rev)) > 0 })
	f.obey(nil)
	s.ready("apps", rev)
	s.has(s.id(configMaps, "first"), "new", "data", "n")
	s.here(s.id(configMaps, "cm-5-0"))
	s.run("delete", "kustomization,gitrepository", "--all", "--timeout=60s")
}

// A plane is a control plane of a test's own.
type plane struct {
	cmd        *exec.Cmd
	kubeconfig string
}

// begin starts a control plane with its data in dir, where they stay.
func begin(t *testing.T, dir string) *plane {
	t.Helper()
	c := &plane{cmd: exec.Command(os.Getenv("DEVCLUSTER_BIN"), "up", "--keep", "--data", dir)}
	bindToUs(c.cmd)
	var said bytes.Buffer
	c.cmd.Stderr = &said
	out, err := c.cmd.StdoutPipe()
	if err == nil {
		err = startOnThread(c.cmd)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.end)
	line, _ := bufio.NewReader(out).ReadString('\n')
	_, kubeconfig, ok := strings.Cut(strings.TrimSpace(line), "KUBECONFIG=")
	if !ok {
		t.Fatalf("start devcluster: %s", said.String())
	}
	c.kubeconfig = kubeconfig
	return c
}

// end ends the control plane, if it has not ended.
func (c *plane) end() {
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Signal(os.Interrupt) // it may have died
		_ = c.cmd.Wait()
	}
}

// TestDowntime: the API server stands still, and then the whole control plane
// is stopped and started anew.
func TestDowntime(t *testing.T) {
	need(t)
	if os.Getenv("DEVCLUSTER_BIN") == "" {
		t.Skip("DEVCLUSTER_BIN is not set: run this by make scenario, or by hack/with-devcluster")
	}
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cluster")
	c := begin(t, dir)
	on, err := openStage(c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	s := set(t, on, gitserver.Options{})
	s.alone = true
	rev := s.commit(map[string]string{"cm.yaml": configMap("a"), "web.yaml": deployment("web", "web:1", 1, "")})
	s.feed("interval: 1s")
	s.unit("apps", "wait: true")
	p := s.controller(c.kubeconfig, filepath.Join(t.TempDir(), "data"))
	s.ready("apps", rev)

	apiserver, err := child(c.cmd.Process.Pid, "kube-apiserver")
	if err != nil {
		t.Skip(err)
	}
	s.must(apiserver.Signal(pause))
	defer func() { _ = apiserver.Signal(resume) }() // it may have ended
	rev = s.commit(map[string]string{"cm.yaml": configMap("a", "n: two"), "b.yaml": configMap("b")})
	s.eventually("the push is noticed", func() bool { return len(p.says(rev)) > 0 })
	s.must(apiserver.Signal(resume))
	s.ready("apps", rev)
	s.here(s.id(configMaps, "b"))

	foreign := configMap("foreign")
	s.apply(foreign)
	c.end()
	rev = s.commit(map[string]string{"cm.yaml": configMap("a", "n: three"), "b.yaml": gitserver.Delete})
	s.eventually("the push is noticed", func() bool { return len(p.says(rev)) > 0 })
	begin(t, dir)
	s.ready("apps", rev)
	s.gone(s.id(configMaps, "b"))
	s.is(s.get(s.id(configMaps, "a")), "three", "data", "n")
	s.delete(s.id(configMaps, "a"))
	s.here(s.id(configMaps, "a"))
	if _, there, err := s.Get(context.Background(), s.id(configMaps, "foreign")); !there {
		t.Errorf("what is another's is gone: %v", err)
	}
}

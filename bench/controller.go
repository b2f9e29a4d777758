package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// A controller is the program that is measured.
type controller struct {
	*daemon
	tree    *tree
	began   time.Time
	metrics string // address of its metrics; "" if it does not tell
	health  string // address of its health; "" if it does not tell
}

// startController starts the controller that the Config names, and returns when
// it is ready, if it tells, or else at once.
func (s *stage) startController(ctx context.Context) error {
	told := make(chan addresses, 1)
	c := &controller{began: time.Now(), metrics: s.ControllerMetrics}
	heed := func(line string) {
		if a, ok := startedAt(line); ok {
			select {
			case told <- a:
			default:
			}
		}
	}
	var err error
	if c.daemon, err = start("the controller", filepath.Join(s.dir, "controller.log"), s.controllerCommand(), heed); err != nil {
		return err
	}
	c.tree = &tree{root: c.cmd.Process.Pid}
	s.controller = c
	go s.watchOver(c) // it ends with c
	s.sampler.follow(c.tree)
	if s.Controller != "" {
		s.running.Store(c)
		return nil
	}
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	select {
	case a := <-told:
		c.metrics, c.health = a.Metrics, a.Health
	case <-c.done:
		return c.ended()
	case <-ctx.Done():
		return errors.New("the controller does not say that it has started")
	}
	s.running.Store(c)
	return c.ready(ctx)
}

// addresses is what `sane run` says when it starts.
type addresses struct {
	Message string `json:"msg"`
	Metrics string `json:"metrics"`
	Health  string `json:"health"`
}

func startedAt(line string) (addresses, bool) {
	var a addresses
	if json.Unmarshal([]byte(line), &a) != nil || a.Message != "started" {
		return a, false
	}
	return a, true
}

// controllerCommand returns the command that runs the controller.
func (s *stage) controllerCommand() *exec.Cmd {
	data := filepath.Join(s.dir, "data")
	if s.Controller != "" {
		cmd := exec.Command("sh", "-c", s.Controller)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig, "BENCH_DATA="+data)
		return cmd
	}
	args := append(s.Self[1:len(s.Self):len(s.Self)], "run", "--kubeconfig", s.kubeconfig, "--data-dir", data,
		"--metrics-addr", "127.0.0.1:0", "--health-addr", "127.0.0.1:0", "--log-encoding", "json")
	cmd := exec.Command(s.Self[0], args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig)
	return cmd
}

// ready returns when the controller says that it is ready.
func (c *controller) ready(ctx context.Context) error {
	for beat := time.NewTicker(20 * time.Millisecond); ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.health+"/readyz", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-beat.C:
		case <-c.done:
			return c.ended()
		case <-ctx.Done():
			return fmt.Errorf("the controller is not ready: %w", ctx.Err())
		}
	}
}

// stopController stops the controller, and all that it has started.
func (s *stage) stopController() {
	s.sampler.follow(nil)
	s.running.Store(nil)
	c := s.controller
	s.controller = nil
	if c == nil {
		return
	}
	family := c.tree.named()
	c.stop()
	for pid, name := range family { // those in process groups of their own may have outlived it
		if p, err := readProcess(pid); err == nil && p.name == name {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// cpu returns the CPU time of the controller since it began.
func (s *stage) cpu() time.Duration {
	if s.controller == nil {
		return 0
	}
	return s.controller.tree.cpu()
}

// page returns a page of the controller's metrics server.
func (c *controller) page(ctx context.Context, path string) ([]byte, error) {
	if c == nil || c.metrics == "" {
		return nil, errors.New("the controller does not tell where its metrics are")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.metrics+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// sum returns the sum of all metrics of a name, and whether there are any.
func (c *controller) sum(ctx context.Context, name string, is func(metric) bool) (sum float64, ok bool) {
	page, err := c.page(ctx, "/metrics")
	if err != nil {
		return 0, false
	}
	_ = eachMetric(bytes.NewReader(page), func(m metric) { // it is in memory
		if m.name == name && (is == nil || is(m)) {
			sum, ok = sum+m.value, true
		}
	})
	return sum, ok
}

// live returns how much of the controller's heap is in use, after it has
// collected its garbage. It is 0 if the controller does not tell. Where profiles
// are asked for, what is in the heap goes to one.
func (s *stage) live(ctx context.Context, when string) int64 {
	page, err := s.controller.page(ctx, "/debug/pprof/heap?gc=1")
	if err != nil {
		return 0
	}
	if s.Profiles != "" {
		file := filepath.Join(s.Profiles, fmt.Sprintf("heap-%d-%s.pb.gz", s.n, when))
		if err := os.WriteFile(file, page, 0o600); err != nil {
			s.log.Warn("heap profile", "error", err)
		}
	}
	n, _ := s.controller.sum(ctx, "go_memstats_heap_alloc_bytes", nil)
	return int64(n)
}

// quietFor is how long nothing may happen before it counts as quiet, and quiet
// how much of a core may be used in it.
const (
	quietFor = 1500 * time.Millisecond
	idleCPU  = 0.02
)

// quiet waits until the controller has next to nothing to do, and returns when
// that began and what CPU time it had taken by then. It tells by its CPU time,
// so that it can be asked of any controller.
func (s *stage) quiet(ctx context.Context) (since time.Time, cpu time.Duration, err error) {
	since, cpu = time.Now(), s.cpu()
	beat := time.NewTicker(50 * time.Millisecond)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return since, cpu, fmt.Errorf("the controller does not come to rest: %w", ctx.Err())
		case <-beat.C:
		}
		now, used := time.Now(), s.cpu()
		if used-cpu > time.Duration(idleCPU*float64(quietFor)) {
			since, cpu = now, used
		}
		if now.Sub(since) >= quietFor {
			return since, cpu, nil
		}
	}
}

package worker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"
)

// A process is a worker.
type process struct {
	cmd    *exec.Cmd
	conn   *conn
	stdin  io.Closer
	stdout io.Closer
	said   *stderr
	retire *time.Timer   // while it is idle
	gone   chan struct{} // closed when it has ended, with err
	err    error         // how it ended
}

// crash is what the runtime said when the program crashed.
type crash string

func (c crash) Error() string { return string(c) }

// inherited are the variables by which requests find their way, for those that
// decrypt.
var inherited = []string{
	"SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
}

// start starts a worker, with an environment that tells it nothing but how
// much memory it has, whom to trust, and by which proxy to go.
func start(c Config) (*process, error) {
	cmd := exec.Command(c.Command[0], c.Command[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{
		fmt.Sprintf("GOMEMLIMIT=%d", c.Memory/10*9),
		fmt.Sprintf("GOMAXPROCS=%d", min(2, runtime.NumCPU())),
		"GOTRACEBACK=single",
		"HOME=/", "PATH=", "PWD=/",
	}
	for _, name := range inherited {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	w := &process{cmd: cmd, said: &stderr{log: c.Log}, gone: make(chan struct{})}
	cmd.Stderr = w.said
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	r, out, err := os.Pipe() // not StdoutPipe: Wait would close it while it is read
	if err != nil {
		return nil, err
	}
	cmd.Stdout = out
	err = cmd.Start()
	out.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	bound(cmd.Process.Pid, c.Memory)
	w.conn, w.stdin, w.stdout = newConn(r, stdin), stdin, r
	go func() {
		w.err = cmd.Wait()
		w.said.flush()
		c.Log.Debug("worker ended", "pid", cmd.Process.Pid, "err", w.err)
		close(w.gone)
	}()
	return w, nil
}

// end makes the process end, and waits for that.
func (w *process) end() {
	w.stdin.Close()
	w.cmd.Process.Kill()
	<-w.gone
	w.stdout.Close()
}

func (w *process) alive() bool {
	select {
	case <-w.gone:
		return false
	default:
		return true
	}
}

// watchEvery is how often a worker's memory is looked at. Beside that, the
// kernel refuses to give it much more than it may have.
const watchEvery = 20 * time.Millisecond

// watch kills the process when ctx ends or when it has more memory than it may
// have, until stop is called, which returns the reason.
func (w *process) watch(ctx context.Context, memory int64) (stop func() error) {
	done := make(chan struct{})
	why := make(chan error, 1)
	go func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				why <- nil
				return
			case <-ctx.Done():
				w.cmd.Process.Kill()
				why <- context.Cause(ctx)
				return
			case <-tick.C:
				if resident(w.cmd.Process.Pid) > memory {
					w.cmd.Process.Kill()
					why <- errMemory
					return
				}
			}
		}
	}()
	return func() error { close(done); return <-why }
}

// fate returns how a process ended that was not made to.
func (w *process) fate() error {
	w.stdin.Close()
	select {
	case <-w.gone:
	case <-time.After(5 * time.Second):
		w.cmd.Process.Kill()
		<-w.gone
		return errors.New("the worker said what makes no sense")
	}
	text := w.said.crash()
	switch {
	case strings.Contains(text, "out of memory"), strings.Contains(text, "cannot allocate memory"):
		return errMemory
	case text != "":
		return crash(text)
	case w.err == nil:
		return errors.New("the worker ended")
	}
	return fmt.Errorf("the worker ended: %w", w.err)
}

// stderr logs lines, and remembers what the runtime says of a crash.
type stderr struct {
	log *slog.Logger

	mu   sync.Mutex
	rest []byte // guarded by mu; a line that is not whole
	why  string // guarded by mu
}

// Write implements [io.Writer].
func (s *stderr) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest = append(s.rest, b...)
	for {
		n, line, _ := bufio.ScanLines(s.rest, false)
		if n == 0 {
			break
		}
		s.line(string(line))
		s.rest = s.rest[n:]
	}
	if len(s.rest) > 64<<10 {
		s.line(string(s.rest))
		s.rest = nil
	}
	return len(b), nil
}

// line is called with mu held.
func (s *stderr) line(text string) {
	s.log.Debug("worker", "says", text)
	for _, prefix := range []string{"panic: ", "fatal error: ", "runtime: "} {
		if rest, ok := strings.CutPrefix(text, prefix); ok && (s.why == "" || prefix == "fatal error: ") {
			s.why = rest
		}
	}
}

func (s *stderr) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rest) > 0 {
		s.line(string(s.rest))
	}
	s.rest = nil
}

func (s *stderr) crash() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

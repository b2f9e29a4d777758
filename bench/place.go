package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// A daemon is a program that runs beside us, in a process group of its own,
// until it is told to stop.
type daemon struct {
	name string
	cmd  *exec.Cmd
	log  *os.File      // what it said on standard error
	done chan struct{} // closed when it has ended
	err  error         // how, once it has

	stopping atomic.Bool // it is asked to end
}

// grace is how long a daemon may take to stop before it is killed.
const grace = 20 * time.Second

// start starts a program. What it writes goes line by line to heed, which may be
// nil, and what it writes to standard error also to a file.
func start(name, log string, cmd *exec.Cmd, heed func(line string)) (*daemon, error) {
	d := &daemon{name: name, cmd: cmd, done: make(chan struct{})}
	var err error
	if d.log, err = os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return nil, err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	in, out := io.Pipe()
	cmd.Stdout, cmd.Stderr = out, io.MultiWriter(d.log, out)
	if err := cmd.Start(); err != nil {
		d.log.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go d.hear(in, heed)
	go func() {
		d.err = cmd.Wait()
		out.Close()
		d.log.Close()
		close(d.done)
	}()
	return d, nil
}

// hear passes on what a daemon writes, and goes on reading when a line is too
// long for it, so that the daemon never waits.
func (d *daemon) hear(in io.Reader, heed func(string)) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if heed != nil {
			heed(lines.Text())
		}
	}
	_, _ = io.Copy(io.Discard, in)
}

// stop asks the daemon's processes to end, waits until they have, and kills
// what is left.
func (d *daemon) stop() {
	if d == nil {
		return
	}
	d.stopping.Store(true)
	_ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-d.done:
	case <-time.After(grace):
	}
	_ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
	<-d.done
}

// ended returns an error that says how the daemon ended, with the end of what it
// said.
func (d *daemon) ended() error {
	data, _ := os.ReadFile(d.log.Name())
	if len(data) > 2000 {
		data = data[len(data)-2000:]
	}
	return fmt.Errorf("%s has ended (%v): %s", d.name, d.err, strings.TrimSpace(string(data)))
}

// startPlane starts a control plane by the devcluster program, and returns its
// kubeconfig.
func startPlane(ctx context.Context, program, dir string) (d *daemon, kubeconfig string, err error) {
	ready := make(chan string, 1)
	cmd := exec.Command(program, "up", "--data", filepath.Join(dir, "plane"))
	d, err = start("devcluster", filepath.Join(dir, "devcluster.log"), cmd, func(line string) {
		if path, ok := strings.CutPrefix(line, "ready: KUBECONFIG="); ok {
			ready <- path
		}
	})
	if err != nil {
		return nil, "", err
	}
	ctx, stop := context.WithTimeout(ctx, 3*time.Minute)
	defer stop()
	select {
	case path := <-ready:
		return d, path, nil
	case <-d.done:
		return nil, "", d.ended()
	case <-ctx.Done():
		d.stop()
		return nil, "", fmt.Errorf("start devcluster: %w", ctx.Err())
	}
}

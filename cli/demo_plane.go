package cli

import (
	"bufio"
	"cmp"
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

// A plane is a control plane in another process.
type plane struct {
	kubeconfig string

	cmd      *exec.Cmd
	log      *os.File
	ready    chan struct{} // closed when it can be used
	done     chan struct{} // closed when it has ended
	err      error         // how, once it has
	last     string        // words of its own: why it ended
	stopping atomic.Bool
}

// grace is how long the control plane may take to stop before it is killed.
const grace = 20 * time.Second

// startPlane starts a control plane and waits until it is ready.
func (d *demo) startPlane(ctx context.Context, broken context.CancelCauseFunc) (_ *plane, err error) {
	if _, err := exec.LookPath(d.devcluster); err != nil {
		return nil, fmt.Errorf("find %s: %w; `make bin/devcluster` builds it, --devcluster says where it is", planeName, err)
	}
	p := &plane{kubeconfig: filepath.Join(d.dir, "kubeconfig"), ready: make(chan struct{}), done: make(chan struct{})}
	args := []string{"up", "--data", filepath.Join(d.dir, "cluster"), "--kubeconfig", p.kubeconfig}
	if d.keep {
		args = append(args, "--keep")
	}
	p.cmd = exec.Command(d.devcluster, args...)
	p.cmd.WaitDelay = time.Second
	bind(p.cmd)
	if err := p.start(d.logs[planeName], func(line string) { d.story.say(plain, "", line) }); err != nil {
		return nil, fmt.Errorf("start %s: %w", planeName, err)
	}
	select {
	case <-p.ready:
		go p.guard(broken)
		return p, nil
	case <-p.done:
		return nil, p.ended()
	case <-ctx.Done():
	case <-time.After(d.timeout):
		err = &partError{planeName, fmt.Errorf("it is not ready after %s", d.timeout)}
	}
	p.stop()
	return nil, cmp.Or(err, ctx.Err())
}

// start starts the process. What it says goes to a file and, until it is ready,
// line by line to heed.
func (p *plane) start(log string, heed func(line string)) (err error) {
	if p.log, err = os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	in, out := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = out, io.MultiWriter(p.log, out)
	if err := startBound(p.cmd); err != nil {
		p.log.Close()
		return err
	}
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		p.hear(in, heed)
	}()
	go func() {
		p.err = p.cmd.Wait()
		out.Close()
		<-heard
		p.log.Close()
		close(p.done)
	}()
	return nil
}

func (p *plane) hear(in io.Reader, heed func(line string)) {
	ready := false
	for lines := bufio.NewScanner(in); lines.Scan(); {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "ready: "):
			ready = true
			close(p.ready)
		case strings.HasPrefix(line, "devcluster: "):
			p.last = strings.TrimPrefix(line, "devcluster: ")
		case !ready:
			heed(line)
		}
	}
	_, _ = io.Copy(io.Discard, in) // after a line that is too long
}

// ended returns an error that says how the process ended.
func (p *plane) ended() error {
	return &partError{planeName, fmt.Errorf("it has ended (%v): %s", p.err, cmp.Or(p.last, "without a word"))}
}

// guard tells of an end that nobody asked for.
func (p *plane) guard(broken context.CancelCauseFunc) {
	<-p.done
	if !p.stopping.Load() {
		broken(p.ended())
	}
}

// stop asks the process to end, waits until it has, and kills it if need be:
// its own children die with it.
func (p *plane) stop() {
	p.stopping.Store(true)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

package cli

import (
	"bufio"
	"context"
	"errors"
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
	done     chan struct{} // closed when it has ended
	err      error         // how, once it has
	stopping atomic.Bool
}

// grace is how long the control plane may take to stop before it is killed.
const grace = 20 * time.Second

// startPlane starts a control plane and waits until it is ready.
func (d *demo) startPlane(ctx context.Context, broken context.CancelCauseFunc) (*plane, error) {
	if _, err := exec.LookPath(d.devcluster); err != nil {
		return nil, fmt.Errorf("find the control plane: %w; `make bin/devcluster` builds it, --devcluster says where it is", err)
	}
	p := &plane{kubeconfig: filepath.Join(d.dir, "kubeconfig"), done: make(chan struct{})}
	args := []string{"up", "--data", filepath.Join(d.dir, "cluster"), "--kubeconfig", p.kubeconfig}
	if d.keep {
		args = append(args, "--keep")
	}
	p.cmd = exec.Command(d.devcluster, args...)
	p.cmd.WaitDelay = time.Second
	bind(p.cmd)
	ready := make(chan struct{})
	if err := p.start(d.logs["the control plane"], func(line string) {
		if strings.HasPrefix(line, "ready: ") {
			close(ready)
		} else {
			d.story.say(plain, "", oneLine(line))
		}
	}); err != nil {
		return nil, fmt.Errorf("start the control plane: %w", err)
	}
	late, stop := context.WithTimeout(ctx, d.timeout)
	defer stop()
	select {
	case <-ready:
		go p.guard(broken)
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("the control plane did not start: %w", p.err)
	case <-late.Done():
		p.stop()
		return nil, fmt.Errorf("start the control plane: %w", late.Err())
	}
}

// start starts the process. What it says goes to a file and, line by line, to
// heed.
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
	go func() {
		for lines := bufio.NewScanner(in); lines.Scan(); {
			heed(lines.Text())
		}
		_, _ = io.Copy(io.Discard, in)
	}()
	go func() {
		p.err = p.cmd.Wait()
		out.Close()
		p.log.Close()
		close(p.done)
	}()
	return nil
}

// guard tells of an end that nobody asked for.
func (p *plane) guard(broken context.CancelCauseFunc) {
	<-p.done
	if !p.stopping.Load() {
		err := p.err
		if err == nil {
			err = errors.New("it was told to stop")
		}
		broken(fmt.Errorf("the control plane has ended: %w", err))
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

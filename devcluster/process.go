package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// stopGrace is how long a process has between being asked to stop and being
// killed.
const stopGrace = 5 * time.Second

// A process is a component that runs.
type process struct {
	name string
	log  string // path of the file that its output goes to
	cmd  *exec.Cmd

	done chan struct{} // closed when it has ended
	err  error         // how it ended; valid once done is closed
}

// start runs the named component in dir with args. It must be called on the
// main thread, which the child's life depends on.
func start(dir, name string, args []string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start %s: find this binary: %w", name, err)
	}
	p := &process{name: name, log: filepath.Join(dir, "logs", name+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer out.Close()

	p.cmd = exec.Command(self, append([]string{componentCommand, name}, args...)...)
	p.cmd.Dir = dir
	p.cmd.Env = environment(dir)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = attributes()
	if _, err := p.cmd.StdinPipe(); err != nil { // the child ends when it closes
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go p.wait()
	return p, nil
}

func (p *process) wait() {
	p.err = p.cmd.Wait()
	close(p.done)
}

// stop asks p to end and returns when it has.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-p.done:
	case <-time.After(stopGrace):
		p.kill()
	}
}

// kill ends p and returns when it has.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.done
}

// A deathError says that a process ended that should not have.
type deathError struct {
	name string
	how  error  // nil if it ended well, all the same
	tail string // the end of its log
}

func (e *deathError) Error() string {
	how := "exit status 0"
	if e.how != nil {
		how = e.how.Error()
	}
	return fmt.Sprintf("%s died: %s; the end of its log:\n%s", e.name, how, e.tail)
}

func (e *deathError) Unwrap() error { return e.how }

// death says how p ended. It may be called once p has.
func (p *process) death() error {
	return &deathError{name: p.name, how: p.err, tail: p.tail()}
}

// tail returns the last lines that p wrote.
func (p *process) tail() string {
	const size = 4 << 10
	f, err := os.Open(p.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > size {
		_, _ = f.Seek(-size, io.SeekEnd) // else the whole of it
	}
	b, _ := io.ReadAll(f) // as much as there is
	if _, whole, ok := bytes.Cut(b, []byte("\n")); ok && len(b) == size {
		b = whole
	}
	return string(bytes.TrimSpace(b))
}

// environment is all that a component sees of this process's environment:
// variables such as ETCD_NAME would configure it. The collector runs half as
// often as by default, for memory is less scarce than the CPU.
func environment(dir string) []string {
	env := []string{"HOME=" + dir, "GOGC=200", "GOMEMLIMIT=2GiB"}
	for _, name := range []string{"PATH", "TMPDIR", "TZ"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

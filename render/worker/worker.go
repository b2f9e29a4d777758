// Package worker renders in other processes.
package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
)

// A Config says how a Pool works.
type Config struct {
	Command  []string      // a program that calls Serve with its standard input and output, and its arguments
	Max      int           // workers at a time; 0 means one for each CPU
	Memory   int64         // bytes that one may hold; 0 means 512 MiB
	MaxBytes int64         // that one rendering may read of files; 0 means render.MaxBytes
	Timeout  time.Duration // of one rendering; 0 means a minute
	Idle     time.Duration // after which a worker that has nothing to do ends; 0 means 30 s
	Log      *slog.Logger  // nil means slog.Default()
}

// A Pool is a [render.Renderer] that leaves the work to processes. They can
// read nothing but the input, and what goes wrong in one, be it a panic or
// memory without end, is the end of that one only.
type Pool struct {
	c     Config
	slots chan struct{} // one in it for each worker at work

	mu     sync.Mutex
	idle   []*process // guarded by mu; the last one has worked last
	closed bool       // guarded by mu
}

// New returns a Pool without any workers yet.
func New(c Config) *Pool {
	c.Max = cmp.Or(c.Max, runtime.NumCPU())
	c.Memory = cmp.Or(c.Memory, 512<<20)
	c.Timeout = cmp.Or(c.Timeout, time.Minute)
	c.Idle = cmp.Or(c.Idle, 30*time.Second)
	c.Log = cmp.Or(c.Log, slog.Default())
	return &Pool{c: c, slots: make(chan struct{}, c.Max)}
}

// Close ends all workers that have nothing to do, and the others once they are
// done.
func (p *Pool) Close() error {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, w := range idle {
		w.end()
	}
	return nil
}

// Render implements [render.Renderer].
func (p *Pool) Render(ctx context.Context, in render.Input) ([]object.Object, error) {
	if err := ctx.Err(); err != nil {
		return nil, err // rather than start a worker and kill it
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w, err := p.take()
	if err != nil {
		return nil, fmt.Errorf("render %s: start a worker: %w", in.Recipe.Dir, err)
	}
	objects, err, ok := p.run(ctx, w, in)
	if ok {
		p.give(w)
	} else {
		w.end()
	}
	return objects, err
}

// run has w render in. It reports whether w is fit for more.
func (p *Pool) run(ctx context.Context, w *process, in render.Input) (objects []object.Object, err error, ok bool) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.c.Timeout, errTimeout)
	defer cancel()
	stop := w.watch(ctx, p.c.Memory)
	r := talk{conn: w.conn, tree: render.Limit(in.Tree, p.c.MaxBytes), facts: in.Facts, passes: in.Passes}
	objects, err, broken := r.render(ctx, in.Recipe)
	stopped := stop()
	switch {
	case !broken && stopped == nil:
		return objects, err, true
	case stopped == nil && errors.As(err, new(crash)):
		stopped = err
	case stopped == nil:
		stopped = w.fate()
	}
	return nil, p.explain(in.Recipe.Dir, stopped), false
}

var (
	errTimeout = errors.New("timeout")
	errMemory  = errors.New("memory")
)

// explain says why a worker did not come to an end with directory dir.
func (p *Pool) explain(dir string, why error) error {
	var c crash
	switch {
	case errors.Is(why, errTimeout):
		return stopped("%s: rendering took longer than %v", dir, p.c.Timeout)
	case errors.Is(why, errMemory):
		return stopped("%s: rendering took more than %d MiB of memory", dir, p.c.Memory>>20)
	case errors.As(why, &c):
		return stopped("%s: the renderer crashed: %s", dir, string(c))
	case errors.Is(why, context.Canceled), errors.Is(why, context.DeadlineExceeded):
		return why
	}
	return fmt.Errorf("render %s: %w", dir, why)
}

func stopped(format string, args ...any) error {
	return fault.Input(overrun(fmt.Sprintf(format, args...)))
}

// overrun is an error that wraps render.ErrStopped without saying it.
type overrun string

func (e overrun) Error() string { return string(e) }
func (e overrun) Unwrap() error { return render.ErrStopped }

// take returns a worker: the one that has worked last, so that those that are
// not needed find their end.
func (p *Pool) take() (*process, error) {
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			return start(p.c)
		}
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		w.retire.Stop()
		if w.alive() {
			return w, nil
		}
		w.end()
	}
}

// give takes back a worker that is done.
func (p *Pool) give(w *process) {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.idle = append(p.idle, w)
		w.retire = time.AfterFunc(p.c.Idle, func() { p.retire(w) })
	}
	p.mu.Unlock()
	if closed {
		w.end()
	}
}

// retire ends w if it is idle.
func (p *Pool) retire(w *process) {
	p.mu.Lock()
	found := false
	for i, other := range p.idle {
		if found = other == w; found {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			break
		}
	}
	p.mu.Unlock()
	if found {
		w.end()
	}
}

// A talk is the pool's side of one rendering.
type talk struct {
	conn   *conn
	tree   fs.FS
	facts  render.Facts
	passes render.Passes
	bad    error // why the tree could not be read; the worker knows its text only
}

// render returns what the worker says, or broken if it does not say it all.
func (t *talk) render(ctx context.Context, recipe render.Recipe) (objects []object.Object, err error, broken bool) {
	body, err := json.Marshal(recipe)
	if err != nil {
		return nil, err, true
	}
	if err := t.conn.tell(recipeMsg, body); err != nil {
		return nil, err, true
	}
	for {
		m, err := t.conn.hear()
		if err != nil {
			return nil, err, true
		}
		switch m.kind {
		case statMsg, fileMsg, dirMsg, factMsg:
			if err := t.reply(m); err != nil {
				return nil, err, true
			}
		case passMsg:
			a := answerPass(ctx, t.passes, m)
			if err := t.conn.tell(a.kind, a.body); err != nil {
				return nil, err, true
			}
		case objectMsg:
			o, err := object.FromJSON(m.body)
			if err != nil {
				return nil, err, true
			}
			objects = append(objects, o)
		case panicMsg:
			return nil, crash(m.body), true
		default:
			return objects, t.result(m), false
		}
	}
}

func (t *talk) reply(q message) error {
	var a message
	var err error
	if q.kind == factMsg {
		a, err = answerFact(t.facts, q)
	} else {
		a, err = answer(t.tree, q)
	}
	if err != nil && t.bad == nil {
		t.bad = err
	}
	return t.conn.tell(a.kind, a.body)
}

// result returns the error that a worker ended with, or nil. If the tree could
// not be read that is the reason, whatever became of it in the worker.
func (t *talk) result(m message) error {
	if m.kind == doneMsg {
		return nil
	}
	if m.kind == elsewhereMsg {
		return render.ErrElsewhere
	}
	if t.bad != nil {
		return t.bad
	}
	if m.kind == inputMsg {
		return fault.Input(errors.New(string(m.body)))
	}
	return errors.New(string(m.body))
}

// Package shared gives those who ask the same thing at about the same time one
// answer.
package shared

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Answers are to questions of one sort. They are safe for use by several
// goroutines at once. Close them after use.
type Answers[T any] struct {
	fresh time.Duration
	now   func() time.Time

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	work sync.WaitGroup

	mu     sync.Mutex
	closed bool
	all    map[string]*answer[T] // guarded by mu; by question
}

// An answer is running, or just there.
type answer[T any] struct {
	start   time.Time
	stop    context.CancelFunc
	waiting int  // callers; guarded by the owner's mu
	stale   bool // whoever comes now must not have it; guarded by mu

	done  chan struct{} // closed when the rest is set
	value T
	err   error
}

// ErrClosed is the answer to what is asked after Close.
var ErrClosed = errors.New("closed")

// New returns Answers that are reused for a while from when they were asked; a
// negative duration means not at all.
func New[T any](fresh time.Duration, now func() time.Time) *Answers[T] {
	a := &Answers[T]{fresh: fresh, now: now, all: make(map[string]*answer[T])}
	a.ctx, a.stop = context.WithCancel(context.Background())
	return a
}

// Close stops what is being asked and waits for that.
func (a *Answers[T]) Close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.stop()
	a.work.Wait()
}

// Get returns the answer to a question, which ask is called for unless there is
// one. A question is asked once at a time: who comes too late to share the
// answer waits for it to end. The context of ask ends when nobody waits for it
// any more.
func (a *Answers[T]) Get(ctx context.Context, question string, ask func(context.Context) (T, error)) (T, error) {
	for {
		run, mine := a.join(question, ask)
		select {
		case <-run.done:
			if mine {
				return run.value, run.err
			}
		case <-ctx.Done():
			if mine {
				a.leave(run)
			}
			var zero T
			return zero, context.Cause(ctx)
		}
	}
}

// Expire has the questions for which which is true asked again by whoever comes
// now.
func (a *Answers[T]) Expire(which func(question string) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for question, run := range a.all {
		if which(question) {
			run.stale = true
		}
	}
}

// join returns the answer that is running or here, and whether it answers a
// call made now.
func (a *Answers[T]) join(question string, ask func(context.Context) (T, error)) (run *answer[T], mine bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if run := a.all[question]; run != nil {
		if !run.stale && a.now().Sub(run.start) < a.fresh {
			run.waiting++
			return run, true
		}
		if !run.isDone() {
			return run, false
		}
	}
	run = &answer[T]{start: a.now(), waiting: 1, done: make(chan struct{})}
	if a.closed {
		run.err = ErrClosed
		close(run.done)
		return run, true
	}
	a.all[question] = run
	ctx, cancel := context.WithCancel(a.ctx)
	run.stop = cancel
	a.work.Go(func() {
		defer cancel()
		run.value, run.err = ask(ctx)
		close(run.done)
		a.forget(question, run)
	})
	return run, true
}

func (r *answer[T]) isDone() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// leave gives up waiting for run, which ends if nobody else waits.
func (a *Answers[T]) leave(run *answer[T]) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if run.waiting--; run.waiting == 0 {
		run.stale = true
		run.stop()
	}
}

// forget gives the memory back once run is of no more use.
func (a *Answers[T]) forget(question string, run *answer[T]) {
	drop := func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.all[question] == run {
			delete(a.all, question)
		}
	}
	if a.fresh <= 0 {
		drop()
		return
	}
	time.AfterFunc(a.fresh, drop)
}

package git

import (
	"context"
	"sync"
	"time"

	"github.com/sane-gitops/sane/source"
)

// A lister asks for the refs of one remote, once for all who want to know at
// about the same time.
type lister struct {
	mu    sync.Mutex
	scope scope    // the most that was ever asked for
	cur   *listing // running, or just done
	next  *listing // runs when cur is done
}

// A listing is one request.
type listing struct {
	scope   scope
	start   time.Time
	stop    context.CancelFunc
	waiting int  // callers; guarded by the lister's mu
	stale   bool // whoever comes now must not have this answer; guarded by mu

	done chan struct{} // closed when the rest is set
	refs []byte
	err  error
}

// list returns the refs at r as `git ls-remote` prints them.
func (s *Source) list(ctx context.Context, r *remote, p place, sc scope) ([]byte, error) {
	l := &r.refs
	l.mu.Lock()
	run := s.join(r, p, sc)
	run.waiting++
	l.mu.Unlock()
	select {
	case <-run.done:
		return run.refs, run.err
	case <-ctx.Done():
		l.leave(run)
		return nil, stopped(ctx)
	}
}

// join returns the listing that answers a call made now. It holds l.mu.
func (s *Source) join(r *remote, p place, sc scope) *listing {
	l := &r.refs
	l.scope = max(l.scope, sc)
	if c := l.cur; c != nil && !c.stale && c.scope >= sc && s.Now().Sub(c.start) < s.Fresh {
		return c
	}
	if l.cur != nil && !l.cur.isDone() {
		if l.next == nil {
			l.next = &listing{done: make(chan struct{})}
		}
		return l.next
	}
	l.cur = &listing{done: make(chan struct{})}
	s.begin(r, p, l.cur)
	return l.cur
}

func (l *listing) isDone() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// leave gives up waiting for run, which ends if nobody else waits.
func (l *lister) leave(run *listing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	run.waiting--
	if run.waiting == 0 && run.stop != nil {
		run.stale = true
		run.stop()
	}
}

// expire makes calls from now on ask again.
func (l *lister) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cur != nil {
		l.cur.stale = true
	}
}

// begin starts run. It holds the lister's mu.
func (s *Source) begin(r *remote, p place, run *listing) {
	ctx, cancel := context.WithTimeoutCause(s.ctx, p.timeout, errSlow(p.timeout))
	run.scope, run.start, run.stop = r.refs.scope, s.Now(), cancel
	ok := s.start(func() {
		defer cancel()
		refs, err := s.lsRemote(ctx, r, p, run.scope)
		s.finish(r, p, run, refs, err)
	})
	if !ok {
		cancel()
		run.err = errClosed
		close(run.done)
	}
}

// finish hands out the answer of run and starts the next listing.
func (s *Source) finish(r *remote, p place, run *listing, refs []byte, err error) {
	l := &r.refs
	l.mu.Lock()
	defer l.mu.Unlock()
	run.refs, run.err = refs, err
	close(run.done)
	if next := l.next; next != nil {
		l.cur, l.next = nil, nil
		if next.waiting > 0 {
			l.cur = next
			s.begin(r, p, next)
		}
		return
	}
	time.AfterFunc(s.Fresh, func() { // gives the memory back
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.cur == run {
			l.cur = nil
		}
	})
}

// lsRemote makes the request.
func (s *Source) lsRemote(ctx context.Context, r *remote, p place, sc scope) ([]byte, error) {
	args := []string{"ls-remote", "--quiet"}
	if sc < all {
		args = append(args, "--heads")
	}
	if sc == tags {
		args = append(args, "--tags")
	}
	out, err := s.ask(ctx, r, p, append(args, "--", p.url)...)
	if err == nil && len(out) == 0 && sc < all {
		return s.lsRemote(ctx, r, p, all) // no branch does not mean empty
	}
	return out, err
}

// errSlow is why a request that took too long is given up.
func errSlow(after time.Duration) error {
	return &failure{text: "no answer within " + after.String(), kind: source.ErrNetwork}
}

// stopped says why ctx ended.
func stopped(ctx context.Context) error {
	err := context.Cause(ctx)
	if err == context.DeadlineExceeded {
		return &failure{text: "no answer in time", kind: source.ErrNetwork}
	}
	return err
}

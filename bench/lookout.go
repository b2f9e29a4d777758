package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// A lookout watches objects and keeps of each the fact that matters.
type lookout[F any] struct {
	fact func(object.Object) F
	stop context.CancelFunc
	done sync.WaitGroup

	mu    sync.Mutex
	facts map[string]F             // guarded by mu; by name
	asked map[*expectation[F]]bool // guarded by mu
	lost  error                    // guarded by mu; why the watch has ended
}

// look begins to watch, and returns when it has seen what is there.
func look[F any](ctx context.Context, c cluster.Cluster, sel cluster.Selection, fact func(object.Object) F) (*lookout[F], error) {
	inner, stop := context.WithCancel(ctx)
	l := &lookout[F]{fact: fact, stop: stop, facts: make(map[string]F), asked: make(map[*expectation[F]]bool)}
	listed := make(chan struct{})
	l.done.Go(func() { l.watch(inner, c, sel, sync.OnceFunc(func() { close(listed) })) })
	select {
	case <-listed:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l, l.lost
}

func (l *lookout[F]) watch(ctx context.Context, c cluster.Cluster, sel cluster.Selection, listed func()) {
	defer listed()
	var last error
	for ch, err := range c.Watch(ctx, sel) {
		if last = err; err != nil {
			continue
		}
		switch ch.Type {
		case cluster.Put:
			l.see(ch.Object.Name(), l.fact(ch.Object), time.Now())
		case cluster.Gone:
			l.mu.Lock()
			delete(l.facts, ch.Object.Name())
			l.mu.Unlock()
		case cluster.Listed:
			listed()
		}
	}
	if ctx.Err() == nil {
		l.mu.Lock()
		l.lost = fmt.Errorf("watch of %s ended: %w", sel.Kind, errors.Join(last))
		l.mu.Unlock()
	}
}

func (l *lookout[F]) see(name string, f F, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.facts[name] = f
	for e := range l.asked {
		e.see(name, f, at)
	}
}

// close ends the watch.
func (l *lookout[F]) close() {
	l.stop()
	l.done.Wait()
}

// An expectation is that something becomes true of some objects.
type expectation[F any] struct {
	of   *lookout[F]
	is   func(F) bool
	open map[string]bool      // names of which it has not been true yet
	met  map[string]time.Time // when it was first seen to be true
	all  chan struct{}        // closed when nothing is open
}

// expect begins to expect that is becomes true of each object named, if it is
// not so already.
func (l *lookout[F]) expect(names []string, is func(F) bool) *expectation[F] {
	e := &expectation[F]{of: l, is: is, open: make(map[string]bool), met: make(map[string]time.Time), all: make(chan struct{})}
	for _, n := range names {
		e.open[n] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked[e] = true
	now := time.Now()
	for _, n := range names {
		if f, ok := l.facts[n]; ok {
			e.see(n, f, now)
		}
	}
	return e
}

// see takes in a fact. The lookout's lock is held.
func (e *expectation[F]) see(name string, f F, at time.Time) {
	if !e.open[name] || !e.is(f) {
		return
	}
	delete(e.open, name)
	e.met[name] = at
	if len(e.open) == 0 {
		close(e.all)
	}
}

// wait returns when all was first seen to be true. Its error names what is
// outstanding.
func (e *expectation[F]) wait(ctx context.Context) (last time.Time, err error) {
	if len(e.met) == 0 && len(e.open) == 0 {
		return time.Now(), nil
	}
	select {
	case <-e.all:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	e.of.mu.Lock()
	defer e.of.mu.Unlock()
	delete(e.of.asked, e)
	for _, at := range e.met {
		if at.After(last) {
			last = at
		}
	}
	if err != nil && len(e.open) > 0 {
		return last, errors.Join(fmt.Errorf("%w: outstanding: %s", err, e.outstanding()), e.of.lost)
	}
	return last, nil
}

// when returns when it was first seen to be true of one object.
func (e *expectation[F]) when(name string) time.Time {
	e.of.mu.Lock()
	defer e.of.mu.Unlock()
	return e.met[name]
}

// outstanding names what is open, or the beginning of it. The lookout's lock is
// held.
func (e *expectation[F]) outstanding() string {
	var names []string
	for n := range e.open {
		names = append(names, n)
	}
	slices.Sort(names)
	const some = 8
	if len(names) <= some {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:some], ", "), len(names)-some)
}

package web

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/delay"
	"github.com/sane-gitops/sane/object"
)

// A register holds a row for each unit and source, as ourselves see them. It
// watches while somebody looks, and for a while after. Whom a row may be shown
// to is not its business.
type register struct {
	s    *Server
	lead context.Context // of Server.Run

	mu     sync.Mutex
	shelf  map[object.Kind]*shelf // guarded by mu
	looked time.Time              // guarded by mu; when somebody did last
	stop   context.CancelFunc     // guarded by mu; nil while nobody looks
	turns  int64                  // guarded by mu; another number after each change
	turned chan struct{}          // guarded by mu; closed at the next change
	all    sync.WaitGroup
}

// A shelf is what is known of the objects of a kind.
type shelf struct {
	rows   map[object.ID]*row
	next   map[object.ID]*row // while everything is being listed
	sorted []*row             // rows by name; nil when they have changed
	listed bool
	err    error     // why it is not as things are now
	since  time.Time // when err came up
	gone   bool      // the server does not know the kind
}

// attention is for how long the register goes on after somebody has looked.
const attention = 10 * time.Minute

// first is how long a page waits for the first listing.
const first = 10 * time.Second

func newRegister(s *Server) *register {
	return &register{s: s, turns: time.Now().UnixNano(), turned: make(chan struct{})} // no turn of another process
}

// run forgets everything when nobody looks any more, until ctx is done.
func (g *register) run(ctx context.Context) {
	g.mu.Lock()
	g.lead = ctx
	g.mu.Unlock()
	for delay.For(ctx, time.Minute) {
		g.mu.Lock()
		if g.stop != nil && g.s.now().Sub(g.looked) > attention {
			g.stop()
			g.stop, g.shelf = nil, nil
		}
		g.mu.Unlock()
	}
	g.all.Wait()
}

// look returns the rows of some kinds by name, and what is not as it is now. It
// waits until all have been listed, unless that takes too long.
func (g *register) look(ctx context.Context, nouns []ask.Noun) ([]*row, []stale) {
	ctx, cancel := context.WithTimeout(ctx, first)
	defer cancel()
	for {
		rows, old, turned := g.take(nouns)
		if turned == nil {
			return rows, old
		}
		select {
		case <-turned:
		case <-ctx.Done():
			return rows, old
		}
	}
}

// take returns what there is. turned is what to wait for if that is not enough.
func (g *register) take(nouns []ask.Noun) (rows []*row, old []stale, turned chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.begin()
	for _, n := range nouns {
		sh := g.shelf[n.Kind]
		if sh == nil {
			return nil, []stale{{What: n.Kind.Name, Why: "the server is being stopped"}}, nil
		}
		rows = append(rows, sh.inOrder()...)
		switch {
		case sh.gone:
		case sh.err != nil:
			old = append(old, stale{n.Kind.Name, plainly(sh.err), g.s.when(sh.since)})
		case !sh.listed:
			turned = g.turned
			old = append(old, stale{What: n.Kind.Name, Why: "not all of them have been listed yet"})
		}
	}
	return rows, old, turned
}

// begin watches, if nobody has looked before. The caller holds mu.
func (g *register) begin() {
	g.looked = g.s.now()
	if g.stop != nil || g.lead == nil || g.lead.Err() != nil {
		return
	}
	ctx, stop := context.WithCancel(g.lead)
	g.stop, g.shelf = stop, make(map[object.Kind]*shelf)
	for _, n := range g.s.c.Language.Nouns {
		sh := &shelf{rows: make(map[object.ID]*row)}
		g.shelf[n.Kind] = sh
		g.all.Go(func() { g.follow(ctx, n.Kind, sh) })
	}
}

// The pause between two watches of a kind grows from the first to the second.
const minPause, maxPause = time.Second, 30 * time.Second

// follow keeps a shelf as things are.
func (g *register) follow(ctx context.Context, k object.Kind, sh *shelf) {
	sel := cluster.Selection{Kind: k}
	pause := minPause
	for ctx.Err() == nil {
		began := g.s.now()
		err := g.watch(ctx, sel, sh)
		if g.narrows(sel, err) {
			sel.Namespace = g.s.c.Namespace // those that we may list
			continue
		}
		if g.s.now().Sub(began) > maxPause {
			pause = minPause
		}
		if !delay.For(ctx, pause) {
			return
		}
		pause = min(2*pause, maxPause)
	}
}

// narrows reports whether less is watched in place of what may not be.
func (g *register) narrows(sel cluster.Selection, err error) bool {
	return errors.Is(err, cluster.ErrForbidden) && sel.Namespace == "" && g.s.c.Namespace != ""
}

// watch follows a watch up to its end, and returns the error that ended it. One after
// which less is watched is told to nobody.
func (g *register) watch(ctx context.Context, sel cluster.Selection, sh *shelf) (last error) {
	for ch, err := range g.s.c.Cluster.Watch(ctx, sel) {
		var x *row
		if last = err; g.narrows(sel, err) {
			return err
		}
		if err == nil && ch.Type == cluster.Put {
			x = g.s.rowOf(ch.Object)
		}
		g.mu.Lock()
		if err != nil {
			sh.fails(err, g.s.now())
		} else {
			sh.take(ch, x)
		}
		if err != nil || sh.listed && sh.next == nil {
			g.wake()
		}
		g.mu.Unlock()
	}
	return last
}

// turn names what there is by now.
func (g *register) turn() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.turns
}

// wake wakes all who wait for a change. The caller holds mu.
func (g *register) wake() {
	g.turns++
	close(g.turned)
	g.turned = make(chan struct{})
}

// fails notes why a shelf is not as things are.
func (sh *shelf) fails(err error, now time.Time) {
	sh.gone = errors.Is(err, cluster.ErrNoKind)
	if sh.err == nil {
		sh.since = now
	}
	if sh.err = err; sh.gone {
		sh.rows, sh.next, sh.sorted, sh.listed, sh.err = make(map[object.ID]*row), nil, nil, true, nil
	}
}

// take takes a change in. x is the row of what was put.
func (sh *shelf) take(ch cluster.Change, x *row) {
	switch ch.Type {
	case cluster.Listing:
		sh.next = make(map[object.ID]*row)
	case cluster.Listed:
		sh.rows, sh.next, sh.sorted, sh.listed, sh.err, sh.gone = sh.next, nil, nil, true, nil, false
	case cluster.Following:
		sh.err = nil
	case cluster.Put:
		if sh.next != nil {
			sh.next[x.ID] = x
			return
		}
		sh.rows[x.ID], sh.sorted = x, nil
	case cluster.Gone:
		delete(sh.rows, ch.Object.ID())
		sh.sorted = nil
	}
}

func (sh *shelf) inOrder() []*row {
	if sh.sorted == nil {
		sh.sorted = slices.SortedFunc(maps.Values(sh.rows), func(a, b *row) int { return object.Compare(a.ID, b.ID) })
	}
	return sh.sorted
}

// changes calls changed each time that something has changed after a turn, until
// ctx is done.
func (g *register) changes(ctx context.Context, turn int64, changed func()) {
	for {
		g.mu.Lock()
		g.begin()
		turns, turned := g.turns, g.turned
		g.mu.Unlock()
		if turns != turn {
			turn = turns
			changed()
		}
		select {
		case <-ctx.Done():
			return
		case <-turned:
		case <-time.After(attention / 2): // so that it goes on
		}
	}
}

// follows calls changed each time that the key that read returns is another than last,
// which was read after a turn, until ctx is done. What can't be read has not changed.
func follows(ctx context.Context, g *register, turn int64, last string, read func(context.Context) (string, error), changed func()) {
	g.changes(ctx, turn, func() {
		now, err := read(ctx)
		if err == nil && now != last {
			last = now
			changed()
		}
		delay.For(ctx, breath)
	})
}

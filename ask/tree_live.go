package ask

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"sync"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/delay"
	"github.com/sane-gitops/sane/object"
)

// settling is how long changes are waited for that come together.
const settling = 100 * time.Millisecond

// Trees yields the tree of a unit, and again whenever something in it has changed,
// until ctx is done. It watches what [Desk.Tree] lists. That the unit is not there,
// or not any more, or can't be seen is an error, and the end.
func (d *Desk) Trees(ctx context.Context, id object.ID) iter.Seq2[*Node, error] {
	return func(yield func(*Node, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		g := &garden{Desk: d, ctx: ctx, beds: make(map[plot]*bed), news: make(chan struct{}, 1)}
		defer g.watching.Wait()
		defer cancel()
		self := plot{d.Cluster, cluster.Selection{Kind: id.Kind, Namespace: id.Namespace, Name: id.Name}}
		g.watch(self)
		for g.wait() {
			n, err := g.look(id, self)
			if n == nil && err == nil {
				continue
			}
			if !yield(n, err) || err != nil {
				return
			}
			if !delay.For(ctx, settling) {
				return
			}
		}
	}
}

// A garden is a tree that is watched.
type garden struct {
	*Desk
	ctx      context.Context // as long as somebody looks
	watching sync.WaitGroup
	news     chan struct{} // holds a token if there is some

	mu   sync.Mutex
	beds map[plot]*bed // guarded by mu
}

// A plot is what one watch is of.
type plot struct {
	at cluster.Cluster
	cluster.Selection
}

// A bed is what one watch has told.
type bed struct {
	stop    context.CancelFunc
	objects map[object.ID]object.Object // nil until all is listed
	coming  map[object.ID]object.Object // while it is being listed; nil at other times
	err     error                       // why it is not as it should be; nil if it is
}

// wait waits for news, and reports whether there are any.
func (g *garden) wait() bool {
	select {
	case <-g.ctx.Done():
		return false
	case <-g.news:
		return true
	}
}

func (g *garden) rouse() {
	select {
	case g.news <- struct{}{}:
	default:
	}
}

// watch watches a plot, unless it does so already.
func (g *garden) watch(p plot) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.beds[p] != nil {
		return
	}
	ctx, cancel := context.WithCancel(g.ctx)
	b := &bed{stop: cancel}
	g.beds[p] = b
	g.watching.Go(func() {
		for change, err := range p.at.Watch(ctx, p.Selection) {
			g.mu.Lock()
			told := b.hear(change, err)
			g.mu.Unlock()
			if told {
				g.rouse()
			}
		}
	})
}

// hear notes what a watch tells, and reports whether that makes a difference.
func (b *bed) hear(c cluster.Change, err error) bool {
	if err != nil {
		b.err = err
		return true
	}
	switch c.Type {
	case cluster.Listing:
		b.coming = make(map[object.ID]object.Object)
	case cluster.Listed:
		b.objects, b.coming, b.err = b.coming, nil, nil
		return true
	case cluster.Following:
		was := b.err
		b.err = nil
		return was != nil
	case cluster.Put:
		if b.coming != nil {
			b.coming[c.Object.ID()] = c.Object
			return false
		}
		b.objects[c.Object.ID()] = c.Object
		return true
	case cluster.Gone:
		delete(b.objects, c.Object.ID())
		return true
	}
	return false
}

// known reports whether a bed tells something: what there is, or why not.
func (b *bed) known() bool { return b != nil && (b.objects != nil || b.err != nil) }

// look returns the tree as it stands; nil if not all is known yet.
func (g *garden) look(id object.ID, self plot) (*Node, error) {
	o, known, err := g.root(id, self)
	if err != nil || !known {
		return nil, err
	}
	f, err := g.plant(g.ctx, o)
	if err != nil {
		return nil, err
	}
	if f.away == nil {
		if !g.tend(f, self) {
			return nil, nil
		}
		f.search(g.ctx)
	}
	return f.grow(g.ctx), nil
}

// root returns the unit's object.
func (g *garden) root(id object.ID, self plot) (o object.Object, known bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.beds[self]
	if !b.known() {
		return o, false, nil
	}
	o, ok := b.objects[id]
	switch {
	case ok:
		return o, true, nil
	case b.objects != nil:
		return o, false, fmt.Errorf("watch %s: there is none of that name in namespace %s", id, id.Namespace)
	case errors.Is(b.err, cluster.ErrUnavailable), errors.Is(b.err, cluster.ErrBusy): // it is tried again
		return o, false, nil
	}
	return o, false, b.err
}

// tend sees to it that all is watched that is needed for f and nothing else, and
// gives f what is seen. It reports whether that is all there is.
func (g *garden) tend(f *forest, self plot) bool {
	wanted := map[plot]bool{self: true}
	all := true
	need := func(sel cluster.Selection) *bed {
		p := plot{f.Cluster, sel}
		wanted[p] = true
		g.watch(p)
		g.mu.Lock()
		defer g.mu.Unlock()
		b := *g.beds[p]
		b.objects = maps.Clone(b.objects)
		all = all && b.known()
		return &b
	}
	take := func(sel cluster.Selection, b *bed) {
		maps.Copy(f.seen, b.objects)
		if err := b.err; !errors.Is(err, cluster.ErrNoKind) {
			f.note(sel, err)
		}
	}
	for _, sel := range f.selections() {
		b := need(sel)
		narrow := f.narrower(sel)
		if b.err == nil || b.objects != nil || len(narrow) == 0 {
			take(sel, b)
			continue
		}
		for _, sel := range narrow {
			take(sel, need(sel))
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for p, b := range g.beds {
		if !wanted[p] {
			b.stop()
			delete(g.beds, p)
		}
	}
	return all
}

package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// An asking is what one custom resource asks for.
type asking struct {
	state
	feeds []source.FeedName
	units []unit.Name
	pause *dialect.Pause // nil if there is none; never changed
	round int            // the listing in which it was last put
}

// intake begins to watch the dialect's kinds, and closes e.ready when all have
// been listed once.
func (e *Engine) intake(ctx context.Context, all *sync.WaitGroup) {
	var listed sync.WaitGroup
	for _, k := range e.c.Dialect.Kinds() {
		listed.Add(1)
		all.Go(func() { e.watchKind(ctx, k, sync.OnceFunc(listed.Done)) })
	}
	all.Go(func() {
		listed.Wait()
		close(e.ready)
	})
}

// pause is how long a kind that the server does not know is not asked for
// again.
const pause = 10 * time.Second

// watchKind takes in what objects of one kind ask for, until ctx is done.
func (e *Engine) watchKind(ctx context.Context, k object.Kind, listed func()) {
	defer listed()
	round := 0
	var t trouble
	for ctx.Err() == nil {
		round = e.watchOnce(ctx, k, round, &t, listed)
		listed()
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// watchOnce takes in what one watch tells until it ends. It returns the number of
// the last listing.
func (e *Engine) watchOnce(ctx context.Context, k object.Kind, round int, t *trouble, listed func()) int {
	sel := cluster.Selection{Kind: k, Namespace: e.c.Namespace} // with what is not selected, but may be referred to
	for ch, err := range e.c.Cluster.Watch(ctx, sel) {
		if e.c.Dialect.Foreign(k) && errors.Is(err, cluster.ErrNoKind) {
			return round // then there are none, as in most clusters
		}
		if err != nil {
			t.is(e.log, err, "kind", k.String())
			continue
		}
		switch ch.Type {
		case cluster.Following:
			t.over()
		case cluster.Listing:
			round++
		case cluster.Put:
			e.take(ctx, ch.Object, round)
		case cluster.Gone:
			e.drop(ch.Object.ID())
		case cluster.Listed:
			e.sweep(k, round)
			listed()
		}
	}
	return round
}

// sweep drops what the listing just completed did not put.
func (e *Engine) sweep(k object.Kind, round int) {
	e.mu.Lock()
	var gone []object.ID
	for id, a := range e.asked {
		if id.Kind == k && a.round != round {
			gone = append(gone, id)
		}
	}
	e.mu.Unlock()
	for _, id := range gone {
		e.drop(id)
	}
}

// take takes in a custom resource as it stands now.
func (e *Engine) take(ctx context.Context, o object.Object, round int) {
	defer e.turns.of(o.ID())()
	e.takeNow(ctx, o, round)
}

// takeNow is take for whoever has the resource's turn.
func (e *Engine) takeNow(ctx context.Context, o object.Object, round int) {
	if e.have(o, round) {
		return
	}
	now := e.stateOf(o)
	e.mu.Lock()
	old, known := e.asked[o.ID()]
	same := known && old.uid == now.uid && old.question == now.question && !e.unrecalled(old)
	if same {
		old.round, old.state = round, old.newer(now)
		e.asked[o.ID()] = old
		e.gated(old)
	}
	e.mu.Unlock()
	if !same {
		e.read(ctx, o, now, round)
	}
}

// have reports whether a custom resource is known as it stands: most of what a
// watch tells are echoes of our own writes.
func (e *Engine) have(o object.Object, round int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	old, known := e.asked[o.ID()]
	if !known || old.uid != o.UID() || old.version != o.ResourceVersion() || e.unrecalled(old) {
		return false
	}
	old.round = round
	e.asked[o.ID()] = old
	return true
}

// unrecalled reports whether what a custom resource's status should remember
// could not be read: it has to be mended there. e.mu is held.
func (e *Engine) unrecalled(a asking) bool {
	return slices.ContainsFunc(a.units, func(u unit.Name) bool {
		k := e.units[u]
		return k != nil && errors.Is(k.status.Err, unit.ErrRecall)
	})
}

// read asks the dialect what o asks for, and sees to it. Its caller has the
// resource's turn: what is read of it, and beside it, is newer each time.
func (e *Engine) read(ctx context.Context, o object.Object, is state, round int) {
	foreign := e.foreign(o)
	want, err := e.askedBy(ctx, o, foreign)
	if err != nil {
		e.log.Error("read", "object", o.ID().String(), "error", err)
		e.remind(o.ID(), is, round)
		if foreign {
			e.handOver(o.ID())
		}
		e.refs.again(o.ID())
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.successor(o.ID(), is)
	now := asking{state: old.since(is), round: round, pause: e.paused(o, old)}
	for _, f := range want.Feeds {
		now.feeds = append(now.feeds, f.Name)
		e.putFeed(o, f)
	}
	for _, u := range want.Units {
		now.units = append(now.units, u.Name)
		if foreign {
			e.putOther(o, u)
		} else {
			e.putUnit(o, u)
		}
	}
	e.asked[o.ID()] = now
	e.release(old, now)
}

// askedBy returns what o asks for. What others keep is not asked what it refers to.
func (e *Engine) askedBy(ctx context.Context, o object.Object, foreign bool) (dialect.Asked, error) {
	if foreign {
		e.refs.forget(o.ID())
		return e.c.Dialect.ReadForeign(o)
	}
	r := e.refs.reader(ctx, o.ID())
	defer r.done()
	return e.c.Dialect.Read(o, r)
}

// foreign reports whether others keep what a custom resource asks for.
func (e *Engine) foreign(o object.Object) bool {
	return e.c.Dialect.Foreign(o.ID().Kind) || e.c.Selected != nil && !e.c.Selected(o.Labels())
}

// remind remembers how a custom resource stands that could not be read: it is
// read again as it stands then.
func (e *Engine) remind(id object.ID, is state, round int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.successor(id, is)
	a.state, a.round = a.since(is), round
	e.asked[id] = a
}

// handOver drops what we kept for a custom resource that others keep now, where
// nothing can be put in its place.
func (e *Engine) handOver(id object.ID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.asked[id]
	for _, f := range a.feeds {
		if have := e.feeds[f]; have != nil && !have.foreign {
			e.dropFeed(f)
		}
	}
	for _, u := range a.units {
		e.relinquish(u)
	}
}

// successor returns what a custom resource asked for when it was last read. What
// was asked by another of the same name, which is not there any more, is let go.
// e.mu is held.
func (e *Engine) successor(id object.ID, is state) asking {
	old := e.asked[id]
	if old.uid == is.uid {
		return old
	}
	e.release(old, asking{})
	return asking{}
}

// drop takes in that a custom resource is not there any more.
func (e *Engine) drop(id object.ID) {
	defer e.turns.of(id)()
	e.refs.forget(id)
	if e.c.Left != nil {
		defer e.c.Left(id)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.asked[id]
	delete(e.asked, id)
	e.release(old, asking{})
}

// release drops the feeds and units that were asked for and are not any more.
// e.mu is held.
func (e *Engine) release(old, now asking) {
	for _, f := range old.feeds {
		if !slices.Contains(now.feeds, f) {
			e.dropFeed(f)
		}
	}
	for _, u := range old.units {
		if !slices.Contains(now.units, u) {
			e.dropUnit(u)
			e.dropOther(u)
		}
	}
}

// object returns the custom resource of that name as last seen.
func (e *Engine) object(id object.ID) (object.Object, bool) {
	e.mu.Lock()
	a, ok := e.asked[id]
	e.mu.Unlock()
	if !ok {
		return object.Object{}, false
	}
	return e.unpack(a.state), true
}

// version returns the resource version of a custom resource as last seen.
func (e *Engine) version(id object.ID) (string, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a, ok := e.asked[id]
	return a.version, ok
}

// round returns the listing in which a custom resource was last put.
func (e *Engine) round(id object.ID) (int, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a, ok := e.asked[id]
	return a.round, ok
}

// held reports whether a custom resource bears our finalizer, or is not known.
func (e *Engine) held(id object.ID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	a, ok := e.asked[id]
	return !ok || a.held
}

// note takes in how a custom resource stands after a write of our own, by which
// it asks for what it asked for before.
func (e *Engine) note(o object.Object) {
	if a, ok := e.version(o.ID()); !ok || a == o.ResourceVersion() {
		return
	}
	now := e.stateOf(o)
	e.mu.Lock()
	defer e.mu.Unlock()
	if a, ok := e.asked[o.ID()]; ok && a.uid == now.uid {
		a.state = a.newer(now)
		e.asked[o.ID()] = a
		e.gated(a)
	}
}

package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// An asking is what one custom resource asks for.
type asking struct {
	state
	feeds []source.FeedName
	units []unit.Name
	round int // the listing in which it was last put
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
	for ctx.Err() == nil {
		e.watchOnce(ctx, k, listed)
		listed()
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (e *Engine) watchOnce(ctx context.Context, k object.Kind, listed func()) {
	round := 0
	sel := cluster.Selection{Kind: k, Namespace: e.c.Namespace, Labels: e.c.Selector}
	foreign := e.c.Dialect.Foreign(k)
	if foreign {
		sel.Labels = "" // it says which units are kept, not of what
	}
	for ch, err := range e.c.Cluster.Watch(ctx, sel) {
		if foreign && errors.Is(err, cluster.ErrNoKind) {
			return // then there are none, as in most clusters
		}
		if err != nil {
			e.log.Warn("watch", "kind", k.String(), "error", err)
			continue
		}
		switch ch.Type {
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

// read asks the dialect what o asks for, and sees to it.
func (e *Engine) read(ctx context.Context, o object.Object, is state, round int) {
	r := e.refs.reader(ctx, o.ID())
	want, err := e.c.Dialect.Read(o, r)
	r.done()
	if err != nil {
		e.log.Error("read", "object", o.ID().String(), "error", err)
		e.refs.again(o.ID())
		return
	}
	now := asking{state: is, round: round}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range want.Feeds {
		now.feeds = append(now.feeds, f.Name)
		e.putFeed(o, f)
	}
	for _, u := range want.Units {
		now.units = append(now.units, u.Name)
		e.putUnit(o, u)
	}
	old := e.asked[o.ID()]
	e.asked[o.ID()] = now
	e.release(old, now)
}

// drop takes in that a custom resource is not there any more.
func (e *Engine) drop(id object.ID) {
	e.refs.forget(id)
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
	return a.object(), true
}

// version returns the resource version of a custom resource as last seen.
func (e *Engine) version(id object.ID) (string, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a, ok := e.asked[id]
	return a.version, ok
}

// held reports whether a custom resource bears our finalizer, or is not known.
func (e *Engine) held(id object.ID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	a, ok := e.asked[id]
	return !ok || a.held
}

// note takes in how a custom resource stands after a write of our own.
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

// references follows the objects that custom resources refer to, such as
// Secrets with credentials, so that the resources are read again when one of
// them changes.
type references struct {
	e    *Engine
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu   sync.Mutex
	used map[object.ID]*reference // guarded by mu; by the object referred to
}

type reference struct {
	by   map[object.ID]bool
	stop context.CancelFunc
	had  string // the resource version that was read last; "" if it was not there
}

func newReferences(ctx context.Context, e *Engine) *references {
	ctx, stop := context.WithCancel(ctx)
	return &references{e: e, ctx: ctx, stop: stop, used: make(map[object.ID]*reference)}
}

func (r *references) close() {
	r.stop()
	r.wg.Wait()
}

// reader returns a reader that remembers what is read on behalf of by.
func (r *references) reader(ctx context.Context, by object.ID) *reader {
	return &reader{r: r, ctx: ctx, by: by, read: make(map[object.ID]bool)}
}

type reader struct {
	r    *references
	ctx  context.Context
	by   object.ID
	read map[object.ID]bool
}

// Get implements dialect.Reader.
func (rd *reader) Get(id object.ID) (object.Object, bool, error) {
	rd.read[id] = true
	rd.r.use(id, rd.by)
	o, ok, err := rd.r.e.c.Cluster.Get(rd.ctx, id)
	if err == nil && ok {
		rd.r.had(id, o.ResourceVersion())
	}
	return o, ok, err
}

// done forgets what was read before and is not read any more.
func (rd *reader) done() { rd.r.keep(rd.by, rd.read) }

// use begins to watch id on behalf of by.
func (r *references) use(id, by object.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ref := r.used[id]; ref != nil {
		ref.by[by] = true
		return
	}
	ctx, stop := context.WithCancel(r.ctx)
	r.used[id] = &reference{by: map[object.ID]bool{by: true}, stop: stop}
	r.wg.Go(func() { r.follow(ctx, id) })
}

// had remembers which version of id was read last.
func (r *references) had(id object.ID, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ref := r.used[id]; ref != nil {
		ref.had = version
	}
}

// missed reports whether id has changed after it was read and before it was
// watched, where it was first seen at a version.
func (r *references) missed(id object.ID, version string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	ref := r.used[id]
	return ref != nil && ref.had != version
}

// follow has everybody who uses id read again when it changes.
func (r *references) follow(ctx context.Context, id object.ID) {
	seen := "" // the resource version
	listed := false
	sel := cluster.Selection{Kind: id.Kind, Namespace: id.Namespace, Name: id.Name, Metadata: true}
	for ch, err := range r.e.c.Cluster.Watch(ctx, sel) {
		if err != nil {
			if errors.Is(err, context.Canceled) {
				return
			}
			r.e.log.Warn("watch", "object", id.String(), "error", err)
			continue
		}
		switch ch.Type {
		case cluster.Listed:
			if !listed && r.missed(id, seen) {
				r.changed(id)
			}
			listed = true
		case cluster.Put:
			if v := ch.Object.ResourceVersion(); v != seen {
				if listed {
					r.changed(id)
				}
				seen = v
			}
		case cluster.Gone:
			seen = ""
			r.changed(id)
		}
	}
}

// changed reads again everything that uses id.
func (r *references) changed(id object.ID) {
	r.mu.Lock()
	var users []object.ID
	if ref := r.used[id]; ref != nil {
		for by := range ref.by {
			users = append(users, by)
		}
	}
	r.mu.Unlock()
	slices.SortFunc(users, object.Compare)
	for _, by := range users {
		r.reread(by)
	}
}

func (r *references) reread(id object.ID) {
	r.e.mu.Lock()
	a, ok := r.e.asked[id]
	r.e.mu.Unlock()
	if ok {
		r.e.read(r.ctx, a.object(), a.state, a.round)
	}
}

// forget ends the watches of what only by used.
func (r *references) forget(by object.ID) { r.keep(by, nil) }

// keep ends the watches of what only by used, but for those in read.
func (r *references) keep(by object.ID, read map[object.ID]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, ref := range r.used {
		if read[id] {
			continue
		}
		if delete(ref.by, by); len(ref.by) == 0 {
			ref.stop()
			delete(r.used, id)
		}
	}
}

// again reads a custom resource again after a while, since it could not be
// read.
func (r *references) again(id object.ID) {
	r.wg.Go(func() {
		select {
		case <-time.After(pause):
			r.reread(id)
		case <-r.ctx.Done():
		}
	})
}

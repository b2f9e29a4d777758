package engine

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// references follows the objects that custom resources refer to, such as
// Secrets with credentials, so that the resources are read again when one of
// them changes.
type references struct {
	e    *Engine
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu    sync.Mutex
	used  map[object.ID]*reference         // guarded by mu; by the object referred to
	of    map[object.ID]map[object.ID]bool // guarded by mu; what is used, by who uses it
	later map[object.ID]bool               // guarded by mu; custom resources that are read again after a while
}

type reference struct {
	by   map[object.ID]bool
	stop context.CancelFunc
	had  string // the resource version that was read last; "" if it was not there
}

func newReferences(ctx context.Context, e *Engine) *references {
	ctx, stop := context.WithCancel(ctx)
	return &references{e: e, ctx: ctx, stop: stop, used: make(map[object.ID]*reference), of: make(map[object.ID]map[object.ID]bool), later: make(map[object.ID]bool)}
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
	if r.of[by] == nil {
		r.of[by] = make(map[object.ID]bool)
	}
	r.of[by][id] = true
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

// follow has everybody who uses id read again when it changes, until ctx is done.
func (r *references) follow(ctx context.Context, id object.ID) {
	var t trouble
	for ctx.Err() == nil {
		r.watch(ctx, id, &t)
		select { // we may not be allowed to watch it, for now
		case <-ctx.Done():
		case <-time.After(t.pause()):
		}
	}
}

// A trouble is what keeps a watch from telling anything.
type trouble struct {
	said string        // that was logged
	last time.Duration // the pause after it
}

// is takes in an error, and logs it unless it is the one before.
func (t *trouble) is(log *slog.Logger, err error, facts ...any) {
	if err.Error() != t.said {
		t.said = err.Error()
		log.Warn("watch", append(facts, "error", err)...)
	}
}

// over takes in that changes are told.
func (t *trouble) over() { *t = trouble{} }

// maxPause bounds how long a watch that was not allowed is not asked for again.
const maxPause = 5 * time.Minute

// pause returns how long not to ask for a watch again: longer each time.
func (t *trouble) pause() time.Duration {
	t.last = min(max(pause, 2*t.last), maxPause)
	return t.last
}

// watch is follow until the watch ends.
func (r *references) watch(ctx context.Context, id object.ID, t *trouble) {
	seen := "" // the resource version
	listed := false
	sel := cluster.Selection{Kind: id.Kind, Namespace: id.Namespace, Name: id.Name, Metadata: true}
	for ch, err := range r.e.c.Cluster.Watch(ctx, sel) {
		if err != nil {
			if errors.Is(err, context.Canceled) {
				return
			}
			t.is(r.e.log, err, "object", id.String())
			continue
		}
		switch ch.Type {
		case cluster.Following:
			t.over()
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
	defer r.e.turns.of(id)()
	r.e.mu.Lock()
	a, ok := r.e.asked[id]
	r.e.mu.Unlock()
	if ok {
		r.e.read(r.ctx, r.e.unpack(a.state), a.state, a.round)
	}
}

// forget ends the watches of what only by used.
func (r *references) forget(by object.ID) { r.keep(by, nil) }

// keep ends the watches of what only by used, but for those in read.
func (r *references) keep(by object.ID, read map[object.ID]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.of[by] {
		if read[id] {
			continue
		}
		delete(r.of[by], id)
		ref := r.used[id]
		if delete(ref.by, by); len(ref.by) == 0 {
			ref.stop()
			delete(r.used, id)
		}
	}
	if len(r.of[by]) == 0 {
		delete(r.of, by)
	}
}

// again reads a custom resource again after a while, since it could not be
// read.
func (r *references) again(id object.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.later[id] {
		return
	}
	r.later[id] = true
	r.wg.Go(func() {
		select {
		case <-time.After(pause):
		case <-r.ctx.Done():
			return
		}
		r.mu.Lock()
		delete(r.later, id)
		r.mu.Unlock()
		r.reread(id)
	})
}

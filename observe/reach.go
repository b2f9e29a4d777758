package observe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
	"unique"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/unit"
)

// A Viewer is a unit that has objects watched, and as whom its objects are kept,
// if not as ourselves: where we may not watch for ourselves, it is done as they.
type Viewer struct {
	Unit unit.Name
	As   string
}

// A way is how an object can be watched: by which scope, and as whom.
type way struct {
	scope
	as string
}

// ways returns how an object can be watched, the widest first: with all of its
// kind, or else with those in its namespace. An object that is in none can be
// watched by its name.
func (v Viewer) ways(id object.ID) []way {
	narrow := scope{kind: id.Kind, namespace: id.Namespace}
	if id.Namespace == "" {
		narrow.name = id.Name
	}
	return v.also([]way{{scope: scope{kind: id.Kind}}, {scope: narrow}})
}

// alone returns how an object can be watched that is watched whoever owns it.
func (v Viewer) alone(id object.ID) []way {
	return v.also([]way{{scope: scope{id.Kind, id.Namespace, id.Name}}})
}

// also adds to ways that the narrowest is tried as the viewer.
func (v Viewer) also(ways []way) []way {
	if v.As != "" {
		ways = append(ways, way{ways[len(ways)-1].scope, v.As})
	}
	return ways
}

// linger is how long what nobody wants to see any more is watched on: it may be
// wanted again.
const linger = 5 * time.Minute

// Watch sees to it that objects are watched for a unit, and those alone that it
// last asked for. It returns when they have been listed, or ctx is done. A kind
// that the server does not know has no objects; it is asked for again by the next
// Watch. That they can't be listed is an error: of what is not seen then nothing
// is known.
//
// All objects of a kind are watched at once. If that is forbidden, those in each
// namespace that units ask for are.
func (w *Watcher) Watch(ctx context.Context, v Viewer, ids iter.Seq[object.ID]) error {
	known := make(map[scope]bool)
	claim := make(map[unique.Handle[scope]]bool)
	var denied []error
	for _, id := range apart(ids) {
		if known[scope{kind: id.Kind}] {
			continue
		}
		got, err := w.await(ctx, v.ways(id))
		switch {
		case err == nil:
			known[got] = true
			claim[unique.Make(got)] = true
		case errors.Is(err, cluster.ErrForbidden):
			denied = append(denied, err)
		default:
			w.claim(v.Unit, claim, false)
			return err
		}
	}
	w.claim(v.Unit, claim, denied == nil)
	return all(denied)
}

// apart returns objects of which no two are watched together where all of a kind
// can't be, in order.
func apart(ids iter.Seq[object.ID]) []object.ID {
	known := make(map[scope]bool)
	var all []object.ID
	for id := range ids {
		ways := Viewer{}.ways(id)
		if narrow := ways[len(ways)-1].scope; !known[narrow] {
			known[narrow] = true
			all = append(all, id)
		}
	}
	slices.SortFunc(all, object.Compare)
	return all
}

// all returns errors as one. Of many it has the first few.
func all(denied []error) error {
	const most = 5
	if len(denied) == 0 {
		return nil
	}
	err := errors.Join(denied[:min(len(denied), most)]...)
	if more := len(denied) - most; more > 0 {
		err = fmt.Errorf("%w\nand %d more", err, more)
	}
	return fmt.Errorf("%w: whoever keeps objects of a kind must be allowed to list and watch them", err)
}

// Unwatch takes in that nothing is to be watched for a unit any more.
func (w *Watcher) Unwatch(u unit.Name) { w.claim(u, nil, true) }

// claim takes in which scopes a unit has watched, beside those that it had before
// or instead of them.
func (w *Watcher) claim(u unit.Name, now map[unique.Handle[scope]]bool, instead bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	by := unique.Make(u)
	had := w.claims[by]
	var has []unique.Handle[scope]
	for s := range now {
		if has = append(has, s); !slices.Contains(had, s) {
			w.use(s.Value(), 1)
		}
	}
	for _, s := range had {
		switch {
		case now[s]:
		case instead:
			w.use(s.Value(), -1)
		default:
			has = append(has, s)
		}
	}
	if w.claims[by] = has; len(has) == 0 {
		delete(w.claims, by)
	}
}

// use takes in that more units, or fewer, want to see what is in a scope. w.mu is
// held.
func (w *Watcher) use(s scope, more int) {
	if w.users[s] += more; w.users[s] == 0 {
		delete(w.users, s)
	}
	if kw := w.watches[s]; kw != nil {
		w.rest(s, kw)
	}
}

// rest ends a watch after a while if nobody wants to see what it sees. w.mu is
// held.
func (w *Watcher) rest(s scope, kw *watch) {
	if kw.idle != nil {
		kw.idle.Stop()
		kw.idle = nil
	}
	if w.users[s] > 0 || kw.alone {
		return
	}
	kw.idle = time.AfterFunc(linger, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.watches[s] == kw && w.users[s] == 0 && !kw.alone {
			w.drop(s, kw)
		}
	})
}

// drop ends a watch for good. w.mu is held.
func (w *Watcher) drop(s scope, kw *watch) {
	kw.cancel()
	delete(w.watches, s)
}

// WatchObject is Watch for one object, whoever owns it.
func (w *Watcher) WatchObject(ctx context.Context, v Viewer, id object.ID) error {
	s, err := w.await(ctx, v.alone(id))
	if errors.Is(err, cluster.ErrForbidden) {
		err = all([]error{err})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if kw := w.watches[s]; kw != nil && err == nil {
		kw.alone = true
		w.rest(s, kw)
	}
	return err
}

// UnwatchObject ends what WatchObject began: nobody cares for the object any
// more. Whoever waits for it to be seen gets an error.
func (w *Watcher) UnwatchObject(id object.ID) {
	s := scope{id.Kind, id.Namespace, id.Name}
	w.mu.Lock()
	defer w.mu.Unlock()
	if kw := w.watches[s]; kw != nil {
		if kw.alone = false; w.users[s] == 0 {
			w.drop(s, kw)
		}
	}
}

// await returns when one of the ways to watch an object shows what there is, and
// by which scope. A way that is forbidden leads on to the next.
func (w *Watcher) await(ctx context.Context, ways []way) (scope, error) {
	denied := make(map[way]error)
	for _, at := range w.inOrder(ways) {
		kw := w.start(at)
		select {
		case <-kw.listed:
		case <-ctx.Done():
			return at.scope, fmt.Errorf("list %s: %w", at.kind, context.Cause(ctx))
		}
		err := w.blind(kw)
		if !errors.Is(err, cluster.ErrForbidden) {
			return at.scope, err
		}
		denied[at] = err
	}
	last := ways[len(ways)-1]
	return last.scope, denied[last]
}

// blind returns why a watch never showed what there is; nil if it did.
func (w *Watcher) blind(kw *watch) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if kw.blind {
		return kw.err
	}
	return nil
}

// inOrder returns ways as they are to be tried: what is watched already first,
// and what was forbidden last.
func (w *Watcher) inOrder(ways []way) []way {
	w.mu.Lock()
	defer w.mu.Unlock()
	rank := func(a way) int {
		switch kw := w.watches[a.scope]; {
		case kw != nil && kw.err == nil:
			return 0
		case !w.denied[a]:
			return 1
		}
		return 2
	}
	return slices.SortedStableFunc(slices.Values(ways), func(a, b way) int { return cmp.Compare(rank(a), rank(b)) })
}

// outdo drops what is known of a scope by a watch of all of its kind that has
// ended: it is seen by another now.
func (w *Watcher) outdo(s scope) {
	if s == (scope{kind: s.kind}) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	wide := w.watches[scope{kind: s.kind}]
	if wide == nil || wide.err == nil {
		return
	}
	for at := range wide.seen {
		if at.namespace.Value() == s.namespace && (s.name == "" || s.name == at.name) {
			delete(wide.seen, at)
		}
	}
}

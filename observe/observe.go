// Package observe watches over what was applied: health and drift.
package observe

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"time"
	"unique"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/health/expr"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/unit"
)

// A Config says what a Watcher works with. All fields without a comment about
// nil must be set.
type Config struct {
	Cluster  cluster.Watcher
	As       func(user string) cluster.Watcher // the same as another; nil means that nobody else watches
	Selector string                            // selects, by label, the objects to be watched
	Manager  string                            // the field manager whose fields are ours
	Over     []string                          // managers whose fields are to become ours, beside those of plan.TakenOver; may be nil
	Owner    func(labels map[string]string) (unit.Name, bool)
	Exempt   func(object.Object) plan.Exemption

	// Judges returns who else is to judge an object, beside health.Of, when it
	// is seen. Whole reports whether that takes more of objects of a kind than
	// health.Of needs. Neither must call the Watcher. nil means nobody, and no.
	Judges func(owner unit.Name, id object.ID) []*expr.Judge
	Whole  func(object.Kind) bool

	// Changed is called when an object does not stand as it was last seen, or
	// noted. The owner is the zero Name if the object has none. It may be
	// called more often, must return at once, and must not call the Watcher.
	Changed func(owner unit.Name, id object.ID)

	Log *slog.Logger
}

// A Sighting is how an object stood when it was last seen. Of the object
// itself nothing is kept.
type Sighting struct {
	UID      string
	Version  uint64 // the resource version
	Entry    Entry  // of our manager
	Owner    unit.Name
	Exempt   plan.Exemption
	Health   health.Verdict
	Deleting bool
	Usurped  Entry  // of managers whose fields are to be taken over; zero if there are none
	Rival    string // the manager that changed it last, other than ours
	Gone     bool   // it was seen, and is not there, or not ours, any more
	Passing  bool   // it goes away by itself when its work is done; if it is Gone, that is so
}

// A Watcher watches the objects that it is told to, by one watch a kind where that
// is allowed. It is safe for use by several goroutines at once.
type Watcher struct {
	c    Config
	ctx  context.Context // of the watches; see Run
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	watches map[scope]*watch                                    // guarded by mu
	users   map[scope]int                                       // guarded by mu; units that want to see what is in it
	claims  map[unique.Handle[unit.Name]][]unique.Handle[scope] // guarded by mu; what each unit wants to see
	denied  map[way]bool                                        // guarded by mu; that was forbidden when it was last tried
	told    map[way]string                                      // guarded by mu; the trouble with it that was last logged
	closed  bool                                                // guarded by mu
}

// A scope is what one watch is about: the selected objects of a kind, those of
// them in a namespace, or the one object of a name.
type scope struct {
	kind            object.Kind
	namespace, name string
}

func (s scope) selection(labels string, whole bool) cluster.Selection {
	sel := cluster.Selection{Kind: s.kind, Namespace: s.namespace, Name: s.name, Metadata: !whole}
	if s.name == "" {
		sel.Labels = labels
	}
	return sel
}

// A watch is what is known of a scope. All but its channel is guarded by
// Watcher.mu.
type watch struct {
	as     string             // in whose name it watches, if not in ours
	whole  bool               // it sees more than metadata
	round  int32              // of listings
	seen   map[key]*sighted   //
	listed chan struct{}      // closed when the first listing is complete, or can't be had
	err    error              // why there is no watch
	blind  bool               // that ended before the first listing was complete
	alone  bool               // it is for one object, whoever owns it
	idle   *time.Timer        // ends it; nil while somebody wants to see what it sees
	cancel context.CancelFunc //
}

type key struct {
	namespace unique.Handle[string]
	name      string
}

func keyOf(o object.Object) key { return keyAt(o.Namespace(), o.Name()) }

func keyAt(namespace, name string) key { return key{unique.Make(namespace), name} }

// New returns a Watcher that watches nothing yet. Its watches end with ctx or
// with Close.
func New(ctx context.Context, c Config) *Watcher {
	ctx, stop := context.WithCancel(ctx)
	return &Watcher{
		c: c, ctx: ctx, stop: stop, watches: make(map[scope]*watch), users: make(map[scope]int),
		claims: make(map[unique.Handle[unit.Name]][]unique.Handle[scope]), denied: make(map[way]bool), told: make(map[way]string),
	}
}

// Close ends all watches and waits until they have ended.
func (w *Watcher) Close() {
	w.mu.Lock()
	w.closed = true
	for _, kw := range w.watches {
		if kw.idle != nil {
			kw.idle.Stop()
		}
	}
	w.mu.Unlock()
	w.stop()
	w.wg.Wait()
}

var errClosed = errors.New("the cluster is not watched any more")

// start returns the watch of a scope, begun if there is none, if it has ended,
// or if more is to be seen than it sees.
func (w *Watcher) start(at way) *watch {
	s, whole := at.scope, w.whole(at.kind)
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.watches[s]
	if old != nil && old.err == nil && (old.whole || !whole) {
		return old
	}
	ctx, cancel := context.WithCancel(w.ctx)
	kw := &watch{as: at.as, whole: whole, seen: make(map[key]*sighted), listed: make(chan struct{}), cancel: cancel}
	if w.closed {
		cancel()
		kw.err, kw.blind = errClosed, true
		close(kw.listed)
		return kw
	}
	if old != nil {
		old.cancel()
		kw.seen, kw.round, old.seen = old.seen, old.round, make(map[key]*sighted)
		if kw.alone = old.alone; old.err == nil {
			kw.as = old.as
		}
	}
	w.watches[s] = kw
	w.rest(s, kw)
	doubtful := w.denied[way{s, kw.as}]
	w.wg.Go(func() { w.follow(ctx, s, kw, doubtful) })
	return kw
}

// follow takes in what a watch tells until it ends. One that was forbidden before
// shows nothing until it is known to be told of changes, too.
func (w *Watcher) follow(ctx context.Context, s scope, kw *watch, doubtful bool) {
	defer kw.cancel()
	listed := sync.OnceFunc(func() { close(kw.listed) })
	defer listed()
	blind := true
	var last error
	for ch, err := range w.by(kw.as).Watch(ctx, s.selection(w.c.Selector, kw.whole)) {
		if last = err; err != nil {
			w.complain(way{s, kw.as}, err)
			continue
		}
		w.take(s.kind, kw, ch)
		switch ch.Type {
		case cluster.Listed:
			w.outdo(s)
		case cluster.Following:
			w.allowed(way{s, kw.as})
			doubtful = false
		default:
			continue
		}
		if !doubtful {
			blind = false
			listed()
		}
	}
	if errors.Is(last, cluster.ErrNoKind) { // and so no object of it
		w.take(s.kind, kw, cluster.Change{Type: cluster.Listing})
		w.take(s.kind, kw, cluster.Change{Type: cluster.Listed})
		blind = false
	}
	if last == nil {
		last = errClosed
	}
	w.end(s, kw, last, blind)
}

// by returns the cluster as a user.
func (w *Watcher) by(user string) cluster.Watcher {
	if user == "" {
		return w.c.Cluster
	}
	return w.c.As(user)
}

// complain logs an error of a watch, unless it is the one that was logged last.
func (w *Watcher) complain(at way, err error) {
	w.mu.Lock()
	known := w.told[at] == err.Error()
	w.told[at] = err.Error()
	w.mu.Unlock()
	if known {
		return
	}
	facts := []any{"kind", at.kind.String(), "error", err}
	if at.as != "" {
		facts = append(facts, "as", at.as)
	}
	w.c.Log.Warn("watch", facts...)
}

// allowed takes in that a way to watch leads somewhere.
func (w *Watcher) allowed(at way) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.told, at)
	delete(w.denied, at)
}

// end takes in that a watch has ended. If it may not go on, those whose objects
// it saw are told: they have to be seen another way.
func (w *Watcher) end(s scope, kw *watch, why error, blind bool) {
	var unseen []owned
	w.mu.Lock()
	kw.err, kw.blind = why, blind
	if errors.Is(why, cluster.ErrForbidden) {
		w.denied[way{s, kw.as}] = true
		for at, seen := range kw.seen {
			unseen = append(unseen, owned{seen.owner.Value(), object.ID{Kind: s.kind, Namespace: at.namespace.Value(), Name: at.name}})
		}
	}
	w.mu.Unlock()
	for _, o := range unseen {
		w.c.Changed(o.owner, o.id)
	}
}

// take takes in one change.
func (w *Watcher) take(k object.Kind, kw *watch, ch cluster.Change) {
	switch ch.Type {
	case cluster.Listing:
		w.mu.Lock()
		kw.round++
		w.mu.Unlock()
	case cluster.Listed:
		w.sweep(k, kw)
	case cluster.Put:
		w.put(kw, ch.Object, false)
	case cluster.Gone:
		w.gone(k, kw, ch.Object)
	}
}

// put takes in how an object stands. What is older than what is known is
// dropped. Its owner is told, unless the owner itself noted it.
func (w *Watcher) put(kw *watch, o object.Object, noted bool) {
	s := w.look(o)
	at := keyOf(o)
	var opinions *[]opinion
	if kw.whole && !(noted && health.Silent(o.ID().Kind)) { // or else there may be no more than metadata
		opinions = w.opinions(s.Owner, o)
	}
	w.mu.Lock()
	old, now := kw.seen[at], pack(s, kw.round)
	now.opinions = opinions
	if old != nil && old.same(now) && old.version > now.version {
		old.round = kw.round
		w.mu.Unlock()
		return
	}
	kw.seen[at] = now
	w.mu.Unlock()
	if noted || old != nil && !now.news(old) {
		return
	}
	w.c.Changed(s.Owner, o.ID())
	if old != nil && old.owner != now.owner {
		w.c.Changed(old.owner.Value(), o.ID())
	}
}

// gone takes in that an object was deleted, or is not selected any more.
func (w *Watcher) gone(k object.Kind, kw *watch, o object.Object) {
	at := keyOf(o)
	w.mu.Lock()
	old := kw.seen[at]
	if old == nil || old.gone || old.version > version(o) {
		w.mu.Unlock()
		return
	}
	kw.seen[at] = vanished(old, health.Passed(o), kw.round)
	w.mu.Unlock()
	w.c.Changed(old.owner.Value(), o.ID())
}

// vanished returns what is kept of an object that has gone, because its work was
// done or not. Its memory ends with the next listing.
func vanished(old *sighted, done bool, round int32) *sighted {
	s := Sighting{
		Owner: old.owner.Value(), Version: old.version, Gone: true,
		Health: health.Verdict{Status: health.Missing, Why: "not found"},
	}
	if done {
		s.UID, s.Passing, s.Health = old.unpack().UID, true, health.Verdict{}
	}
	return pack(s, round)
}

// An owned is an object and its owner.
type owned struct {
	owner unit.Name
	id    object.ID
}

// sweep takes everything for gone that the listing just completed did not put.
func (w *Watcher) sweep(k object.Kind, kw *watch) {
	var all []owned
	w.mu.Lock()
	for at, s := range kw.seen {
		if s.round == kw.round {
			continue
		}
		if s.gone {
			delete(kw.seen, at)
			continue
		}
		done := s.passing && s.usual.Value().health.Status != health.Degraded // as far as was seen
		kw.seen[at] = vanished(s, done, kw.round)
		all = append(all, owned{s.owner.Value(), object.ID{Kind: k, Namespace: at.namespace.Value(), Name: at.name}})
	}
	w.mu.Unlock()
	for _, l := range all {
		w.c.Changed(l.owner, l.id)
	}
}

// Note takes in how an object stands after a change that was made for a unit, as
// the server answered it. Its owner is not told.
func (w *Watcher) Note(v Viewer, o object.Object) Sighting {
	id := o.ID()
	w.put(w.start(w.inOrder(v.ways(id))[0]), o, true)
	s, _ := w.See(id)
	return s
}

// See returns how an object stood when it was last seen, and whether it ever
// was. It knows the selected objects of the kinds that are watched, and the
// objects that are watched by name.
func (w *Watcher) See(id object.ID) (Sighting, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for seen := range w.sightings(id) {
		return seen.unpack(), true
	}
	return Sighting{}, false
}

// sightings yields what is known of an object: by the watch of its kind, by that
// in its namespace, and by its own. w.mu is held.
func (w *Watcher) sightings(id object.ID) iter.Seq[*sighted] {
	return func(yield func(*sighted) bool) {
		for i, s := range [...]scope{{kind: id.Kind}, {kind: id.Kind, namespace: id.Namespace}, {id.Kind, id.Namespace, id.Name}} {
			if i == 1 && id.Namespace == "" { // it is in none
				continue
			}
			kw := w.watches[s]
			if kw == nil {
				continue
			}
			if seen := kw.seen[keyAt(id.Namespace, id.Name)]; seen != nil && !yield(seen) {
				return
			}
		}
	}
}

// Size returns how many watches there are and how many objects are known.
func (w *Watcher) Size() (watches, objects int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, kw := range w.watches {
		objects += len(kw.seen)
	}
	return len(w.watches), objects
}

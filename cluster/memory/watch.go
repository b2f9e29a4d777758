package memory

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/delay"
	"github.com/sane-gitops/sane/object"
)

// A watcher is a watch under way.
type watcher struct {
	picker
	wake chan struct{} // holds a token if there is news

	news  []cluster.Change // guarded by world.mu
	ended error            // guarded by world.mu
}

// Watch implements [cluster.Watcher].
func (c *Cluster) Watch(ctx context.Context, sel cluster.Selection) iter.Seq2[cluster.Change, error] {
	return func(yield func(cluster.Change, error) bool) {
		var w *watcher
		defer func() { c.w.forget(w) }()
		for {
			err := c.resume(ctx, sel, &w)
			if err == nil {
				err = c.w.follow(ctx, w, yield)
			}
			if err == nil || ctx.Err() != nil || !yield(cluster.Change{}, err) || final(err) {
				return
			}
			if !delay.For(ctx, time.Second) {
				return
			}
		}
	}
}

func final(err error) bool {
	return errors.Is(err, cluster.ErrNoKind) || errors.Is(err, cluster.ErrForbidden)
}

// resume makes a watcher, or lets one go on where its connection was lost.
func (c *Cluster) resume(ctx context.Context, sel cluster.Selection, w **watcher) (err error) {
	id := object.ID{Kind: sel.Kind, Namespace: sel.Namespace, Name: sel.Name}
	if err := c.begin(ctx, Call{Op: "watch", ID: id}); err != nil {
		return err
	}
	if *w != nil {
		c.w.mend(*w)
		return nil
	}
	if *w, err = c.w.watcher(sel); err != nil {
		return cluster.Refused("watch", id, err)
	}
	return nil
}

// follow yields what a watcher has to tell until ctx is done or the caller has
// enough (nil), or there is an error.
func (w *world) follow(ctx context.Context, watch *watcher, yield func(cluster.Change, error) bool) error {
	for {
		news, ended := w.take(watch)
		for _, change := range news {
			if ctx.Err() != nil || !yield(change, nil) {
				return nil
			}
		}
		if ended != nil {
			return cluster.Refused("watch", object.ID{Kind: watch.Kind, Namespace: watch.Namespace, Name: watch.Name}, ended)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-watch.wake:
		}
	}
}

// watcher returns a new watcher whose news begin with a listing.
func (w *world) watcher(sel cluster.Selection) (*watcher, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, err := w.picker(sel)
	if err != nil {
		return nil, err
	}
	watch := &watcher{picker: p, wake: make(chan struct{}, 1)}
	w.watchers[watch] = true
	w.listing(watch)
	return watch, nil
}

// mend has a watcher go on, with what it missed.
func (w *world) mend(watch *watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	watch.ended = nil
	watch.news = slices.Insert(watch.news, 0, cluster.Change{Type: cluster.Following})
}

// listing gives a watcher everything as it stands.
func (w *world) listing(watch *watcher) {
	watch.add(cluster.Change{Type: cluster.Listing})
	for _, o := range w.pick(watch.picker) {
		watch.add(cluster.Change{Type: cluster.Put, Object: o})
	}
	watch.add(cluster.Change{Type: cluster.Listed})
	watch.add(cluster.Change{Type: cluster.Following})
}

func (w *world) forget(watch *watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.watchers, watch)
}

func (w *world) take(watch *watcher) ([]cluster.Change, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	news := watch.news
	watch.news = nil
	return news, watch.ended
}

func (watch *watcher) add(c cluster.Change) {
	watch.news = append(watch.news, c)
	watch.rouse()
}

// rouse wakes whoever waits for news.
func (watch *watcher) rouse() {
	select {
	case watch.wake <- struct{}{}:
	default:
	}
}

// tell tells the watchers of a change to what was old (zero if nothing was).
func (w *world) tell(c cluster.Change, old object.Object) {
	for watch := range w.watchers {
		switch {
		case c.Type == cluster.Put && watch.picks(c.Object), c.Type == cluster.Gone && watch.picks(old):
			watch.add(cluster.Change{Type: c.Type, Object: watch.show(c.Object)})
		case c.Type == cluster.Put && watch.picks(old):
			watch.add(cluster.Change{Type: cluster.Gone, Object: watch.show(old)})
		}
	}
}

// end ends the watches of a kind.
func (w *world) end(k object.Kind) {
	for watch := range w.watchers {
		if watch.Kind == k {
			watch.ended = noKind("%s is not defined any more", k)
			watch.rouse()
		}
	}
}

// Lose has all watches under way lose their connection: after an error they go
// on, as soon as that is allowed.
func (c *Cluster) Lose() {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	for watch := range c.w.watchers {
		watch.ended = fmt.Errorf("%w: the connection was lost", cluster.ErrUnavailable)
		watch.rouse()
	}
}

// ids returns the names of all objects in order.
func (w *world) ids() []object.ID {
	return slices.SortedFunc(maps.Keys(w.objects), object.Compare)
}

// Relist makes all watches lose their place: they list everything again.
func (c *Cluster) Relist() {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	for watch := range c.w.watchers {
		watch.news = nil
		c.w.listing(watch)
	}
}

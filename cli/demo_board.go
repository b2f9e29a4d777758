package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// A board shows how objects stand, as the cluster's watches tell.
type board struct {
	all   sync.WaitGroup       // of the watches, and of what else works until it is closed
	heard func(cluster.Change) // is told of every change

	mu      sync.Mutex
	objects map[object.ID]object.Object // guarded by mu
	changed chan struct{}               // guarded by mu; closed at the next change
}

func newBoard(heard func(cluster.Change)) *board {
	return &board{heard: heard, objects: make(map[object.ID]object.Object), changed: make(chan struct{})}
}

// watch keeps the board true to all objects of a kind until ctx is done.
func (b *board) watch(ctx context.Context, c cluster.Watcher, k object.Kind) {
	b.all.Go(func() {
		listed := make(map[object.ID]bool)
		for ch, err := range c.Watch(ctx, cluster.Selection{Kind: k}) {
			switch {
			case err != nil: // it goes on, or else we are late and say so
			case ch.Type == cluster.Following:
			case ch.Type == cluster.Listing:
				clear(listed)
			case ch.Type == cluster.Listed:
				b.keepOnly(k, listed)
			default:
				listed[ch.Object.ID()] = true
				b.put(ch)
				b.heard(ch)
			}
		}
	})
}

// close waits until all watches have ended.
func (b *board) close() { b.all.Wait() }

func (b *board) put(ch cluster.Change) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ch.Type == cluster.Gone {
		delete(b.objects, ch.Object.ID())
	} else {
		b.objects[ch.Object.ID()] = ch.Object
	}
	b.tell()
}

// keepOnly takes away all objects of a kind that are not listed.
func (b *board) keepOnly(k object.Kind, listed map[object.ID]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.objects, func(id object.ID, _ object.Object) bool { return id.Kind == k && !listed[id] })
	b.tell()
}

// tell wakes all who wait. b.mu is held.
func (b *board) tell() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// see returns the objects as they stand, which must not be changed, and what is
// closed when they don't any more.
func (b *board) see() (view, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.objects), b.changed
}

// until waits until lacks has nothing to say of the objects, and returns when
// that was. Its error is the last that lacks said.
func (b *board) until(ctx context.Context, most time.Duration, lacks func(view) string) error {
	late, stop := context.WithTimeout(ctx, most)
	defer stop()
	for {
		objects, changed := b.see()
		why := lacks(objects)
		if why == "" {
			return nil
		}
		select {
		case <-changed:
		case <-late.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("after %s, %s", most, why)
		}
	}
}

// A view is objects as they stand at one moment.
type view map[object.ID]object.Object

// of returns the objects of a kind in order.
func (v view) of(k object.Kind) []object.Object {
	var all []object.Object
	for id, o := range v {
		if id.Kind == k {
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b object.Object) int { return object.Compare(a.ID(), b.ID()) })
	return all
}

// lacks says which units are not ready at a commit, or "" if all are.
func (d *demo) lacks(v view, commit string) string {
	says, err := d.spoken()
	if err != nil {
		return err.Error()
	}
	var not []string
	units := v.of(d.Language.Units()[0].Kind)
	for _, o := range units {
		s := ask.StandingOf(o)
		at := says.RecallUnit(o).Applied.Name
		switch {
		case s.Current && s.Ready == "True" && strings.HasSuffix(at, commit):
		case s.Ready == "True":
			not = append(not, fmt.Sprintf("%s is still at %s", o.Name(), ask.ShortRevision(at)))
		default:
			not = append(not, fmt.Sprintf("%s is not ready: %s", o.Name(), oneLine(s.Message)))
		}
	}
	switch {
	case len(not) > 0:
		return "not all is healthy: " + strings.Join(not, "; ")
	case len(units) == 0:
		return "there are no units"
	}
	return ""
}

// healthy waits until all units are ready at a commit.
func (d *demo) healthy(ctx context.Context, commit string) error {
	return d.board.until(ctx, d.timeout, func(v view) string { return d.lacks(v, commit) })
}

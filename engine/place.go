package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/observe"
	"github.com/sane-gitops/sane/unit"
)

// A place is a cluster that units are kept in, and what is seen of it.
type place struct {
	cluster.Cluster
	look *observe.Watcher
	by   unit.Place // how it is reached; zero for where we run

	room    int         // for how many units at a time
	busy    int         // guarded by Engine.mu; units that have a worker
	waiting []unit.Name // guarded by Engine.mu; units that had no room
}

func (e *Engine) newPlace(ctx context.Context, c cluster.Cluster) *place {
	return &place{
		Cluster: c,
		look: observe.New(ctx, observe.Config{
			Cluster: c, As: func(user string) cluster.Watcher { return c.As(cluster.User(user)) }, Selector: e.c.Dialect.Selector(), Manager: manager, Over: e.c.Over,
			Owner: e.c.Dialect.Owner, Exempt: e.c.Dialect.Exempt, Judges: e.judges, Whole: e.whole, Changed: e.sighted, Log: e.log,
		}),
		room: e.c.Units,
	}
}

// place returns the cluster that t names. One that is not used yet is connected
// to; nothing is asked of it.
func (e *Engine) place(ctx context.Context, t unit.Target) (*place, error) {
	if t.Err != nil {
		return nil, t.Err
	}
	if t.Place == (unit.Place{}) {
		return e.here, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.places[t.Place]; p != nil {
		return p, nil
	}
	c, err := e.reach(t)
	if err != nil {
		return nil, err
	}
	p := e.newPlace(e.ctx, c)
	p.by, p.room = t.Place, max(1, e.c.Units/4)
	e.places[t.Place] = p
	return p, nil
}

// reach returns the cluster that t names. Another than ours is connected to; nothing
// is asked of it, and nothing watched there.
func (e *Engine) reach(t unit.Target) (cluster.Cluster, error) {
	switch {
	case t.Err != nil:
		return nil, t.Err
	case t.Place == (unit.Place{}):
		return e.c.Cluster, nil
	case e.c.Remote == nil:
		return nil, fault.Input(errors.New("other clusters than the one that we run in are not kept here"))
	}
	c, err := e.c.Remote(t.Place)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster that the kubeconfig names: %w", err)
	}
	return c, nil
}

// enter takes room for a unit, so that a cluster that does not answer holds
// some of the workers at most. If there is none the unit is queued when there
// is.
func (e *Engine) enter(p *place, u unit.Name) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case p != e.here && e.places[p.by] != p: // it has just been closed
		e.unitQ.Add(u, changed)
		return false
	case p.busy == p.room:
		if !slices.Contains(p.waiting, u) {
			p.waiting = append(p.waiting, u)
		}
		return false
	}
	p.busy++
	return true
}

// leave gives back a unit's room. One that has left for good while it had a worker
// has nothing watched there any more.
func (e *Engine) leave(p *place, u unit.Name) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if k := e.units[u]; k == nil || k.want.Target.Place != p.by {
		p.look.Unwatch(u)
	}
	p.busy--
	if len(p.waiting) > 0 {
		e.unitQ.Add(p.waiting[0], changed)
		p.waiting = p.waiting[1:]
	}
	e.closeUnused(p)
}

// abandon takes in that a unit has left a cluster for good. e.mu is held.
func (e *Engine) abandon(u unit.Unit) {
	if p := e.at(u.Target.Place); p != nil {
		p.look.Unwatch(u.Name)
		e.closeUnused(p)
	}
}

// at returns the cluster that is reached so; nil if it is not used. e.mu is held.
func (e *Engine) at(by unit.Place) *place {
	if by == (unit.Place{}) {
		return e.here
	}
	return e.places[by]
}

// overlook ends the watches of objects whose health a unit checked, and nobody
// checks any more. e.mu is held.
func (e *Engine) overlook(u unit.Unit) {
	p := e.at(u.Target.Place)
	for _, id := range u.Checks {
		if p != nil && len(e.checked[id]) == 0 {
			p.look.UnwatchObject(id)
		}
	}
}

// closeUnused closes another cluster that no unit is kept in any more, once none
// has a worker there: what is not seen there would be taken for gone. e.mu is
// held.
func (e *Engine) closeUnused(p *place) {
	if p == e.here || p.busy > 0 || len(e.in[p.by]) > 0 {
		return
	}
	delete(e.places, p.by)
	e.closing.Go(p.look.Close)
}

func (e *Engine) closePlaces() {
	e.mu.Lock()
	all := []*place{e.here}
	for _, p := range e.places {
		all = append(all, p)
	}
	e.mu.Unlock()
	for _, p := range all {
		p.look.Close()
	}
	e.closing.Wait()
}

package engine

import (
	"context"

	"github.com/sane-gitops/sane/inventory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// Where only some custom resources are kept, which their labels say, others keep
// the rest, by another process of this program as a rule. Of their units that is
// known which those of ours ask about that come after them, or that objects come
// from or go to: what their objects say. It is taken in when they change, as the
// sources are that others keep, and nothing is written to them.
//
// A resource whose labels change is handed over. Nothing is undone: who had it
// stops, and forgets it, and who has it now takes it up as after a restart without
// memory. Each writes only to what it has seen last, so that one who does not know
// yet is refused.

// stands returns how a unit stands, whoever keeps it, or nil. e.mu is held.
func (e *Engine) stands(name unit.Name) *standing {
	if k := e.units[name]; k != nil {
		return &k.standing
	}
	return e.others[name]
}

// putOther takes in that o asks others for u. e.mu is held.
func (e *Engine) putOther(o object.Object, u unit.Unit) {
	e.relinquish(u.Name)
	if was := e.others[u.Name]; was != nil {
		e.theirs.remove(was.want.Source, u.Name)
	}
	st := e.recallUnit(o)
	st.Owned = nil // there may be many; see ownedBy
	e.others[u.Name] = &standing{by: o.ID(), want: u, status: st}
	e.theirs.add(u.Source, u.Name)
	for _, d := range e.after.of(u.Name) {
		e.unitQ.Add(d, changed)
	}
	if !st.Ready() {
		return
	}
	for _, d := range e.heirless.of(u.Source) {
		e.unitQ.Add(d, changed)
	}
}

// relinquish stops what is done for a unit that others keep now, and forgets it.
// e.mu is held.
func (e *Engine) relinquish(name unit.Name) {
	k := e.units[name]
	if k == nil {
		return
	}
	if k.stop != nil {
		k.stop()
	}
	e.dropUnit(name)
}

// dropOther takes in that nobody asks others for a unit any more. e.mu is held.
func (e *Engine) dropOther(name unit.Name) {
	was := e.others[name]
	if was == nil {
		return
	}
	e.theirs.remove(was.want.Source, name)
	delete(e.others, name)
	e.c.Renderer.Forget(name.String())
	for _, d := range e.after.of(name) {
		e.unitQ.Add(d, changed)
	}
}

// isAt reports whether a unit has got to a revision, as it is asked for now.
func (s *standing) isAt(rev source.Revision) bool {
	return s.status.Ready() && s.status.Generation == s.want.Generation && s.status.Applied.Name == rev.Name
}

// ownedBy returns what a custom resource says that its unit has made.
func (e *Engine) ownedBy(asker object.ID) inventory.Set {
	o, ok := e.object(asker)
	if !ok {
		return nil
	}
	return e.c.Dialect.RecallUnit(o).Owned
}

// wantsElsewhere is wants for a unit of others. One that can't be rendered, and has
// got to what its source is now, wants what it owns.
func (e *Engine) wantsElsewhere(ctx context.Context, u unit.Unit, src feed, s standing) (func(object.ID) bool, error) {
	res, err := e.rendered(ctx, u, src)
	var names func(object.ID) bool
	if err == nil {
		names, err = e.names(ctx, u, res)
	}
	if err == nil {
		return names, nil
	}
	if !s.isAt(src.status.Revision) {
		return nothing, err
	}
	owned := e.ownedBy(s.by)
	return func(id object.ID) bool {
		_, owns := owned[id]
		return owns
	}, nil
}

// sharers returns the units of others that use the same source and are kept in the
// same cluster as u.
func (e *Engine) sharers(ctx context.Context, u unit.Unit) ([]unit.Unit, error) {
	e.mu.Lock()
	var asked []standing
	for _, name := range e.theirs.of(u.Source) {
		if s := e.others[name]; name != u.Name && !s.want.Deleting && !s.want.Paused {
			asked = append(asked, *s)
		}
	}
	e.mu.Unlock()
	var all []unit.Unit
	for _, s := range asked {
		other, ok, err := e.fully(ctx, s)
		if err != nil {
			return nil, err
		}
		if ok && other.Err == nil && other.Target.Place == u.Target.Place {
			all = append(all, other)
		}
	}
	return all, nil
}

// fully returns a unit of others with what it refers to, and whether it is there.
func (e *Engine) fully(ctx context.Context, s standing) (unit.Unit, bool, error) {
	o, ok := e.object(s.by)
	if !ok {
		return unit.Unit{}, false, nil
	}
	asked, err := e.c.Dialect.Read(o, once{ctx, e})
	if err != nil || len(asked.Units) == 0 {
		return unit.Unit{}, false, err
	}
	return asked.Units[0], true, nil
}

// once is a [dialect.Reader] for whoever need not know when that changes what it
// reads.
type once struct {
	ctx context.Context
	e   *Engine
}

func (o once) Get(id object.ID) (object.Object, bool, error) { return o.e.c.Cluster.Get(o.ctx, id) }

// A holding is a unit of others with what it refers to, and what it owns.
type holding struct {
	unit  unit.Unit
	owned inventory.Set
}

// theirs returns a unit of others, and whether it owns an object and may want it
// still. One that can't be read is taken to.
func (r *run) theirs(ctx context.Context, s standing, id object.ID) (u unit.Unit, owns bool) {
	h, known := r.others[s.want.Name]
	if !known {
		h = r.holding(ctx, s)
		if r.others == nil {
			r.others = make(map[unit.Name]holding)
		}
		r.others[s.want.Name] = h
	}
	_, owns = h.owned[id]
	return h.unit, owns
}

// holding returns what a unit of others has, or nothing if that is to go. It is
// asked for once in a run: many objects may come from one unit.
func (r *run) holding(ctx context.Context, s standing) holding {
	h := holding{unit: s.want}
	if s.want.Deleting {
		return h
	}
	u, ok, err := r.e.fully(ctx, s)
	switch {
	case err != nil:
		h.unit.Source = source.FeedName{} // so that it is not asked what it wants
	case !ok:
		return h
	default:
		h.unit = u
	}
	h.owned = r.e.ownedBy(s.by)
	return h
}

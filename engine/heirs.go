package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/sane-gitops/sane/inventory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/unit"
)

// An object goes from one unit to another when a revision takes it out of the
// one and puts it into the other. Whichever of them is brought first looks what
// the other makes of that revision, so that the object is neither deleted nor
// fought about: the one does not delete what the other wants, and the other may
// take what the one does not want any more.

// heirs returns who will have the objects that the unit owns and no longer
// wants, in words. It reports whether that is known: a unit that uses the same
// source and can't be rendered is waited for, for a while.
func (r *run) heirs(ctx context.Context, gone inventory.Set) (map[object.ID]string, bool) {
	r.e.heirIs(r.u, true)
	if len(gone) == 0 {
		return nil, true
	}
	heirs := make(map[object.ID]string)
	others, err := r.e.sharers(ctx, r.u)
	if err != nil {
		return nil, r.fail(err)
	}
	for _, other := range append(r.e.sharing(r.u), others...) {
		wants, err := r.e.wants(ctx, other)
		if err != nil && !r.late(unit.OnUnit) {
			r.e.heirIs(r.u, false)
			r.again = r.deadline(unit.OnUnit)
			return nil, r.wait(unit.OnUnit, "nothing is deleted yet: %s may want it, and can't be rendered", other.Name)
		}
		for id := range gone {
			if wants(id) {
				heirs[id] = other.Name.String()
			}
		}
	}
	return heirs, true
}

// heirIs notes whether it is known who has what a unit does not want any more.
func (e *Engine) heirIs(u unit.Unit, known bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known {
		e.heirless.remove(u.Source, u.Name)
	} else {
		e.heirless.add(u.Source, u.Name)
	}
}

// sharing returns the units that use the same source and are kept in the same
// cluster as u, without u.
func (e *Engine) sharing(u unit.Unit) []unit.Unit {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []unit.Unit
	for _, name := range e.users.of(u.Source) {
		k := e.units[name]
		if name != u.Name && !k.want.Deleting && !k.want.Paused && k.want.Err == nil && k.want.Target.Place == u.Target.Place {
			all = append(all, k.want)
		}
	}
	return all
}

// nothing is wanted by a unit of which that is not known.
func nothing(object.ID) bool { return false }

// errTreeless says that what a unit wants is not known before its source is here.
var errTreeless = errors.New("its source is not here yet")

// wants returns a function that reports whether a unit wants an object as its
// source stands now, brought to that or not.
func (e *Engine) wants(ctx context.Context, u unit.Unit) (func(object.ID) bool, error) {
	e.mu.Lock()
	k, other := e.units[u.Name], e.others[u.Name]
	src, found := e.source(u)
	var st unit.Status
	var released map[object.ID]bool
	if k != nil {
		st, released = *k.status, k.released
	}
	e.mu.Unlock()
	switch {
	case k == nil && other == nil || !found || src.tree == nil && src.deleting:
		return nothing, nil
	case src.tree == nil: // as after a restart
		return nothing, errTreeless
	case other != nil:
		return e.wantsElsewhere(ctx, u, src, *other)
	}
	res, err := e.rendered(ctx, u, src)
	if err != nil {
		return nothing, err
	}
	if res.Digest == st.Rendered && st.Ready() {
		return func(id object.ID) bool {
			_, owns := st.Owned[id]
			return owns && !released[id]
		}, nil
	}
	return e.names(ctx, u, res)
}

// names returns a function that reports whether an object is among those that were
// rendered for a unit.
func (e *Engine) names(ctx context.Context, u unit.Unit, res render.Result) (func(object.ID) bool, error) {
	objects, err := e.c.Renderer.Objects(ctx, res)
	if err != nil {
		return nothing, err
	}
	in, err := e.place(ctx, u.Target)
	if err != nil {
		return nothing, err
	}
	ids := make(map[object.ID]bool, len(objects))
	for _, o := range objects {
		o, _ = render.From(o)
		if o, err = own(ctx, in, o, u); err == nil {
			ids[o.ID()] = true
		}
	}
	return func(id object.ID) bool { return ids[id] }, nil
}

// release takes note of the objects that go over to others, which may take them
// from now on, and wakes those.
func (r *run) release(p plan.Plan) {
	released := make(map[object.ID]bool)
	for _, s := range p.All() {
		if s.Heir != "" {
			released[s.ID] = true
		}
	}
	r.e.mu.Lock()
	known := maps.Equal(r.k.released, released)
	if !known { // or else one that is empty would be kept for every unit
		r.k.released = released
	}
	r.e.mu.Unlock()
	if known || len(released) == 0 { // who could not take them yet needs more than to be told again
		return
	}
	for _, other := range r.e.sharing(r.u) {
		r.e.unitQ.Add(other.Name, changed)
	}
}

// keeper returns the name of the unit that owns an object and wants it still, in
// words, or "".
func (r *run) keeper(ctx context.Context, name unit.Name, id object.ID) string {
	e := r.e
	e.mu.Lock()
	k, other := e.units[name], e.others[name]
	var owns bool
	var u unit.Unit
	if k != nil {
		_, owns = k.status.Owned[id]
		owns = owns && !k.released[id] && !k.want.Deleting
		u = k.want
	}
	e.mu.Unlock()
	if other != nil {
		u, owns = r.theirs(ctx, *other, id)
	}
	if !owns {
		return ""
	}
	if u.Source == r.u.Source && !r.wantedBy(ctx, u)(id) {
		return ""
	}
	return name.String()
}

// wantedBy returns [Engine.wants] of a unit, which is asked for once in a run:
// many objects may come from one unit. One of which that is not known wants what
// it has.
func (r *run) wantedBy(ctx context.Context, u unit.Unit) func(object.ID) bool {
	wants := r.wanted[u.Name]
	if wants != nil {
		return wants
	}
	wants, err := r.e.wants(ctx, u)
	if err != nil {
		wants = func(object.ID) bool { return true }
	}
	if r.wanted == nil {
		r.wanted = make(map[unit.Name]func(object.ID) bool)
	}
	r.wanted[u.Name] = wants
	return wants
}

// held returns an error if the plan waits for somebody's approval.
func (r *run) held(p plan.Plan) error {
	held := p.Held()
	if len(held) == 0 {
		return nil
	}
	var ids []object.ID
	for _, s := range held {
		ids = append(ids, s.ID)
	}
	return &unit.HeldError{
		What: fmt.Sprintf("%s would delete %d of %d objects (%s), and nothing of it is applied",
			r.st.Attempted.Name, len(held), len(r.st.Owned), some(ids)),
		Approval: p.Deletions(),
	}
}

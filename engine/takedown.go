package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/sane-gitops/sane/inventory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/unit"
)

// takeDown deletes what was made for a unit that is being deleted and then lets
// go of the object that asked for it. It returns when to try again.
func (e *Engine) takeDown(ctx context.Context, r *run) time.Time {
	leave := r.u.Paused || r.u.Orphan
	if !leave && !r.remove(ctx) && !errors.Is(r.st.Err, unit.ErrLeft) {
		due, _ := r.conclude(ctx)
		return due
	}
	if !leave {
		r.st.Ended = e.now()
		if err := r.say(ctx); err != nil {
			e.log.Warn("write status", "unit", r.u.Name.String(), "error", err)
		}
	}
	if err := e.letGo(ctx, r.k.by); err != nil {
		e.log.Warn("remove finalizer", "object", r.k.by.String(), "error", err)
		return r.unheard()
	}
	r.k.gone = true
	return time.Time{}
}

// remove deletes all that the unit owns, and reports whether nothing is left to
// be done or waited for.
func (r *run) remove(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, r.u.Timeout)
	defer cancel()
	r.st.Phase = unit.Pruning
	if errors.Is(r.was.Err, unit.ErrRecall) {
		return r.fail(r.was.Err)
	}
	if r.lost != nil && len(r.st.Owned) == 0 { // what is meant to be made is written before it is
		return r.over()
	}
	if r.lost != nil {
		return r.fail(fmt.Errorf("its objects can't be deleted: %w", r.lost))
	}
	r.recall()
	st := plan.State{Owned: maps.Clone(r.st.Owned), Known: make(map[object.ID]plan.Known)}
	if err := r.watch(ctx, st.Owned); err != nil {
		return r.fail(err)
	}
	r.lookFor(st, maps.Clone(st.Owned))
	heirs, known := r.heirs(ctx, st.Owned)
	if !known {
		return false
	}
	st.Heirs = heirs
	p, err := plan.Make(st, plan.Policy{Prune: true, Early: r.u.Policy.Early})
	if err != nil {
		return r.fail(err)
	}
	r.made.begin("", mark{}, nil)
	defer r.stow()
	if !r.prune(ctx, p) {
		return false
	}
	if r.u.AwaitGone {
		return r.awaitEnd(ctx, st, p)
	}
	return r.over()
}

func (r *run) over() bool {
	r.st.Phase, r.st.Owned = unit.Done, nil
	return true
}

// awaitEnd reports whether all objects have gone that p deletes, or that were
// being deleted. While it waits the unit owns them.
func (r *run) awaitEnd(ctx context.Context, st plan.State, p plan.Plan) bool {
	left := make(inventory.Set)
	for _, s := range p.All() {
		if k := st.Known[s.ID]; s.Verb != plan.Delete && (!k.Deleting || !k.Ours) {
			continue
		}
		if seen, ok := r.in.look.See(s.ID); ok && !seen.Gone {
			left[s.ID] = st.Owned[s.ID]
		}
	}
	if len(left) == 0 {
		return r.over()
	}
	r.st.Owned = left
	if r.late(unit.OnRemoval) {
		return r.fail(fmt.Errorf("timeout after %s waiting for the end of %s: something holds them, such as a finalizer; they are %w", r.u.Timeout, some(left.IDs()), unit.ErrLeft))
	}
	return r.wait(unit.OnRemoval, "waiting for the end of %s", some(left.IDs()))
}

// some names objects, or the first of them if there are many.
func some(ids []object.ID) string {
	const most = 5
	var names []string
	for _, id := range ids[:min(len(ids), most)] {
		names = append(names, id.String())
	}
	if more := len(ids) - most; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/unit"
)

// takeDown deletes what was made for a unit that is being deleted and then lets
// go of the object that asked for it. It returns when to try again.
func (e *Engine) takeDown(ctx context.Context, r *run) time.Time {
	leave := r.u.Paused || !r.u.Policy.Prune || r.u.Orphan
	if !leave && !r.remove(ctx) {
		due, _ := r.conclude(ctx)
		return due
	}
	again := e.letGo(ctx, r.k.by)
	r.k.gone = again.IsZero()
	return again
}

// remove deletes all that the unit owns.
func (r *run) remove(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, r.u.Timeout)
	defer cancel()
	r.st.Phase = unit.Pruning
	if errors.Is(r.was.Err, unit.ErrRecall) {
		return r.fail(r.was.Err)
	}
	if r.lost != nil {
		return r.fail(fmt.Errorf("its objects can't be deleted: %w", r.lost))
	}
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
	p, err := plan.Make(st, plan.Policy{Prune: true})
	if err != nil {
		return r.fail(err)
	}
	r.made.begin("", nil)
	defer r.stow()
	return r.prune(ctx, p)
}

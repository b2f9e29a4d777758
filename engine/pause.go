package engine

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
)

// paused returns what o says of its being left alone, and tells what is new
// about that. Only an object that comes from the cluster says who asked for it;
// one that is read again without that says what it said. e.mu is held.
func (e *Engine) paused(o object.Object, was asking) *dialect.Pause {
	if _, whole := o.Get("metadata", "managedFields"); !whole && was.uid == o.UID() {
		return was.pause
	}
	before, is := orNone(was.pause), e.c.Dialect.Pause(o)
	if over := before.Until; !is.On && is.By == resumer && !over.IsZero() && !e.now().Before(over) {
		is.By = "" // it went on by itself
	}
	if !e.foreign(o) {
		e.tell(e.c.Dialect.TellPause(o, before, is, e.now()))
	}
	if !is.On {
		return nil
	}
	return &is
}

func orNone(p *dialect.Pause) dialect.Pause {
	if p == nil {
		return dialect.Pause{}
	}
	return *p
}

// goOn ends an object's pause if its time has come. It returns when that is; zero
// if nobody has said.
func (e *Engine) goOn(ctx context.Context, id object.ID) time.Time {
	e.mu.Lock()
	until := orNone(e.asked[id].pause).Until
	e.mu.Unlock()
	if until.IsZero() || e.now().Before(until) {
		return until
	}
	if err := e.resume(ctx, id); err != nil && ctx.Err() == nil {
		e.log.Warn("resume", "object", id.String(), "error", err)
		return e.now().Add(unresumed)
	}
	return time.Time{}
}

// unresumed is how long an object is left as it is that could not be resumed.
const unresumed = 30 * time.Second

// resumer is the field manager of objects that go on by themselves: whoever says
// in Git that they are suspended is seen to differ.
const resumer = "sane"

// resume has an object say that it is to be seen to again, if it still stands as
// it was seen.
func (e *Engine) resume(ctx context.Context, id object.ID) error {
	o, ok := e.object(id)
	if !ok || e.foreign(o) {
		return nil
	}
	patch := object.Of(e.c.Dialect.SetPause(dialect.Pause{})).With(o.ResourceVersion(), "metadata", "resourceVersion")
	data, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	_, err = e.c.Cluster.Patch(ctx, id, cluster.Patch{Type: cluster.MergePatch, Data: data}, cluster.How{Manager: resumer, Brief: true})
	switch {
	case errors.Is(err, cluster.ErrNotFound):
		return nil
	case errors.Is(err, cluster.ErrConflict):
		return e.refresh(ctx, id, err)
	}
	return err // or nil: the watch has the rest to tell
}

// sooner returns the earlier of two times, of which zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
)

// write changes a custom resource's status from what it says to what told says.
// It writes nothing if that is the same, or if it is others who are to write it.
func (e *Engine) write(ctx context.Context, o, told object.Object) error {
	if e.foreign(o) {
		return nil
	}
	was, _ := o.Get("status")
	now, _ := told.Get("status")
	diff := mergeDiff(was, now)
	if diff == nil {
		return nil
	}
	patch := object.Of(map[string]any{"status": diff})
	if e.c.Selected != nil { // others may have it by now
		patch = patch.With(o.ResourceVersion(), "metadata", "resourceVersion")
	}
	data := patch.JSON()
	got, err := e.c.Cluster.Patch(ctx, o.ID(), cluster.Patch{Type: cluster.MergePatch, Data: data},
		cluster.How{Manager: e.c.Dialect.Manager(o.ID().Kind), Subresource: "status", Brief: true})
	if errors.Is(err, cluster.ErrNotFound) {
		return nil // it has been deleted: nobody reads it any more
	}
	if errors.Is(err, cluster.ErrConflict) {
		return e.refresh(ctx, o.ID(), err)
	}
	if err != nil {
		return err
	}
	if question(got, false) == question(o, false) { // or else the watch has more to tell than what we wrote
		e.note(told.With(got.ResourceVersion(), "metadata", "resourceVersion"))
	}
	return nil
}

// tell tells all sinks of events.
func (e *Engine) tell(events []report.Event) {
	for _, ev := range events {
		for _, s := range e.c.Sinks {
			s.Report(ev)
		}
	}
}

// mergeDiff returns the JSON merge patch (RFC 7386) that takes a to b, or nil
// if they are equal.
func mergeDiff(a, b any) any {
	am, aok := a.(map[string]any)
	bm, bok := b.(map[string]any)
	if !bok || !aok && a != nil {
		if sameJSON(a, b) {
			return nil
		}
		return b
	}
	diff := make(map[string]any)
	for k, v := range bm {
		old, there := am[k]
		if !there {
			diff[k] = v
		} else if d := mergeDiff(old, v); d != nil {
			diff[k] = d
		}
	}
	for k := range am {
		if _, there := bm[k]; !there {
			diff[k] = nil
		}
	}
	if len(diff) == 0 {
		return nil
	}
	return diff
}

func sameJSON(a, b any) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	x, y := object.Of(map[string]any{"": a}), object.Of(map[string]any{"": b})
	return bytes.Equal(x.JSON(), y.JSON())
}

// hold puts the dialect's finalizer on a custom resource, so that it stays
// until what was made for it has been taken down.
func (e *Engine) hold(ctx context.Context, id object.ID) error {
	if e.held(id) {
		return nil
	}
	return e.finalizers(ctx, id, func(all []string) []string {
		if slices.Contains(all, e.c.Dialect.Finalizer()) {
			return all
		}
		return append(slices.Clone(all), e.c.Dialect.Finalizer())
	})
}

// letGo takes the dialect's finalizer off a custom resource.
func (e *Engine) letGo(ctx context.Context, id object.ID) error {
	return e.finalizers(ctx, id, func(all []string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(f string) bool { return f == e.c.Dialect.Finalizer() })
	})
}

// finalizers changes the finalizers of a custom resource as change says.
func (e *Engine) finalizers(ctx context.Context, id object.ID, change func([]string) []string) error {
	o, ok := e.object(id)
	if !ok || e.foreign(o) {
		return nil
	}
	was := o.Finalizers()
	now := change(was)
	if slices.Equal(was, now) {
		return nil
	}
	data, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"finalizers": now, "resourceVersion": o.ResourceVersion(),
	}})
	if err != nil {
		return err
	}
	got, err := e.c.Cluster.Patch(ctx, id, cluster.Patch{Type: cluster.MergePatch, Data: data},
		cluster.How{Manager: e.c.Dialect.Manager(id.Kind)})
	switch {
	case errors.Is(err, cluster.ErrNotFound):
		return nil
	case errors.Is(err, cluster.ErrConflict):
		return e.refresh(ctx, id, err)
	case err != nil:
		return err
	}
	e.note(got)
	return nil
}

// refresh has a custom resource seen as it is in the cluster, after a write was
// refused since it has changed. It returns an error in any case: the write is to
// be tried again.
func (e *Engine) refresh(ctx context.Context, id object.ID, cause error) error {
	o, ok, err := e.c.Cluster.Get(ctx, id)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%s is gone: %w", id, cause)
	}
	defer e.turns.of(id)()
	if round, ok := e.round(id); ok {
		e.takeNow(ctx, o, round)
	}
	return cause
}

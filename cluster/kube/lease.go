package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/delay"
	"github.com/sane-gitops/sane/object"
)

// A Lease is what only one of several processes may hold. The fields without a
// comment about their zero must be set.
type Lease struct {
	Namespace, Name string
	Identity        string // of this process: no other may have it

	Lasts    time.Duration // without being renewed; 0 means 35 s
	Deadline time.Duration // for renewing it, after which it is given up; 0 means 30 s
	Retry    time.Duration // between attempts to get or to renew it; 0 means 5 s
}

// ErrLeaseLost says that a lease could not be renewed in time, or that another
// process has it.
var ErrLeaseLost = errors.New("lease lost")

// Lead waits until l can be had from c, calls run, and gives the lease back
// when run has returned. The context of run ends with ctx, or when the lease
// can't be renewed. Lead returns nil if ctx was done or run returned by itself,
// and otherwise an error that wraps [ErrLeaseLost].
func Lead(ctx context.Context, c cluster.Cluster, l Lease, run func(context.Context)) error {
	l.Lasts = cmp.Or(l.Lasts, 35*time.Second)
	l.Deadline = cmp.Or(l.Deadline, 30*time.Second)
	l.Retry = cmp.Or(l.Retry, 5*time.Second)
	h := &holder{Lease: l, c: c}
	for first := true; ; first = false {
		got, err := h.take(ctx)
		if got {
			break
		}
		if errors.Is(err, cluster.ErrForbidden) && first {
			return err
		}
		if !delay.For(ctx, l.Retry) {
			return nil
		}
	}
	return h.lead(ctx, run)
}

// A holder is one process that has a lease, or wants it.
type holder struct {
	Lease
	c cluster.Cluster

	seen  string    // the lease's version when it was last seen to change
	since time.Time // when that was, by our own clock
}

// lead calls run while the lease is renewed, and gives it back.
func (h *holder) lead(ctx context.Context, run func(context.Context)) error {
	ctx, stop := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { h.renew(ctx, stop) })
	run(ctx)
	stop(nil)
	renewing.Wait()
	if lost := context.Cause(ctx); errors.Is(lost, ErrLeaseLost) {
		return lost
	}
	h.release()
	return nil
}

// renew renews the lease until ctx is done. If that fails for too long it says
// so to lost.
func (h *holder) renew(ctx context.Context, lost context.CancelCauseFunc) {
	last := time.Now()
	for delay.For(ctx, h.Retry) {
		try, done := context.WithDeadline(ctx, last.Add(h.Deadline))
		got, err := h.take(try)
		done()
		switch {
		case got:
			last = time.Now()
		case err == nil:
			lost(fmt.Errorf("lease %s/%s: another process holds it: %w", h.Namespace, h.Name, ErrLeaseLost))
			return
		case time.Since(last) >= h.Deadline:
			lost(fmt.Errorf("renew lease %s/%s: %w: %w", h.Namespace, h.Name, ErrLeaseLost, err))
			return
		}
	}
}

var leases = object.Kind{Group: "coordination.k8s.io", Name: "Lease"}

const leaseManager = "sane"

func (h *holder) id() object.ID {
	return object.ID{Kind: leases, Namespace: h.Namespace, Name: h.Name}
}

// take gets or renews the lease, and reports whether we hold it. That somebody
// else does is no error.
func (h *holder) take(ctx context.Context) (bool, error) {
	o, there, err := h.c.Get(ctx, h.id())
	if err != nil {
		return false, err
	}
	if !there {
		return ours(h.c.Create(ctx, object.Of(map[string]any{
			"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
			"metadata": map[string]any{"namespace": h.Namespace, "name": h.Name},
			"spec":     h.spec(0, true),
		}), cluster.How{Manager: leaseManager}))
	}
	by, turns := held(o)
	if by != h.Identity && by != "" && !h.stale(o) {
		return false, nil
	}
	if by != h.Identity {
		turns++
	}
	return ours(h.write(ctx, o, h.spec(turns, by != h.Identity)))
}

// ours reports whether a write made the lease ours: not if somebody else was
// quicker.
func ours(_ object.Object, err error) (bool, error) {
	if errors.Is(err, cluster.ErrConflict) {
		return false, fmt.Errorf("somebody else was quicker: %w", err)
	}
	return err == nil, err
}

// stale reports whether the lease has not changed for as long as it lasts, by
// our own clock.
func (h *holder) stale(o object.Object) bool {
	if v := o.ResourceVersion(); v != h.seen {
		h.seen, h.since = v, time.Now()
	}
	lasts := h.Lasts
	if v, ok := o.Get("spec", "leaseDurationSeconds"); ok {
		if n, ok := v.(int64); ok {
			lasts = max(time.Duration(n)*time.Second, lasts)
		}
	}
	return time.Since(h.since) >= lasts
}

func held(o object.Object) (by string, turns int64) {
	v, _ := o.Get("spec", "holderIdentity")
	by, _ = v.(string)
	v, _ = o.Get("spec", "leaseTransitions")
	turns, _ = v.(int64)
	return by, turns
}

func (h *holder) spec(turns int64, fresh bool) map[string]any {
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000000Z07:00")
	spec := map[string]any{
		"holderIdentity":       h.Identity,
		"leaseDurationSeconds": max(int64(h.Lasts/time.Second), 1),
		"renewTime":            now,
	}
	if fresh {
		spec["acquireTime"], spec["leaseTransitions"] = now, turns
	}
	return spec
}

// write changes the lease if it is still as it was in o.
func (h *holder) write(ctx context.Context, o object.Object, spec map[string]any) (object.Object, error) {
	data, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": o.ResourceVersion()},
		"spec":     spec,
	})
	if err != nil {
		return object.Object{}, err
	}
	return h.c.Patch(ctx, h.id(), cluster.Patch{Type: cluster.MergePatch, Data: data}, cluster.How{Manager: leaseManager})
}

// release gives the lease back, so that nobody has to wait until it is stale.
func (h *holder) release() {
	ctx, stop := context.WithTimeout(context.Background(), h.Retry)
	defer stop()
	o, there, err := h.c.Get(ctx, h.id())
	if by, _ := held(o); err != nil || !there || by != h.Identity {
		return
	}
	_, _ = h.write(ctx, o, map[string]any{"holderIdentity": "", "leaseDurationSeconds": 1}) // it becomes stale otherwise
}

package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/object"
)

// The bare loop works in the shape of the controller: so many units at a time,
// and so many objects of a unit at a time.
const (
	floorUnits   = 8
	floorObjects = 4
)

// floorNamespace is where the bare loop works.
const floorNamespace = "sane-bench-floor"

// bare is how the bare loop writes.
var bare = cluster.How{Manager: "sane-bench", Force: true}

// A Floor is what the least that the contract asks for costs: one server-side
// apply for each object that changes, and one status write for each unit. It is
// timed as the controller is: by a watch of the units, which costs the API server
// and this program something.
type Floor struct {
	R time.Duration `json:"R_ns"` // median round trip of one bare apply on the idle server
	C time.Duration `json:"C_ns"` // the client's CPU time for one bare apply

	First     Cost // all objects of all units, and their statuses
	Upgrade   Cost // one object of each unit, and their statuses
	Settle    Cost // only the statuses
	DriftMany Cost // an edit of one object of each unit, and one apply
}

// A Cost is what the bare loop took.
type Cost struct {
	Seconds float64
	Client  float64 // CPU seconds of the loop
	Server  float64 // CPU seconds of the API server
}

// measureFloor runs the bare loop, and takes away what it made.
func (s *stage) measureFloor(ctx context.Context) (f Floor, err error) {
	if err := s.makeNamespace(ctx, floorNamespace); err != nil {
		return f, err
	}
	if f.R, f.C, err = s.roundTrip(ctx); err != nil {
		return f, err
	}
	if err := s.inParallel(ctx, s.n, s.floorUnit); err != nil {
		return f, err
	}
	if err := s.measureWork(ctx, &f); err != nil {
		return f, err
	}
	if err := s.clearFloor(ctx); err != nil {
		return f, err
	}
	r, c, err := s.roundTrip(ctx) // once more: whatever else runs on the machine makes it longer
	f.R, f.C = min(f.R, r), min(f.C, c)
	return f, err
}

// measureWork measures what the bare loop takes for what the workloads ask for.
func (s *stage) measureWork(ctx context.Context, f *Floor) error {
	units, err := look(ctx, s.cluster, cluster.Selection{Kind: kustomization, Namespace: floorNamespace}, unitFactOf)
	if err != nil {
		return err
	}
	defer units.close()
	for round, w := range []struct {
		cost *Cost
		work func(ctx context.Context, i int) error
	}{
		{&f.First, func(ctx context.Context, i int) error { return s.send(ctx, unitObjects(i, floorNamespace, "v0")) }},
		{&f.Upgrade, func(ctx context.Context, i int) error { return s.send(ctx, unitObjects(i, floorNamespace, "v1")[:1]) }},
		{&f.Settle, func(ctx context.Context, i int) error { return nil }},
	} {
		if *w.cost, err = s.cost(ctx, func(ctx context.Context, i int) error {
			return errors.Join(w.work(ctx, i), s.report(ctx, i, round))
		}, units.expect(unitNames(s.n), readyAt(floorRevision(round)))); err != nil {
			return err
		}
	}
	deployments, err := look(ctx, s.cluster, cluster.Selection{Kind: deployment, Namespace: floorNamespace}, deploymentFactOf)
	if err != nil {
		return err
	}
	defer deployments.close()
	f.DriftMany, err = s.cost(ctx, func(ctx context.Context, i int) error {
		_, err := s.edit(ctx, floorNamespace, i)
		return errors.Join(err, s.send(ctx, unitObjects(i, floorNamespace, "v1")[:1]))
	}, nil)
	return err
}

// A waiter waits for what is expected.
type waiter interface {
	wait(context.Context) (time.Time, error)
}

// cost measures what it takes to do work for each unit, until what it does has
// been seen, if anybody looks out for that.
func (s *stage) cost(ctx context.Context, work func(ctx context.Context, i int) error, seen waiter) (Cost, error) {
	if err := s.calm(ctx); err != nil {
		return Cost{}, err
	}
	before, err := read(ctx, s.kube)
	if err != nil {
		return Cost{}, err
	}
	client, began := ownCPU(), time.Now()
	if err := s.inParallel(ctx, s.n, work); err != nil {
		return Cost{}, err
	}
	last := time.Now()
	if seen != nil {
		if last, err = seen.wait(ctx); err != nil {
			return Cost{}, err
		}
	}
	c := Cost{Seconds: last.Sub(began).Seconds(), Client: (ownCPU() - client).Seconds()}
	after, err := read(ctx, s.kube)
	c.Server = after.cpu - before.cpu
	return c, err
}

// report writes the status of a unit.
func (s *stage) report(ctx context.Context, i, round int) error {
	id := object.ID{Kind: kustomization, Namespace: floorNamespace, Name: unitName(i)}
	_, err := s.cluster.Patch(ctx, id, cluster.Patch{Type: cluster.MergePatch, Data: floorStatus(id.Name, round)},
		cluster.How{Manager: bare.Manager, Subresource: "status", Brief: true})
	return err
}

// send applies objects, all at once.
func (s *stage) send(ctx context.Context, objects []object.Object) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(floorObjects)
	for _, o := range objects {
		g.Go(func() error {
			// As many labels as an owner would put there, but not an owner's.
			o = o.WithLabels(map[string]string{"floor.bench.sane.dev/name": o.Name(), "floor.bench.sane.dev/namespace": floorNamespace})
			_, err := s.cluster.Apply(ctx, o, bare)
			return err
		})
	}
	return g.Wait()
}

// floorUnit makes a unit that no controller touches, for its status.
func (s *stage) floorUnit(ctx context.Context, i int) error {
	o := unitOf(floorNamespace, unitName(i), "units", unitPath(i), "1h").With(true, "spec", "suspend")
	_, err := s.cluster.Apply(ctx, o, bare)
	return err
}

// floorRevision is what the units are at after a round of the bare loop.
func floorRevision(round int) string { return fmt.Sprintf("main@sha1:%040d", round) }

// floorStatus is a patch of a unit's status as the contract has it: what is new
// in the given round. Its history has an entry for each round that changed an
// object, which are the first two.
func floorStatus(name string, round int) []byte {
	rev := floorRevision(round)
	var history []any
	for made := min(round, 1); made >= 0; made-- {
		at := round
		if made < min(round, 1) {
			at = made
		}
		history = append(history, map[string]any{
			"digest":          digest.Of([]byte(floorRevision(made))),
			"firstReconciled": "2026-01-01T00:00:00Z", "lastReconciled": "2026-01-01T00:00:00Z",
			"lastReconciledDuration": "12ms", "lastReconciledStatus": "ReconciliationSucceeded",
			"totalReconciliations": 1 + at - made, "metadata": map[string]any{"revision": floorRevision(at)},
		})
	}
	status := map[string]any{
		"conditions": []any{map[string]any{
			"type": "Ready", "status": "True", "reason": "ReconciliationSucceeded", "message": "Applied revision: " + rev,
			"lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
		}},
		"history":             history,
		"lastAppliedRevision": rev, "lastAttemptedRevision": rev,
	}
	if round == 0 {
		status["observedGeneration"] = 1
		status["inventory"] = map[string]any{"entries": floorInventory(name)}
	}
	data, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		panic(err) // strings can be marshalled
	}
	return data
}

func floorInventory(name string) (entries []any) {
	for _, o := range []string{"_%s_apps_Deployment", "_%s__ServiceAccount", "_%s__Service", "_%s_networking.k8s.io_Ingress"} {
		entries = append(entries, map[string]any{"id": floorNamespace + fmt.Sprintf(o, name), "v": "v1"})
	}
	return entries
}

// roundTrip measures R and C by applies one after the other, each of which
// changes a label of one Deployment.
func (s *stage) roundTrip(ctx context.Context) (r, c time.Duration, err error) {
	const warm, count = 50, 500
	o := unitObjects(0, floorNamespace, "v0")[0]
	o = o.With(unitName(99999), "metadata", "name")
	var took Sample
	var cpu time.Duration
	for i := range warm + count {
		if i == warm {
			if err := s.calm(ctx); err != nil {
				return 0, 0, err
			}
			cpu = ownCPU()
		}
		began := time.Now()
		if _, err := s.cluster.Apply(ctx, o.WithLabels(map[string]string{"round": strconv.Itoa(i)}), bare); err != nil {
			return 0, 0, err
		}
		if i >= warm {
			took = append(took, time.Since(began))
		}
	}
	return took.Median(), (ownCPU() - cpu) / count, s.cluster.Delete(ctx, o.ID(), cluster.Where{})
}

// clearFloor takes away what the bare loop made.
func (s *stage) clearFloor(ctx context.Context) error {
	err := s.inParallel(ctx, s.n, func(ctx context.Context, i int) error {
		ids := []object.ID{{Kind: kustomization, Namespace: floorNamespace, Name: unitName(i)}}
		for _, k := range managed {
			ids = append(ids, object.ID{Kind: k, Namespace: floorNamespace, Name: unitName(i)})
		}
		for _, id := range ids {
			if err := s.cluster.Delete(ctx, id, cluster.Where{}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.calm(ctx)
}

// inParallel does work for each of the first n units, some at a time.
func (s *stage) inParallel(ctx context.Context, n int, work func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(floorUnits)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return work(ctx, i) })
	}
	return g.Wait()
}

// ownCPU returns the CPU time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

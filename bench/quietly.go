package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// pageSize is how many objects the API server gives at a time to those who ask
// for pages, as all clients do.
const pageSize = 500

// restart measures what a controller does that finds all as it left it.
func restart(ctx context.Context, s *stage) (o Outcome, err error) {
	listing, err := s.bareListing(ctx)
	if err != nil {
		return o, err
	}
	s.stopController()
	if err := s.calm(ctx); err != nil {
		return o, err
	}
	var cpu time.Duration
	u, err := s.measure(ctx, func() (last time.Time, err error) {
		if err := s.startController(ctx); err != nil {
			return last, err
		}
		last, cpu, err = s.quiet(ctx)
		return last, err
	})
	if err != nil {
		return o, err
	}
	o.use("restart", u)
	writes := u.Requests.Where(func(r Request) bool { return r.writes() && (about(r) || aboutUnits(r)) })
	lists := s.listsPerKind(u.Requests)
	least := Quantity{listing.Seconds(), CPUSeconds}
	o.Rows = []Row{
		{Workload: "restart", What: "writes", Measured: Quantity{float64(writes.Count(anyRequest)), Count}, Goal: none},
		{Workload: "restart", What: "lists of one kind, at the most", Measured: Quantity{lists, Count}, Goal: Goal{"≤ 1", 1}},
		{Workload: "restart", What: "CPU until all is verified", Measured: Quantity{cpu.Seconds(), CPUSeconds}, Floor: least, Goal: times(2, least)},
		{Workload: "restart", What: "time until all is verified", Measured: Quantity{u.Seconds, Seconds}},
	}
	o.note("writes: %s", writes)
	o.note("reads: %s", u.Requests.Where(func(r Request) bool { return !r.writes() && (about(r) || aboutUnits(r)) }))
	return o, s.proveWatchful(ctx, &o)
}

func anyRequest(Request) bool { return true }

// listsPerKind returns how often the kind that was listed most often was listed.
// Pages of one list count as one.
func (s *stage) listsPerKind(r Requests) float64 {
	pages := float64((s.n + pageSize - 1) / pageSize)
	most := 0.0
	for k, n := range r {
		if k.Verb != "LIST" || !about(k) && !aboutUnits(k) {
			continue
		}
		of := pages
		if k.Resource == "gitrepositories.source.toolkit.fluxcd.io" {
			of = 1
		}
		most = max(most, float64(n)/of)
	}
	return most
}

// bareListing returns the CPU time that a bare client takes to list all
// objects that a controller has to know.
func (s *stage) bareListing(ctx context.Context) (time.Duration, error) {
	var least time.Duration
	for range 3 {
		began := ownCPU()
		for _, k := range append([]object.Kind{kustomization, gitRepository}, managed...) {
			for _, err := range s.cluster.List(ctx, cluster.Selection{Kind: k, Namespace: benchNamespace}) {
				if err != nil {
					return 0, err
				}
			}
		}
		if d := ownCPU() - began; least == 0 || d < least {
			least = d
		}
	}
	return least, nil
}

// proveWatchful sees that a controller that has come to rest does its work: it
// undoes a foreign edit.
func (s *stage) proveWatchful(ctx context.Context, o *Outcome) error {
	deployments, err := s.lookAtDeployments(ctx)
	if err != nil {
		return err
	}
	defer deployments.close()
	d, err := s.driftOnce(ctx, deployments, s.n-1)
	if err != nil {
		return fmt.Errorf("a foreign edit after the restart is not undone: %w", err)
	}
	o.note("a foreign edit after the restart was undone in %s", took(d))
	return nil
}

// idle measures what a controller does when there is nothing to do.
func idle(ctx context.Context, s *stage) (o Outcome, err error) {
	if err := s.setInterval(ctx, "1m"); err != nil {
		return o, err
	}
	if err := s.rest(ctx); err != nil {
		return o, err
	}
	u, err := s.measure(ctx, func() (time.Time, error) {
		select {
		case <-time.After(s.Idle):
			return time.Now(), nil
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	})
	if err != nil {
		return o, err
	}
	o.use("idle", u)
	requests := u.Requests.Where(func(r Request) bool { return about(r) || aboutUnits(r) })
	o.Rows = []Row{
		{Workload: "idle", What: "CPU of a core", Measured: Quantity{100 * u.Controller / u.Seconds, Percent}, Goal: Goal{"< 1 %", 1}},
	}
	o.counted("idle", "requests but watches and leases", float64(requests.Count(anyRequest)), u.Told, 0)
	o.note("for %s; requests: %s", s.Idle, requests)
	return o, nil
}

// setInterval has all units and their source looked at so often, and waits
// until that is known.
func (s *stage) setInterval(ctx context.Context, every string) error {
	patch := cluster.Patch{Type: cluster.MergePatch, Data: fmt.Appendf(nil, `{"spec":{"interval":%q}}`, every)}
	how := cluster.How{Manager: bare.Manager, Force: true}
	id := object.ID{Kind: gitRepository, Namespace: benchNamespace, Name: reposName}
	if _, err := s.cluster.Patch(ctx, id, patch, how); err != nil {
		return err
	}
	err := s.inParallel(ctx, s.n, func(ctx context.Context, i int) error {
		_, err := s.cluster.Patch(ctx, object.ID{Kind: kustomization, Namespace: benchNamespace, Name: unitName(i)}, patch, how)
		return err
	})
	if err != nil {
		return err
	}
	_, err = s.units.expect(unitNames(s.n), func(f unitFact) bool { return f.generation > 1 && f.ready && f.observed == f.generation }).wait(ctx)
	return err
}

// memory measures what the units take, and what as many again take more.
func memory(ctx context.Context, s *stage) (o Outcome, err error) {
	const while = 5 * time.Second
	s.sampler.reset()
	peak := s.sampler.most()
	before, live := s.sampler.steady(ctx, while), s.live(ctx, "before")
	pss := s.controller.tree.pss()
	more := unitNames(2 * s.n)[s.n:]
	ready := s.units.expect(more, readyAt(s.revision))
	u, err := s.measure(ctx, func() (time.Time, error) {
		if err := s.createUnits(ctx, benchNamespace, reposName, s.n, s.n); err != nil {
			return time.Time{}, err
		}
		return ready.wait(ctx)
	})
	if err != nil {
		return o, err
	}
	o.use("as many units again", u)
	if err := s.rest(ctx); err != nil {
		return o, err
	}
	after, liveAfter := s.sampler.steady(ctx, while), s.live(ctx, "after")
	each := slope(0, float64(before.Total()), float64(perUnit*s.n), float64(after.Total()))
	o.Rows = []Row{
		{Workload: "memory", What: "peak of all so far", Measured: Quantity{float64(peak.Total()), Bytes}, Goal: Goal{"< 150 MiB", 150 << 20}},
		{Workload: "memory", What: "for each object more", Measured: Quantity{each, Bytes}, Goal: Goal{"< 2 KiB", 2 << 10}},
	}
	o.note("memory is the sum of the anonymous memory of all processes of the controller, and of the files that each program has mapped, ten times a second")
	o.note("peak: %s anonymous, %s mapped", size(float64(peak.Own)), size(float64(peak.Mapped)))
	o.note("steady with %d objects: %s (Pss by smaps_rollup: %s); with %d: %s", perUnit*s.n, size(float64(before.Total())), size(float64(pss)),
		2*perUnit*s.n, size(float64(after.Total())))
	if live > 0 && liveAfter > 0 {
		o.note("live heap of the controller after a collection: %s, then %s: %s for each object more", size(float64(live)), size(float64(liveAfter)),
			size(slope(0, float64(live), float64(perUnit*s.n), float64(liveAfter))))
	}
	return o, nil
}

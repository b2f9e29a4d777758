package bench

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sane-gitops/sane/object"
)

// chain measures how long units take that come one after the other and wait for
// the health of what they made.
func chain(ctx context.Context, s *stage) (o Outcome, err error) {
	deployments, err := s.lookAtDeployments(ctx)
	if err != nil {
		return o, err
	}
	defer deployments.close()
	names := linkNames()
	made := deployments.expect(names, func(deploymentFact) bool { return true })
	available := deployments.expect(names, func(f deploymentFact) bool { return f.available })
	ready := s.units.expect(names, readyAt(s.revision))
	u, err := s.measure(ctx, func() (time.Time, error) {
		if err := s.createChain(ctx); err != nil {
			return time.Time{}, err
		}
		return ready.wait(ctx)
	})
	if err != nil {
		return o, err
	}
	o.use("chain", u)
	var own time.Duration
	for _, n := range names {
		own += available.when(n).Sub(made.when(n))
	}
	link := (u.Seconds - own.Seconds()) / chainLinks
	o.Rows = []Row{{Workload: "chain", What: "a link, above the workloads' own time", Measured: Quantity{link, Seconds}, Goal: s.inR(10)}}
	o.note("%s in all; %s from each Deployment's first sight to its being available", Quantity{u.Seconds, Seconds}, took(own))
	return o, nil
}

// createChain makes the units of the chain, all at once.
func (s *stage) createChain(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range chainLinks {
		g.Go(func() error { return s.create(ctx, link(i)) })
	}
	return g.Wait()
}

// link returns the ith unit of the chain.
func link(i int) object.Object {
	o := unitOf(benchNamespace, linkName(i), reposName, linkPath(i), hour).With(true, "spec", "wait")
	if i == 0 {
		return o
	}
	return o.With([]any{map[string]any{"name": linkName(i - 1)}}, "spec", "dependsOn")
}

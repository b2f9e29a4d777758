package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// edit changes a field of a unit's Deployment as somebody with kubectl would,
// and returns what is true of the Deployment when that has been undone.
func (s *stage) edit(ctx context.Context, ns string, i int) (undone func(deploymentFact) bool, err error) {
	id := object.ID{Kind: deployment, Namespace: ns, Name: unitName(i)}
	patch := fmt.Sprintf(`{"spec":{"revisionHistoryLimit":%d}}`, keptHistory+7)
	o, err := s.cluster.Patch(ctx, id, cluster.Patch{Type: cluster.MergePatch, Data: []byte(patch)}, cluster.How{Manager: "kubectl-edit"})
	if err != nil {
		return nil, err
	}
	edited := o.Generation()
	return func(f deploymentFact) bool { return f.generation > edited && f.history == keptHistory }, nil
}

// driftOne measures how long a foreign edit of one object lasts.
func driftOne(ctx context.Context, s *stage) (o Outcome, err error) {
	deployments, err := s.lookAtDeployments(ctx)
	if err != nil {
		return o, err
	}
	defer deployments.close()
	var lasted Sample
	rounds := min(s.Drifts, s.n)
	u, err := s.measure(ctx, func() (time.Time, error) {
		for i := range rounds {
			d, err := s.driftOnce(ctx, deployments, i)
			if err != nil {
				return time.Time{}, fmt.Errorf("edit %d of %d: %w", i+1, rounds, err)
			}
			lasted = append(lasted, d)
		}
		return time.Now(), nil
	})
	if err != nil {
		return o, err
	}
	o.use("edits", u)
	o.Rows = []Row{{Workload: "drift1", What: "foreign edit to undone, p99", Measured: took(lasted.At(99)), Goal: s.inR(10)}}
	o.note("foreign edit to undone: p50 %s, p99 %s, of %d", took(lasted.Median()), took(lasted.At(99)), len(lasted))
	o.note("requests about managed objects: %s", u.Requests.Where(about))
	return o, nil
}

// driftOnce edits one object and returns how long that lasted after the edit's
// answer.
func (s *stage) driftOnce(ctx context.Context, deployments *lookout[deploymentFact], i int) (time.Duration, error) {
	ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	undone, err := s.edit(ctx, benchNamespace, i)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	last, err := deployments.expect([]string{unitName(i)}, undone).wait(ctx)
	return last.Sub(began), err
}

// driftMany measures how long it takes to undo a foreign edit of one object of
// each unit, all made at once.
func driftMany(ctx context.Context, s *stage) (o Outcome, err error) {
	deployments, err := s.lookAtDeployments(ctx)
	if err != nil {
		return o, err
	}
	defer deployments.close()
	u, err := s.measure(ctx, func() (time.Time, error) {
		var mu sync.Mutex
		undone := make(map[string]func(deploymentFact) bool)
		err := s.inParallel(ctx, s.n, func(ctx context.Context, i int) error {
			is, err := s.edit(ctx, benchNamespace, i)
			mu.Lock()
			defer mu.Unlock()
			undone[unitName(i)] = is
			return err
		})
		if err != nil {
			return time.Time{}, err
		}
		return deployments.expect(unitNames(s.n), func(f deploymentFact) bool { return undone[f.name](f) }).wait(ctx)
	})
	if err != nil {
		return o, err
	}
	o.use("driftmany", u)
	o.Rows = []Row{{Workload: "driftmany", What: "all undone, the edits included", Measured: Quantity{u.Seconds, Seconds},
		Floor: Quantity{s.floor.DriftMany.Seconds, Seconds}}}
	o.note("the floor is the same edit of each object, and one bare apply")
	return o, nil
}

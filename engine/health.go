package engine

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/observe"
)

// health returns how an object is doing by what was last seen of it.
func (r *run) health(id object.ID) health.Verdict {
	if v, ok := r.judged[id]; ok {
		return v
	}
	if v, ok := r.opinion(id); ok {
		return v
	}
	if r.made.Objects[id].passed(observe.Sighting{}) {
		return health.Verdict{}
	}
	return health.Of(object.Object{})
}

// opinion is health if that is known without a request.
func (r *run) opinion(id object.ID) (health.Verdict, bool) {
	if r.terms.judge.Covers(id.Kind) {
		return r.in.look.Opinion(id, r.terms.judge)
	}
	s, seen := r.in.look.See(id)
	return s.Health, seen
}

// lookAt sees to it that the health is known of all objects that are to be
// observed. Objects of others, such as those that were there and were to be
// created only if not, are watched one by one; the unit's own are watched anyway. An object that was seen before the unit had the rules that it
// has now is asked for once.
func (r *run) lookAt(ctx context.Context) error {
	var unknown []object.ID
	for _, id := range r.toObserve() {
		if _, known := r.opinion(id); known {
			continue
		}
		if !r.u.Wait || r.made.Objects[id].Once {
			if err := r.in.look.WatchObject(ctx, r.viewer(), id); err != nil {
				return err
			}
		}
		_, seen := r.in.look.See(id)
		if _, known := r.opinion(id); seen && !known {
			unknown = append(unknown, id)
		}
	}
	return r.judge(ctx, unknown)
}

// judge gets objects and has them judged by the unit's rules.
func (r *run) judge(ctx context.Context, ids []object.ID) error {
	if len(ids) == 0 {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.e.c.Applies)
	var mu sync.Mutex
	r.judged = make(map[object.ID]health.Verdict, len(ids))
	for _, id := range ids {
		g.Go(func() error {
			o, _, err := r.as.Get(ctx, id)
			if err != nil {
				return err
			}
			v := r.in.look.Judge(o, r.terms.judge)
			mu.Lock()
			defer mu.Unlock()
			r.judged[id] = v
			return nil
		})
	}
	return g.Wait()
}

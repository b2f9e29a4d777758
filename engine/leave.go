package engine

import (
	"context"
	"encoding/json"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
)

// under returns the mark of the rules by which fields are left to others.
func (r *run) under() mark {
	if len(r.u.Ignore) == 0 {
		return mark{}
	}
	return markOfAll(r.u.Ignore)
}

func markOfAll(parts ...any) mark {
	data, err := json.Marshal(parts)
	if err != nil {
		panic("engine: " + err.Error()) // it is made of what JSON can hold
	}
	return markOf(data)
}

// leave leaves to others what is theirs by the unit's rules. Objects that were
// changed in no other field are noted as made so; what is to be applied to the
// rest is settled by how it stands. Only objects that are concerned, and do not
// stand as they were made, are asked for.
func (r *run) leave(ctx context.Context, want []plan.Want) error {
	if len(r.terms.left) == 0 {
		return nil
	}
	r.marks, r.asIs = make(map[object.ID]mark), make(map[object.ID]bool)
	var concerned []*plan.Want
	for i := range want {
		w := &want[i]
		id, fields := w.Object.ID(), r.terms.left.Of(w.Object)
		if len(fields) == 0 || w.Exempt.Ignore || w.Exempt.Once {
			continue
		}
		r.marks[id] = markOfAll(w.Object, fields)
		s, _ := r.in.look.See(id)
		as, ok := r.made.Objects[id]
		if r.asIs[id] = ok && as.Want == r.marks[id] && as.holds(s); !r.asIs[id] {
			concerned = append(concerned, w)
		}
	}
	made := make([]as, len(concerned))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.e.c.Applies)
	for i, w := range concerned {
		g.Go(func() (err error) {
			made[i], err = r.settleWant(ctx, w)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if r.made.Objects == nil {
		r.made.Objects = make(map[object.ID]as)
	}
	for i, w := range concerned {
		if made[i] != (as{}) {
			r.made.Objects[w.Object.ID()] = made[i]
			r.asIs[w.Object.ID()] = true
		}
	}
	return nil
}

// settleWant settles what is to be applied of one object, and returns how it was
// made if it is as it is wanted, or else the zero value.
func (r *run) settleWant(ctx context.Context, w *plan.Want) (as, error) {
	live, there, err := r.as.Get(ctx, w.Object.ID())
	if errors.Is(err, cluster.ErrNoKind) {
		return as{}, nil
	}
	if err != nil || !there || live.Deleting() {
		return as{}, err
	}
	fields, want := r.terms.left.Of(w.Object), w.Object
	w.Object = fields.Settle(want, live, manager)
	if !r.sameBut(ctx, fields, want, w.Object, live) {
		return as{}, nil
	}
	return r.madeAs(plan.Step{Want: want, Exempt: w.Exempt}, r.note(live)), nil
}

// sameBut reports whether an object that is ours is as it is wanted but for the
// fields. Where that can't be told it asks the server.
func (r *run) sameBut(ctx context.Context, fields plan.Fields, want, settled, live object.Object) bool {
	if owner, _ := r.e.c.Dialect.Owner(live.Labels()); owner != r.u.Name {
		return false
	}
	v := fields.Compare(want, live, manager, r.e.c.Over...)
	if v.Answer == plan.Same || fields.Usurped(live, manager, r.e.c.Over...) {
		return v.Answer == plan.Same
	}
	would, err := r.as.Apply(ctx, settled, cluster.How{Manager: manager, Force: true, DryRun: true})
	return err == nil && sameContent(live, would) && fields.SameOwned(live, would, manager)
}

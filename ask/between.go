package ask

import (
	"cmp"
	"context"
	"fmt"
	"reflect"

	"github.com/sane-gitops/sane/engine"
	"github.com/sane-gitops/sane/inventory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
)

// Between returns what going from one revision of its source to another would do to
// the objects of the unit that o asks for, if all that it wants at the first was
// there, and no more. The cluster is asked for nothing but the unit and what it
// refers to, so that the same two give the same plan wherever it is made.
func (p *Reading) Between(ctx context.Context, o object.Object, from, to At) (engine.Preview, error) {
	v := engine.Preview{Live: make(map[object.ID]object.Object), Would: make(map[object.ID]object.Object)}
	u, err := p.wisher(ctx, o)
	if err != nil {
		return v, err
	}
	var sides [2]engine.Wants
	for i, at := range []At{from, to} {
		if sides[i], err = p.At(at).Wanted(ctx, o); err != nil {
			return v, fmt.Errorf("at %s: %w", cmp.Or(at.Revision, at.Dir, "its newest revision"), err)
		}
	}
	was, now := sides[0], sides[1]
	v.Secrets = append(append(v.Secrets, was.Secrets...), now.Secrets...)
	st := plan.State{Want: now.Objects, Known: make(map[object.ID]plan.Known), Owned: make(inventory.Set)}
	wanted := now.ByID()
	for _, w := range was.Objects {
		id := w.Object.ID()
		v.Live[id], st.Owned[id] = w.Object, w.Object.Version()
		st.Known[id] = plan.Known{
			Ours: true, Exempt: w.Exempt, Why: "it differs", Same: reflect.DeepEqual(w.Object.Body(), wanted[id].Body()),
		}
	}
	for id, o := range wanted {
		v.Would[id] = o
	}
	v.Plan, err = plan.Make(st, u.Policy)
	return v, err
}

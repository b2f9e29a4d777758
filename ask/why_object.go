package ask

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sane-gitops/sane/apply"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/diff"
	"github.com/sane-gitops/sane/engine"
	"github.com/sane-gitops/sane/health/expr"
	"github.com/sane-gitops/sane/inventory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// A Wish is a label or an annotation by which an object asks its keeper for
// something.
type Wish struct {
	Key   string    `json:"key"`
	Value string    `json:"value"`
	Means string    `json:"means"`
	By    string    `json:"by,omitempty"` // who set it
	Since time.Time `json:"since,omitzero"`
}

// object explains an object that is neither a unit nor a source.
func (w *asking) object(ctx context.Context, o object.Object) error {
	w.answer.State = w.objectState(ctx, o)
	w.answer.Asks = w.wishes(o)
	made, err := w.makers(ctx, o)
	if err != nil {
		w.unknown("who made what made it: %v", err)
	}
	top := o
	for _, m := range made {
		w.answer.MadeBy = append(w.answer.MadeBy, m.id.String())
		if top = m.Object; top.IsZero() {
			w.answer.Keeper = &Keeper{Doubt: m.id.String() + ", which made it, is not there any more"}
			return nil
		}
	}
	k, err := w.keeperOf(ctx, top)
	if err != nil || k.IsZero() {
		return err
	}
	w.compare(ctx, k, top.ID(), top)
	return nil
}

// objectState says how an object stands.
func (w *asking) objectState(ctx context.Context, o object.Object) *Reason {
	if r := w.ailing(ctx, o.ID(), o, w.judgeOf(ctx, o)); r != nil {
		return r
	}
	return &Reason{About: o.ID().String(), Says: "healthy", Since: wellSince(o), Well: true}
}

// judgeOf returns by whose rules an object is judged: those of the unit that its
// labels name; nil if that has none.
func (w *asking) judgeOf(ctx context.Context, o object.Object) *expr.Judge {
	name, labelled := w.Dialect.Owner(o.Labels())
	if !labelled {
		return nil
	}
	k, there, err := w.Cluster.Get(ctx, name.ID())
	if err != nil || !there {
		return nil
	}
	asked, err := w.Dialect.Read(k, dialect.Nothing{})
	if err != nil || len(asked.Units) == 0 {
		return nil
	}
	judge, err := expr.New(asked.Units[0].Rules)
	if err != nil {
		w.unknown("health by the expressions of %s: %v", name, err)
	}
	return judge
}

// wellSince returns since when an object says that it is well; zero if it does
// not say.
func wellSince(o object.Object) time.Time {
	for _, kind := range []string{"Ready", "Available", "Complete"} {
		if c := o.Condition(kind); c.Text("status") == "True" {
			return changedAt(c)
		}
	}
	return time.Time{}
}

// wishes returns what an object's labels and annotations ask for.
func (w *asking) wishes(o object.Object) []Wish {
	all := w.Dialect.Exempt(o)
	var out []Wish
	for _, where := range []string{"labels", "annotations"} {
		v, _ := o.Get("metadata", where)
		for _, key := range slices.Sorted(maps.Keys(child(v))) {
			without := w.Dialect.Exempt(o.Without("metadata", where, key))
			if without == all {
				continue
			}
			by, since := diff.Owner(o, "metadata", where, key)
			out = append(out, Wish{key, o.Text("metadata", where, key), meaning(all, without), by, since})
		}
	}
	return out
}

// wishedThere adds what an object asks for in the source, and not in the cluster.
func (w *asking) wishedThere(want object.Object) {
	for _, x := range w.wishes(want) {
		if !slices.ContainsFunc(w.answer.Asks, func(y Wish) bool { return y.Key == x.Key && y.Value == x.Value }) {
			x.Means += ", says the source"
			w.answer.Asks = append(w.answer.Asks, x)
		}
	}
}

// meaning says what is asked for in one state and not in another.
func meaning(with, without unit.Exemption) string {
	for _, m := range []struct {
		asks  bool
		means string
	}{
		{with.Ignore && !without.Ignore, "leave it alone: neither change nor delete it"},
		{with.Once && !without.Once, "create it once, and never change it"},
		{with.Keep && !without.Keep, "never delete it"},
		{with.Merge && !without.Merge, "leave other managers' fields to them"},
		{with.Force && !without.Force, "delete and create it where it can't be changed"},
	} {
		if m.asks {
			return m.means
		}
	}
	return ""
}

// makers returns an object's controller, the controller of that, and so on. One
// that is not there is the last.
func (w *asking) makers(ctx context.Context, o object.Object) ([]found, error) {
	const most = 10
	var out []found
	for len(out) < most {
		id, uid := controller(o)
		if id.Name == "" {
			break
		}
		namespaced, err := w.Cluster.Namespaced(ctx, id.Kind)
		if err != nil {
			return out, err
		}
		if !namespaced {
			id.Namespace = ""
		}
		m, _, err := w.Cluster.Get(ctx, id)
		if err != nil {
			return out, err
		}
		if m.UID() != uid {
			m = object.Object{}
		}
		if out = append(out, found{id, m}); m.IsZero() {
			break
		}
		o = m
	}
	return out, nil
}

// Controller returns the owner that made an object; zero if none did.
func Controller(o object.Object) object.ID {
	id, _ := controller(o)
	return id
}

// controller returns the owner that made an object; zero if none did.
func controller(o object.Object) (id object.ID, uid string) {
	v, _ := o.Get("metadata", "ownerReferences")
	list, _ := v.([]any)
	for _, r := range list {
		if m := child(r); m["controller"] == true {
			owner := object.Of(map[string]any{"apiVersion": m["apiVersion"], "kind": m["kind"]})
			return object.ID{Kind: owner.ID().Kind, Namespace: o.Namespace(), Name: object.Of(m).Text("name")}, object.Of(m).Text("uid")
		}
	}
	return object.ID{}, ""
}

// keeperOf finds out which unit keeps an object, and returns it; zero if none
// does.
func (w *asking) keeperOf(ctx context.Context, o object.Object) (object.Object, error) {
	name, labelled := w.Dialect.Owner(o.Labels())
	if !labelled {
		return w.keeperByInventory(ctx, o.ID(), "its labels name nobody")
	}
	u, there, err := w.Cluster.Get(ctx, name.ID())
	if err != nil {
		w.unknown("its unit %s: %v", name, err)
		w.answer.Keeper = &Keeper{Unit: name.String()}
		return object.Object{}, nil
	}
	switch {
	case !there:
		return w.keeperByInventory(ctx, o.ID(), fmt.Sprintf("its labels name %s, which is not there", name))
	case w.has(u, o.ID()):
		w.answer.Keeper = &Keeper{Unit: name.String(), State: w.unitState(u).Says}
		return u, nil
	}
	k, err := w.keeperByInventory(ctx, o.ID(), fmt.Sprintf("its labels name %s, which does not have it in its inventory", name))
	if err == nil && k.IsZero() {
		w.answer.Keeper = &Keeper{
			Unit: name.String(), State: w.unitState(u).Says,
			Doubt: "that is what its labels say; neither that unit nor any other has it in its inventory",
		}
		return u, nil
	}
	return k, err
}

// has reports whether a unit has an object of this cluster in its inventory.
func (w *asking) has(u object.Object, id object.ID) bool {
	if asked, err := w.Dialect.Read(u, dialect.Nothing{}); err != nil || len(asked.Units) == 0 || Afar(asked.Units[0]) {
		return false
	}
	return w.Dialect.RecallUnit(u).Owned.Covers(inventory.Set{id: ""})
}

// keeperByInventory finds the unit that has an object in its inventory, though its
// labels tell something else.
func (w *asking) keeperByInventory(ctx context.Context, id object.ID, labels string) (object.Object, error) {
	units, err := w.all(ctx, w.Language.Units())
	if err != nil {
		w.unknown("which unit has it in its inventory: %v", err)
	}
	for _, u := range units {
		if w.has(u, id) {
			w.answer.Keeper = &Keeper{
				Unit: u.ID().String(), State: w.unitState(u).Says,
				Doubt: labels + "; it is in the inventory of " + u.ID().String(),
			}
			return u, nil
		}
	}
	w.answer.Keeper = &Keeper{Doubt: labels + ", and no unit has it in its inventory"}
	return object.Object{}, nil
}

// compare says where an object comes from and, if it is the one that is asked
// about and is there, how it differs from what is wanted.
func (w *asking) compare(ctx context.Context, keeper object.Object, id object.ID, live object.Object) {
	asked, err := w.Dialect.Read(keeper, dialect.Nothing{})
	if err != nil || len(asked.Units) == 0 {
		w.unknown("what %s asks for: %v", keeper.ID(), err)
		return
	}
	u, rev := asked.Units[0], w.revisionOf(keeper)
	itself := id == w.about && !live.IsZero()
	w.answer.Origin = w.sourceOrigin(ctx, u.Source, rev)
	if itself {
		w.answer.Strays = diff.Strays(live, u.Owner.Manager)
		w.answer.State.Events = append(w.answer.State.Events, w.mentions(ctx, keeper, id)...)
	}
	if w.answer.Origin == nil || rev.IsZero() || w.take(ctx, u.Source, rev).err != nil {
		return
	}
	all, err := w.wanted(ctx, keeper, rev)
	if err != nil {
		w.unknown("what is wanted: %v", err)
		return
	}
	i := slices.IndexFunc(all.Objects, func(x plan.Want) bool { return x.Object.ID() == id })
	if i < 0 {
		w.answer.Keeper.Doubt = strings.TrimPrefix(w.answer.Keeper.Doubt+"; the source does not have it at "+ShortRevision(rev.Name), "; ")
		return
	}
	want := all.Objects[i]
	w.answer.Origin.File, w.answer.Origin.Line = locate(w.take(ctx, u.Source, rev).tree, want.From, want.Object)
	if itself {
		w.wishedThere(want.Object)
		w.differ(ctx, want, live, u, all.Secrets)
	}
}

// revisionOf returns the revision of a unit's objects: the one that it tries, if
// it has begun to apply that, or else the last that it got to.
func (w *asking) revisionOf(keeper object.Object) source.Revision {
	st := w.Dialect.RecallUnit(keeper)
	if StandingOf(keeper).Ready == "False" && !w.appliedAll(keeper) {
		return cmp.Or(st.Applied, st.Attempted)
	}
	return cmp.Or(st.Attempted, st.Applied)
}

// mentions returns the warnings about a unit that name one of its objects, such
// as that it is fought about.
func (w *asking) mentions(ctx context.Context, keeper object.Object, id object.ID) []Warning {
	return slices.DeleteFunc(w.warnings(ctx, keeper, ""), func(e Warning) bool { return !strings.Contains(e.Message, id.String()) })
}

// differ says in which fields an object differs from what is wanted, but for what
// is secret there.
func (w *asking) differ(ctx context.Context, want plan.Want, live object.Object, u unit.Unit, secrets []string) {
	left, err := plan.NewIgnores(u.Ignore)
	if err != nil {
		w.unknown("which fields are left to others: %v", err)
	}
	fields := left.Of(want.Object)
	for _, at := range fields {
		w.answer.Asks = append(w.answer.Asks, Wish{Key: "ignore rule of " + u.Name.String(), Value: "/" + strings.Join(at, "/"), Means: "leave a field to others"})
	}
	want.Object = fields.Settle(want.Object, live, u.Owner.Manager)
	d := diff.Secrets(secrets)
	known := make(map[string]bool)
	if plan.Compare(want.Object, live, u.Owner.Manager).Answer != plan.Same {
		was, now := diff.Masked(engine.Content(live), engine.Content(w.wouldBe(ctx, want, live, u, secrets)))
		was, now = diff.Discreet(was, now, secrets)
		w.answer.Differs = diff.Mismatches(was, now, live)
	}
	for _, m := range w.answer.Differs {
		known[m.Field] = true
	}
	w.answer.Strays = slices.DeleteFunc(w.answer.Strays, func(s diff.Stray) bool { return known[s.Field] || d.Tells(s.Field) })
}

// wouldBe returns an object as it would be if it were applied as it is wanted: in
// the server's eyes, if it may be asked.
func (w *asking) wouldBe(ctx context.Context, want plan.Want, live object.Object, u unit.Unit, secrets []string) object.Object {
	step := plan.Step{Verb: plan.Update, ID: live.ID(), Want: want.Object, From: want.From, UID: live.UID(), Exempt: want.Exempt}
	would := diff.Over(live, want.Object)
	for out := range apply.Check(ctx, w.Cluster, []plan.Step{step}, apply.By{Manager: u.Owner.Manager}) {
		err := render.Hush(secrets, out.Err)
		switch {
		case err == nil:
			would = out.Live
		case errors.Is(err, cluster.ErrForbidden):
			w.unknown("what the server would make of it: %v; fields are compared as they are spelled", err)
		default:
			w.answer.State.Because = append(w.answer.State.Because, &Reason{About: live.ID().String(), Says: "can't be made as it is wanted: " + err.Error()})
		}
	}
	return would
}

// absent explains why an object that is not there should be, if it should.
func (w *asking) absent(ctx context.Context, id object.ID) error {
	where := ""
	if id.Namespace != "" {
		where = " in namespace " + id.Namespace
	}
	missing := fmt.Errorf("why %s: there is none of that name%s", id, where)
	if _, ours := w.Language.Noun(id.Kind); ours {
		return missing
	}
	k, err := w.keeperByInventory(ctx, id, "it is not there")
	if err != nil {
		return err
	}
	if k.IsZero() {
		return fmt.Errorf("%w, and no unit has it in its inventory", missing)
	}
	w.answer.State = &Reason{About: id.String(), Says: "not there"}
	if s := StandingOf(k); s.Ready != "True" || w.Language.Paused(k) {
		w.answer.State.Because = []*Reason{w.unit(ctx, k)}
	}
	w.compare(ctx, k, id, object.Object{})
	return nil
}

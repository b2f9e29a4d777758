package ask

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/health/expr"
	"github.com/sane-gitops/sane/inventory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/observe"
	"github.com/sane-gitops/sane/unit"
)

// A Node is a unit, an object of it, or something that one of these owns, with
// all that is below it.
type Node struct {
	ID       object.ID     `json:"-"`
	UID      string        `json:"-"`      // "" if it is not there, or can't be seen
	Object   string        `json:"object"` // its ID in words
	Health   health.Status `json:"health"`
	Why      string        `json:"why,omitempty"`       // it is not healthy
	Since    time.Time     `json:"since,omitzero"`      // it has been so, if it says
	Created  time.Time     `json:"created,omitzero"`    //
	Unit     bool          `json:"unit,omitempty"`      // it has a tree of its own
	Paused   bool          `json:"suspended,omitempty"` // it asks to be left alone
	Revision string        `json:"revision,omitempty"`  // of a unit: what was applied last
	Below    []*Node       `json:"below,omitempty"`
	Unknown  []string      `json:"unknown,omitempty"` // of the root: what could not be learnt, and why
}

// All calls f for n and all that is below it, from the top, until f returns false
// for one: then what is below that is left out.
func (n *Node) All(f func(*Node) bool) {
	if !f(n) {
		return
	}
	for _, b := range n.Below {
		b.All(f)
	}
}

// Worst returns the worst health of n and all that is below it.
func (n *Node) Worst() health.Status {
	worst := n.Health
	n.All(func(b *Node) bool { worst = max(worst, b.Health); return true })
	return worst
}

// Tree returns what the unit that o asks for has made, and what that has made in
// turn. It takes a list for each kind and namespace, and a few questions after what
// these do not have. Objects in a cluster that can't be asked are named.
func (d *Desk) Tree(ctx context.Context, o object.Object) (*Node, error) {
	f, err := d.plant(ctx, o)
	if err != nil {
		return nil, err
	}
	f.gather(ctx)
	return f.grow(ctx), nil
}

// A forest is what a tree is grown from. Its desk asks where the unit's objects are.
type forest struct {
	*asking
	root  object.Object
	unit  unit.Unit
	away  error // why nothing can be asked of where its objects are; nil if it can
	judge *expr.Judge
	owned inventory.Set

	seen    map[object.ID]object.Object
	blind   map[scope]string // what can't be seen, and why
	covered map[scope]bool   // what is not seen there is not there
}

// plant begins a tree of the unit that o asks for.
func (d *Desk) plant(ctx context.Context, o object.Object) (*forest, error) {
	asked, err := d.Dialect.Read(o, dialect.Nothing{})
	switch {
	case err != nil:
		return nil, err
	case len(asked.Units) == 0:
		return nil, fmt.Errorf("%s is no unit", o.ID())
	}
	there := *d
	f := &forest{
		asking: &asking{Desk: &there, answer: new(Answer)}, root: o, unit: asked.Units[0], owned: d.Dialect.RecallUnit(o).Owned,
		seen: make(map[object.ID]object.Object), blind: make(map[scope]string), covered: make(map[scope]bool),
	}
	if f.judge, err = expr.New(f.unit.Rules); err != nil {
		f.unknown("health by the expressions of %s: %v", f.unit.Name, err)
	}
	if Afar(f.unit) {
		there.Cluster, f.away = d.Where(ctx, o)
	}
	return f, nil
}

// Kinds of what is made by controllers that everybody has.
var (
	deployment    = object.Kind{Group: "apps", Name: "Deployment"}
	replicaSet    = object.Kind{Group: "apps", Name: "ReplicaSet"}
	statefulSet   = object.Kind{Group: "apps", Name: "StatefulSet"}
	daemonSet     = object.Kind{Group: "apps", Name: "DaemonSet"}
	job           = object.Kind{Group: "batch", Name: "Job"}
	cronJob       = object.Kind{Group: "batch", Name: "CronJob"}
	replication   = object.Kind{Name: "ReplicationController"}
	service       = object.Kind{Name: "Service"}
	endpointSlice = object.Kind{Group: "discovery.k8s.io", Name: "EndpointSlice"}
)

// makes says of what kinds an object of a kind may own some.
func (f *forest) makes(k object.Kind) []object.Kind {
	switch k {
	case deployment:
		return []object.Kind{replicaSet}
	case replicaSet, statefulSet, daemonSet, job, replication:
		return []object.Kind{podKind}
	case cronJob:
		return []object.Kind{job}
	case service:
		return []object.Kind{endpointSlice}
	}
	if _, ours := f.Language.Noun(k); ours || !strings.Contains(k.Group, ".") || strings.HasSuffix(k.Group, ".k8s.io") {
		return nil
	}
	// A custom resource: its controller may make any of these.
	return []object.Kind{deployment, statefulSet, daemonSet, cronJob, job, service, replicaSet, podKind}
}

// scopes returns where the unit's own objects are, and where what they own may be.
func (f *forest) scopes() (own, made map[scope]bool) {
	own, made = make(map[scope]bool), make(map[scope]bool)
	var add func(scope)
	add = func(at scope) {
		for _, k := range f.makes(at.kind) {
			if next := (scope{k, at.namespace}); at.namespace != "" && !made[next] {
				made[next] = true
				add(next)
			}
		}
	}
	for id := range f.owned {
		if at := scopeOf(id); !own[at] {
			own[at] = true
			add(at)
		}
	}
	return own, made
}

// selections returns what to list to see all that is in the tree: each kind in each
// namespace. Of what is not needed for the health of others, only the unit's own is
// selected, and everywhere at once where it is in several namespaces.
func (f *forest) selections() []cluster.Selection {
	own, made := f.scopes()
	var all []cluster.Selection
	for at := range made {
		all = append(all, cluster.Selection{Kind: at.kind, Namespace: at.namespace, Metadata: f.bare(at.kind)})
	}
	places := make(map[object.Kind]int)
	for at := range own {
		if !made[at] {
			places[at.kind]++
		}
	}
	for at := range own {
		if made[at] {
			continue
		}
		sel := cluster.Selection{Kind: at.kind, Namespace: at.namespace, Labels: selectorOf(f.unit.Owner.Labels), Metadata: f.bare(at.kind)}
		if places[at.kind] > 1 {
			sel.Namespace = ""
		}
		all = append(all, sel)
	}
	slices.SortFunc(all, func(a, b cluster.Selection) int {
		return cmp.Or(strings.Compare(a.Kind.String(), b.Kind.String()), strings.Compare(a.Namespace, b.Namespace))
	})
	return slices.Compact(all)
}

// bare reports whether objects of a kind say nothing beyond their metadata.
func (f *forest) bare(k object.Kind) bool { return quiet(k, f.unit) || k == endpointSlice }

// gather looks at all objects.
func (f *forest) gather(ctx context.Context) {
	if f.away != nil {
		return
	}
	for _, sel := range f.selections() {
		err := f.list(ctx, sel)
		narrow := f.narrower(sel)
		if err == nil || len(narrow) == 0 {
			f.note(sel, err)
			continue
		}
		for _, sel := range narrow {
			f.note(sel, f.list(ctx, sel))
		}
	}
	f.search(ctx)
}

// list lists a selection. Of a kind that is not known there are none.
func (f *forest) list(ctx context.Context, sel cluster.Selection) error {
	for o, err := range f.Cluster.List(ctx, sel) {
		if errors.Is(err, cluster.ErrNoKind) {
			return nil
		}
		if err != nil {
			return err
		}
		f.seen[o.ID()] = o
	}
	return nil
}

// narrower returns what to list if a selection may not be listed in all namespaces
// at once; nil if it is in one, or in none.
func (f *forest) narrower(sel cluster.Selection) []cluster.Selection {
	if sel.Namespace != "" {
		return nil
	}
	own, _ := f.scopes()
	var all []cluster.Selection
	for at := range own {
		if at.kind == sel.Kind && at.namespace != "" {
			sel.Namespace = at.namespace
			all = append(all, sel)
		}
	}
	return all
}

// note notes what came of listing a selection.
func (f *forest) note(sel cluster.Selection, err error) {
	at := scope{sel.Kind, sel.Namespace}
	if err != nil {
		f.blind[at] = err.Error()
	}
	f.covered[at] = err == nil && sel.Labels == ""
}

// maxLooks is how many objects of a scope are looked for one by one.
const maxLooks = 20

// search looks for the unit's objects that were not among those with its labels.
func (f *forest) search(ctx context.Context) {
	lost := make(map[scope][]object.ID)
	for _, id := range f.owned.IDs() {
		at := scopeOf(id)
		if _, ok := f.seen[id]; !ok && !f.covered[at] && f.blind[at] == "" {
			lost[at] = append(lost[at], id)
		}
	}
	for at, ids := range lost {
		if len(ids) > maxLooks {
			f.list(ctx, cluster.Selection{Kind: at.kind, Namespace: at.namespace, Metadata: f.bare(at.kind)})
			continue
		}
		for _, id := range ids {
			if o, known := f.look(ctx, id); known && !o.IsZero() {
				f.seen[id] = o
			}
		}
	}
}

// grow returns the tree.
func (f *forest) grow(ctx context.Context) *Node {
	made := f.offspring()
	root := f.node(f.root.ID(), f.root)
	for _, id := range f.owned.IDs() {
		root.Below = append(root.Below, f.branch(id, made))
	}
	switch {
	case f.away != nil && len(f.owned) > 0:
		f.unknown("the objects of %s: %v", f.unit.Name, f.away)
	case ctx.Err() != nil:
		f.unknown("all that comes after: %v", ctx.Err())
	}
	for at, why := range f.blind {
		f.unknown("%s in %s: %s", at.kind, cmp.Or(at.namespace, "the cluster"), why)
	}
	slices.Sort(f.answer.Unknown)
	root.Unknown = f.answer.Unknown
	return root
}

// offspring returns what is seen that is not the unit's own, by the UID of its
// owner.
func (f *forest) offspring() map[string][]object.Object {
	made := make(map[string][]object.Object)
	for id, o := range f.seen {
		if _, own := f.owned[id]; own {
			continue
		}
		if uid := ownerOf(o); uid != "" {
			made[uid] = append(made[uid], o)
		}
	}
	for _, list := range made {
		slices.SortFunc(list, func(a, b object.Object) int { return object.Compare(a.ID(), b.ID()) })
	}
	return made
}

// ownerOf returns the UID of an object's controller or, if it has none, of its first
// owner.
func ownerOf(o object.Object) string {
	if _, uid := controller(o); uid != "" {
		return uid
	}
	v, _ := o.Get("metadata", "ownerReferences")
	list, _ := v.([]any)
	for _, r := range list {
		return object.Of(child(r)).Text("uid")
	}
	return ""
}

// branch returns an object of the unit with all that it owns.
func (f *forest) branch(id object.ID, made map[string][]object.Object) *Node {
	o := f.seen[id]
	n := f.node(id, o)
	f.sprout(n, made)
	return n
}

// sprout puts what n owns below it. What was put somewhere is not put anywhere
// again: owners may name each other.
func (f *forest) sprout(n *Node, made map[string][]object.Object) {
	list := made[n.UID]
	if n.UID == "" || len(list) == 0 {
		return
	}
	delete(made, n.UID)
	for _, o := range list {
		b := f.node(o.ID(), o)
		if f.sprout(b, made); !past(o) || len(b.Below) > 0 {
			n.Below = append(n.Below, b)
		}
	}
}

// past reports whether o is a ReplicaSet that runs nothing any more.
func past(o object.Object) bool {
	return o.ID().Kind == replicaSet && o.Number("spec", "replicas") == 0 && o.Number("status", "replicas") == 0
}

// node returns an object with nothing below it.
func (f *forest) node(id object.ID, o object.Object) *Node {
	n := &Node{ID: id, UID: o.UID(), Object: id.String(), Created: created(o)}
	noun, ours := f.Language.Noun(id.Kind)
	switch {
	case o.IsZero():
		f.absentNode(n)
	case ours && noun.Feed:
		f.standing(n, o, f.feedSays(o))
	case ours:
		n.Unit, n.Revision = true, f.Dialect.RecallUnit(o).Applied.Name
		f.standing(n, o, f.unitState(o))
	default:
		f.judged(n, o)
	}
	return n
}

func (f *forest) absentNode(n *Node) {
	_, hidden := f.blind[scopeOf(n.ID)]
	switch {
	case f.away != nil:
		n.Health, n.Why = health.Unknown, "it is in another cluster"
	case hidden:
		n.Health, n.Why = health.Unknown, "it can't be seen"
	case !f.appliedAll(f.root):
		n.Health, n.Why = health.Missing, "not there; not all has been applied"
	default:
		n.Health, n.Why = health.Missing, "not there"
	}
}

// standing says how a unit or a source says that it stands.
func (f *forest) standing(n *Node, o object.Object, r *Reason) {
	s := StandingOf(o)
	n.Paused, n.Since = f.Language.Paused(o), r.Since
	switch {
	case s.Ready == "True" && (s.Current || n.Paused) && !o.Deleting():
		return
	case s.Ready == "False" && s.Current:
		n.Health = health.Degraded
	default:
		n.Health = health.Progressing
	}
	n.Why = r.Says
}

// feedSays says how a source stands in a line.
func (f *forest) feedSays(o object.Object) *Reason {
	s := StandingOf(o)
	r := &Reason{Since: s.Since, Says: "not ready: " + s.Reason + ": " + oneLine(s.Message)}
	if s.Ready == "" {
		r.Says = "nothing is said of it yet"
	}
	return r
}

// judged says how an object does in the eyes of the unit, if it is the unit's own,
// or else in everybody's.
func (f *forest) judged(n *Node, o object.Object) {
	var judge *expr.Judge
	if _, own := f.owned[n.ID]; own {
		judge = f.judge
	}
	v := judge.Of(o)
	trouble, ill := "", false
	if n.ID.Kind == podKind {
		trouble, ill = observe.Trouble(o)
	}
	n.Health, n.Why, n.Since = v.Status, v.Why, sickSince(o)
	switch {
	case o.Deleting():
		n.Health, n.Since = max(v.Status, health.Progressing), o.Time("metadata", "deletionTimestamp")
		n.Why = "being deleted" + awaited(o.Finalizers())
	case ill:
		n.Health, n.Why = health.Degraded, trouble
	case trouble != "":
		n.Health, n.Why = max(v.Status, health.Progressing), trouble
	case observe.Refusal(o) != "":
		n.Health, n.Why = health.Degraded, "no pods can be made: "+observe.Refusal(o)
	case v.Status == health.Healthy:
		n.Why, n.Since = "", wellSince(o)
	}
}

// Package plan decides what to do to a cluster. It does none of it.
package plan

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/inventory"
	"github.com/sane-gitops/sane/object"
)

// A State is what is wanted, what is known of the cluster, and what is ours.
type State struct {
	Want  []Want
	Known map[object.ID]Known  // what is not in it is not known to be there
	Owned inventory.Set        // what was made before, and may have to go
	Heirs map[object.ID]string // who will have what is owned and no longer wanted, in words
}

// A Want is an object as it should be.
type Want struct {
	Object object.Object
	Exempt Exemption // asked for by the object itself
	From   string    // the file that it comes from, if that is known
}

// An Exemption is what an object's own labels and annotations ask of the unit
// that keeps it.
type Exemption struct {
	Ignore bool // leave it alone: neither apply nor delete it
	Once   bool // create it if it is not there, and never change it
	Merge  bool // leave fields to managers that are usually taken over, such as kubectl
	Keep   bool // never delete it
	Force  bool // delete and create it where an update is refused because a field can't change
}

// Known is what is known of an object in the cluster without asking it again.
type Known struct {
	UID      string
	Owner    string    // who its labels say that it belongs to; "" if nobody
	Ours     bool      // that is us
	Same     bool      // it is proven to be as it is wanted
	Why      string    // if it is not
	Exempt   Exemption // asked for by the live object
	Deleting bool
}

// A Policy says how far a plan may go.
type Policy struct {
	Prune   bool          // delete what is ours and no longer wanted
	Replace bool          // delete and create what is ours where an update is refused because a field can't change
	Early   []object.Kind // to be there before most others, but after definitions and classes

	// Guard holds the deletion of all objects of a unit, or of more than half
	// of more than twenty, until Approved is the plan's Deletions.
	Guard    bool
	Approved string
}

// A Verb is what a step does.
type Verb string

const (
	Create   Verb = "create"   // it is not known to be there
	Update   Verb = "update"   // it is there, and not proven to be as it should be
	Recreate Verb = "recreate" // it has to be deleted to be as it should be
	Delete   Verb = "delete"   // it is ours and no longer wanted
	Keep     Verb = "keep"     // it is as it should be, or is to be left alone
	Hold     Verb = "hold"     // it would be deleted if somebody approved
)

// A Step is what to do to one object.
type Step struct {
	Verb    Verb
	ID      object.ID
	Want    object.Object // zero for Delete and Hold
	From    string        // the file that Want comes from, if that is known
	UID     string        // of the object that is there, if it is known
	Version string        // of that object, if it is known
	Exempt  Exemption     // of the wanted and the live object together
	Replace bool          // the step may become a Recreate
	Heir    string        // who it goes over to, in words; "" if to nobody
	Why     string        // "not in the source any more"; for people
}

// Changes reports whether the step does anything.
func (s Step) Changes() bool { return s.Verb != Keep && s.Verb != Hold }

// A Stage is a group of steps that may run in any order.
type Stage struct {
	Name  string
	Wait  bool // the next stage begins when all that this one applied is healthy
	Steps []Step
}

// Replace puts a step in the place of the one for the same object.
func (s *Stage) Replace(step Step) {
	for i := range s.Steps {
		if s.Steps[i].ID == step.ID {
			s.Steps[i] = step
		}
	}
}

// A Plan is a sequence of stages, and what is to be deleted after them.
type Plan struct {
	Stages []Stage
	Prune  []Stage
}

// All returns the steps of all stages in order, deletions last.
func (p Plan) All() []Step {
	var all []Step
	for _, s := range p.Stages {
		all = append(all, s.Steps...)
	}
	for _, s := range p.Prune {
		all = append(all, s.Steps...)
	}
	return all
}

// Changes returns the steps that do something.
func (p Plan) Changes() []Step {
	return slices.DeleteFunc(p.All(), func(s Step) bool { return !s.Changes() })
}

// Empty reports whether the plan changes nothing.
func (p Plan) Empty() bool { return !slices.ContainsFunc(p.All(), Step.Changes) }

// Make returns the plan that takes the cluster from s to what is wanted.
// It is a function of its arguments alone. All errors are of the input: what is
// wanted contradicts itself, or belongs to somebody else.
func Make(s State, p Policy) (Plan, error) {
	var made Plan
	if err := check(s); err != nil {
		return made, fault.Input(err)
	}
	wanted := make(map[object.ID]bool, len(s.Want))
	var steps []Step
	for _, w := range s.Want {
		id := w.Object.ID()
		wanted[id] = true
		steps = append(steps, apply(w, s.Known, p))
	}
	made.Stages = p.stages(steps)
	if p.Prune {
		made.Prune = p.prune(s, wanted)
		made.guard(s, p)
	}
	return made, nil
}

// check reports everything that is wrong with what is wanted.
func check(s State) error {
	var wrong []string
	seen := make(map[object.ID]bool, len(s.Want))
	for _, w := range s.Want {
		id := w.Object.ID()
		if seen[id] {
			wrong = append(wrong, from(w)+fmt.Sprintf("%s is there twice", id))
		}
		seen[id] = true
		if k, ok := s.Known[id]; ok && k.Owner != "" && !k.Ours {
			wrong = append(wrong, from(w)+fmt.Sprintf("%s is kept by %s: take it out of one of the two", id, k.Owner))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s", strings.Join(wrong, "; "))
	}
	return nil
}

// from returns what a message about w begins with.
func from(w Want) string {
	if w.From == "" {
		return ""
	}
	return w.From + ": "
}

func apply(w Want, known map[object.ID]Known, p Policy) Step {
	id := w.Object.ID()
	k, there := known[id]
	step := Step{
		Verb: Create, ID: id, Want: w.Object, From: w.From, UID: k.UID,
		Exempt: both(w.Exempt, k.Exempt),
		Why:    "not there yet",
	}
	step.Replace = k.Ours && (w.Exempt.Force || p.Replace && !step.Exempt.Keep)
	switch {
	case step.Exempt.Ignore:
		step.Verb, step.Why = Keep, "asks to be left alone"
	case there && w.Exempt.Once:
		step.Verb, step.Why = Keep, "asks to be created once only"
	case there && k.Same:
		step.Verb, step.Why = Keep, "is as it should be"
	case there:
		step.Verb, step.Why = Update, k.Why
	}
	return step
}

// both returns what the wanted or the live object asks for. Only the wanted one
// can ask to be created once, to be merged or to be replaced.
func both(want, live Exemption) Exemption {
	want.Ignore = want.Ignore || live.Ignore
	want.Keep = want.Keep || live.Keep
	return want
}

func (p Policy) prune(s State, wanted map[object.ID]bool) []Stage {
	var steps []Step
	for _, id := range s.Owned.IDs() {
		if wanted[id] {
			continue
		}
		k, there := s.Known[id]
		step := Step{Verb: Delete, ID: id, UID: k.UID, Exempt: k.Exempt, Why: "not in the source any more"}
		switch {
		case there && !k.Ours:
			step.Verb, step.Why = Keep, "belongs to somebody else now"
		case s.Heirs[id] != "":
			step.Verb, step.Why, step.Heir = Keep, "goes over to "+s.Heirs[id], s.Heirs[id]
		case k.Exempt.Keep, k.Exempt.Ignore:
			step.Verb, step.Why = Keep, "asks not to be deleted"
		case k.Deleting:
			step.Verb, step.Why = Keep, "is being deleted"
		}
		steps = append(steps, step)
	}
	down := p.stages(steps)
	slices.Reverse(down)
	for i := range down {
		down[i].Wait = false
		slices.Reverse(down[i].Steps)
	}
	return down
}

// Awaited returns a function that reports whether the server can't judge a step
// before others of the plan have been carried out: its namespace, or the
// definition of its kind, comes with the plan.
func Awaited(p Plan) func(Step) bool {
	namespaces, kinds := make(map[string]bool), make(map[object.Kind]bool)
	for _, s := range p.All() {
		if s.Verb != Create {
			continue
		}
		switch {
		case s.ID.Kind == object.Kind{Name: "Namespace"}:
			namespaces[s.ID.Name] = true
		case definition(s.ID.Kind):
			kinds[defined(s.Want)] = true
		}
	}
	return func(s Step) bool { return namespaces[s.ID.Namespace] || kinds[s.ID.Kind] }
}

// Defines reports whether the definition of a kind is part of the plan, whatever
// is to be done about it.
func (p Plan) Defines(k object.Kind) bool {
	return slices.ContainsFunc(p.All(), func(s Step) bool { return definition(s.ID.Kind) && defined(s.Want) == k })
}

func definition(k object.Kind) bool {
	return k == object.Kind{Group: "apiextensions.k8s.io", Name: "CustomResourceDefinition"}
}

// defined returns the kind that a CustomResourceDefinition defines.
func defined(o object.Object) object.Kind {
	group, _ := o.Get("spec", "group")
	name, _ := o.Get("spec", "names", "kind")
	g, _ := group.(string)
	n, _ := name.(string)
	return object.Kind{Group: g, Name: n}
}

// Normal returns o in the form in which the server keeps it, where it would
// keep another than the one that was applied: a Secret's stringData become data.
func Normal(o object.Object) object.Object {
	switch o.ID().Kind {
	case object.Kind{Name: "Secret"}:
		return encoded(o)
	case object.Kind{Group: "apiextensions.k8s.io", Name: "CustomResourceDefinition"}:
		return withoutBadCA(o)
	case object.Kind{Group: "autoscaling", Name: "HorizontalPodAutoscaler"}:
		return withoutDoubles(o)
	}
	return o
}

// withoutBadCA returns a definition without a caBundle that holds no certificates,
// which stands where something in the cluster is to put the right one: the server
// would refuse it.
func withoutBadCA(o object.Object) object.Object {
	path := []string{"spec", "conversion", "webhook", "clientConfig", "caBundle"}
	v, ok := o.Get(path...)
	if !ok {
		return o
	}
	text, _ := v.(string)
	data, err := base64.StdEncoding.DecodeString(text)
	if err == nil && x509.NewCertPool().AppendCertsFromPEM(data) {
		return o
	}
	return o.Without(path...)
}

// withoutDoubles returns an autoscaler with each of its metrics once: the server
// takes them all, and applies them as one the next time.
func withoutDoubles(o object.Object) object.Object {
	v, _ := o.Get("spec", "metrics")
	list, _ := v.([]any)
	var once []any
	for _, m := range list {
		if !slices.ContainsFunc(once, func(n any) bool { return reflect.DeepEqual(m, n) }) {
			once = append(once, m)
		}
	}
	if len(once) == len(list) {
		return o
	}
	return o.With(once, "spec", "metrics")
}

// encoded returns a Secret with all that it holds in data.
func encoded(o object.Object) object.Object {
	v, _ := o.Get("stringData")
	plain, _ := v.(map[string]any)
	if plain == nil {
		return o.Without("stringData")
	}
	old, _ := o.Get("data")
	data := make(map[string]any)
	if m, ok := old.(map[string]any); ok {
		maps.Copy(data, m)
	}
	for k, v := range plain {
		s, ok := v.(string)
		if !ok {
			return o // the server says what is wrong with it
		}
		data[k] = base64.StdEncoding.EncodeToString([]byte(s))
	}
	return o.Without("stringData").With(data, "data")
}

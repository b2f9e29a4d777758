package expr

import (
	"fmt"

	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/object"
)

// A Judge judges objects by rules. It is safe for use by several goroutines at
// once. The nil Judge knows no rules.
type Judge struct {
	rules map[object.Kind]rule
}

// A rule is a [health.Rule] that can be evaluated.
type rule []test

// A test says how an object is doing if its program holds.
type test struct {
	program
	is health.Status
}

// New returns a judge by the given rules, or nil if there are none. Of several
// for one kind the last counts. That a rule can't be understood is an error of
// the input.
func New(rules []health.Rule) (*Judge, error) {
	if len(rules) == 0 {
		return nil, nil
	}
	j := &Judge{rules: make(map[object.Kind]rule)}
	for i, r := range rules {
		made, err := read(r)
		if err != nil {
			return nil, fmt.Errorf("rule %d, for %s: %w", i+1, said(r.Kind), err)
		}
		j.rules[r.Kind] = made
	}
	return j, nil
}

func said(k object.Kind) string {
	if k.Name == "" {
		return "all kinds of " + k.Group
	}
	return k.String()
}

func read(r health.Rule) (rule, error) {
	var made rule
	for _, t := range []struct {
		name, text string
		is         health.Status
		needed     bool
	}{
		{"inProgress", r.InProgress, health.Progressing, false},
		{"failed", r.Failed, health.Degraded, false},
		{"current", r.Current, health.Healthy, true},
	} {
		if t.text == "" && !t.needed {
			continue
		}
		p, err := parse(t.text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		made = append(made, test{p, t.is})
	}
	return made, nil
}

// Covers reports whether there is a rule for objects of kind k.
func (j *Judge) Covers(k object.Kind) bool {
	_, ok := j.rule(k)
	return ok
}

func (j *Judge) rule(k object.Kind) (rule, bool) {
	if j == nil {
		return nil, false
	}
	if r, ok := j.rules[k]; ok {
		return r, true
	}
	r, ok := j.rules[object.Kind{Group: k.Group}]
	return r, ok
}

// Of judges o by the rule for its kind, and by [health.Of] if there is none. An
// object that is not there, waits to be deleted, or has not been seen to by its
// controller since it changed is judged by no expression.
func (j *Judge) Of(o object.Object) health.Verdict {
	plain := health.Of(o)
	r, ok := j.rule(o.ID().Kind)
	switch {
	case !ok || o.IsZero() || o.Deleting():
		return plain
	case outdated(o):
		return health.Verdict{Status: health.Progressing, Why: "its controller has not seen its newest generation"}
	}
	body := o.WithFields().Body()
	for _, t := range r {
		is, err := t.holds(body)
		if err != nil {
			return health.Verdict{Status: health.Unknown, Why: err.Error()}
		}
		if is {
			return because(t.is, plain.Why)
		}
	}
	return because(health.Progressing, plain.Why)
}

// because returns a verdict with what the object says for itself, if it does.
func because(is health.Status, why string) health.Verdict {
	switch {
	case is == health.Healthy:
		return health.Verdict{}
	case why != "":
		return health.Verdict{Status: is, Why: why}
	case is == health.Degraded:
		return health.Verdict{Status: is, Why: "its health check expression says that it has failed"}
	}
	return health.Verdict{Status: is, Why: "its health check expressions do not say that it is current"}
}

// outdated reports whether what an object's status says is of an older
// generation, as far as it says.
func outdated(o object.Object) bool {
	v, _ := o.Get("status", "observedGeneration")
	seen, ok := v.(int64)
	return ok && o.Generation() != 0 && seen != o.Generation()
}

// A Gate is a condition for one thing to come after another.
type Gate struct{ program }

// NewGate reads an expression over self, the object that asks for what is to
// come, and dep, the one that asks for what it comes after. That it can't be
// understood is an error of the input.
func NewGate(text string) (*Gate, error) {
	p, err := compile(text, "self", "dep")
	if err != nil {
		return nil, err
	}
	return &Gate{p}, nil
}

// Open reports whether the condition is met. That it can't be told, for
// instance since a field is not there, is an error.
func (g *Gate) Open(self, dep object.Object) (bool, error) {
	return g.holds(map[string]any{"self": self.WithFields().Body(), "dep": dep.WithFields().Body()})
}

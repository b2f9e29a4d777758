package engine

import (
	"errors"
	"slices"

	"github.com/sane-gitops/sane/health/expr"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/unit"
)

// terms are a unit's expressions, ready for use.
type terms struct {
	judge *expr.Judge // nil if it has no rules
	gates []gate
	left  plan.Ignores
	err   error // that some can't be read
}

type gate struct {
	unit.Gate
	expr *expr.Gate
}

func (t *terms) orNone() terms {
	if t == nil {
		return terms{}
	}
	return *t
}

// replaces reports whether an expression alone says when a unit is ready.
func (t terms) replaces(name unit.Name) bool {
	for _, g := range t.gates {
		if g.After == name && !g.Also {
			return true
		}
	}
	return false
}

// agree reads u's expressions unless they are as they were. e.mu is held.
func (k *keeping) agree(u unit.Unit) {
	if len(u.Rules)+len(u.Gates)+len(u.Ignore) == 0 {
		k.terms = nil
		return
	}
	t := &terms{judge: k.terms.orNone().judge}
	if u.Err == nil && (t.judge == nil || !slices.Equal(k.want.Rules, u.Rules)) {
		t.judge, t.err = expr.New(u.Rules)
	}
	if u.Err == nil {
		left, err := plan.NewIgnores(u.Ignore)
		t.left, t.err = left, errors.Join(t.err, err)
	}
	for _, g := range u.Gates {
		made, err := expr.NewGate(g.Expr)
		if err != nil {
			t.err = errors.Join(t.err, err)
		}
		t.gates = append(t.gates, gate{g, made})
	}
	k.terms = t
}

// admitted reports whether all expressions hold that say when the units before
// this one are ready.
func (r *run) admitted() bool {
	if r.terms.err != nil {
		return r.fail(r.terms.err)
	}
	for _, g := range r.terms.gates {
		if why := r.shut(g); why != "" {
			return r.wait(unit.OnUnit, "dependency '%s/%s' is not ready: %s", g.After.Namespace, g.After.Name, why)
		}
	}
	return true
}

// shut says why a gate is not open, or "".
func (r *run) shut(g gate) string {
	self, ok := r.e.object(r.k.by)
	dep, there := r.e.object(r.e.askerOf(g.After))
	if !ok || !there {
		return "not found"
	}
	switch open, err := g.expr.Open(self, dep); {
	case err != nil:
		return "readyExpr: " + err.Error()
	case !open:
		return "readyExpr does not hold"
	}
	return ""
}

// askerOf returns the name of the object that asks for a unit, or the zero ID.
func (e *Engine) askerOf(name unit.Name) object.ID {
	e.mu.Lock()
	defer e.mu.Unlock()
	if k := e.stands(name); k != nil {
		return k.by
	}
	return object.ID{}
}

// gated has the units looked at anew that wait until an expression over a
// custom resource holds. e.mu is held.
func (e *Engine) gated(a asking) {
	for _, name := range a.units {
		for _, d := range e.after.of(name) {
			if k := e.units[d]; k != nil && len(k.terms.orNone().gates) > 0 {
				e.unitQ.Add(d, changed)
			}
		}
	}
}

// judges returns whose rules an object is judged by: those of its owner, and of
// the units that check it.
func (e *Engine) judges(owner unit.Name, id object.ID) []*expr.Judge {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.ruled) == 0 {
		return nil
	}
	var all []*expr.Judge
	take := func(name unit.Name) {
		if k := e.units[name]; k != nil && k.terms.orNone().judge.Covers(id.Kind) {
			all = append(all, k.terms.judge)
		}
	}
	take(owner)
	for _, name := range e.checked.of(id) {
		if name != owner {
			take(name)
		}
	}
	return all
}

// whole reports whether anybody has rules for objects of a kind.
func (e *Engine) whole(k object.Kind) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.ruled[k]) > 0 || len(e.ruled[object.Kind{Group: k.Group}]) > 0
}

package engine

import (
	"testing"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/unit"
)

func TestTerms(t *testing.T) {
	rules := []health.Rule{{Kind: object.Kind{Name: "ConfigMap"}, Current: "true"}}
	gate := func(name, text string, also bool) unit.Gate {
		return unit.Gate{After: unit.Name{Name: name}, Expr: text, Also: also}
	}
	var k keeping
	put := func(u unit.Unit) terms {
		k.agree(u)
		k.want = u
		return k.terms.orNone()
	}
	first := put(unit.Unit{Rules: rules, Gates: []unit.Gate{gate("a", "true", false), gate("b", "true", true)}})
	if first.err != nil || !first.replaces(unit.Name{Name: "a"}) || first.replaces(unit.Name{Name: "b"}) || first.replaces(unit.Name{Name: "c"}) {
		t.Errorf("what is asked of those before: %+v", first)
	}
	if same := put(unit.Unit{Rules: []health.Rule{rules[0]}, Generation: 2}); same.judge != first.judge {
		t.Error("the same rules have another judge: all objects would be asked for again")
	}
	if other := put(unit.Unit{Rules: append(rules, rules[0])}); other.judge == first.judge || other.judge == nil {
		t.Error("other rules have the same judge")
	}
	if none := put(unit.Unit{}); none.judge.Covers(rules[0].Kind) || k.terms != nil {
		t.Error("no rules have a judge")
	}
	for name, u := range map[string]unit.Unit{
		"rule":   {Rules: []health.Rule{{Current: "("}}},
		"gate":   {Gates: []unit.Gate{gate("a", "(", false)}},
		"ignore": {Ignore: []plan.Ignore{{Paths: []string{"x"}}}},
	} {
		if bad := put(u); !fault.IsInput(bad.err) {
			t.Errorf("%s: what can't be read is taken: %v", name, bad.err)
		}
	}
}

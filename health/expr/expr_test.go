package expr_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/health/expr"
	"github.com/sane-gitops/sane/object"
)

func parse(t testing.TB, text string) object.Object {
	t.Helper()
	all, err := object.Parse([]byte(text))
	if err != nil || len(all) != 1 {
		t.Fatal(text, err)
	}
	return all[0]
}

var widget = object.Kind{Group: "example.com", Name: "Widget"}

func TestOf(t *testing.T) {
	sealed := health.Rule{
		Kind:       widget,
		InProgress: "!has(status.conditions)",
		Failed:     "status.conditions.filter(e, e.type == 'Synced').all(e, e.status == 'False')",
		Current:    "status.conditions.filter(e, e.type == 'Synced').all(e, e.status == 'True')",
	}
	current := func(text string) health.Rule { return health.Rule{Kind: widget, Current: text} }
	const head = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, generation: 3"
	with := func(status string) string { return head + "}\nstatus: " + status }
	for _, tt := range []struct {
		name, object string
		rules        []health.Rule
		want         health.Status
		why          string
	}{
		{"current", with("{conditions: [{type: Synced, status: 'True'}]}"), []health.Rule{sealed}, health.Healthy, ""},
		{"failed", with("{conditions: [{type: Synced, status: 'False'}]}"), []health.Rule{sealed}, health.Degraded, "has failed"},
		{"failed, and says why", with("{conditions: [{type: Synced, status: 'False'}, {type: Ready, status: 'False', message: no key}]}"), []health.Rule{sealed}, health.Degraded, "no key"},
		{"in progress", with("{}"), []health.Rule{sealed}, health.Progressing, "not say that it is current"},
		{"nothing is true", with("{conditions: [{type: Synced, status: Unknown}]}"), []health.Rule{sealed}, health.Progressing, "not say that it is current"},
		{"no status", head + "}", []health.Rule{sealed}, health.Unknown, "status"},
		{"of an older generation", with("{observedGeneration: 2, conditions: [{type: Synced, status: 'True'}]}"), []health.Rule{sealed}, health.Progressing, "newest generation"},
		{"of this generation", with("{observedGeneration: 3, ok: true}"), []health.Rule{current("status.ok")}, health.Healthy, ""},
		{"being deleted", head + ", deletionTimestamp: '2026-01-01T00:00:00Z'}\nstatus: {ok: true}", []health.Rule{current("status.ok")}, health.Progressing, ""},
		{"not a truth", with("{ok: 1}"), []health.Rule{current("status.ok")}, health.Unknown, "neither true nor false"},
		{"numbers of two types", with("{a: 2, b: 1.5}"), []health.Rule{current("status.a > status.b && status.a == 2.0")}, health.Healthy, ""},
		{"null", with("{a: null}"), []health.Rule{current("status.a == null")}, health.Healthy, ""},
		{"optional", with("{}"), []health.Rule{current("status.?a.?b.orValue(true)")}, health.Healthy, ""},
		{"strings", with("{a: ' X-y '}"), []health.Rule{current("status.a.trim().lowerAscii().split('-') == ['x', 'y'] && 'a%s'.format(['b']) == 'ab'")}, health.Healthy, ""},
		{"sets", with("{a: [x, z]}"), []health.Rule{current("sets.contains(status.a, ['z'])")}, health.Healthy, ""},
		{"encoders", with("{a: aGk=}"), []health.Rule{current("string(base64.decode(status.a)) == 'hi'")}, health.Healthy, ""},
		{"another kind", with("{conditions: [{type: Stalled, status: 'True'}]}"), []health.Rule{{Kind: object.Kind{Group: "example.com", Name: "Other"}, Current: "true"}}, health.Degraded, ""},
		{"its group", with("{}"), []health.Rule{{Kind: object.Kind{Group: "example.com"}, Current: "false"}}, health.Progressing, ""},
		{"its kind before its group", with("{}"), []health.Rule{current("true"), {Kind: object.Kind{Group: "example.com"}, Current: "false"}}, health.Healthy, ""},
	} {
		j, err := expr.New(tt.rules)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got := j.Of(parse(t, tt.object))
		if got.Status != tt.want || !strings.Contains(got.Why, tt.why) || got.Status == health.Healthy && got.Why != "" {
			t.Errorf("%s: %s (%s), want %s (%s)", tt.name, got.Status, got.Why, tt.want, tt.why)
		}
	}
}

// TestManagedFields sees that expressions may ask who owns what, though an object
// that was read has that as JSON.
func TestManagedFields(t *testing.T) {
	o, err := object.FromJSON([]byte(`{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w","managedFields":[{"manager":"m","fieldsV1":{"f:spec":{"f:a":{}}}}]},"status":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	j, err := expr.New([]health.Rule{{Kind: widget, Current: "metadata.managedFields.exists(f, 'f:a' in f.fieldsV1['f:spec'])"}})
	if err != nil {
		t.Fatal(err)
	}
	if v := j.Of(o); v.Status != health.Healthy {
		t.Errorf("%s: %s", v.Status, v.Why)
	}
}

func TestNobodyRules(t *testing.T) {
	j, err := expr.New(nil)
	if err != nil || j.Covers(widget) {
		t.Fatalf("%v, %v", j, err)
	}
	if got := j.Of(object.Object{}); got.Status != health.Missing {
		t.Errorf("of nothing: %s", got.Status)
	}
}

func TestInvalid(t *testing.T) {
	for _, tt := range []struct {
		name string
		rule health.Rule
		why  string
	}{
		{"no current", health.Rule{Kind: widget}, "current: the expression is empty"},
		{"syntax", health.Rule{Kind: widget, Current: "a ==", Failed: "true"}, "rule 1, for Widget.example.com: current: expression \"a ==\""},
		{"in failed", health.Rule{Kind: object.Kind{Group: "g"}, Current: "true", Failed: "("}, "rule 1, for all kinds of g: failed"},
		{"without end", health.Rule{Kind: widget, Current: strings.Repeat("1+", 20000) + "1"}, "exceeds limit"},
		{"without bottom", health.Rule{Kind: widget, Current: strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000)}, "recursion"},
	} {
		_, err := expr.New([]health.Rule{tt.rule})
		if !fault.IsInput(err) || !strings.Contains(err.Error(), tt.why) || len(err.Error()) > 2000 {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.why)
		}
	}
}

// TestDear: expressions that would take for ever, or all memory, are given up.
func TestDear(t *testing.T) {
	long := strings.Repeat("0123456789", 1000)
	o := parse(t, `{apiVersion: example.com/v1, kind: Widget, metadata: {name: w}, status: {s: "`+long+`"}}`).
		With(make([]any, 5000), "status", "list")
	list, _ := o.Get("status", "list")
	for i := range list.([]any) {
		list.([]any)[i] = int64(i)
	}
	for _, text := range []string{
		"status.list.all(a, status.list.all(b, status.list.all(c, true)))",
		"sets.contains(status.list, status.list)",
		"status.list.all(a, sets.contains([a], status.list) || true)",
		"status.s.replace('', status.s).replace('', status.s) == ''",
		"status.s.split('').join(status.s) == ''",
		"status.list.all(a, size(status.s) > 0 && status.s.lowerAscii() != '')",
		"'%.999999999f'.format([1.0]) == ''",
		"status.list.map(a, status.list.map(b, status.s + status.s)) == []",
	} {
		j, err := expr.New([]health.Rule{{Kind: widget, Current: text}})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if v := j.Of(o); v.Status != health.Unknown {
			t.Errorf("%s: %s (%s)", text, v.Status, v.Why)
		}
	}
}

func TestGate(t *testing.T) {
	self := parse(t, `{apiVersion: v1, kind: K, metadata: {name: a, labels: {v: '1'}}}`)
	dep := parse(t, `{apiVersion: v1, kind: K, metadata: {name: b, labels: {v: '1'}}, status: {conditions: [{type: Ready, status: 'True'}]}}`)
	for _, tt := range []struct {
		text string
		open bool
		err  string // of reading it, or of asking it
	}{
		{"self.metadata.labels['v'] == dep.metadata.labels['v']", true, ""},
		{"dep.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')", true, ""},
		{"has(self.status)", false, ""},
		{"self.status.x", false, "no such key: status"},
		{"dep.metadata.name", false, "neither true nor false"},
		{"dep.metadata.generation > 'x'", false, "no such key"},
		{"other.x", false, "undeclared reference"},
		{"'a'", false, "neither"},
		{"1 + ", false, "Syntax error"},
		{"", false, "empty"},
	} {
		g, err := expr.NewGate(tt.text)
		open := false
		if err == nil {
			open, err = g.Open(self, dep)
		} else if !fault.IsInput(err) {
			t.Errorf("%q: can't be cured: %v", tt.text, err)
		}
		if open != tt.open || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: %v, %v; want %v, %q", tt.text, open, err, tt.open, tt.err)
		}
	}
}

// FuzzExpressions: whatever people write, there is an answer, soon.
func FuzzExpressions(f *testing.F) {
	for _, s := range []string{
		"status.conditions.filter(e, e.type == 'Ready').all(e, e.status == 'True')", "has(status.x)", "self.a == dep.b",
		"status.s.replace('', status.s)", "'%10.3e'.format([1.0])", "[1,2].map(x, x*2) == dyn([2])", "status.?a.orValue(true)",
		"duration('1h') < timestamp('2026-01-01T00:00:00Z') - timestamp(status.t)", "sets.intersects([1],[status.n])", "{'a': 1}.a == b'x'",
		"status.n.matches('^(a|b)*$')", "\"\\u00ff\".charAt(9223372036854775807)", "'a'.substring(-1, 5)", "size(1/0)", "((((((((((", "a?b:c?d:e",
	} {
		f.Add(s)
	}
	o := parse(f, `{apiVersion: example.com/v1, kind: Widget, metadata: {name: w, labels: {a: b}}, status: {s: text, n: 3, x: 1.5, b: true, z: null, l: [1, a, {b: c}], t: '2026-01-01T00:00:00Z', conditions: [{type: Ready, status: 'True'}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		began := time.Now()
		if j, err := expr.New([]health.Rule{{Kind: widget, Current: text}}); err == nil {
			if v := j.Of(o); v != j.Of(o) {
				t.Errorf("%q: %v, and then another", text, v)
			}
		} else if !fault.IsInput(err) {
			t.Errorf("%q: %v", text, err)
		}
		if g, err := expr.NewGate(text); err == nil {
			_, _ = g.Open(o, o) // that it can't be told is an answer
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%q took %s", text, took)
		}
	})
}

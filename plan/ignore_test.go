package plan_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
)

func TestNewIgnores(t *testing.T) {
	for _, tt := range []struct {
		rule plan.Ignore
		want string
	}{
		{plan.Ignore{Paths: []string{"spec/replicas"}}, `path "spec/replicas" does not begin`},
		{plan.Ignore{Paths: []string{""}}, `path "" does not begin`},
		{plan.Ignore{Paths: []string{"/metadata/name"}}, "which object it is"},
		{plan.Ignore{Paths: []string{"/metadata"}}, "which object it is"},
		{plan.Ignore{Paths: []string{"/kind"}}, "which object it is"},
		{plan.Ignore{Target: plan.Target{Kind: "("}}, "error parsing regexp"},
		{plan.Ignore{Target: plan.Target{Labels: "a in"}}, "labelSelector"},
		{plan.Ignore{Target: plan.Target{Annotations: "=="}}, "annotationSelector"},
	} {
		_, err := plan.NewIgnores([]plan.Ignore{{}, tt.rule})
		if err == nil || !fault.IsInput(err) || !strings.Contains(err.Error(), "rule 2") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.rule, err, tt.want)
		}
	}
}

func TestIgnoreTarget(t *testing.T) {
	o := one(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web-1, namespace: prod, labels: {a: b}, annotations: {c: d}}}`)
	for _, tt := range []struct {
		target plan.Target
		want   bool
	}{
		{plan.Target{}, true},
		{plan.Target{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "prod", Name: "web-.*"}, true},
		{plan.Target{Kind: "Deploy"}, false},
		{plan.Target{Name: "web"}, false},
		{plan.Target{Kind: "StatefulSet|Deployment"}, true},
		{plan.Target{Kind: "Deployment|x", Namespace: "p|q"}, false},
		{plan.Target{Group: "batch"}, false},
		{plan.Target{Version: "v2"}, false},
		{plan.Target{Labels: "a=b", Annotations: "c in (d,e)"}, true},
		{plan.Target{Labels: "a!=b"}, false},
		{plan.Target{Annotations: "x"}, false},
	} {
		x, err := plan.NewIgnores([]plan.Ignore{{Paths: []string{"/spec"}, Target: tt.target}})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(x.Of(o)) == 1; got != tt.want {
			t.Errorf("%+v: %v", tt.target, got)
		}
	}
}

func one(t testing.TB, text string) object.Object {
	t.Helper()
	all, err := object.Parse([]byte(text))
	if err != nil || len(all) != 1 {
		t.Fatal(text, err)
	}
	return all[0]
}

// TestSettle: what is wanted is applied by us; then others do what they do; then
// it is wanted again, but for some fields.
func TestSettle(t *testing.T) {
	const head = `apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: default`
	const wanted = `{` + head + `, annotations: {a/b: x}}, spec: {replicas: 2, paused: false, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}},
	  spec: {containers: [{name: c, image: "c:1", args: [p, q], resources: {limits: {cpu: "1"}}}, {name: d, image: "d:1"}]}}}}`
	with := func(spec string) string {
		return `{` + head + `}, spec: ` + spec + `}`
	}
	container := func(rest string) string {
		return with(`{template: {spec: {containers: [{name: c, ` + rest + `}]}}}`)
	}
	const image, args, resources = "/spec/template/spec/containers/0/image", "/spec/template/spec/containers/0/args/1", "/spec/template/spec/containers/0/resources"
	for _, tt := range []struct {
		name      string
		paths     string
		updated   string // by another's plain update of what is wanted
		applied   string // by another
		manager   string // the other; "" is "other"
		want      string // the JSON of the value at the first path that is to be applied; "" if there is none
		settled   plan.Answer
		different bool // it is not only the fields that differ, as far as can be told
		whole     bool // the field belongs to whoever has what is around it
	}{
		{name: "nothing", paths: "/spec/replicas", want: "2"},
		{name: "an update", paths: "/spec/replicas", updated: with(`{replicas: 7}`), want: "7"},
		{name: "an apply", paths: "/spec/replicas", applied: with(`{replicas: 7}`), want: ""},
		{name: "an apply of the same value", paths: "/spec/replicas", applied: with(`{replicas: 2}`), want: "2"},
		{name: "an update of something else", paths: "/spec/replicas", updated: with(`{paused: true}`), want: "2", different: true},
		{name: "an update of both", paths: "/spec/replicas", updated: with(`{replicas: 7, paused: true}`), want: "7", different: true},
		{name: "kubectl", paths: "/spec/replicas", updated: with(`{replicas: 7}`), manager: "kubectl-scale", want: "7"},
		{name: "kubectl of both", paths: "/spec/replicas", updated: with(`{replicas: 7, minReadySeconds: 3}`), manager: "kubectl-edit", want: "7", different: true},
		{name: "an item's field", paths: image, updated: container(`image: "c:2"`), want: `"c:2"`},
		{name: "an item's field, applied", paths: image, applied: container(`image: "c:2"`), want: ""},
		{name: "an item's map, applied in part", paths: resources, applied: container(`resources: {limits: {cpu: "3"}}`), want: ""},
		{name: "an item's map", paths: resources, updated: container(`resources: {limits: {cpu: "3"}}`), want: `{"limits":{"cpu":"3"}}`},
		{name: "in a list that is one", paths: args, updated: container(`args: [p, r]`), want: `"r"`, different: true, whole: true},
		{name: "a key with a slash", paths: "/metadata/annotations/a~1b", updated: `{` + head + `, annotations: {a/b: z}}}`, want: `"z"`},
		{name: "what nobody wants", paths: "/spec/minReadySeconds", updated: with(`{minReadySeconds: 3}`), want: ""},
		{name: "beyond a list", paths: "/spec/template/spec/containers/7/image", want: ""},
		{name: "within a scalar", paths: "/spec/replicas/x", want: ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := memory.New()
			apply(t, c, `{apiVersion: v1, kind: Namespace, metadata: {name: default}}`, "us")
			want := one(t, wanted)
			apply(t, c, wanted, "us")
			if tt.manager == "" {
				tt.manager = "other"
			}
			if tt.updated != "" {
				patch(t, c, tt.updated, tt.manager)
			}
			if tt.applied != "" {
				apply(t, c, tt.applied, tt.manager)
			}
			live, _, err := c.Get(t.Context(), want.ID())
			if err != nil {
				t.Fatal(err)
			}
			x, err := plan.NewIgnores([]plan.Ignore{{Paths: []string{tt.paths}}})
			if err != nil {
				t.Fatal(err)
			}
			before := string(want.JSON())
			fields := x.Of(want)
			if v := fields.Compare(want, live, "us"); (v.Answer != plan.Same) != tt.different {
				t.Errorf("compare: %s: %s", v.Answer, v.Why)
			}
			settled := fields.Settle(want, live, "us")
			if got := value(t, settled, tt.paths); got != tt.want {
				t.Errorf("settled: %s, want %s", got, tt.want)
			}
			if string(want.JSON()) != before {
				t.Error("what was wanted has been changed")
			}
			// What others have put there is still there when it has been applied.
			was := value(t, live, tt.paths)
			now, err := c.Apply(t.Context(), settled, cluster.How{Manager: "us", Force: true})
			if err != nil {
				t.Fatal(err)
			}
			if got := value(t, now, tt.paths); got != was {
				t.Errorf("after the apply: %s, was %s", got, was)
			}
			if v := fields.Compare(want, now, "us"); tt.manager == "other" && !tt.whole && v.Answer == plan.Different {
				t.Errorf("compare after the apply: %s: %s", v.Answer, v.Why)
			}
		})
	}
}

func apply(t testing.TB, c *memory.Cluster, text, manager string) {
	t.Helper()
	if _, err := c.Apply(t.Context(), one(t, text), cluster.How{Manager: manager, Force: true}); err != nil {
		t.Fatal(err)
	}
}

// patch merges a text into an object, as a plain update; containers by name.
func patch(t testing.TB, c *memory.Cluster, text, manager string) {
	t.Helper()
	o := one(t, text)
	live, _, err := c.Get(t.Context(), o.ID())
	if err != nil {
		t.Fatal(err)
	}
	c.Edit(o.ID(), manager, func(object.Object) object.Object {
		return object.Of(merge(live.Body(), o.Body()).(map[string]any))
	})
}

func merge(a, b any) any {
	switch b := b.(type) {
	case map[string]any:
		out, _ := a.(map[string]any)
		o := object.Of(out)
		for k, v := range b {
			old := out[k]
			o = o.With(merge(old, v), k)
		}
		return o.Body()
	case []any:
		old, _ := a.([]any)
		if m, ok := b[0].(map[string]any); ok && len(old) > 0 {
			return append([]any{merge(old[0], m)}, old[1:]...)
		}
	}
	return b
}

// value returns the JSON of what is at a pointer, or "".
func value(t testing.TB, o object.Object, pointer string) string {
	t.Helper()
	var v any = o.Body()
	for _, token := range strings.Split(pointer[1:], "/") {
		token = strings.ReplaceAll(token, "~1", "/")
		switch in := v.(type) {
		case map[string]any:
			v = in[token]
		case []any:
			i := strings.IndexByte("0123456789", token[0])
			if i >= len(in) {
				return ""
			}
			v = in[i]
		default:
			return ""
		}
	}
	if v == nil {
		return ""
	}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// FuzzIgnores: no pointer, however odd, does harm.
func FuzzIgnores(f *testing.F) {
	for _, s := range []string{"/spec/replicas", "/spec/list/0", "/spec/list/-1", "/spec/list/00", "/a~1b", "//", "/spec/list/0/x", "/metadata/managedFields/0"} {
		f.Add(s, "/spec/list/1")
	}
	c := memory.New(memory.Kinds("example.com/v1", "Widget")...)
	apply(f, c, `{apiVersion: v1, kind: Namespace, metadata: {name: default}}`, "us")
	const text = `{apiVersion: example.com/v1, kind: Widget, metadata: {name: w, namespace: default}, spec: {replicas: 1, list: [1, {x: 2}], map: {a/b: c, "": d}}}`
	apply(f, c, text, "us")
	patch(f, c, `{apiVersion: example.com/v1, kind: Widget, metadata: {name: w, namespace: default}, spec: {replicas: 2, list: [3], map: {"": e}}}`, "other")
	want := one(f, text)
	live, _, err := c.Get(f.Context(), want.ID())
	if err != nil {
		f.Fatal(err)
	}
	before, was := string(want.JSON()), string(live.JSON())
	f.Fuzz(func(t *testing.T, a, b string) {
		x, err := plan.NewIgnores([]plan.Ignore{{Paths: []string{a, b}}})
		if err != nil {
			if !fault.IsInput(err) {
				t.Error(err)
			}
			return
		}
		fields := x.Of(want)
		fields.Compare(want, live, "us")
		settled := fields.Settle(want, live, "us")
		if settled.ID() != want.ID() {
			t.Errorf("%q, %q: it is another object: %s", a, b, settled)
		}
		if string(want.JSON()) != before || string(live.JSON()) != was {
			t.Errorf("%q, %q: changed in place", a, b)
		}
	})
}

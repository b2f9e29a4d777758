package plantest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/object"
)

// A place is somewhere in an object where there is a value.
type place struct {
	path  []string
	value any
	set   func(any)
	drop  func()
}

// places returns the places in a JSON value, but not those that make an object
// another one.
func places(v any, path []string, up func(any), drop func()) []place {
	var out []place
	if len(path) > 0 {
		out = append(out, place{slices.Clone(path), v, up, drop})
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if len(path) == 0 && (k == "apiVersion" || k == "kind" || k == "status") || fixed[strings.Join(path, ".")+"."+k] {
				continue
			}
			out = append(out, places(v[k], append(path, k), func(x any) { v[k] = x }, func() { delete(v, k) })...)
		}
	case []any:
		for i := range v {
			out = append(out, places(v[i], append(path, fmt.Sprint(i)), func(x any) { v[i] = x }, func() { up(slices.Delete(slices.Clone(v), i, i+1)) })...)
		}
	}
	return out
}

var fixed = setOf(".metadata", "metadata.name", "metadata.namespace", "metadata.uid", "metadata.resourceVersion",
	"metadata.generation", "metadata.creationTimestamp", "metadata.managedFields", "metadata.selfLink")

func init() { delete(fixed, ".metadata") }

func setOf(names ...string) map[string]bool {
	m := make(map[string]bool)
	for _, n := range names {
		m[n] = true
	}
	return m
}

// mutate returns o changed at one place.
func mutate(r *rand.Rand, o object.Object) object.Object {
	c := clone(o)
	body := c.Body()
	if r.IntN(6) == 0 {
		return decorate(r, c)
	}
	all := places(any(body), nil, nil, nil)
	// the top ones are hit too often and refused
	var deep []place
	for _, p := range all {
		if len(p.path) > 1 {
			deep = append(deep, p)
		}
	}
	if len(deep) == 0 {
		return decorate(r, c)
	}
	p := deep[r.IntN(len(deep))]
	switch v := p.value.(type) {
	case map[string]any:
		mutateMap(r, p, v)
	case []any:
		mutateList(r, p, v)
	default:
		mutateScalar(r, p)
	}
	return clone(c)
}

// decorate sets, changes or removes a label or annotation.
func decorate(r *rand.Rand, o object.Object) object.Object {
	set := map[string]string{fmt.Sprintf("k%d.test/x", r.IntN(3)): fmt.Sprint(r.IntN(3))}
	if r.IntN(2) == 0 {
		return o.WithLabels(set)
	}
	return o.WithAnnotations(set)
}

func mutateMap(r *rand.Rand, p place, m map[string]any) {
	switch n := r.IntN(10); {
	case n < 2:
		p.drop()
	case n < 5:
		p.set(map[string]any{})
	case n < 7 && len(m) > 0:
		keys := slices.Sorted(maps.Keys(m))
		delete(m, keys[r.IntN(len(keys))])
	case n < 8:
		p.set(nil)
	default:
		m["extra"] = "x"
	}
}

func mutateList(r *rand.Rand, p place, l []any) {
	switch n := r.IntN(10); {
	case n < 1:
		p.drop()
	case n < 3:
		p.set([]any{})
	case n < 5:
		l = slices.Clone(l)
		slices.Reverse(l)
		p.set(l)
	case n < 8 && len(l) > 0:
		p.set(append(slices.Clone(l), varied(r, l[r.IntN(len(l))])))
	case n < 9:
		p.set(nil)
	case len(l) > 0:
		p.set(slices.Delete(slices.Clone(l), 0, 1))
	}
}

// varied returns another value like v.
func varied(r *rand.Rand, v any) any {
	switch v := v.(type) {
	case string:
		return v + "x"
	case int64:
		return v + 1 + int64(r.IntN(3))
	case map[string]any:
		m := maps.Clone(v)
		for _, k := range slices.Sorted(maps.Keys(m)) {
			switch k {
			case "name", "port", "containerPort", "key", "mountPath", "ip":
				m[k] = varied(r, m[k])
			}
		}
		return m
	}
	return v
}

func mutateScalar(r *rand.Rand, p place) {
	if r.IntN(8) == 0 {
		p.drop()
		return
	}
	if r.IntN(10) == 0 {
		p.set(nil)
		return
	}
	switch v := p.value.(type) {
	case string:
		p.set([]any{v + "x", v + "x", "", respelled(v), respelled(v), "2"}[r.IntN(6)])
	case int64:
		p.set([]any{v + 1, v + 1, fmt.Sprint(v), float64(v), int64(0)}[r.IntN(5)])
	case float64:
		p.set(v + 0.5)
	case bool:
		p.set(!v)
	}
}

// respellings are other spellings of the values in the objects.
var respellings = map[string]any{
	"1": "1000m", "1000m": int64(1), "100m": "0.1", "1Gi": "1024Mi", "1024Mi": "1Gi", "128Mi": "134217728", "500m": 0.5,
	"10m": "600s", "60s": "1m", "2024-01-01T00:00:00Z": "2024-01-01T01:00:00+01:00", "YWRtaW4=": "YWRt\naW4=",
	"TCP": nil, "UDP": nil, "25%": "25 %", "RollingUpdate": "rollingupdate", "80": int64(80), "512Mi": "0.5Gi", "1073741824": "1Gi",
}

func respelled(s string) any {
	if v, ok := respellings[s]; ok {
		return v
	}
	return s + " "
}

// adopt returns want with something added to it that is in live.
func adopt(r *rand.Rand, want, live object.Object) object.Object {
	c := clone(want)
	var found []func()
	missing(c.Body(), clone(live).Body(), "", &found)
	if len(found) == 0 {
		return mutate(r, want)
	}
	found[r.IntN(len(found))]()
	return c
}

func missing(want, live any, path string, found *[]func()) {
	switch w := want.(type) {
	case map[string]any:
		l, _ := live.(map[string]any)
		for _, k := range slices.Sorted(maps.Keys(l)) {
			if path == "" && k == "status" || fixed[path+"."+k] {
				continue
			}
			if _, ok := w[k]; !ok {
				*found = append(*found, func() { w[k] = l[k] })
				continue
			}
			if m, isMap := w[k].(map[string]any); isMap && len(m) == 0 {
				*found = append(*found, func() { w[k] = l[k] })
			}
			if w[k] == nil {
				*found = append(*found, func() { w[k] = l[k] })
			}
			missing(w[k], l[k], strings.TrimPrefix(path+"."+k, "."), found)
		}
	case []any:
		l, _ := live.([]any)
		for i := range min(len(l), len(w)) {
			missing(w[i], l[i], path+"[]", found)
		}
	}
}

// part returns some of an object's fields, enough to be applied.
func part(r *rand.Rand, o object.Object) object.Object {
	c := clone(o).Without("status")
	m, _ := c.Get("metadata")
	meta := map[string]any{"name": o.Name()}
	for _, k := range []string{"labels", "annotations", "finalizers"} {
		if v, ok := m.(map[string]any)[k]; ok && r.IntN(2) == 0 {
			meta[k] = v
		}
	}
	if o.Namespace() != "" {
		meta["namespace"] = o.Namespace()
	}
	return c.With(meta, "metadata")
}

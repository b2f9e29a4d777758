package diff

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/sane-gitops/sane/object"
)

// A Mismatch is a field in which an object is not as it is wanted.
type Mismatch struct {
	Field string    `json:"field"`
	Is    string    `json:"is,omitempty"`     // "" if it is not there
	Want  string    `json:"wanted,omitempty"` // "" if it is not to be there
	By    string    `json:"by,omitempty"`     // who owns it
	Since time.Time `json:"since,omitzero"`
}

// Mismatches returns the fields in which two states of an object differ, each
// with who owns it in owned, which is the first state with its managedFields.
func Mismatches(live, would, owned object.Object) []Mismatch {
	c := comparing{owned: owned}
	c.value(live.Body(), would.Body())
	return c.all
}

// A comparing is a look for mismatches.
type comparing struct {
	owned object.Object
	all   []Mismatch
	name  string // where it looks
	path  []fieldStep
}

// in looks into a field or an item.
func (g *comparing) in(name string, st fieldStep, look func()) {
	was, n := g.name, len(g.path)
	g.name, g.path = was+name, append(g.path, st)
	look()
	g.name, g.path = was, g.path[:n]
}

func (g *comparing) value(live, would any) {
	switch {
	case reflect.DeepEqual(live, would):
		return
	case !nested(live, would):
		g.add(live, would)
		return
	}
	if m, ok := live.(map[string]any); ok {
		g.fields(m, would.(map[string]any))
		return
	}
	l, w := live.([]any), would.([]any)
	key := identity(l, w)
	if key == "" { // then nobody can own an item of it
		g.add(live, would)
		return
	}
	for i, p := range pairs(l, w, key) {
		item := p.old
		if item == nil {
			item = p.now
		}
		g.in("["+p.name(key, i)+"]", fieldStep{item: item, inList: true}, func() { g.value(p.old, p.now) })
	}
}

func (g *comparing) fields(live, would map[string]any) {
	keys := make(map[string]bool)
	for k := range live {
		keys[k] = true
	}
	for k := range would {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		g.in(step(k), fieldStep{name: k}, func() { g.value(live[k], would[k]) })
	}
}

func (g *comparing) add(live, would any) {
	by, since := ownerAt(g.owned, g.path)
	g.all = append(g.all, Mismatch{strings.TrimPrefix(g.name, "."), shortly(live), shortly(would), by, since})
}

// shortly returns a value on a short line; "" for one that is not there.
func shortly(v any) string {
	const most = 60
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return clip(oneLine(v), most)
	default:
		data, err := json.Marshal(v)
		if err != nil {
			return "?"
		}
		return clip(string(data), most)
	}
}

// Over returns an object with the fields of another set over its own, as an apply
// leaves it as far as can be told without the server.
func Over(live, want object.Object) object.Object {
	merged, _ := merge(live.Body(), want.Body()).(map[string]any)
	return object.Of(merged)
}

func merge(live, want any) any {
	switch w := want.(type) {
	case map[string]any:
		l := child(live)
		out := maps.Clone(l)
		if out == nil {
			out = make(map[string]any)
		}
		for k, v := range w {
			out[k] = merge(l[k], v)
		}
		return out
	case []any:
		l, _ := live.([]any)
		key := identity(l, w)
		if key == "" || len(l) == 0 {
			return want
		}
		var out []any
		for _, p := range pairs(l, w, key) {
			if p.now == nil {
				out = append(out, p.old)
			} else {
				out = append(out, merge(p.old, p.now))
			}
		}
		return out
	}
	return want
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// Package diff says how two states of an object differ, and who owns what
// differs, without giving away what is secret.
package diff

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/sane-gitops/sane/object"
)

// A Line is a line of YAML that is in both objects (' '), in the old one
// ('-') or in the new one ('+').
type Line struct {
	Mark byte
	Text string
}

// A Difference is the fields in which two JSON values differ.
type Difference struct {
	Lines  []Line   // YAML: the fields, and the ones that they are in
	Fields []string // their names, if both values are there: "spec.containers[web].image"
}

// Of returns the difference between two states of an object, of which a zero one
// is not there. Items of lists that have names are known by them.
func Of(old, now object.Object) Difference { return values(body(old), body(now)) }

// body returns o's JSON form; nil for an object that is not there.
func body(o object.Object) any {
	if o.IsZero() {
		return nil
	}
	return o.Body()
}

func values(old, now any) Difference {
	var d differ
	switch {
	case old == nil && now == nil:
	case old == nil:
		d.all('+', 0, now)
	case now == nil:
		d.all('-', 0, old)
	default:
		d.value(0, old, now)
	}
	return d.Difference
}

// A differ looks for differences.
type differ struct {
	Difference
	at string // the field that is being looked at
}

// in looks into a field or an item.
func (d *differ) in(step string, look func()) {
	was := d.at
	d.at += step
	look()
	d.at = was
}

// differs notes that the field that is being looked at differs.
func (d *differ) differs() { d.Fields = append(d.Fields, strings.TrimPrefix(d.at, ".")) }

func (d *differ) put(mark byte, indent int, text string) {
	d.Lines = append(d.Lines, Line{mark, strings.Repeat("  ", indent) + text})
}

// all puts the whole of a value.
func (d *differ) all(mark byte, indent int, v any) {
	for _, l := range yamlLines(v) {
		d.put(mark, indent, l)
	}
}

// value puts the differences between two values of one type that is a map or a
// list.
func (d *differ) value(indent int, old, now any) {
	switch now := now.(type) {
	case map[string]any:
		d.keys(indent, old.(map[string]any), now)
	case []any:
		d.items(indent, old.([]any), now)
	}
}

// nested reports whether both values are maps, or both are lists, that hold
// something.
func nested(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && len(a) > 0 && len(b) > 0
	case []any:
		b, ok := b.([]any)
		return ok && len(a) > 0 && len(b) > 0
	}
	return false
}

func (d *differ) keys(indent int, old, now map[string]any) {
	keys := slices.Collect(maps.Keys(old))
	for k := range now {
		if _, ok := old[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		d.in(step(k), func() { d.key(indent, k, old, now) })
	}
}

// step returns how a field is written after the one that it is in.
func step(key string) string {
	if strings.ContainsAny(key, "./[") {
		return "[" + key + "]"
	}
	return "." + key
}

func (d *differ) key(indent int, k string, old, now map[string]any) {
	a, had := old[k]
	b, has := now[k]
	switch {
	case had && has && reflect.DeepEqual(a, b):
	case had && has && nested(a, b):
		d.put(' ', indent, scalar(k)+":")
		d.value(indent+depth(b), a, b)
	default:
		d.differs()
		if had {
			d.all('-', indent, map[string]any{k: a})
		}
		if has {
			d.all('+', indent, map[string]any{k: b})
		}
	}
}

// depth returns by how much YAML indents what is in v: items not at all.
func depth(v any) int {
	if _, ok := v.([]any); ok {
		return 0
	}
	return 1
}

func (d *differ) items(indent int, old, now []any) {
	key := identity(old, now)
	for i, p := range pairs(old, now, key) {
		d.in("["+p.name(key, i)+"]", func() { d.item(indent, key, p) })
	}
}

// item puts the differences between two states of an item, after what names it.
func (d *differ) item(indent int, key string, p pair) {
	switch {
	case reflect.DeepEqual(p.old, p.now):
		return
	case p.old == nil || p.now == nil || !nested(p.old, p.now):
		d.differs()
		if p.old != nil {
			d.all('-', indent, []any{p.old})
		}
		if p.now != nil {
			d.all('+', indent, []any{p.now})
		}
		return
	}
	head := "-"
	if m, ok := p.now.(map[string]any); ok && key != "" {
		head += " " + scalar(key) + ": " + strings.Join(yamlLines(m[key]), " ")
	}
	d.put(' ', indent, head)
	d.value(indent+1, p.old, p.now)
}

// names are the fields by which items of lists are known, the first that all
// items have and in which no two agree.
var names = []string{"name", "containerPort", "port", "mountPath", "devicePath", "key", "ip", "type", "topologyKey", "uid", "id"}

// identity returns the field by which the items of two lists are known, or "".
func identity(lists ...[]any) string {
	for _, name := range names {
		if !slices.ContainsFunc(lists, func(l []any) bool { return !identifies(name, l) }) {
			return name
		}
	}
	return ""
}

func identifies(name string, list []any) bool {
	seen := make(map[any]bool)
	for _, v := range list {
		m, _ := v.(map[string]any)
		id, ok := m[name]
		if !ok || nested(id, id) || seen[fmt.Sprint(id)] {
			return false
		}
		seen[fmt.Sprint(id)] = true
	}
	return true
}

// A pair is an item as it was and as it is; nil where it is not there.
type pair struct{ old, now any }

// name returns what an item goes by: its key, or where it stands.
func (p pair) name(key string, i int) string {
	for _, v := range []any{p.now, p.old} {
		if m, ok := v.(map[string]any); ok && key != "" {
			return fmt.Sprint(m[key])
		}
	}
	return strconv.Itoa(i)
}

// pairs brings the items of two lists together: by key, or, if that is "", those
// that are equal and in the same order.
func pairs(old, now []any, key string) []pair {
	same := reflect.DeepEqual
	if key != "" {
		same = func(a, b any) bool {
			return reflect.DeepEqual(a.(map[string]any)[key], b.(map[string]any)[key])
		}
	}
	var out []pair
	i, j := 0, 0
	for _, m := range append(common(old, now, same), [2]int{len(old), len(now)}) {
		out = append(out, between(old[i:m[0]], now[j:m[1]], key == "")...)
		if m[0] < len(old) {
			out = append(out, pair{old[m[0]], now[m[1]]})
		}
		i, j = m[0]+1, m[1]+1
	}
	return out
}

// between pairs the items that stand between two matches. Those without names
// are taken for changed where they stand.
func between(old, now []any, nameless bool) []pair {
	var out []pair
	for nameless && len(old) > 0 && len(now) > 0 {
		out = append(out, pair{old[0], now[0]})
		old, now = old[1:], now[1:]
	}
	for _, v := range old {
		out = append(out, pair{v, nil})
	}
	for _, v := range now {
		out = append(out, pair{nil, v})
	}
	return out
}

// common returns the indexes of a longest common subsequence. Lists that are
// too long to compare have none.
func common(a, b []any, same func(a, b any) bool) [][2]int {
	if len(a)*len(b) > 1<<20 {
		return nil
	}
	best := make([][]int, len(a)+1)
	for i := range best {
		best[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if best[i][j] = max(best[i+1][j], best[i][j+1]); same(a[i], b[j]) {
				best[i][j] = max(best[i][j], best[i+1][j+1]+1)
			}
		}
	}
	var out [][2]int
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case same(a[i], b[j]) && best[i][j] == best[i+1][j+1]+1:
			out = append(out, [2]int{i, j})
			i, j = i+1, j+1
		case best[i+1][j] >= best[i][j+1]:
			i++
		default:
			j++
		}
	}
	return out
}

// yamlLines returns a value as lines of YAML.
func yamlLines(v any) []string {
	data, err := yaml.Marshal(v)
	if err != nil { // the value came from JSON
		data, _ = json.Marshal(v)
	}
	return strings.Split(strings.TrimRight(string(data), "\n"), "\n")
}

// scalar returns a key as YAML writes it.
func scalar(key string) string { return strings.Join(yamlLines(key), " ") }

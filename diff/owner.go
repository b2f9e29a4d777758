package diff

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/sane-gitops/sane/object"
)

// A steward is what one entry of managedFields says: who owns which fields.
type steward struct {
	manager, operation, subresource string
	since                           time.Time
	fields                          map[string]any // as fieldsV1
}

func stewards(o object.Object) []steward {
	v, _ := o.Get("metadata", "managedFields")
	list, _ := v.([]any)
	var out []steward
	for _, e := range list {
		m := child(e)
		out = append(out, steward{text(m["manager"]), text(m["operation"]), text(m["subresource"]), object.Of(m).Time("time"), object.Fields(m["fieldsV1"])})
	}
	return out
}

// A fieldStep leads from a value to one in it: the field of a name, or that item
// of a list.
type fieldStep struct {
	name   string
	item   any
	inList bool
}

func fieldPath(names ...string) []fieldStep {
	var out []fieldStep
	for _, n := range names {
		out = append(out, fieldStep{name: n})
	}
	return out
}

// owns reports whether s owns the field at a path, or something in it.
func (s steward) owns(path []fieldStep) bool {
	at := s.fields
	for _, st := range path {
		next, ok := st.in(at)
		if !ok {
			return false
		}
		if len(next) == 0 {
			return true // as a whole
		}
		at = next
	}
	return true
}

// in takes a step in fieldsV1.
func (st fieldStep) in(fields map[string]any) (map[string]any, bool) {
	if !st.inList {
		v, ok := fields["f:"+st.name]
		return child(v), ok
	}
	for key, v := range fields {
		if keyNames(key, st.item) {
			return child(v), true
		}
	}
	return nil, false
}

// keyNames reports whether a key of fieldsV1 names an item of a list.
func keyNames(key string, item any) bool {
	if data, ok := strings.CutPrefix(key, "v:"); ok {
		var v any
		return json.Unmarshal([]byte(data), &v) == nil && same(v, item)
	}
	data, ok := strings.CutPrefix(key, "k:")
	if !ok {
		return false
	}
	var want map[string]any
	m := child(item)
	if json.Unmarshal([]byte(data), &want) != nil || m == nil {
		return false
	}
	for k, v := range want {
		got, there := m[k]
		if !there && k == "protocol" && v == "TCP" { // its default, where the item is not the server's
			continue
		}
		if !same(v, got) {
			return false
		}
	}
	return true
}

// same reports whether two scalars are the same, whatever kind of number they
// were decoded to.
func same(a, b any) bool {
	if _, ok := a.(float64); ok {
		return number(a) == number(b) && reflect.ValueOf(b).IsValid() && text(b) == ""
	}
	return reflect.DeepEqual(a, b)
}

// Owner returns who last became an owner of the field at a path of names, and
// when; "" if nobody is.
func Owner(o object.Object, path ...string) (manager string, since time.Time) {
	return ownerAt(o, fieldPath(path...))
}

// ownerAt returns who last became an owner of the field at a path, and when; ""
// if nobody is.
func ownerAt(o object.Object, path []fieldStep) (manager string, since time.Time) {
	return ownerOf(stewards(o), path)
}

func ownerOf(all []steward, path []fieldStep) (manager string, since time.Time) {
	for _, s := range all {
		if s.owns(path) && (manager == "" || s.since.After(since)) {
			manager, since = s.manager, s.since
		}
	}
	return manager, since
}

// A Stray is a field that somebody else owns, and of which nothing is wanted.
type Stray struct {
	Field string    `json:"field"`
	By    string    `json:"by"`
	Since time.Time `json:"since,omitzero"`
	path  []fieldStep
}

// Strays returns the fields of o that others own and a manager who applies does
// not, but for those that are a controller's answer.
func Strays(o object.Object, manager string) []Stray {
	all := stewards(o)
	ours := func(s steward) bool { return s.manager == manager && s.operation == "Apply" && s.subresource == "" }
	var out []Stray
	for _, s := range all {
		if ours(s) || s.subresource == "status" {
			continue
		}
		for _, f := range s.leaves(o) {
			if !slices.ContainsFunc(all, func(t steward) bool { return ours(t) && t.owns(f.path) }) {
				out = append(out, f)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Stray) int { return strings.Compare(a.Field, b.Field) })
	return out
}

// leaves returns the fields that s owns, as far as they are in o.
func (s steward) leaves(o object.Object) []Stray {
	var out []Stray
	var walk func(fields map[string]any, v any, name string, path []fieldStep)
	walk = func(fields map[string]any, v any, name string, path []fieldStep) {
		switch {
		case len(fields) == 0 && len(path) == 0: // the entry says nothing
			return
		case len(fields) == 0:
			out = append(out, Stray{strings.TrimPrefix(name, "."), s.manager, s.since, slices.Clone(path)})
			return
		}
		for key, below := range fields {
			if field, ok := strings.CutPrefix(key, "f:"); ok {
				if w, there := child(v)[field]; there && !(len(path) == 0 && field == "status") {
					walk(child(below), w, name+step(field), append(path, fieldStep{name: field}))
				}
				continue
			}
			list, _ := v.([]any)
			for i, item := range list {
				if keyNames(key, item) {
					walk(child(below), item, name+"["+itemName(list, i)+"]", append(path, fieldStep{item: item, inList: true}))
					break
				}
			}
		}
	}
	walk(s.fields, o.Body(), "", nil)
	return out
}

// itemName returns what an item of a list goes by.
func itemName(list []any, i int) string { return pair{now: list[i]}.name(identity(list), i) }

func child(v any) map[string]any { m, _ := v.(map[string]any); return m }

func text(v any) string { s, _ := v.(string); return s }

func number(v any) int64 {
	switch n := v.(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return 0
}

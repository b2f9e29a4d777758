package plan

import (
	"encoding/json"
	"slices"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"github.com/sane-gitops/sane/object"
)

// Evict is for the case that applying want has been refused as invalid because
// of what others have left in live: somebody who changes the key of a list item
// of ours, say a Service's port, takes it away from us and leaves the item under
// its new key, which our next apply puts ours beside and can't take away.
//
// Evict returns a JSON patch after which that apply takes such items away, and
// whether there are any: items of lists that are merged by keys, where want has
// that list, the item is not in want, and all its owners are others who made
// plain updates. What another manager applied, what belongs to a subresource,
// what nobody owns, and metadata stay.
//
// The patch gives the items to the manager that applies, and leaves them where
// they are: removing them outright would often be refused as well (a Service
// without ports) or be a rollout of its own. It is void if live has changed
// meanwhile, and changes nothing but managedFields.
func Evict(want, live object.Object, manager string) (jsonPatch []byte, ok bool) {
	v, _ := live.Get("metadata", "managedFields")
	entries, _ := v.([]any)
	if comparison, ok := comparable(want, live); !ok || comparison.Answer != Same || live.ResourceVersion() == "" {
		return nil, false
	}
	e := eviction{version: want.APIVersion(), manager: manager}
	if !e.read(entries) {
		return nil, false
	}
	for field, w := range want.Body() {
		if field != "metadata" && field != "status" {
			e.walk(fieldpath.Path{{FieldName: &field}}, w, live.Body()[field])
		}
	}
	if e.items.Empty() {
		return nil, false
	}
	return e.patch(entries, live.ResourceVersion())
}

// An eviction is what Evict knows.
type eviction struct {
	version, manager string
	sets             []*fieldpath.Set // of each of managedFields; nil if it speaks of another version
	mine             int              // which of them is ours; -1 if none
	movable          []bool           // which of them are plain updates by others
	items            fieldpath.Set    // that are to go
}

func (e *eviction) read(entries []any) bool {
	e.mine = -1
	for i, v := range entries {
		m, _ := v.(map[string]any)
		set, err := fieldSet(m["fieldsV1"])
		if err != nil {
			return false
		}
		main := text(m["subresource"]) == ""
		if main && m["manager"] == e.manager && m["operation"] == "Apply" {
			e.mine = i
		}
		e.sets = append(e.sets, set)
		e.movable = append(e.movable, main && m["manager"] != e.manager && m["operation"] == "Update" && m["apiVersion"] == e.version)
	}
	return true
}

func (e *eviction) walk(path fieldpath.Path, want, live any) {
	switch w := want.(type) {
	case map[string]any:
		l, _ := live.(map[string]any)
		for field, v := range w {
			e.walk(append(path.Copy(), fieldpath.PathElement{FieldName: &field}), v, l[field])
		}
	case []any:
		l, _ := live.([]any)
		if names := e.keyOf(path); names != nil {
			e.walkItems(path, names, w, l)
		}
	}
}

// keyOf returns the names of the fields that are the key of a list's items, as
// those who own some say.
func (e *eviction) keyOf(path fieldpath.Path) (names []string) {
	for _, set := range e.sets {
		for _, pe := range path {
			set = set.WithPrefix(pe)
		}
		take := func(pe fieldpath.PathElement) {
			if pe.Key != nil && names == nil {
				for _, f := range *pe.Key {
					names = append(names, f.Name)
				}
			}
		}
		set.Members.Iterate(take)
		set.Children.Iterate(take)
	}
	return names
}

// walkItems looks for items that are to go, and into those that are wanted.
func (e *eviction) walkItems(path fieldpath.Path, names []string, want, live []any) {
	for _, item := range live {
		key, ok := keyElement(item, names)
		if !ok {
			continue
		}
		below := append(path.Copy(), key)
		i := slices.IndexFunc(want, func(w any) bool { return mayBe(w, item, names) })
		if i >= 0 {
			e.walk(below, want[i], item)
		} else if e.evictable(below) {
			e.items.Insert(below)
		}
	}
}

func keyElement(item any, names []string) (fieldpath.PathElement, bool) {
	m, _ := item.(map[string]any)
	var key value.FieldList
	for _, name := range names {
		v, ok := m[name]
		if !ok {
			return fieldpath.PathElement{}, false
		}
		key = append(key, value.Field{Name: name, Value: value.NewValueInterface(v)})
	}
	return fieldpath.PathElement{Key: &key}, true
}

// mayBe reports whether a wanted item can be the one that is there: what it
// says of its key is true of it.
func mayBe(want, live any, names []string) bool {
	w, ok := want.(map[string]any)
	l, ok2 := live.(map[string]any)
	if !ok || !ok2 {
		return true
	}
	return !slices.ContainsFunc(names, func(name string) bool {
		v, there := w[name]
		return there && !value.Equals(value.NewValueInterface(v), value.NewValueInterface(l[name]))
	})
}

// evictable reports whether an item has owners, and all may lose it.
func (e *eviction) evictable(item fieldpath.Path) bool {
	owners := 0
	for i, set := range e.sets {
		if !owns(set, item) {
			continue
		}
		if !e.movable[i] {
			return false
		}
		owners++
	}
	return owners > 0
}

func owns(set *fieldpath.Set, item fieldpath.Path) bool {
	if set.Has(item) {
		return true
	}
	for _, pe := range item {
		set = set.WithPrefix(pe)
	}
	return !set.Empty()
}

// patch returns the patch that gives the items to us.
func (e *eviction) patch(entries []any, resourceVersion string) ([]byte, bool) {
	var out []any
	for i, v := range entries {
		switch {
		case i == e.mine: // comes last
		case !e.movable[i]:
			out = append(out, v)
		default:
			if rest := e.sets[i].RecursiveDifference(&e.items); !rest.Empty() {
				out = append(out, with(v, rest))
			}
		}
	}
	ours, set := any(map[string]any{
		"manager": e.manager, "operation": "Apply", "apiVersion": e.version, "fieldsType": "FieldsV1",
	}), &e.items
	if e.mine >= 0 {
		ours, set = entries[e.mine], set.Union(e.sets[e.mine])
	}
	type op struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	data, err := json.Marshal([]op{
		{"replace", "/metadata/managedFields", append(out, with(ours, set))},
		{"replace", "/metadata/resourceVersion", resourceVersion},
	})
	return data, err == nil
}

// with returns an entry of managedFields with other fields.
func with(entry any, set *fieldpath.Set) any {
	m, _ := entry.(map[string]any)
	out := make(map[string]any, len(m))
	for k, v := range m {
		if k != "time" { // a sign that not an apply wrote it
			out[k] = v
		}
	}
	data, err := set.ToJSON()
	if err != nil {
		panic("plan: " + err.Error()) // it was decoded from JSON
	}
	out["fieldsV1"] = json.RawMessage(data)
	return out
}

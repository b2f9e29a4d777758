package plan

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/object"
)

// An Ignore says which fields of which objects are left to others once the
// object is there.
type Ignore struct {
	Paths  []string // JSON pointers (RFC 6901)
	Target Target
}

// A Target selects objects by regular expressions, which stand for the whole of
// a name, and by selectors. What is empty selects all.
type Target struct {
	Group, Version, Kind, Namespace, Name string
	Labels, Annotations                   string
}

// Ignores are rules of Ignore, ready for use. The nil Ignores ignore nothing.
type Ignores []ignore

type ignore struct {
	fields      Fields
	id          [5]*regexp.Regexp // group, version, kind, namespace, name; nil is any
	labels      labels.Selector
	annotations labels.Selector
}

// Fields are places in an object, as JSON pointers split at their slashes.
type Fields [][]string

// NewIgnores reads rules. All errors are of the input.
func NewIgnores(rules []Ignore) (Ignores, error) {
	var all Ignores
	for i, r := range rules {
		made, err := readIgnore(r)
		if err != nil {
			return nil, fault.Input(fmt.Errorf("rule %d: %w", i+1, err))
		}
		all = append(all, made)
	}
	return all, nil
}

func readIgnore(r Ignore) (ignore, error) {
	var made ignore
	for _, p := range r.Paths {
		f, err := split(p)
		if err != nil {
			return made, err
		}
		made.fields = append(made.fields, f)
	}
	t := r.Target
	for i, pattern := range []string{t.Group, t.Version, t.Kind, t.Namespace, t.Name} {
		if pattern == "" {
			continue
		}
		re, err := regexp.Compile("^(?:" + pattern + ")$")
		if err != nil {
			return made, fmt.Errorf("target: %w", err)
		}
		made.id[i] = re
	}
	var err error
	if made.labels, err = labels.Parse(t.Labels); err != nil {
		return made, fmt.Errorf("target: labelSelector: %w", err)
	}
	if made.annotations, err = labels.Parse(t.Annotations); err != nil {
		return made, fmt.Errorf("target: annotationSelector: %w", err)
	}
	return made, nil
}

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// split reads a JSON pointer. What says which object it is can't be left to
// others, nor can the object as a whole.
func split(pointer string) ([]string, error) {
	rest, ok := strings.CutPrefix(pointer, "/")
	if !ok {
		return nil, fmt.Errorf("path %q does not begin with a slash and name a field", pointer)
	}
	tokens := strings.Split(rest, "/")
	for i, t := range tokens {
		tokens[i] = unescape.Replace(t)
	}
	switch tokens[0] {
	case "apiVersion", "kind":
		return nil, fmt.Errorf("path %q: it says which object it is", pointer)
	case "metadata":
		if len(tokens) == 1 || slices.Contains([]string{"name", "namespace"}, tokens[1]) {
			return nil, fmt.Errorf("path %q: it says which object it is", pointer)
		}
	}
	return tokens, nil
}

// Of returns the fields of o that are left to others.
func (x Ignores) Of(o object.Object) Fields {
	var all Fields
	for _, r := range x {
		if r.selects(o) {
			all = append(all, r.fields...)
		}
	}
	slices.SortFunc(all, func(a, b []string) int { return slices.CompareFunc(b, a, compareTokens) })
	return slices.CompactFunc(all, slices.Equal)
}

// compareTokens orders tokens of pointers, numbers as numbers: what is last in a
// list is to be seen to first.
func compareTokens(a, b string) int {
	i, err := strconv.Atoi(a)
	j, err2 := strconv.Atoi(b)
	if err == nil && err2 == nil {
		return cmp.Compare(i, j)
	}
	return strings.Compare(a, b)
}

func (r ignore) selects(o object.Object) bool {
	id := o.ID()
	for i, s := range []string{id.Kind.Group, o.Version(), id.Kind.Name, id.Namespace, id.Name} {
		if r.id[i] != nil && !r.id[i].MatchString(s) {
			return false
		}
	}
	return r.labels.Matches(labels.Set(o.Labels())) && r.annotations.Matches(labels.Set(o.Annotations()))
}

// Settle returns want as it is to be applied where live is: of the fields that
// differ, those that another manager applies are left out, so that they are its
// own, and the others are as they are in live.
func (f Fields) Settle(want, live object.Object, manager string) object.Object {
	for _, at := range f {
		w, wanted := valueAt(want.Body(), at)
		l, there := valueAt(live.Body(), at)
		switch {
		case !wanted || there && reflect.DeepEqual(w, l):
		case !there || applied(live, at, manager):
			want = object.Of(cut(want.Body(), at).(map[string]any))
		default:
			want = object.Of(put(want.Body(), at, l).(map[string]any))
		}
	}
	return want
}

// Compare is [Compare] of all but the fields. Others that are to be taken over
// must not hold anything but these.
func (f Fields) Compare(want, live object.Object, manager string, over ...string) Verdict {
	if f.Usurped(live, manager, over...) {
		return Verdict{Different, "others hold fields that are to become ours"}
	}
	mine := f.released(live, manager)
	for _, at := range f {
		want = object.Of(without(want.Body(), at))
		mine = object.Of(cut(mine.Body(), at).(map[string]any))
	}
	return Compare(want, mine, manager)
}

// SameOwned reports whether our manager owns the same in two states of an
// object, but for the fields.
func (f Fields) SameOwned(a, b object.Object, manager string) bool {
	return reflect.DeepEqual(f.owned(a, manager), f.owned(b, manager))
}

func (f Fields) owned(o object.Object, manager string) any {
	for _, e := range owners(f.released(o, manager)) {
		if e["manager"] == manager && e["operation"] == "Apply" && text(e["subresource"]) == "" {
			return object.Fields(e["fieldsV1"])
		}
	}
	return nil
}

// Usurped reports whether those who are to be taken over hold other fields than
// these.
func (f Fields) Usurped(live object.Object, manager string, over ...string) bool {
	for _, e := range owners(live) {
		if text(e["subresource"]) != "" && text(e["subresource"]) != "scale" || !TakenOver(text(e["manager"]), text(e["operation"]), manager, over...) {
			continue
		}
		set, err := fieldSet(e["fieldsV1"])
		if err != nil || !set.RecursiveDifference(f.within(live, set)).Leaves().Empty() {
			return true
		}
	}
	return false
}

// released returns live without our manager's ownership of the fields.
func (f Fields) released(live object.Object, manager string) object.Object {
	var out []any
	for _, e := range owners(live) {
		if e["manager"] == manager && e["operation"] == "Apply" && text(e["subresource"]) == "" {
			e = f.release(live, e)
		}
		out = append(out, e)
	}
	return live.With(out, "metadata", "managedFields")
}

// release returns an entry of managedFields without the fields.
func (f Fields) release(live object.Object, e map[string]any) map[string]any {
	set, err := fieldSet(e["fieldsV1"])
	if err != nil {
		return e
	}
	ours := object.Of(e).With(decoded(set.RecursiveDifference(f.within(live, set))), "fieldsV1")
	return ours.Body()
}

// within returns the fields as they are named in the entry of a manager.
func (f Fields) within(live object.Object, set *fieldpath.Set) *fieldpath.Set {
	all := fieldpath.NewSet()
	for _, at := range f {
		if _, there := valueAt(live.Body(), at); !there {
			continue
		}
		if p, ok := pathIn(live.Body(), at, set); ok {
			all.Insert(p)
		}
	}
	return all
}

// applied reports whether another manager than ours applies a field, or
// something in it or around it.
func applied(live object.Object, at []string, manager string) bool {
	for _, e := range owners(live) {
		if e["operation"] != "Apply" || e["manager"] == manager {
			continue
		}
		set, err := fieldSet(e["fieldsV1"])
		if err != nil {
			continue
		}
		if p, ok := pathIn(live.Body(), at, set); ok && owns(set, p) {
			return true
		}
	}
	return false
}

// pathIn returns how a manager's set names a field: itself, or, where a list or
// a map around it is owned as a whole, that.
func pathIn(v any, at []string, set *fieldpath.Set) (fieldpath.Path, bool) {
	var path fieldpath.Path
	for _, token := range at {
		var pe fieldpath.PathElement
		switch in := v.(type) {
		case map[string]any:
			pe, v = fieldpath.PathElement{FieldName: &token}, in[token]
		case []any:
			i, ok := index(token, len(in))
			if !ok {
				return nil, false
			}
			if pe, ok = itemIn(set, in[i]); !ok {
				return path, len(path) > 0
			}
			v = in[i]
		default:
			return nil, false
		}
		path = append(path, pe)
		if below := set.WithPrefix(pe); !below.Empty() {
			set = below
		} else {
			return path, true
		}
	}
	return path, true
}

// itemIn returns how a set names an item of a list.
func itemIn(set *fieldpath.Set, item any) (found fieldpath.PathElement, ok bool) {
	take := func(pe fieldpath.PathElement) {
		if pe.Key == nil || ok {
			return
		}
		var names []string
		for _, f := range *pe.Key {
			names = append(names, f.Name)
		}
		if key, is := keyElement(item, names); is && key.Equals(pe) {
			found, ok = pe, true
		}
	}
	set.Members.Iterate(take)
	set.Children.Iterate(take)
	return found, ok
}

// owners returns an object's managedFields.
func owners(o object.Object) []map[string]any {
	v, _ := o.Get("metadata", "managedFields")
	list, _ := v.([]any)
	var all []map[string]any
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all
}

func index(token string, length int) (int, bool) {
	i, err := strconv.Atoi(token)
	return i, err == nil && i >= 0 && i < length && strconv.Itoa(i) == token
}

// valueAt returns the value at a place.
func valueAt(v any, at []string) (any, bool) {
	for _, token := range at {
		switch in := v.(type) {
		case map[string]any:
			below, ok := in[token]
			if !ok {
				return nil, false
			}
			v = below
		case []any:
			i, ok := index(token, len(in))
			if !ok {
				return nil, false
			}
			v = in[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// cut returns v without what is at a place.
func cut(v any, at []string) any {
	return change(v, at, func(in any, token string) any {
		switch in := in.(type) {
		case map[string]any:
			return object.Of(in).Without(token).Body()
		case []any:
			i, _ := index(token, len(in))
			return slices.Delete(slices.Clone(in), i, i+1)
		}
		return in
	})
}

// without returns body without what is at a place, and without maps around it
// that would be empty then.
func without(body map[string]any, at []string) map[string]any {
	body = cut(body, at).(map[string]any)
	for n := len(at) - 1; n > 0; n-- {
		if m, ok := valueAt(body, at[:n]); ok && reflect.DeepEqual(m, map[string]any{}) {
			body = cut(body, at[:n]).(map[string]any)
		}
	}
	return body
}

// put returns v with a value in the place of another.
func put(v any, at []string, value any) any {
	return change(v, at, func(in any, token string) any {
		switch in := in.(type) {
		case map[string]any:
			return object.Of(in).With(value, token).Body()
		case []any:
			i, _ := index(token, len(in))
			out := slices.Clone(in)
			out[i] = value
			return out
		}
		return in
	})
}

// change returns v with what f makes of the map or list around a place, if there
// is something at that place. v itself stays as it is.
func change(v any, at []string, f func(in any, token string) any) any {
	if _, there := valueAt(v, at); !there {
		return v
	}
	if len(at) == 1 {
		return f(v, at[0])
	}
	below, _ := valueAt(v, at[:1])
	return put(v, at[:1], change(below, at[1:], f))
}

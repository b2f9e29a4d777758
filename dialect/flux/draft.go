package flux

import (
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sane-gitops/sane/object"
)

// A draft is an object whose status is being written. What is written and is
// there already changes nothing.
type draft struct {
	object.Object
	gen int64 // that the conditions speak of
	now time.Time
}

// set writes a field of the status.
func (d *draft) set(name string, value any) {
	if old, ok := d.Get("status", name); !ok || !reflect.DeepEqual(old, value) {
		d.Object = d.With(value, "status", name)
	}
}

// name writes a field of the status unless there is nothing to write.
func (d *draft) name(name, value string) {
	if value != "" {
		d.set(name, value)
	}
}

// drop removes a field of the status.
func (d *draft) drop(name string) {
	if st, ok := d.Get("status"); ok {
		if m, _ := st.(map[string]any); m[name] != nil {
			d.Object = d.Without("status", name)
		}
	}
}

// observed says that the status speaks of the generation.
func (d *draft) observed() { d.set("observedGeneration", d.gen) }

// A condition is what a condition says.
type condition struct {
	kind, status, reason, message string
}

// mark sets a condition. Its time changes only with its status.
func (d *draft) mark(c condition) {
	next := map[string]any{
		"type": c.kind, "status": c.status, "reason": c.reason, "message": shorten(c.message),
		"observedGeneration": d.gen, "lastTransitionTime": stamp(d.now),
	}
	list := d.conditions()
	i := indexOf(list, c.kind)
	if i < 0 {
		list = append(slices.Clone(list), next)
		slices.SortStableFunc(list, byType)
		d.set("conditions", list)
		return
	}
	old, _ := list[i].(map[string]any)
	if since, ok := old["lastTransitionTime"]; ok && old["status"] == c.status {
		next["lastTransitionTime"] = since
	}
	if !reflect.DeepEqual(old, next) {
		list = slices.Clone(list)
		list[i] = next
		d.set("conditions", list)
	}
}

// unmark removes conditions.
func (d *draft) unmark(kinds ...string) {
	list := d.conditions()
	left := slices.DeleteFunc(slices.Clone(list), func(c any) bool { return slices.Contains(kinds, typeOf(c)) })
	if len(left) < len(list) {
		d.set("conditions", left)
	}
}

// conditions returns the list of conditions, which must not be changed.
func (d *draft) conditions() []any { return conditionsOf(d.Object) }

func conditionsOf(o object.Object) []any {
	v, _ := o.Get("status", "conditions")
	list, _ := v.([]any)
	return list
}

// conditionOf returns what o's condition of a kind says, and the generation
// that it speaks of.
func conditionOf(o object.Object, kind string) (c condition, gen int64, ok bool) {
	list := conditionsOf(o)
	i := indexOf(list, kind)
	if i < 0 {
		return condition{}, 0, false
	}
	m := list[i].(map[string]any)
	str := func(key string) string { s, _ := m[key].(string); return s }
	return condition{kind, str("status"), str("reason"), str("message")}, integer(m["observedGeneration"]), true
}

func indexOf(list []any, kind string) int {
	return slices.IndexFunc(list, func(c any) bool { return typeOf(c) == kind })
}

func typeOf(c any) string {
	m, _ := c.(map[string]any)
	s, _ := m["type"].(string)
	return s
}

// byType puts Ready first and the rest in the order of their names.
func byType(a, b any) int {
	s, t := typeOf(a), typeOf(b)
	switch {
	case s == t:
		return 0
	case s == ready:
		return -1
	case t == ready:
		return 1
	}
	return strings.Compare(s, t)
}

func integer(v any) int64 {
	switch n := v.(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return 0
}

// shorten cuts a message to what a condition may hold.
func shorten(s string) string {
	if s = strings.ToValidUTF8(s, "\uFFFD"); len(s) <= maxMessage {
		return s
	}
	const end = "... (cut)"
	n := maxMessage - len(end)
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + end
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func parseStamp(v any) time.Time {
	s, _ := v.(string)
	t, _ := time.Parse(time.RFC3339, s)
	return t
}

// text returns a string of o's status, or "".
func text(o object.Object, path ...string) string {
	v, _ := o.Get(append([]string{"status"}, path...)...)
	s, _ := v.(string)
	return s
}

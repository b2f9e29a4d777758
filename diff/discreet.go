package diff

import (
	"reflect"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
)

// Discreet returns two states of one object without what is secret in them,
// and without what is in the other one where that is secret: keys and values, as
// [render.Texts] has them.
func Discreet(old, now object.Object, secrets []string) (object.Object, object.Object) {
	if len(secrets) == 0 {
		return old, now
	}
	d := Secrets(secrets)
	return object.Of(d.in(old.Body(), now.Body(), hidden)), object.Of(d.in(now.Body(), old.Body(), changed))
}

// Secrets are the keys and values that must not be shown.
type Secrets []string

// in returns m without what is secret in it or in other. Where the two differ,
// word is shown instead.
func (d Secrets) in(m, other map[string]any, word string) map[string]any {
	if m == nil {
		return nil
	}
	out := make(map[string]any, len(m))
	for key, v := range m {
		if d.Tells(key) {
			out[hidden] = hidden
			continue
		}
		out[key] = d.value(v, other[key], word)
	}
	return out
}

func (d Secrets) value(v, other any, word string) any {
	if d.Tells(v) || d.Tells(other) {
		if other != nil && !reflect.DeepEqual(v, other) {
			return word
		}
		return hidden
	}
	switch v := v.(type) {
	case map[string]any:
		o, _ := other.(map[string]any)
		return d.in(v, o, word)
	case []any:
		o, _ := other.([]any)
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = d.value(item, counterpart(item, i, o), word)
		}
		return out
	}
	return v
}

// counterpart returns the item of list that has the same name as one at i in
// another list, or that is at the same place if it has none.
func counterpart(item any, i int, list []any) any {
	m, _ := item.(map[string]any)
	if name, ok := m["name"]; ok {
		at := slices.IndexFunc(list, func(v any) bool {
			o, _ := v.(map[string]any)
			return o["name"] == name
		})
		if at >= 0 {
			return list[at]
		}
		return nil
	}
	if i < len(list) {
		return list[i]
	}
	return nil
}

// tells reports whether a value tells anything secret.
func (d Secrets) Tells(v any) bool {
	switch v.(type) {
	case nil, map[string]any, []any:
		return false
	}
	text := render.Text(v)
	return slices.ContainsFunc(d, func(s string) bool {
		return s != "" && (text == s || len(s) >= 4 && strings.Contains(text, s))
	})
}

package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// equal compares values that are not merged.
func (c *comparison) equal(here *at, want, live any, there bool) {
	switch w := want.(type) {
	case map[string]any:
		c.equalMaps(here, w, live)
	case []any:
		c.equalLists(here, w, live)
	case nil:
		if live != nil {
			c.unsure(here, "is wanted to be null")
		} else if !there {
			c.unsure(here, "is not kept")
		}
	default:
		c.equalScalars(here, want, live, there)
	}
}

func (c *comparison) equalMaps(here *at, want map[string]any, live any) {
	l, ok := live.(map[string]any)
	if !ok {
		c.unsure(here, "is not there, or not a map")
		return
	}
	below := at{up: here}
	for key, w := range want {
		v, there := l[key]
		below.name = key
		c.equal(&below, w, v, there)
	}
	if len(l) <= len(want) {
		return
	}
	for key, v := range l {
		switch _, ok := want[key]; {
		case ok:
		case c.isDefault(here, key, v):
			c.respelled(here)
		default:
			c.unsure(&at{up: here, name: key}, "is there and not wanted; it may be a default")
		}
	}
}

func (c *comparison) equalLists(here *at, want []any, live any) {
	l, ok := live.([]any)
	switch {
	case !ok:
		c.unsure(here, "is not there, or not a list")
	case len(l) != len(want):
		c.different(here, fmt.Sprintf("has %d items and should have %d", len(l), len(want)))
	default:
		for i, w := range want {
			c.equal(&at{up: here, name: "[" + strconv.Itoa(i) + "]"}, w, l[i], true)
		}
	}
}

func (c *comparison) equalScalars(here *at, want, live any, there bool) {
	switch want.(type) {
	case string, bool, int64, float64:
	default:
		c.unsure(here, "is of an unknown type")
		return
	}
	switch {
	case want == live:
	case !there || live == nil:
		if !c.isOmitted(here, want) {
			c.unsure(here, "is not kept")
		}
		c.respelled(here)
	case c.isQuantity(here) && canonical(want) == live:
		c.respelled(here)
	case alike(want, live):
		c.unsure(here, "may be another spelling of what is there")
	default:
		c.different(here, "has another value")
	}
}

// canonical returns the form in which the server keeps a quantity, or "".
func canonical(v any) string {
	s, ok := v.(string)
	if n, isInt := v.(int64); isInt {
		s, ok = strconv.FormatInt(n, 10), true
	}
	if f, isFloat := v.(float64); isFloat {
		s, ok = strconv.FormatFloat(f, 'g', -1, 64), true
	}
	if !ok {
		return ""
	}
	q, err := resource.ParseQuantity(s)
	if err != nil {
		return ""
	}
	return q.String()
}

// alike reports whether two scalars that are not equal can mean the same.
func alike(want, live any) bool {
	w, ok := want.(string)
	l, ok2 := live.(string)
	if ok && ok2 {
		return alikeStrings(w, l)
	}
	wn, ok := number(want)
	ln, ok2 := number(live)
	if ok && ok2 {
		return wn == ln
	}
	return true // of two types: the server converts what it accepts
}

func number(v any) (float64, bool) {
	switch n := v.(type) {
	case int64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

func alikeStrings(want, live string) bool {
	switch {
	case want == "": // the server may have filled it
		return true
	case strings.EqualFold(want, live), unspaced(want) == unspaced(live):
		return true
	}
	return sameQuantity(want, live) || sameDuration(want, live) || sameTime(want, live)
}

// unspaced returns s without white space, which base64 may contain.
func unspaced(s string) string {
	if !strings.ContainsAny(s, " \t\r\n") {
		return s
	}
	return strings.Join(strings.Fields(s), "")
}

func sameQuantity(a, b string) bool {
	if !mayBeNumber(a) || !mayBeNumber(b) {
		return false
	}
	p, err := resource.ParseQuantity(a)
	if err != nil {
		return false
	}
	q, err := resource.ParseQuantity(b)
	return err == nil && p.Cmp(q) == 0
}

func mayBeNumber(s string) bool {
	return s != "" && len(s) < 64 && strings.IndexByte("+-.0123456789", s[0]) >= 0
}

func sameDuration(a, b string) bool {
	if !mayBeNumber(a) || !mayBeNumber(b) {
		return false
	}
	p, err := time.ParseDuration(a)
	if err != nil {
		return false
	}
	q, err := time.ParseDuration(b)
	return err == nil && p == q
}

func sameTime(a, b string) bool {
	if !mayBeNumber(a) || !mayBeNumber(b) {
		return false
	}
	p, err := time.Parse(time.RFC3339, a)
	if err != nil {
		return false
	}
	q, err := time.Parse(time.RFC3339, b)
	return err == nil && p.Truncate(time.Second).Equal(q.Truncate(time.Second))
}

// keyNames returns the names of the fields that are the key of a list's items,
// in order, or none if its items are their own keys.
func keyNames(set map[string]any) (names []string, ok bool) {
	for s := range set {
		if strings.HasPrefix(s, "v:") {
			return nil, true
		}
		names, ok = namesIn(s)
		return names, ok
	}
	return nil, false
}

// namesIn returns the names in a key as fieldsV1 spells it: k:{"port":80}.
func namesIn(key string) ([]string, bool) {
	data, ok := strings.CutPrefix(key, "k:")
	if !ok {
		return nil, false
	}
	if names, ok := plainNames(data); ok {
		return names, true
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(data), &m); err != nil || len(m) == 0 {
		return nil, false
	}
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, true
}

// plainNames returns the names in a JSON object of scalars, if they and the
// values need no unescaping.
func plainNames(data string) (names []string, ok bool) {
	for data != "}" {
		if len(data) < 2 || data[0] != '{' && data[0] != ',' || data[1] != '"' {
			return nil, false
		}
		name, rest, found := strings.Cut(data[2:], `":`)
		if !found || !simple(name) {
			return nil, false
		}
		names = append(names, name)
		end := strings.IndexAny(rest, ",}")
		if strings.HasPrefix(rest, `"`) {
			end = strings.IndexAny(rest[1:], `"\\`) + 2
			if end < 2 || rest[end-1] != '"' {
				return nil, false
			}
		}
		if end < 0 {
			return nil, false
		}
		data = rest[end:]
	}
	return names, slices.IsSorted(names)
}

// key appends the key of a list's item as fieldsV1 spells it.
func (c *comparison) key(buf []byte, item any, names []string) ([]byte, bool) {
	if names == nil {
		return appendScalar(append(buf, "v:"...), item)
	}
	m, ok := item.(map[string]any)
	if !ok {
		return nil, false
	}
	buf = append(buf, "k:"...)
	sep := byte('{')
	for _, name := range names {
		v, there := m[name]
		if !there && c.core && name == "protocol" {
			v = "TCP"
		}
		buf = append(buf, sep)
		sep = ','
		buf = append(appendString(buf, name), ':')
		if buf, ok = appendScalar(buf, v); !ok {
			return nil, false
		}
	}
	return append(buf, '}'), true
}

func appendScalar(buf []byte, v any) ([]byte, bool) {
	switch v := v.(type) {
	case string:
		return appendString(buf, v), true
	case int64:
		return strconv.AppendInt(buf, v, 10), true
	case bool:
		return strconv.AppendBool(buf, v), true
	}
	return nil, false
}

func appendString(buf []byte, s string) []byte {
	if simple(s) {
		return append(append(append(buf, '"'), s...), '"')
	}
	data, err := json.Marshal(s)
	if err != nil {
		panic("plan: " + err.Error()) // every string has a JSON form
	}
	return append(buf, data...)
}

// simple reports whether s is its own JSON form.
func simple(s string) bool {
	for i := range len(s) {
		if b := s[i]; b < ' ' || b > '~' || b == '"' || b == '\\' || b == '<' || b == '>' || b == '&' {
			return false
		}
	}
	return true
}

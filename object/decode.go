package object

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"sync/atomic"
	"unicode/utf8"

	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// decode decodes a JSON object as apimachinery does: numbers become int64 where
// they are whole and fit, and float64 otherwise. Objects come by the thousand
// and their keys are mostly the same, so keys are shared between them. What is
// out of the ordinary in any way is left to apimachinery, and so are errors.
// What managedFields say of fields stays JSON ([Fields] decodes it): it is half
// of most objects, and few who read one ask for it.
func decode(data []byte) (map[string]any, error) {
	d := decoder{data: data}
	if v, ok := d.value(0, elsewhere); ok && d.rest() {
		if m, ok := v.(map[string]any); ok {
			return m, nil
		}
	}
	var body map[string]any
	err := utiljson.Unmarshal(data, &body)
	return body, err
}

// A decoder decodes the ordinary. Its methods report whether it could.
type decoder struct {
	data []byte
	at   int
}

const maxDepth = 500

// next skips white space and returns the next byte, or 0 at the end.
func (d *decoder) next() byte {
	for d.at < len(d.data) {
		switch c := d.data[d.at]; c {
		case ' ', '\t', '\n', '\r':
			d.at++
		default:
			return c
		}
	}
	return 0
}

// rest reports whether only white space is left.
func (d *decoder) rest() bool { return d.next() == 0 && d.at == len(d.data) }

// take skips the byte c, which is next, and reports whether it was.
func (d *decoder) take(c byte) bool {
	if d.next() != c {
		return false
	}
	d.at++
	return true
}

// A place is where in an object a value is.
type place int

const (
	elsewhere place = iota
	inMetadata
	inManagedFields
)

// under returns the place of what a key names.
func (p place) under(key []byte) place {
	switch {
	case string(key) == "metadata":
		return inMetadata
	case p == inMetadata && string(key) == "managedFields":
		return inManagedFields
	}
	return elsewhere
}

func (d *decoder) value(depth int, p place) (any, bool) {
	if depth > maxDepth {
		return nil, false
	}
	switch c := d.next(); c {
	case '{':
		return d.object(depth, p)
	case '[':
		return d.array(depth, p)
	case '"':
		raw, ok := d.text()
		return string(raw), ok
	case 't':
		return true, d.word("true")
	case 'f':
		return false, d.word("false")
	case 'n':
		return nil, d.word("null")
	default:
		return d.number()
	}
}

func (d *decoder) object(depth int, p place) (any, bool) {
	d.at++
	m := make(map[string]any)
	if d.take('}') {
		return m, true
	}
	for {
		if d.next() != '"' {
			return nil, false
		}
		raw, ok := d.text()
		if !ok || !d.take(':') {
			return nil, false
		}
		var v any
		if p == inManagedFields && string(raw) == "fieldsV1" && d.next() == '{' {
			v, ok = d.fields(depth + 1)
		} else {
			v, ok = d.value(depth+1, p.under(raw))
		}
		if !ok {
			return nil, false
		}
		m[shared(raw)] = v
		if d.take('}') {
			return m, true
		}
		if !d.take(',') {
			return nil, false
		}
	}
}

func (d *decoder) array(depth int, p place) (any, bool) {
	d.at++
	list := []any{}
	if d.take(']') {
		return list, true
	}
	for {
		v, ok := d.value(depth+1, p)
		if !ok {
			return nil, false
		}
		list = append(list, v)
		if d.take(']') {
			return list, true
		}
		if !d.take(',') {
			return nil, false
		}
	}
}

// fields returns fieldsV1 as it stands there: objects of objects.
func (d *decoder) fields(depth int) (json.RawMessage, bool) {
	start := d.at
	if !d.skipFields(depth) {
		return nil, false
	}
	return bytes.Clone(d.data[start:d.at]), true
}

func (d *decoder) skipFields(depth int) bool {
	if depth > maxDepth || !d.take('{') {
		return false
	}
	if d.take('}') {
		return true
	}
	for {
		if d.next() != '"' || !d.skipText() || !d.take(':') || !d.skipFields(depth+1) {
			return false
		}
		if d.take('}') {
			return true
		}
		if !d.take(',') {
			return false
		}
	}
}

// skipText skips a text whose only escapes are those of quotes and backslashes.
func (d *decoder) skipText() bool {
	for i := d.at + 1; i < len(d.data); i++ {
		switch c := d.data[i]; {
		case c == '"':
			d.at = i + 1
			return true
		case c == '\\':
			if i++; i == len(d.data) || d.data[i] != '"' && d.data[i] != '\\' {
				return false
			}
		case c < ' ' || c >= utf8.RuneSelf:
			return false
		}
	}
	return false
}

// Fields returns what fieldsV1 of an entry of metadata.managedFields holds, or
// nil if that is not known. An [Object] that was decoded has it as JSON, and
// any other may have it either way.
func Fields(fieldsV1 any) map[string]any {
	switch v := fieldsV1.(type) {
	case map[string]any:
		return v
	case json.RawMessage:
		d := decoder{data: v}
		if m, ok := d.value(0, elsewhere); ok && d.rest() {
			fields, _ := m.(map[string]any)
			return fields
		}
		var fields map[string]any
		if json.Unmarshal(v, &fields) == nil {
			return fields
		}
	}
	return nil
}

// text returns what is between quotes, if that is what it stands for.
func (d *decoder) text() ([]byte, bool) {
	start := d.at + 1
	ascii := true
	for i := start; i < len(d.data); i++ {
		switch c := d.data[i]; {
		case c == '"':
			d.at = i + 1
			raw := d.data[start:i]
			return raw, ascii || utf8.Valid(raw)
		case c == '\\':
			return d.escaped(start, i)
		case c < ' ':
			return nil, false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, false
}

// escaped is text with escapes, the first of which is at i.
func (d *decoder) escaped(start, i int) ([]byte, bool) {
	for ; i < len(d.data); i++ {
		switch d.data[i] {
		case '\\':
			i++
		case '"':
			var s string
			if json.Unmarshal(d.data[start-1:i+1], &s) != nil {
				return nil, false
			}
			d.at = i + 1
			return []byte(s), true
		}
	}
	return nil, false
}

func (d *decoder) word(w string) bool {
	if !bytes.HasPrefix(d.data[d.at:], []byte(w)) {
		return false
	}
	d.at += len(w)
	return true
}

// number decodes whole numbers of up to 18 digits; what else looks like a
// number is given to the library, which knows the grammar.
func (d *decoder) number() (any, bool) {
	start := d.at
	i := start
	for i < len(d.data) && (d.data[i] == '-' || d.data[i] == '+' || d.data[i] == '.' || d.data[i]|0x20 == 'e' || '0' <= d.data[i] && d.data[i] <= '9') {
		i++
	}
	raw := d.data[start:i]
	d.at = i
	if n, ok := whole(raw); ok {
		return n, true
	}
	var f float64
	if !bytes.ContainsAny(raw, ".eE") || json.Unmarshal(raw, &f) != nil || math.IsInf(f, 0) {
		return nil, false
	}
	return f, true
}

func whole(raw []byte) (int64, bool) {
	digits := bytes.TrimPrefix(raw, []byte("-"))
	if len(digits) == 0 || len(digits) > 18 || digits[0] == '0' && len(raw) > 1 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	return n, err == nil
}

// keys are the strings that were last used as keys, by a hash of them.
var keys [4096]atomic.Pointer[string]

// shared returns raw as a string, the same one for the same bytes if that was
// seen lately.
func shared(raw []byte) string {
	if len(raw) > 64 {
		return string(raw)
	}
	h := uint32(2166136261)
	for _, c := range raw {
		h = (h ^ uint32(c)) * 16777619
	}
	slot := &keys[(h^h>>16)%uint32(len(keys))]
	if s := slot.Load(); s != nil && *s == string(raw) {
		return *s
	}
	s := string(raw)
	slot.Store(&s)
	return s
}

package object

import (
	"encoding/json"
	"slices"
	"strconv"
)

// encode appends v to b as json.Marshal would write it. Objects are encoded by
// the thousand and hold little else than maps, lists and plain strings, for
// which no reflection is needed. What is out of the ordinary is left to the
// library, and so are errors.
func encode(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case map[string]any:
		return encodeMap(b, v)
	case []any:
		return encodeList(b, v)
	case string:
		return encodeText(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case nil:
		return append(b, "null"...), nil
	case json.RawMessage: // which decode has left as it stood there
		if len(v) > 0 {
			return append(b, v...), nil
		}
	}
	data, err := json.Marshal(v)
	return append(b, data...), err
}

func encodeMap(b []byte, m map[string]any) ([]byte, error) {
	if m == nil {
		return append(b, "null"...), nil
	}
	var few [24]string
	keys := few[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = encodeText(b, k); err != nil {
			return b, err
		}
		if b, err = encode(append(b, ':'), m[k]); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

func encodeList(b []byte, list []any) ([]byte, error) {
	if list == nil {
		return append(b, "null"...), nil
	}
	b = append(b, '[')
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = encode(b, v); err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

func encodeText(b []byte, s string) ([]byte, error) {
	if plain(s) {
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"'), nil
	}
	data, err := json.Marshal(s)
	return append(b, data...), err
}

// plain reports whether a string is written as it is, between quotes.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

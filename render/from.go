package render

import (
	"encoding/json"
	"fmt"

	"github.com/sane-gitops/sane/object"
)

// Notes are annotations between Renderers and those who take them away with
// [From]. No cluster ever sees them.
const (
	fromKey   = "internal.sane/from"    // the file that an object comes from
	secretKey = "internal.sane/secrets" // what in it is secret: a JSON list
)

// WithFrom returns o with a note of the file in the tree that it comes from, or
// of the directory if that is all that is known.
func WithFrom(o object.Object, file string) object.Object {
	return o.WithAnnotations(map[string]string{fromKey: file})
}

// From returns o without any notes, and the file that one names.
func From(o object.Object) (_ object.Object, file string) {
	v, _ := o.Get("metadata", "annotations")
	m, _ := v.(map[string]any)
	file, left := o.Annotation(fromKey), len(m)
	for _, key := range []string{fromKey, secretKey} {
		if _, ok := m[key]; ok {
			left--
			o = o.Without("metadata", "annotations", key)
		}
	}
	if len(m) > 0 && left == 0 {
		return o.Without("metadata", "annotations"), file
	}
	return o, file
}

// WithSecrets returns o with a note of the keys and values in it that must not
// be shown, as [Texts] has them, beside those that it has a note of.
func WithSecrets(o object.Object, texts []string) object.Object {
	if len(texts) == 0 {
		return o
	}
	data, err := json.Marshal(append(Secrets(o), texts...))
	if err != nil {
		panic(err) // strings have a JSON form
	}
	return o.WithAnnotations(map[string]string{secretKey: string(data)})
}

// Secrets returns the keys and values in o that must not be shown, as far as
// there is a note of them.
func Secrets(o object.Object) []string {
	note := o.Annotation(secretKey)
	if note == "" {
		return nil
	}
	var texts []string
	if json.Unmarshal([]byte(note), &texts) != nil {
		return nil // the tree says so, and it is no secret then
	}
	return texts
}

// Text returns a value that is no map and no list as it may be shown.
func Text(scalar any) string { return fmt.Sprint(scalar) }

// Texts returns the keys and values in a JSON value, as texts.
func Texts(v any) []string {
	switch v := v.(type) {
	case map[string]any:
		var all []string
		for key, value := range v {
			all = append(append(all, key), Texts(value)...)
		}
		return all
	case []any:
		var all []string
		for _, value := range v {
			all = append(all, Texts(value)...)
		}
		return all
	case nil:
		return nil
	}
	return []string{Text(v)}
}

func withoutFrom(objects []object.Object) []object.Object {
	out := make([]object.Object, len(objects))
	for i, o := range objects {
		out[i], _ = From(o)
	}
	return out
}

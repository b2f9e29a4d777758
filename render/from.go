package render

import "github.com/sane-gitops/sane/object"

// fromKey is an annotation that names the file an object comes from, between
// Renderers and those who take it away with [From]. No cluster ever sees it.
const fromKey = "internal.sane/from"

// WithFrom returns o with a note of the file in the tree that it comes from, or
// of the directory if that is all that is known.
func WithFrom(o object.Object, file string) object.Object {
	return o.WithAnnotations(map[string]string{fromKey: file})
}

// From returns o without that note, and what it says.
func From(o object.Object) (_ object.Object, file string) {
	file = o.Annotation(fromKey)
	v, _ := o.Get("metadata", "annotations")
	m, _ := v.(map[string]any)
	if _, ok := m[fromKey]; ok && len(m) == 1 {
		return o.Without("metadata", "annotations"), file
	}
	return o.Without("metadata", "annotations", fromKey), file
}

func withoutFrom(objects []object.Object) []object.Object {
	out := make([]object.Object, len(objects))
	for i, o := range objects {
		out[i], _ = From(o)
	}
	return out
}

package diff

import (
	"encoding/json"
	"reflect"

	"github.com/sane-gitops/sane/object"
)

const (
	hidden  = "***"
	changed = "*** (changed)"
)

// lastApplied is where kubectl keeps what it applied, secrets and all.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Masked returns two states of one object without what is secret in them. Where
// a secret value is another in now, it says so. A zero object stays one.
func Masked(old, now object.Object) (object.Object, object.Object) {
	if !secret(old) && !secret(now) {
		return old, now
	}
	return mask(old, object.Object{}), mask(now, old)
}

func secret(o object.Object) bool {
	return o.ID().Kind == object.Kind{Name: "Secret"}
}

// mask returns a Secret without its values. Those that are others in old are
// marked as changed.
func mask(o, old object.Object) object.Object {
	for _, field := range []string{"data", "stringData"} {
		if v, ok := o.Get(field); ok {
			was, _ := old.Get(field)
			o = o.With(maskValues(v, was, !old.IsZero()), field)
		}
	}
	if v := o.Annotation(lastApplied); v != "" {
		o = o.With(maskApplied(v, old.Annotation(lastApplied)), "metadata", "annotations", lastApplied)
	}
	return o
}

// maskValues masks the values of a map; what is no map is Masked whole.
func maskValues(v, was any, compare bool) any {
	m, ok := v.(map[string]any)
	if !ok {
		if compare && !reflect.DeepEqual(v, was) {
			return changed
		}
		return hidden
	}
	before, _ := was.(map[string]any)
	out := make(map[string]any, len(m))
	for k, v := range m {
		old, there := before[k]
		if out[k] = hidden; compare && there && !reflect.DeepEqual(old, v) {
			out[k] = changed
		}
	}
	return out
}

// maskApplied masks the annotation in which kubectl keeps what it applied.
func maskApplied(v, was string) string {
	o, ok := parsed(v)
	if !ok {
		if was != "" && was != v {
			return changed
		}
		return hidden
	}
	old, _ := parsed(was)
	return string(mask(o.Without("metadata", "annotations", lastApplied), old).JSON())
}

func parsed(v string) (object.Object, bool) {
	var body map[string]any
	if json.Unmarshal([]byte(v), &body) != nil || body == nil {
		return object.Object{}, false
	}
	return object.Of(body), true
}

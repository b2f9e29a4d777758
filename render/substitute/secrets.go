package substitute

import (
	"context"
	"reflect"
	"strings"

	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
)

// secrets returns what is secret in now, which text has become: what would be
// another if the secret values were.
func secrets(ctx context.Context, text string, v values, now object.Object) []string {
	v.facts = decoys{v.facts}
	v.given = 0
	out, err := expand(ctx, text, &v)
	if err != nil {
		return render.Texts(now.Body())
	}
	other, err := read([]byte(out))
	if err != nil {
		return render.Texts(now.Body())
	}
	return differing(now.Body(), other.Body())
}

// decoys are facts with other values for those that are secret.
type decoys struct{ render.Facts }

// Fact implements [render.Facts].
func (d decoys) Fact(name string) (render.Fact, bool, error) {
	f, ok, err := d.Facts.Fact(name)
	if f.Secret {
		f.Value = decoy(f.Value)
	}
	return f, ok, err
}

// decoy returns a word of another length that shares no letter with value.
func decoy(value string) string {
	letter := "x"
	for _, c := range "xyzabcdefghijklmnopqrstuvw" {
		if !strings.ContainsRune(value, c) {
			letter = string(c)
			break
		}
	}
	return strings.Repeat(letter, len(value)+1)
}

// differing returns the keys and values of a that b does not have there.
func differing(a, b any) []string {
	switch a := a.(type) {
	case map[string]any:
		m, ok := b.(map[string]any)
		if !ok {
			return render.Texts(a)
		}
		var all []string
		for key, value := range a {
			other, ok := m[key]
			if !ok {
				all = append(all, key)
			}
			all = append(all, differing(value, other)...)
		}
		return all
	case []any:
		l, ok := b.([]any)
		if !ok || len(l) != len(a) {
			return render.Texts(a)
		}
		var all []string
		for i := range a {
			all = append(all, differing(a[i], l[i])...)
		}
		return all
	}
	if reflect.DeepEqual(a, b) {
		return nil
	}
	return render.Texts(a)
}

package memory

import (
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/sane-gitops/sane/object"
)

// A fieldManager merges applied objects of one kind, version and subresource,
// and keeps the record of who manages what.
type fieldManager struct{ *managedfields.FieldManager }

type managerKey struct {
	gvk         schema.GroupVersionKind
	subresource string
}

// manager returns the field manager for a kind in a version.
func (w *world) manager(k *kind, version, subresource string) *fieldManager {
	key := managerKey{k.groupKind().WithVersion(version), subresource}
	if m := w.managers[key]; m != nil {
		return m
	}
	resets := map[fieldpath.APIVersion]fieldpath.Filter{}
	for _, v := range k.Versions {
		if f := ignored(k, subresource); f != nil {
			resets[fieldpath.APIVersion(apiVersion(k.Group, v))] = f
		}
	}
	gv := k.groupVersion(version)
	fm, err := managedfields.NewDefaultCRDFieldManager(types{k}, versions{}, versions{}, versions{}, key.gvk, gv, subresource, resets)
	if err != nil {
		panic("memory: " + err.Error())
	}
	w.managers[key] = &fieldManager{fm}
	return w.managers[key]
}

// ignored returns which fields of a write are ignored: the status, or in a
// write of the status everything else.
func ignored(k *kind, subresource string) fieldpath.Filter {
	switch {
	case k.NoStatus:
		return nil
	case subresource == "status":
		return fieldpath.NewIncludeMatcherFilter(fieldpath.MakePrefixMatcherOrDie("status"))
	}
	return fieldpath.NewExcludeSetFilter(fieldpath.NewSet(fieldpath.MakePathOrDie("status")))
}

// apply returns live (an object without name if there is none) with the fields
// of o, in the version of o.
func (m *fieldManager) apply(live, o object.Object, manager string, force bool) (object.Object, error) {
	out, err := m.Apply(copied(live), copied(o), manager, force)
	if err != nil {
		return object.Object{}, err
	}
	return object.Of(out.(*unstructured.Unstructured).Object), nil
}

// update returns o with the record of what manager changed of live.
func (m *fieldManager) update(live, o object.Object, manager string) (object.Object, error) {
	out, err := m.Update(copied(live), copied(o), manager)
	if err != nil {
		return object.Object{}, err
	}
	return object.Of(out.(*unstructured.Unstructured).Object), nil
}

// copied returns a copy of o of the library's own.
func copied(o object.Object) *unstructured.Unstructured {
	return o.WithFields().Unstructured().DeepCopy()
}

// inVersion returns o as seen in a version.
func inVersion(o object.Object, gv schema.GroupVersion) object.Object {
	if o.IsZero() || o.APIVersion() == gv.String() {
		return o
	}
	return o.With(gv.String(), "apiVersion")
}

// versions converts objects between versions by renaming them, defaults
// nothing and makes empty objects.
type versions struct{}

// ConvertToVersion implements runtime.ObjectConvertor.
func (versions) ConvertToVersion(in runtime.Object, to runtime.GroupVersioner) (runtime.Object, error) {
	gv, ok := to.(schema.GroupVersion)
	u := in.(*unstructured.Unstructured)
	if !ok || u.GetAPIVersion() == gv.String() {
		return in, nil
	}
	out := &unstructured.Unstructured{Object: maps.Clone(u.Object)}
	out.SetAPIVersion(gv.String())
	return out, nil
}

// Convert implements runtime.ObjectConvertor.
func (versions) Convert(in, out, _ any) error {
	out.(*unstructured.Unstructured).Object = maps.Clone(in.(*unstructured.Unstructured).Object)
	return nil
}

// ConvertFieldLabel implements runtime.ObjectConvertor.
func (versions) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}

// Default implements runtime.ObjectDefaulter.
func (versions) Default(runtime.Object) {}

// New implements runtime.ObjectCreater.
func (versions) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(gvk)
	return u, nil
}

package memory

import (
	"encoding/base64"
	"fmt"
	"maps"
	"reflect"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sane-gitops/sane/object"
)

// prepare returns next as the server completes it before it looks at it: with
// the fields that are not the client's to set, the status or all but the
// status as it was, and defaults.
func (w *world) prepare(r request, live, next object.Object) object.Object {
	if live.IsZero() {
		for _, f := range serverFields {
			next = next.Without("metadata", f)
		}
		if !r.kind.NoStatus {
			next = next.Without("status")
		}
		return complete(w.created(next, r.kind), w.version)
	}
	if r.how.Subresource != "" {
		managed, ok := next.Get("metadata", "managedFields")
		next = carry(r.base(live), next, "status")
		if ok {
			next = next.With(managed, "metadata", "managedFields")
		}
		return next
	}
	for _, f := range serverFields {
		next = carry(next, live, "metadata", f)
	}
	if !r.kind.NoStatus {
		next = carry(next, live, "status")
	}
	return grown(r.kind, live, complete(next, w.version))
}

var serverFields = []string{
	"uid", "resourceVersion", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds",
}

// carry returns o with what from has at a path, or without it.
func carry(o, from object.Object, path ...string) object.Object {
	if v, ok := from.Get(path...); ok {
		return o.With(v, path...)
	}
	return o.Without(path...)
}

// grown returns next with the generation after live's if its spec differs.
func grown(k *kind, live, next object.Object) object.Object {
	if !k.Generation || reflect.DeepEqual(spec(k, live), spec(k, next)) {
		return next
	}
	return next.With(live.Generation()+1, "metadata", "generation")
}

// spec returns all of o that a generation counts.
func spec(k *kind, o object.Object) map[string]any {
	m := maps.Clone(o.Body())
	delete(m, "metadata")
	delete(m, "apiVersion")
	if !k.NoStatus {
		delete(m, "status")
	}
	return m
}

// complete returns o with the defaults of its kind, as far as they matter to
// anyone here.
func complete(o object.Object, seed int64) object.Object {
	switch o.ID().Kind {
	case namespaceKind:
		o = o.WithLabels(map[string]string{"kubernetes.io/metadata.name": o.Name()})
		o = defaulted(o, []any{"kubernetes"}, "spec", "finalizers")
		return defaulted(o, "Active", "status", "phase")
	case object.Kind{Name: "Secret"}:
		return defaulted(secretData(o), "Opaque", "type")
	case object.Kind{Name: "Service"}:
		o = defaulted(o, "ClusterIP", "spec", "type")
		if t, _ := o.Get("spec", "type"); t == "ExternalName" {
			return o
		}
		return defaulted(o, fmt.Sprintf("10.96.%d.%d", seed>>8&255, seed&255), "spec", "clusterIP")
	case object.Kind{Group: "apps", Name: "Deployment"}, object.Kind{Group: "apps", Name: "StatefulSet"}, object.Kind{Group: "apps", Name: "ReplicaSet"}:
		return defaulted(o, int64(1), "spec", "replicas")
	}
	return o
}

func defaulted(o object.Object, value any, path ...string) object.Object {
	if _, ok := o.Get(path...); ok {
		return o
	}
	return o.With(value, path...)
}

// secretData returns a Secret with its stringData moved into its data.
func secretData(o object.Object) object.Object {
	v, _ := o.Get("stringData")
	plain, _ := v.(map[string]any)
	for key, value := range plain {
		text, _ := value.(string)
		o = o.With(base64.StdEncoding.EncodeToString([]byte(text)), "data", key)
	}
	return o.Without("stringData")
}

// validate checks what the server checks of every object, and the fields that
// cannot be changed.
func validate(r request, live, next object.Object) error {
	u := next.WithFields().Unstructured()
	meta := field.NewPath("metadata")
	errs := validation.ValidateObjectMetaAccessor(u, r.kind.Namespaced, validation.ValidateNameFunc(r.kind.name), meta)
	if !live.IsZero() {
		errs = append(errs, validation.ValidateObjectMetaAccessorUpdate(u, live.WithFields().Unstructured(), meta)...)
		errs = append(errs, fixed(r.kind, live, next)...)
	}
	if len(errs) > 0 {
		return apierrors.NewInvalid(r.kind.groupKind(), r.id.Name, errs)
	}
	return nil
}

// fixed returns an error for each field that was changed and cannot be.
func fixed(k *kind, live, next object.Object) (errs field.ErrorList) {
	for _, path := range k.fixed {
		was, _ := live.Get(path...)
		is, _ := next.Get(path...)
		errs = append(errs, validation.ValidateImmutableField(is, was, field.NewPath(path[0], path[1:]...))...)
	}
	if sealed, _ := live.Get("immutable"); sealed != true || k.Group != "" {
		return errs
	}
	for _, name := range []string{"data", "binaryData", "immutable"} {
		was, _ := live.Get(name)
		is, _ := next.Get(name)
		if !reflect.DeepEqual(was, is) {
			errs = append(errs, field.Forbidden(field.NewPath(name), "field is immutable when `immutable` is set"))
		}
	}
	return errs
}

// held reports whether an object that is being deleted must wait: for its
// finalizers, or a namespace or a definition for what is in it.
func (w *world) held(o object.Object) bool {
	if len(o.Finalizers()) > 0 {
		return true
	}
	in := within(o)
	for id := range w.objects {
		if in(id) {
			return true
		}
	}
	return false
}

// within returns what reports whether an object goes with o: it is in the
// namespace o, or of the kind that o defines.
func within(o object.Object) func(object.ID) bool {
	switch o.ID().Kind {
	case namespaceKind:
		return func(id object.ID) bool { return id.Namespace == o.Name() }
	case crdKind:
		k := defined(o)
		return func(id object.ID) bool { return id.Kind == k }
	}
	return func(object.ID) bool { return false }
}

// settle does what the API server's own controllers do once o is stored.
func (w *world) settle(r request, o object.Object) {
	if o.ID().Kind == crdKind && !o.Deleting() {
		w.define(o)
	}
	if r.op != "delete" {
		return
	}
	in := within(o)
	for _, id := range w.ids() {
		if o, ok := w.objects[id]; ok && in(id) {
			w.remove(o)
		}
	}
}

// define makes the kind of a CustomResourceDefinition known.
func (w *world) define(crd object.Object) {
	k := fromCRD(crd)
	w.kinds[k.Kind.Kind] = k
	for key := range w.managers {
		if key.gvk.GroupKind() == k.groupKind() {
			delete(w.managers, key)
		}
	}
	names, _ := crd.Get("spec", "names")
	w.setStatus(crd.ID(), map[string]any{
		"acceptedNames":  names,
		"storedVersions": []any{k.Versions[0]},
		"conditions": []any{
			condition("NamesAccepted", "NoConflicts", crd),
			condition("Established", "InitialNamesAccepted", crd),
		},
	}, "kube-apiserver")
}

func condition(kind, reason string, crd object.Object) map[string]any {
	since, _ := crd.Get("metadata", "creationTimestamp")
	return map[string]any{
		"type": kind, "status": "True", "reason": reason, "message": strings.ToLower(reason), "lastTransitionTime": since,
	}
}

// removed does what follows from an object's end: its namespace or definition
// may have waited for it, and a kind goes with its definition.
func (w *world) removed(o object.Object) {
	if o.ID().Kind == crdKind {
		k := defined(o)
		delete(w.kinds, k)
		w.end(k)
	}
	if o.ID().Kind.Name == "Pod" {
		w.silence(o)
	}
	for _, id := range w.ids() {
		waiting, ok := w.objects[id]
		if ok && waiting.Deleting() && within(waiting)(o.ID()) && !w.held(waiting) {
			w.put(request{op: "delete"}, waiting, waiting)
		}
	}
}

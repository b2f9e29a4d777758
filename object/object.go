// Package object names and holds Kubernetes objects.
package object

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sane-gitops/sane/digest"
)

// A Kind is an API group and a kind. It has no version: versions are
// views of one and the same object.
type Kind struct {
	Group, Name string
}

// String returns "Deployment.apps", or "Service" for the core group.
func (k Kind) String() string {
	if k.Group == "" {
		return k.Name
	}
	return k.Name + "." + k.Group
}

// An ID names one object in one cluster.
// The namespace of a cluster-scoped object is "".
type ID struct {
	Kind            Kind
	Namespace, Name string
}

// String returns the form in which Flux's messages name objects:
// "Deployment/apps/web", or "Namespace/apps" for a cluster-scoped object.
func (id ID) String() string {
	if id.Namespace == "" {
		return id.Kind.Name + "/" + id.Name
	}
	return id.Kind.Name + "/" + id.Namespace + "/" + id.Name
}

// Compare orders IDs by kind, group, namespace and name.
func Compare(a, b ID) int {
	return cmp.Or(
		strings.Compare(a.Kind.Name, b.Kind.Name),
		strings.Compare(a.Kind.Group, b.Kind.Group),
		strings.Compare(a.Namespace, b.Namespace),
		strings.Compare(a.Name, b.Name),
	)
}

// An Object is a Kubernetes object in its JSON form.
// Objects are values: nothing changes one in place.
// The zero Object stands for an object that is not there.
type Object struct {
	body map[string]any
}

// Of returns the object with the given JSON form, whose numbers are int64 or
// float64. It takes ownership of body: the caller must not change it again.
func Of(body map[string]any) Object { return Object{body} }

// IsZero reports whether o is the zero Object.
func (o Object) IsZero() bool { return o.body == nil }

// Body returns the JSON form of o, which must not be changed.
func (o Object) Body() map[string]any { return o.body }

// Unstructured returns o for libraries that ask for it.
// They must not change it; copy it first if they might. [Object.WithFields] is for
// those who look at managedFields.
func (o Object) Unstructured() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: o.body}
}

// WithFields returns o with all that its managedFields say of fields decoded.
func (o Object) WithFields() Object {
	v, _ := o.Get("metadata", "managedFields")
	list, _ := v.([]any)
	var out []any
	for i, v := range list {
		entry, _ := v.(map[string]any)
		if raw, ok := entry["fieldsV1"].(json.RawMessage); ok {
			if out == nil {
				out = slices.Clone(list)
			}
			out[i] = Of(entry).With(Fields(raw), "fieldsV1").body
		}
	}
	if out == nil {
		return o
	}
	return o.With(out, "metadata", "managedFields")
}

// ID returns the object's name.
func (o Object) ID() ID {
	group, _ := splitVersion(o.APIVersion())
	return ID{Kind{group, o.Text("kind")}, o.Namespace(), o.Name()}
}

// APIVersion returns "apps/v1", or "v1" in the core group.
func (o Object) APIVersion() string { return o.Text("apiVersion") }

// Version returns the version alone: "v1" of "apps/v1".
func (o Object) Version() string {
	_, v := splitVersion(o.APIVersion())
	return v
}

func splitVersion(apiVersion string) (group, version string) {
	if g, v, ok := strings.Cut(apiVersion, "/"); ok {
		return g, v
	}
	return "", apiVersion
}

// Name returns metadata.name.
func (o Object) Name() string { return o.Text("metadata", "name") }

// Namespace returns metadata.namespace.
func (o Object) Namespace() string { return o.Text("metadata", "namespace") }

// UID returns metadata.uid.
func (o Object) UID() string { return o.Text("metadata", "uid") }

// ResourceVersion returns metadata.resourceVersion.
func (o Object) ResourceVersion() string { return o.Text("metadata", "resourceVersion") }

// Generation returns metadata.generation.
func (o Object) Generation() int64 {
	return o.Number("metadata", "generation")
}

// Deleting reports whether the object waits to be deleted.
func (o Object) Deleting() bool { return o.Text("metadata", "deletionTimestamp") != "" }

// Finalizers returns metadata.finalizers.
func (o Object) Finalizers() []string {
	v, _ := o.Get("metadata", "finalizers")
	list, _ := v.([]any)
	var out []string
	for _, f := range list {
		if s, ok := f.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// Labels returns a copy of the object's labels.
func (o Object) Labels() map[string]string { return o.strs("metadata", "labels") }

// Annotations returns a copy of the object's annotations.
func (o Object) Annotations() map[string]string { return o.strs("metadata", "annotations") }

// Label returns one label, or "".
func (o Object) Label(key string) string { return o.Text("metadata", "labels", key) }

// Annotation returns one annotation, or "".
func (o Object) Annotation(key string) string { return o.Text("metadata", "annotations", key) }

// Get returns the value at a path of keys, and whether there is one.
// It must not be changed.
func (o Object) Get(path ...string) (any, bool) {
	var v any = o.body
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = m[key]; !ok {
			return nil, false
		}
	}
	return v, v != nil
}

// Text returns the text at a path of keys, or "" if there is none.
func (o Object) Text(path ...string) string {
	v, _ := o.Get(path...)
	s, _ := v.(string)
	return s
}

// Number returns the whole number at a path of keys, or 0 if there is none.
func (o Object) Number(path ...string) int64 {
	n, _ := o.Get(path...)
	switch n := n.(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return 0
}

// Time returns the RFC 3339 time at a path of keys; zero if there is none.
func (o Object) Time(path ...string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, o.Text(path...))
	return t
}

// Condition returns the condition of a type in the object's status, as if it
// were an object; zero if there is none.
func (o Object) Condition(kind string) Object {
	v, _ := o.Get("status", "conditions")
	list, _ := v.([]any)
	for _, c := range list {
		if m, ok := c.(map[string]any); ok && m["type"] == kind {
			return Object{m}
		}
	}
	return Object{}
}

func (o Object) strs(path ...string) map[string]string {
	v, _ := o.Get(path...)
	m, _ := v.(map[string]any)
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		if s, ok := v.(string); ok {
			out[k] = s
		}
	}
	return out
}

// With returns o with value at a path of keys. The value becomes part of the
// new object and must not be changed again.
func (o Object) With(value any, path ...string) Object {
	return Object{with(o.body, value, path)}
}

func with(m map[string]any, value any, path []string) map[string]any {
	out := maps.Clone(m)
	if out == nil {
		out = make(map[string]any, 1)
	}
	if len(path) == 1 {
		out[path[0]] = value
		return out
	}
	child, _ := m[path[0]].(map[string]any)
	out[path[0]] = with(child, value, path[1:])
	return out
}

// Without returns o without what is at a path of keys.
func (o Object) Without(path ...string) Object {
	if _, ok := o.Get(path[:len(path)-1]...); !ok && len(path) > 1 {
		return o
	}
	return Object{without(o.body, path)}
}

func without(m map[string]any, path []string) map[string]any {
	if _, ok := m[path[0]]; !ok {
		return m
	}
	out := maps.Clone(m)
	if len(path) == 1 {
		delete(out, path[0])
		return out
	}
	child, ok := m[path[0]].(map[string]any)
	if !ok {
		return m
	}
	out[path[0]] = without(child, path[1:])
	return out
}

// WithLabels returns o with the given labels set over its own.
func (o Object) WithLabels(labels map[string]string) Object { return o.merge(labels, "labels") }

// WithAnnotations returns o with the given annotations set over its own.
func (o Object) WithAnnotations(a map[string]string) Object { return o.merge(a, "annotations") }

func (o Object) merge(set map[string]string, field string) Object {
	if len(set) == 0 {
		return o
	}
	old, _ := o.Get("metadata", field)
	m, _ := old.(map[string]any)
	out := maps.Clone(m)
	if out == nil {
		out = make(map[string]any, len(set))
	}
	for k, v := range set {
		out[k] = v
	}
	return o.With(out, "metadata", field)
}

// MarshalJSON returns the object as JSON with its keys in order.
func (o Object) MarshalJSON() ([]byte, error) { return encode(nil, o.body) }

// JSON returns the object as JSON with its keys in order. It is the same for
// equal objects. It panics if the object holds what JSON cannot.
func (o Object) JSON() []byte {
	data, err := encode(make([]byte, 0, 1024), o.body)
	if err != nil {
		panic("object: " + err.Error())
	}
	return data
}

// Digest returns the digest of [Object.JSON].
func (o Object) Digest() digest.Digest { return digest.Of(o.JSON()) }

// String returns the name of the object, not its content: it may be a secret.
func (o Object) String() string { return o.ID().String() }

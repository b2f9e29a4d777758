package memory

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

//go:generate go run gen.go

//go:embed schema.json
var schemaJSON []byte

// schemas is the merge schema of the built-in kinds, and of custom resources.
var schemas = sync.OnceValue(func() *schema.Schema {
	var file map[string]atom
	if err := utiljson.Unmarshal(schemaJSON, &file); err != nil {
		panic("memory: schema.json: " + err.Error())
	}
	file[customType] = customSchema()
	s := &schema.Schema{}
	for name, a := range file {
		s.Types = append(s.Types, schema.TypeDef{Name: name, Atom: a.smd()})
	}
	return s
})

const (
	customType  = "custom resource"
	deducedType = "__untyped_deduced_"
	objectMeta  = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
)

// customSchema returns the schema of a custom resource: only its metadata is
// known, and lists are replaced as a whole.
func customSchema() atom {
	meta, deduced, text := objectMeta, deducedType, schema.String
	return atom{Map: &struct {
		Fields              []member                   `json:"fields"`
		ElementType         atom                       `json:"elementType"`
		ElementRelationship schema.ElementRelationship `json:"elementRelationship"`
	}{
		Fields: []member{
			{Name: "apiVersion", Type: atom{Scalar: &text}},
			{Name: "kind", Type: atom{Scalar: &text}},
			{Name: "metadata", Type: atom{NamedType: &meta}},
		},
		ElementType: atom{NamedType: &deduced},
	}}
}

// An atom is a type of schema.json.
type atom struct {
	NamedType           *string                     `json:"namedType"`
	ElementRelationship *schema.ElementRelationship `json:"elementRelationship"`

	Scalar *schema.Scalar `json:"scalar"`
	List   *struct {
		ElementType         atom                       `json:"elementType"`
		ElementRelationship schema.ElementRelationship `json:"elementRelationship"`
		Keys                []string                   `json:"keys"`
	} `json:"list"`
	Map *struct {
		Fields              []member                   `json:"fields"`
		ElementType         atom                       `json:"elementType"`
		ElementRelationship schema.ElementRelationship `json:"elementRelationship"`
	} `json:"map"`
}

// A member is a field of a map.
type member struct {
	Name    string `json:"name"`
	Type    atom   `json:"type"`
	Default any    `json:"default"`
}

func (a atom) smd() schema.Atom {
	out := schema.Atom{Scalar: a.Scalar}
	if l := a.List; l != nil {
		out.List = &schema.List{
			ElementType: l.ElementType.ref(), ElementRelationship: l.ElementRelationship, Keys: l.Keys,
		}
	}
	if m := a.Map; m != nil {
		out.Map = &schema.Map{ElementType: m.ElementType.ref(), ElementRelationship: m.ElementRelationship}
		for _, f := range m.Fields {
			out.Map.Fields = append(out.Map.Fields, schema.StructField{Name: f.Name, Type: f.Type.ref(), Default: f.Default})
		}
	}
	return out
}

func (a atom) ref() schema.TypeRef {
	return schema.TypeRef{NamedType: a.NamedType, Inlined: a.smd(), ElementRelationship: a.ElementRelationship}
}

// typeName returns the name of a built-in kind's type.
func typeName(apiVersion, kind string) string {
	group, version, ok := strings.Cut(apiVersion, "/")
	if !ok {
		group, version = "core", apiVersion
	}
	group, _, _ = strings.Cut(group, ".")
	if group == "apiextensions" {
		return "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions." + version + "." + kind
	}
	return "io.k8s.api." + group + "." + version + "." + kind
}

// types converts objects of one kind to typed values and back. It is a
// managedfields.TypeConverter.
type types struct{ *kind }

// ObjectToTyped implements managedfields.TypeConverter.
func (t types) ObjectToTyped(o runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("not unstructured: %T", o)
	}
	p := typed.ParseableType{Schema: schemas()}
	name := customType
	switch {
	case t.builtin:
		name = typeName(u.GetAPIVersion(), u.GetKind())
	case t.schema != nil:
		p.Schema, name = t.schema, "custom "+u.GroupVersionKind().Version
	}
	if p.TypeRef = (schema.TypeRef{NamedType: &name}); !p.IsValid() && !t.builtin {
		name = customType
	}
	return p.FromUnstructured(u.Object, opts...)
}

// TypedToObject implements managedfields.TypeConverter.
func (types) TypedToObject(v *typed.TypedValue) (runtime.Object, error) {
	body, ok := v.AsValue().Unstructured().(map[string]any)
	if !ok {
		return nil, fmt.Errorf("not an object: %T", v.AsValue().Unstructured())
	}
	return &unstructured.Unstructured{Object: body}, nil
}

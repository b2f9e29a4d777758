package memory

import (
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/structured-merge-diff/v6/schema"

	"github.com/sane-gitops/sane/object"
)

var crdKind = object.Kind{Group: "apiextensions.k8s.io", Name: "CustomResourceDefinition"}

// defined returns the kind that a CustomResourceDefinition defines.
func defined(crd object.Object) object.Kind {
	group, _ := crd.Get("spec", "group")
	name, _ := crd.Get("spec", "names", "kind")
	return object.Kind{Group: fmt.Sprint(group), Name: fmt.Sprint(name)}
}

// fromCRD returns what a CustomResourceDefinition says of its kind.
func fromCRD(crd object.Object) *kind {
	k := custom(Kind{Kind: defined(crd), NoStatus: true})
	scope, _ := crd.Get("spec", "scope")
	k.Namespaced = scope == "Namespaced"
	for _, v := range versionsOf(crd) {
		version := object.Of(v)
		if served, _ := version.Get("served"); served != true {
			continue
		}
		name := fmt.Sprint(v["name"])
		k.Versions = append(k.Versions, name)
		if _, ok := version.Get("subresources", "status"); ok {
			k.NoStatus = false
		}
		if root, ok := version.Get("schema", "openAPIV3Schema"); ok {
			k.addSchema(name, root.(map[string]any))
		}
	}
	return k
}

// versionsOf returns the versions that a CustomResourceDefinition lists.
func versionsOf(crd object.Object) (versions []map[string]any) {
	v, _ := crd.Get("spec", "versions")
	items, _ := v.([]any)
	for _, e := range items {
		if m, ok := e.(map[string]any); ok {
			versions = append(versions, m)
		}
	}
	return versions
}

// addSchema adds what objects of a version look like.
func (k *kind) addSchema(version string, root map[string]any) {
	if k.schema == nil {
		k.schema = &schema.Schema{Types: slices.Clip(schemas().Types)}
	}
	a := structural(root)
	if a.Map == nil {
		return
	}
	meta, text := objectMeta, schema.String
	known := []schema.StructField{
		{Name: "apiVersion", Type: schema.TypeRef{Inlined: schema.Atom{Scalar: &text}}},
		{Name: "kind", Type: schema.TypeRef{Inlined: schema.Atom{Scalar: &text}}},
		{Name: "metadata", Type: schema.TypeRef{NamedType: &meta}},
	}
	for _, f := range a.Map.Fields {
		if f.Name != "apiVersion" && f.Name != "kind" && f.Name != "metadata" {
			known = append(known, f)
		}
	}
	all := &schema.Map{Fields: known, ElementType: a.Map.ElementType, ElementRelationship: a.Map.ElementRelationship}
	k.schema.Types = append(k.schema.Types, schema.TypeDef{Name: "custom " + version, Atom: schema.Atom{Map: all}})
}

var deduced = func() schema.TypeRef { name := deducedType; return schema.TypeRef{NamedType: &name} }()

// structural returns the merge schema of a structural OpenAPI schema.
func structural(s map[string]any) schema.Atom {
	scalar := schema.Untyped
	switch s["type"] {
	case "object":
		return schema.Atom{Map: structuralMap(s)}
	case "array":
		return schema.Atom{List: structuralList(s)}
	case "string":
		scalar = schema.String
	case "boolean":
		scalar = schema.Boolean
	case "integer", "number":
		scalar = schema.Numeric
	}
	return schema.Atom{Scalar: &scalar}
}

func structuralRef(s map[string]any) schema.TypeRef {
	if s["type"] == nil && s["x-kubernetes-int-or-string"] != true {
		return deduced
	}
	nullable, _ := s["nullable"].(bool)
	return schema.TypeRef{Inlined: structural(s), Nullable: nullable}
}

func structuralMap(s map[string]any) *schema.Map {
	m := &schema.Map{}
	properties, _ := s["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		p, _ := properties[name].(map[string]any)
		m.Fields = append(m.Fields, schema.StructField{Name: name, Type: structuralRef(p), Default: p["default"]})
	}
	if values, ok := s["additionalProperties"].(map[string]any); ok {
		m.ElementType = structuralRef(values)
	} else if s["x-kubernetes-preserve-unknown-fields"] == true || s["additionalProperties"] == true {
		m.ElementType = deduced
	}
	if s["x-kubernetes-map-type"] == "atomic" {
		m.ElementRelationship = schema.Atomic
	}
	return m
}

func structuralList(s map[string]any) *schema.List {
	items, _ := s["items"].(map[string]any)
	l := &schema.List{ElementType: structuralRef(items), ElementRelationship: schema.Atomic}
	switch s["x-kubernetes-list-type"] {
	case "set":
		l.ElementRelationship = schema.Associative
	case "map":
		l.ElementRelationship = schema.Associative
		keys, _ := s["x-kubernetes-list-map-keys"].([]any)
		for _, key := range keys {
			l.Keys = append(l.Keys, fmt.Sprint(key))
		}
	}
	return l
}

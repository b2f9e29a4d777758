package memory

import (
	_ "embed"
	"fmt"
	"strings"

	apimachineryvalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/runtime/schema"
	mergeschema "sigs.k8s.io/structured-merge-diff/v6/schema"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// A Kind is what the cluster knows of a kind of custom resources.
type Kind struct {
	object.Kind
	Versions   []string // the preferred first
	Namespaced bool
	NoStatus   bool // it has no status subresource
}

// Kinds returns namespaced kinds of one group and version, with status.
func Kinds(apiVersion string, names ...string) []Kind {
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		panic("memory: " + err.Error())
	}
	var kinds []Kind
	for _, name := range names {
		kinds = append(kinds, Kind{
			Kind: object.Kind{Group: gv.Group, Name: name}, Versions: []string{gv.Version}, Namespaced: true,
		})
	}
	return kinds
}

// kind is a Kind with what the server must know to serve it.
type kind struct {
	Kind
	Generation bool       // it counts the changes of its spec
	builtin    bool       // its fields are known
	fixed      [][]string // fields that can't be changed
	name       func(name string, prefix bool) []string
	schema     *mergeschema.Schema // of a custom resource, if that is known
}

// resource returns the kind's name in Kubernetes' words.
func (k *kind) resource() schema.GroupResource {
	name := strings.ToLower(k.Name)
	switch {
	case strings.HasSuffix(name, "s"), strings.HasSuffix(name, "x"), strings.HasSuffix(name, "ch"):
		name += "es"
	case strings.HasSuffix(name, "cy"):
		name = strings.TrimSuffix(name, "y") + "ies"
	default:
		name += "s"
	}
	return schema.GroupResource{Group: k.Group, Resource: name}
}

func (k *kind) groupKind() schema.GroupKind { return schema.GroupKind{Group: k.Group, Kind: k.Name} }

func (k *kind) groupVersion(version string) schema.GroupVersion {
	return schema.GroupVersion{Group: k.Group, Version: version}
}

func custom(k Kind) *kind {
	return &kind{Kind: k, Generation: true, name: apimachineryvalidation.NameIsDNSSubdomain}
}

// noKind is the answer that a server does not know a kind.
func noKind(format string, args ...any) error {
	return fmt.Errorf("%w: %s", cluster.ErrNoKind, fmt.Sprintf(format, args...))
}

//go:embed kinds.txt
var kindsText string

// builtinKinds returns the kinds in kinds.txt.
func builtinKinds() map[object.Kind]*kind {
	kinds := map[object.Kind]*kind{}
	for line := range strings.Lines(kindsText) {
		f := strings.Fields(line)
		if f[0] == "#" {
			continue
		}
		gv, _ := schema.ParseGroupVersion(f[0])
		name := object.Kind{Group: gv.Group, Name: f[1]}
		if kinds[name] == nil {
			kinds[name] = builtin(name, f[2:])
		}
		kinds[name].Versions = append(kinds[name].Versions, gv.Version)
	}
	return kinds
}

var nameRules = map[string]func(name string, prefix bool) []string{
	"name=label": apimachineryvalidation.NameIsDNSLabel,
	"name=1035":  apimachineryvalidation.NameIsDNS1035Label,
	//lint:ignore SA1019 the API server uses it too
	"name=path": path.ValidatePathSegmentName,
}

// builtin returns a kind with what a line of kinds.txt says of it.
func builtin(name object.Kind, words []string) *kind {
	k := custom(Kind{Kind: name, Namespaced: true, NoStatus: true})
	k.builtin, k.Generation = true, false
	for _, word := range words {
		switch field, fixed := strings.CutPrefix(word, "fixed="); {
		case fixed:
			k.fixed = append(k.fixed, strings.Split(field, "."))
		case word == "cluster":
			k.Namespaced = false
		case word == "status":
			k.NoStatus = false
		case word == "generation":
			k.Generation = true
		case nameRules[word] != nil:
			k.name = nameRules[word]
		default:
			panic("memory: kinds.txt: " + word)
		}
	}
	return k
}

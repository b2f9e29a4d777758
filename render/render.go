// Package render turns trees into Kubernetes objects.
package render

import (
	"context"
	"io/fs"
	"strings"

	"github.com/sane-gitops/sane/object"
)

// A Recipe says how a tree becomes objects. It is a value: recipes with the
// same JSON form are the same recipe.
type Recipe struct {
	Dir     string  `json:"dir"` // where in the tree to start: "." or "apps/web", as [fs.ValidPath] has it
	Overlay Overlay `json:"overlay,omitzero"`

	Decrypt    *Step `json:"decrypt,omitempty"`    // what is encrypted, with the [Keys] among the facts; nil: nothing
	Substitute *Step `json:"substitute,omitempty"` // values of facts for names of variables, in what was built; nil: none
}

// A Step is something that is done beside building, unless an object asks that
// it not be done to it. It may be shared, and must not be changed.
type Step struct {
	Unless Mark `json:"unless,omitzero"`
	Lax    bool `json:"lax,omitempty"` // what has no value is empty, rather than an error
}

// A Mark is a label or an annotation, and the value that counts, in upper or
// lower case.
type Mark struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// On reports whether o has the mark.
func (m Mark) On(o object.Object) bool {
	return m.Key != "" && (strings.EqualFold(o.Label(m.Key), m.Value) || strings.EqualFold(o.Annotation(m.Key), m.Value))
}

// BuildsOnly reports whether r asks for nothing but to build.
func (r Recipe) BuildsOnly() bool { return r.Decrypt == nil && r.Substitute == nil }

// An Overlay is what a unit adds to what is in the tree, in the terms of
// kustomize.
type Overlay struct {
	Namespace               string            `json:"namespace,omitempty"`
	NamePrefix              string            `json:"namePrefix,omitempty"`
	NameSuffix              string            `json:"nameSuffix,omitempty"`
	Labels                  map[string]string `json:"labels,omitempty"`      // on the objects' metadata, over all else
	Annotations             map[string]string `json:"annotations,omitempty"` // likewise
	Images                  []Image           `json:"images,omitempty"`
	Patches                 []Patch           `json:"patches,omitempty"`
	Components              []string          `json:"components,omitempty"` // paths relative to Dir
	IgnoreMissingComponents bool              `json:"ignoreMissingComponents,omitempty"`
	BuildMetadata           []string          `json:"buildMetadata,omitempty"` // "originAnnotations", "transformerAnnotations"; nil leaves what the tree says
}

// An Image replaces container images of a name.
type Image struct {
	Name    string `json:"name"`
	NewName string `json:"newName,omitempty"`
	NewTag  string `json:"newTag,omitempty"`
	Digest  string `json:"digest,omitempty"`
}

// A Patch is a strategic merge patch or a JSON patch, as YAML, for the objects
// that Target selects; a nil Target leaves the choice to the patch.
type Patch struct {
	Patch  string  `json:"patch"`
	Target *Target `json:"target,omitempty"`
}

// A Target selects objects as kustomize does. Empty fields select all.
type Target struct {
	Group              string `json:"group,omitempty"`
	Version            string `json:"version,omitempty"`
	Kind               string `json:"kind,omitempty"`
	Namespace          string `json:"namespace,omitempty"`
	Name               string `json:"name,omitempty"`
	LabelSelector      string `json:"labelSelector,omitempty"`
	AnnotationSelector string `json:"annotationSelector,omitempty"`
}

// An Input is everything a Renderer may look at. A Renderer that looks
// elsewhere is wrong: its result will be kept and go stale.
type Input struct {
	Tree   fs.FS // holds files and directories only; implements fs.StatFS, fs.ReadFileFS and fs.ReadDirFS
	Recipe Recipe
	Facts  Facts  // nil: there are none
	Passes Passes // nil: there are none
}

// A Renderer makes objects from an input.
// Equal inputs must give equal objects, in the same order. Errors that only a
// change of the input can cure are marked with fault.Input; they name the file.
// The objects are marked with the file that they come from, by [WithFrom].
// A Renderer that can't render an input which another might returns [ErrElsewhere].
//
// A Renderer must be safe for use by several goroutines at once.
type Renderer interface {
	Render(ctx context.Context, in Input) ([]object.Object, error)
}

package flux

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/object"
)

// The controllers whose work can be taken over.
const (
	SourceController    = "source-controller"    // sources
	KustomizeController = "kustomize-controller" // Kustomizations
)

// work lists the kinds that can be kept, and whose work that is.
var work = []struct {
	by   string
	kind object.Kind
}{
	{SourceController, GitRepository},
	{SourceController, OCIRepository},
	{SourceController, Bucket},
	{KustomizeController, Kustomization},
}

// sources lists the kinds of which Kustomizations can be made. Those that are
// not kept are read: their artifacts are somebody else's.
var sources = []object.Kind{GitRepository, OCIRepository, Bucket, ExternalArtifact}

// called reports whether name means the work of a controller on a kind: it is
// the controller's, with or without "-controller", or the kind's.
func called(name, controller string, kind object.Kind) bool {
	return strings.EqualFold(name, controller) ||
		strings.EqualFold(name, strings.TrimSuffix(controller, "-controller")) ||
		strings.EqualFold(name, kind.Name)
}

// keeps reports whether objects of a kind are kept by us.
func (c Config) keeps(k object.Kind) bool {
	for _, w := range work {
		if w.kind == k {
			return c.Controllers == nil || slices.ContainsFunc(c.Controllers, func(name string) bool { return called(name, w.by, k) })
		}
	}
	return false
}

// checkControllers returns an error if c names work that can't be taken over.
func (c Config) checkControllers() error {
	for _, name := range c.Controllers {
		var known []string
		for _, w := range work {
			if called(name, w.by, w.kind) {
				known = nil
				break
			}
			if !slices.Contains(known, w.by) {
				known = append(known, w.by)
			}
			known = append(known, w.kind.Name)
		}
		if known != nil {
			return fmt.Errorf("unknown controller %q: want any of %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

func (f flux) Kinds() []object.Kind {
	var kinds []object.Kind
	for _, w := range work {
		if f.keeps(w.kind) {
			kinds = append(kinds, w.kind)
		}
	}
	if !f.keeps(Kustomization) {
		return kinds // nobody would use what others keep
	}
	for _, k := range sources {
		if !f.keeps(k) && (k != ExternalArtifact || f.on(externalArtifacts)) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

func (f flux) Foreign(k object.Kind) bool { return !f.keeps(k) }

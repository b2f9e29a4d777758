package flux

import (
	"cmp"
	"io/fs"
	"path"
	"slices"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// kustomization returns the unit that o asks for. Its error is r's.
func (f flux) kustomization(o object.Object, r dialect.Reader) (unit.Unit, error) {
	u := unit.Unit{
		Name:       unit.Name{Kind: Kustomization, Namespace: o.Namespace(), Name: o.Name()},
		Generation: o.Generation(),
		Deleting:   o.Deleting(),
		Token:      o.Annotation(requestedAt),
		Owner: unit.Owner{
			Manager: KustomizeController,
			Labels:  map[string]string{ownerName: o.Name(), ownerNamespace: o.Namespace()},
		},
	}
	u.Policy.Guard = f.Guard
	var ks kustomizev1.Kustomization
	if u.Err = decode(o, &ks); u.Err == nil {
		read(&u, ks)
		u.Err = f.check(u, ks.Spec)
	}
	var err error
	u.Target, err = f.target(ks, r)
	return u, err
}

func read(u *unit.Unit, ks kustomizev1.Kustomization) {
	spec, ns := ks.Spec, u.Name.Namespace
	u.Source = source.FeedName{
		Kind:      spec.SourceRef.Kind,
		Namespace: cmp.Or(spec.SourceRef.Namespace, ns),
		Name:      spec.SourceRef.Name,
	}
	u.Recipe = render.Recipe{Dir: inside(spec.Path), Overlay: overlay(spec)}
	u.Policy.Prune, u.Policy.Replace, u.Policy.Approved = spec.Prune, spec.Force, ks.Annotations[approve]
	for _, dep := range spec.DependsOn {
		u.After = append(u.After, unit.Name{Kind: Kustomization, Namespace: cmp.Or(dep.Namespace, ns), Name: dep.Name})
	}
	u.Wait = spec.Wait
	for _, ref := range spec.HealthChecks {
		u.Checks = append(u.Checks, checked(ref))
	}
	u.Every = spec.Interval.Duration
	if spec.RetryInterval != nil {
		u.Retry = spec.RetryInterval.Duration
	}
	u.Timeout = ks.GetTimeout()
	u.Paused = spec.Suspend
	u.Orphan = orphans(ks)
	u.AwaitGone = spec.DeletionPolicy == kustomizev1.DeletionPolicyWaitForTermination
}

func orphans(ks kustomizev1.Kustomization) bool {
	switch ks.GetDeletionPolicy() {
	case kustomizev1.DeletionPolicyOrphan:
		return true
	case kustomizev1.DeletionPolicyMirrorPrune:
		return !ks.Spec.Prune
	}
	return false
}

func checked(ref meta.NamespacedObjectKindReference) object.ID {
	gv, _ := schema.ParseGroupVersion(ref.APIVersion)
	return object.ID{Kind: object.Kind{Group: gv.Group, Name: ref.Kind}, Namespace: ref.Namespace, Name: ref.Name}
}

// inside returns p as a path within the tree. What would lead out of it ends
// at its root.
func inside(p string) string {
	return cmp.Or(path.Clean("/" + p)[1:], ".")
}

func overlay(spec kustomizev1.KustomizationSpec) render.Overlay {
	o := render.Overlay{
		Namespace:               spec.TargetNamespace,
		NamePrefix:              spec.NamePrefix,
		NameSuffix:              spec.NameSuffix,
		Components:              slices.Clone(spec.Components),
		IgnoreMissingComponents: spec.IgnoreMissingComponents,
	}
	if m := spec.CommonMetadata; m != nil {
		o.Labels, o.Annotations = m.Labels, m.Annotations
	}
	for _, i := range spec.Images {
		o.Images = append(o.Images, render.Image(i))
	}
	for _, p := range spec.Patches {
		o.Patches = append(o.Patches, render.Patch{Patch: p.Patch, Target: target(p.Target)})
	}
	return o
}

func target(s *kustomize.Selector) *render.Target {
	if s == nil {
		return nil
	}
	return &render.Target{
		Group: s.Group, Version: s.Version, Kind: s.Kind, Namespace: s.Namespace, Name: s.Name,
		LabelSelector: s.LabelSelector, AnnotationSelector: s.AnnotationSelector,
	}
}

// check returns why u can't be kept.
func (f flux) check(u unit.Unit, spec kustomizev1.KustomizationSpec) error {
	switch {
	case !slices.Contains(sources, object.Kind{Group: sourceGroup, Name: u.Source.Kind}):
		return refuse(artifactFailed, nil, "source '%s/%s' kind '%s' not supported", u.Source.Namespace, u.Source.Name, u.Source.Kind)
	case f.NoCrossNamespace && u.Source.Namespace != u.Name.Namespace:
		return refuse(accessDenied, unit.ErrAccess, "can't access '%s', cross-namespace references have been blocked", u.Source)
	case u.Source.Kind == ExternalArtifact.Name && !f.on(externalArtifacts):
		return refuse(accessDenied, unit.ErrAccess, "can't access '%s', start the controller with --feature-gates=%s=true to allow that", u.Source, externalArtifacts)
	case !fs.ValidPath(u.Recipe.Dir):
		return refuse(invalidPath, nil, "spec.path %q is not a valid path", spec.Path)
	}
	return unsupported(
		field{"spec.buildMetadata", len(spec.BuildMetadata) > 0},
		field{"spec.decryption", spec.Decryption != nil},
		field{"spec.dependsOn[].readyExpr", slices.ContainsFunc(spec.DependsOn, hasReadyExpr)},
		field{"spec.healthCheckExprs", len(spec.HealthCheckExprs) > 0},
		field{"spec.ignore", len(spec.Ignore) > 0},
		field{"spec.postBuild", substitutes(spec.PostBuild)},
	)
}

func hasReadyExpr(d kustomizev1.DependencyReference) bool { return d.ReadyExpr != "" }

// substitutes reports whether p would change anything.
func substitutes(p *kustomizev1.PostBuild) bool {
	return p != nil && (len(p.Substitute) > 0 || len(p.SubstituteFrom) > 0 ||
		p.SubstituteStrategy == kustomizev1.SubstituteStrategyAlways)
}

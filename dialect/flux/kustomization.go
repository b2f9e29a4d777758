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
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/health/expr"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
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
	u.Orphan = true // what can't be read does not say that anything is to be deleted
	if u.Err = decode(o, &ks); u.Err == nil {
		f.read(&u, ks)
		u.Err = f.check(u, ks.Spec)
	}
	if u.Err == nil {
		if err := f.learn(&u, ks.Spec, r); err != nil {
			return u, err
		}
	}
	var err error
	u.Target, err = f.target(ks, r)
	return u, err
}

func (f flux) read(u *unit.Unit, ks kustomizev1.Kustomization) {
	spec, ns := ks.Spec, u.Name.Namespace
	u.Source = source.FeedName{
		Kind:      spec.SourceRef.Kind,
		Namespace: cmp.Or(spec.SourceRef.Namespace, ns),
		Name:      spec.SourceRef.Name,
	}
	u.Recipe = render.Recipe{Dir: inside(spec.Path), Overlay: overlay(spec)}
	u.Policy.Prune, u.Policy.Replace, u.Policy.Approved = spec.Prune, spec.Force, ks.Annotations[Approve]
	u.Policy.Early = f.Early
	for _, dep := range spec.DependsOn {
		after := unit.Name{Kind: Kustomization, Namespace: cmp.Or(dep.Namespace, ns), Name: dep.Name}
		u.After = append(u.After, after)
		if dep.ReadyExpr != "" {
			u.Gates = append(u.Gates, unit.Gate{After: after, Expr: dep.ReadyExpr, Also: f.on(additiveReadyExprs)})
		}
	}
	u.Wait, u.Patient = spec.Wait, f.on(patientChecks)
	for _, c := range spec.HealthCheckExprs {
		u.Rules = append(u.Rules, rule(c))
	}
	for _, ref := range spec.HealthChecks {
		u.Checks = append(u.Checks, checked(ref))
	}
	for _, i := range spec.Ignore {
		u.Ignore = append(u.Ignore, ignore(i))
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

func rule(c kustomize.CustomHealthCheck) health.Rule {
	gv, _ := schema.ParseGroupVersion(c.APIVersion)
	return health.Rule{
		Kind:       object.Kind{Group: gv.Group, Name: c.Kind},
		InProgress: c.InProgress, Failed: c.Failed, Current: c.Current,
	}
}

func ignore(i kustomizev1.IgnoreRule) plan.Ignore {
	out := plan.Ignore{Paths: i.Paths}
	if t := i.Target; t != nil {
		out.Target = plan.Target{
			Group: t.Group, Version: t.Version, Kind: t.Kind, Namespace: t.Namespace, Name: t.Name,
			Labels: t.LabelSelector, Annotations: t.AnnotationSelector,
		}
	}
	return out
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
	for _, m := range spec.BuildMetadata {
		o.BuildMetadata = append(o.BuildMetadata, string(m))
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
	case spec.Decryption != nil && spec.Decryption.Provider != "sops":
		return refuse(buildFailed, nil, "spec.decryption.provider '%s' is not supported: it must be 'sops'", spec.Decryption.Provider)
	case !fs.ValidPath(u.Recipe.Dir):
		return refuse(invalidPath, nil, "spec.path %q is not a valid path", spec.Path)
	}
	if err := f.expressions(u); err != nil {
		return err
	}
	if _, err := plan.NewIgnores(u.Ignore); err != nil {
		return refuse("", nil, "spec.ignore: %s", err)
	}
	return nil
}

// expressions returns what is wrong with the unit's expressions.
func (f flux) expressions(u unit.Unit) error {
	for _, g := range u.Gates {
		if f.NoCrossNamespace && g.After.Namespace != u.Name.Namespace { // it could ask for any field, one after the other
			return refuse(accessDenied, unit.ErrAccess, "readyExpr can't read '%s', cross-namespace references have been blocked: leave the expression out", g.After)
		}
		if _, err := expr.NewGate(g.Expr); err != nil {
			return refuse(invalidCEL, nil, "spec.dependsOn[].readyExpr for %s/%s: %s", g.After.Namespace, g.After.Name, err)
		}
	}
	if _, err := expr.New(u.Rules); err != nil {
		return refuse(invalidCEL, nil, "spec.healthCheckExprs: %s", err)
	}
	return nil
}

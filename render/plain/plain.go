// Package plain renders directories of manifests that no kustomization file speaks of.
package plain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
)

// A Renderer renders what kustomize would only copy, with the same result and
// at a fraction of the cost. What it does not know to be that plain, it leaves
// to kustomize by returning [render.ErrElsewhere]: a kustomization file, an
// overlay, what is to be decrypted or substituted, and objects that kustomize would change, leave out or mend.
type Renderer struct {
	MaxBytes int64 // that may be read of files, all together; 0 means [render.MaxBytes]
}

// Render implements [render.Renderer].
func (r Renderer) Render(ctx context.Context, in render.Input) ([]object.Object, error) {
	if !in.Recipe.BuildsOnly() || !reflect.ValueOf(in.Recipe.Overlay).IsZero() {
		return nil, render.ErrElsewhere
	}
	layout, err := render.Scan(in.Tree, in.Recipe.Dir)
	if err != nil {
		return nil, err
	}
	if layout.Kustomization != "" || len(layout.Dirs) > 0 {
		return nil, render.ErrElsewhere
	}
	return read(ctx, render.Limit(in.Tree, r.MaxBytes), layout.Files)
}

func read(ctx context.Context, tree fs.FS, files []string) ([]object.Object, error) {
	var objects []object.Object
	seen := make(map[identity]string)
	for _, name := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		data, err := fs.ReadFile(tree, name)
		if err != nil {
			return nil, err
		}
		found, err := parse(string(data))
		if errors.Is(err, render.ErrElsewhere) {
			return nil, err
		}
		if err != nil {
			return nil, fault.Input(fmt.Errorf("%s: %w", name, err))
		}
		for _, o := range found {
			id := identify(o)
			if where, ok := seen[id]; ok {
				return nil, duplicate(o, where, name)
			}
			seen[id] = name
			objects = append(objects, render.WithFrom(o, name))
		}
	}
	return objects, nil
}

// An identity is what may be there once, in kustomize's eyes: versions are
// told apart, and no namespace is the namespace default.
type identity struct {
	id      object.ID
	version string
}

func identify(o object.Object) identity {
	id := o.ID()
	if id.Namespace == "" {
		id.Namespace = "default"
	}
	return identity{id, o.Version()}
}

func duplicate(o object.Object, one, two string) error {
	if one == two {
		return fault.Input(fmt.Errorf("%s: %s is there twice", one, o))
	}
	return fault.Input(fmt.Errorf("%s: %s is already in %s", two, o, one))
}

// check refuses what is no object, and leaves to kustomize what it would
// change.
func check(o object.Object) error {
	if err := o.Check(); err != nil {
		return err
	}
	meta, _ := o.Get("metadata")
	m, _ := meta.(map[string]any)
	if ns, ok := m["namespace"]; ok && (!isText(ns) || unscoped[o.ID().Kind]) {
		return render.ErrElsewhere
	}
	annotations, ok := m["annotations"]
	if !ok {
		return nil
	}
	a, _ := annotations.(map[string]any)
	for key, value := range a {
		if _, ok := value.(string); !ok || isInternal(key) {
			return render.ErrElsewhere
		}
	}
	if len(a) == 0 {
		return render.ErrElsewhere // kustomize takes it away
	}
	return nil
}

func isText(v any) bool {
	s, ok := v.(string)
	return ok && s != ""
}

// isInternal reports whether an annotation means something to kustomize.
func isInternal(key string) bool {
	group, _, _ := strings.Cut(key, "/")
	return strings.HasSuffix(group, "config.kubernetes.io") || strings.HasSuffix(group, "config.k8s.io") ||
		strings.Contains(group, "kustomize")
}

// unscoped are kinds that have no namespace, where one that is written down
// does not count.
var unscoped = map[object.Kind]bool{
	{Name: "Namespace"}:        true,
	{Name: "Node"}:             true,
	{Name: "PersistentVolume"}: true,
	{Name: "ComponentStatus"}:  true,
	{Group: "admissionregistration.k8s.io", Name: "MutatingWebhookConfiguration"}:     true,
	{Group: "admissionregistration.k8s.io", Name: "ValidatingWebhookConfiguration"}:   true,
	{Group: "admissionregistration.k8s.io", Name: "ValidatingAdmissionPolicy"}:        true,
	{Group: "admissionregistration.k8s.io", Name: "ValidatingAdmissionPolicyBinding"}: true,
	{Group: "apiextensions.k8s.io", Name: "CustomResourceDefinition"}:                 true,
	{Group: "apiregistration.k8s.io", Name: "APIService"}:                             true,
	{Group: "certificates.k8s.io", Name: "CertificateSigningRequest"}:                 true,
	{Group: "flowcontrol.apiserver.k8s.io", Name: "FlowSchema"}:                       true,
	{Group: "flowcontrol.apiserver.k8s.io", Name: "PriorityLevelConfiguration"}:       true,
	{Group: "networking.k8s.io", Name: "IngressClass"}:                                true,
	{Group: "node.k8s.io", Name: "RuntimeClass"}:                                      true,
	{Group: "policy", Name: "PodSecurityPolicy"}:                                      true,
	{Group: "rbac.authorization.k8s.io", Name: "ClusterRole"}:                         true,
	{Group: "rbac.authorization.k8s.io", Name: "ClusterRoleBinding"}:                  true,
	{Group: "scheduling.k8s.io", Name: "PriorityClass"}:                               true,
	{Group: "storage.k8s.io", Name: "CSIDriver"}:                                      true,
	{Group: "storage.k8s.io", Name: "CSINode"}:                                        true,
	{Group: "storage.k8s.io", Name: "StorageClass"}:                                   true,
	{Group: "storage.k8s.io", Name: "VolumeAttachment"}:                               true,
}

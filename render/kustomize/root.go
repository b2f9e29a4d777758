package kustomize

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	gopath "path"
	"reflect"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/render"
)

// lay puts the root kustomization over the tree: what is there, or what
// stands for it, and the overlay. It reports whether there is nothing to build.
func lay(d *disk, recipe render.Recipe, layout render.Layout) (empty bool, err error) {
	k := types.Kustomization{TypeMeta: types.TypeMeta{APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind}}
	name := cmp.Or(layout.Kustomization, gopath.Join(recipe.Dir, render.KustomizationFiles[0]))
	if layout.Kustomization != "" {
		data, err := d.read(name)
		if err != nil {
			return false, cmp.Or(d.err, err)
		}
		// As in Flux, fields that kustomize does not know are overlooked here.
		if err := yaml.Unmarshal(data, &k); err != nil {
			return false, fault.Input(fmt.Errorf("%s: invalid kustomization: %s", name, oneLine(err.Error())))
		}
	}
	for _, found := range layout.Walk {
		rel := strings.TrimPrefix(found, recipe.Dir+"/")
		k.Resources = append(k.Resources, "./"+rel)
	}
	if err := overlay(d, &k, recipe); err != nil {
		return false, err
	}
	if layout.Kustomization == "" && isEmpty(k) {
		return true, nil
	}
	data, err := yaml.Marshal(k)
	if err != nil {
		return false, err
	}
	d.over[name], d.sorts = data, k.SortOptions != nil
	return false, nil
}

// isEmpty reports whether kustomize would refuse k for having nothing in it.
func isEmpty(k types.Kustomization) bool {
	return reflect.DeepEqual(k, types.Kustomization{TypeMeta: k.TypeMeta})
}

// overlay adds the recipe's overlay to k, with the precedence that Flux gives it.
func overlay(d *disk, k *types.Kustomization, recipe render.Recipe) error {
	o := recipe.Overlay
	k.Namespace = cmp.Or(o.Namespace, k.Namespace)
	k.NamePrefix = cmp.Or(o.NamePrefix, k.NamePrefix)
	k.NameSuffix = cmp.Or(o.NameSuffix, k.NameSuffix)
	if o.BuildMetadata != nil {
		k.BuildMetadata = o.BuildMetadata
	}
	for _, i := range o.Images {
		k.Images = mergeImage(k.Images, i)
	}
	for _, p := range o.Patches {
		k.Patches = append(k.Patches, types.Patch{Patch: p.Patch, Target: selector(p.Target)})
	}
	for _, c := range o.Components {
		there, err := component(d, recipe.Dir, c)
		if err != nil {
			return err
		}
		if there {
			k.Components = append(k.Components, c)
		} else if !o.IgnoreMissingComponents {
			return fault.Input(fmt.Errorf("component path not found: %s in %s", c, recipe.Dir))
		}
	}
	return nil
}

func mergeImage(images []types.Image, i render.Image) []types.Image {
	for at := range images {
		old := &images[at]
		if old.Name != i.Name {
			continue
		}
		old.NewName = cmp.Or(i.NewName, old.NewName)
		if i.NewTag != "" {
			old.NewTag, old.Digest = i.NewTag, ""
		}
		if i.Digest != "" {
			old.NewTag, old.Digest = "", i.Digest
		}
		return images
	}
	return append(images, types.Image{Name: i.Name, NewName: i.NewName, NewTag: i.NewTag, Digest: i.Digest})
}

func selector(t *render.Target) *types.Selector {
	if t == nil {
		return nil
	}
	var s types.Selector
	s.Group, s.Version, s.Kind = t.Group, t.Version, t.Kind
	s.Namespace, s.Name = t.Namespace, t.Name
	s.LabelSelector, s.AnnotationSelector = t.LabelSelector, t.AnnotationSelector
	return &s
}

// component reports whether there is a directory at path c, which is relative
// to dir.
func component(d *disk, dir, c string) (bool, error) {
	u, err := url.Parse(c)
	if err != nil || u.Scheme != "" || u.Host != "" || gopath.IsAbs(c) || isRemote(c) {
		return false, fault.Input(fmt.Errorf("component path %q must be local and relative", c))
	}
	name, err := inTree(gopath.Join(path(dir), c))
	if err != nil {
		return false, fault.Input(fmt.Errorf("component path %q: %w", c, err))
	}
	info, err := fs.Stat(d.tree, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return err == nil && info.IsDir(), nil
}

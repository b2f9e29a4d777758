package kustomize

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	gopath "path"
	"slices"
	"strings"

	utilyaml "sigs.k8s.io/yaml"

	"sigs.k8s.io/kustomize/api/types"

	"github.com/sane-gitops/sane/lazy"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
)

// inspect refuses files that make kustomize look outside of the tree, before
// it can. What does not parse is left for kustomize to explain.
func (d *disk) inspect(name string, data []byte) error {
	if !slices.Contains(render.KustomizationFiles, gopath.Base(name)) {
		return inspectPlugins(string(data))
	}
	var k types.Kustomization
	if utilyaml.Unmarshal(data, &k) != nil {
		return nil
	}
	if len(k.OpenAPI) > 0 {
		d.schema = true
	}
	if len(k.HelmCharts)+len(k.HelmChartInflationGenerator) > 0 {
		return errors.New("helmCharts is not supported: kustomize would run helm; use a HelmRelease")
	}
	for _, p := range references(k) {
		if isRemote(p) {
			return fmt.Errorf("%s is remote: kustomizations may only refer to what is in the source", p)
		}
	}
	for _, inline := range slices.Concat(k.Generators, k.Transformers, k.Validators) {
		if err := inspectPlugins(inline); err != nil {
			return err
		}
	}
	return nil
}

// references returns all paths that k names.
func references(k types.Kustomization) []string {
	//lint:ignore SA1019 the old fields are still read by kustomize
	all := slices.Concat(k.Resources, k.Components, k.Bases, k.Crds, k.Configurations, k.Generators, k.Transformers, k.Validators)
	all = append(all, k.OpenAPI["path"])
	//lint:ignore SA1019 likewise
	for _, p := range k.PatchesStrategicMerge {
		all = append(all, string(p))
	}
	//lint:ignore SA1019 likewise
	for _, p := range slices.Concat(k.Patches, k.PatchesJson6902) {
		all = append(all, p.Path)
	}
	for _, r := range k.Replacements {
		all = append(all, r.Path)
	}
	for _, g := range k.ConfigMapGenerator {
		all = append(all, sources(g.KvPairSources)...)
	}
	for _, g := range k.SecretGenerator {
		all = append(all, sources(g.KvPairSources)...)
	}
	return all
}

func sources(s types.KvPairSources) []string {
	all := append(slices.Clone(s.EnvSources), s.EnvSource)
	for _, f := range s.FileSources {
		if _, file, ok := strings.Cut(f, "="); ok {
			all = append(all, file)
		}
		all = append(all, f)
	}
	return all
}

// inspectPlugins refuses configurations of builtin plugins that refer to
// remote files, in a stream of documents.
func inspectPlugins(data string) error {
	if !strings.Contains(data, "builtin") || !strings.Contains(strings.ToLower(data), "http") {
		return nil
	}
	objects, err := object.Parse([]byte(data))
	if err != nil {
		return nil
	}
	for _, o := range objects {
		if o.APIVersion() != "builtin" {
			continue
		}
		if p := remoteIn("", o.Body()); p != "" {
			return fmt.Errorf("%s: %s is remote: kustomizations may only refer to what is in the source", o, p)
		}
	}
	return nil
}

// pathFields are the fields of builtin plugins that name files.
var pathFields = []string{"path", "paths", "files", "envs", "env", "targetFilePath", "valuesFile", "additionalValuesFiles"}

// remoteIn returns a remote path that v refers to, or "". Field is where v is.
func remoteIn(field string, v any) string {
	switch v := v.(type) {
	case string:
		_, file, _ := strings.Cut(v, "=")
		if slices.Contains(pathFields, field) && (isRemote(v) || isRemote(file)) {
			return v
		}
	case []any:
		for _, e := range v {
			if p := remoteIn(field, e); p != "" {
				return p
			}
		}
	case map[string]any:
		for key, e := range v {
			if p := remoteIn(key, e); p != "" {
				return p
			}
		}
	}
	return ""
}

var (
	remoteScheme = lazy.Compile(`(?i)^(git::)?(ssh://|https?://|file://|github\.com[:/])`)
	remoteUser   = lazy.Compile(`(?i)^(git::)?[a-z][a-z0-9-]*@(.*)$`)
)

// isRemote reports whether kustomize takes p for a URL or a repository.
func isRemote(p string) bool {
	if strings.Contains(p, "\n") || p == "" {
		return false // inline content
	}
	if u, err := url.Parse(p); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		return true
	}
	if remoteScheme.MatchString(p) {
		return true
	}
	m := remoteUser.FindStringSubmatch(p)
	if m == nil {
		return false
	}
	return strings.ContainsAny(m[2], ":?") || strings.Contains(m[2], "//") || strings.Contains(m[2], ".git") ||
		strings.Contains(m[2], "_git/") || bytes.Count([]byte(m[2]), []byte("/")) > 1
}

package engine_test

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// id reads "Deployment/web" (in namespace default) or "Namespace/apps".
func id(s string) object.ID {
	kind, name, _ := strings.Cut(s, "/")
	k, known := kinds[kind]
	if !known {
		panic("unknown kind in transcript: " + s)
	}
	ns := k.namespace
	if a, b, ok := strings.Cut(name, "/"); ok {
		ns, name = a, b
	}
	return object.ID{Kind: object.Kind{Group: k.group, Name: kind}, Namespace: ns, Name: name}
}

var kinds = map[string]struct{ group, version, namespace string }{
	"Deployment":               {"apps", "v1", "default"},
	"Job":                      {"batch", "v1", "default"},
	"ConfigMap":                {"", "v1", "default"},
	"Secret":                   {"", "v1", "default"},
	"Service":                  {"", "v1", "default"},
	"Namespace":                {"", "v1", ""},
	"GitRepository":            {"source.toolkit.fluxcd.io", "v1", "flux-system"},
	"Kustomization":            {"kustomize.toolkit.fluxcd.io", "v1", "flux-system"},
	"Widget":                   {"example.com", "v1", "default"},
	"CustomResourceDefinition": {"apiextensions.k8s.io", "v1", ""},
}

func feedSpec(name string) map[string]any {
	return map[string]any{"url": "https://git.example/" + name, "interval": "1m", "ref": map[string]any{"branch": "main"}}
}

func unitSpec(name string) map[string]any {
	return map[string]any{
		"interval": "10m", "retryInterval": "30s", "timeout": "1m", "prune": true, "path": "./" + name,
		"sourceRef": map[string]any{"kind": "GitRepository", "name": "apps"},
	}
}

// put applies a custom resource with a spec changed by key=value arguments.
func (p *play) put(apiVersion, kind, name string, spec func(string) map[string]any, args []string) {
	s := spec(name)
	for _, a := range args {
		k, v, _ := strings.Cut(a, "=")
		s[k] = value(k, v)
	}
	o := object.Of(map[string]any{
		"apiVersion": apiVersion, "kind": kind,
		"metadata": map[string]any{"namespace": "flux-system", "name": name}, "spec": s,
	})
	if _, err := p.world.Apply(p.t.Context(), namespace("flux-system"), cluster.How{Manager: "kubectl"}); err != nil {
		p.t.Fatal(err)
	}
	_, err := p.world.Apply(p.t.Context(), o, cluster.How{Manager: "kubectl", Force: true})
	p.check(err)
}

func namespace(name string) object.Object {
	return object.Of(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}})
}

// value reads a field's value: JSON, the names of dependencies, or a string.
func value(key, v string) any {
	if key == "dependsOn" && !strings.HasPrefix(v, "[") {
		var list []any
		for _, n := range strings.Split(v, ",") {
			list = append(list, map[string]any{"name": n})
		}
		return list
	}
	var out any
	if json.Unmarshal([]byte(v), &out) == nil {
		if f, ok := out.(float64); ok {
			return int64(f)
		}
		return out
	}
	return v
}

var statuses = map[string]map[string]any{
	"healthy": {"observedGeneration": int64(1), "replicas": int64(1), "updatedReplicas": int64(1), "readyReplicas": int64(1), "availableReplicas": int64(1),
		"conditions": []any{map[string]any{"type": "Available", "status": "True"}, map[string]any{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}}},
	"progressing": {"observedGeneration": int64(1)},
	"failed": {"observedGeneration": int64(1),
		"conditions": []any{map[string]any{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "time is up"}}},
	"complete": {"startTime": "2026-01-01T00:00:00Z", "succeeded": int64(1),
		"conditions": []any{map[string]any{"type": "Complete", "status": "True"}}},
	"broken": {"startTime": "2026-01-01T00:00:00Z", "failed": int64(1),
		"conditions": []any{map[string]any{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "it failed too often"}}},
	"established": {"acceptedNames": map[string]any{"kind": "Widget", "plural": "widgets"},
		"conditions": []any{map[string]any{"type": "NamesAccepted", "status": "True"}, map[string]any{"type": "Established", "status": "True"}}},
}

// manifest returns YAML documents for "Deployment/web@spec.replicas=2,…", or
// the text between quotes as it is.
func manifest(spec string) string {
	if text, ok := strings.CutPrefix(spec, "'"); ok {
		return strings.NewReplacer("_", " ", "|", "\n").Replace(strings.TrimSuffix(text, "'")) + "\n"
	}
	var out strings.Builder
	for _, s := range strings.Split(spec, ",") {
		parts := strings.Split(s, "@")
		i := id(parts[0])
		k := kinds[i.Kind.Name]
		version := k.version
		if k.group != "" {
			version = k.group + "/" + version
		}
		o := object.Of(map[string]any{"apiVersion": version, "kind": i.Kind.Name, "metadata": map[string]any{"name": i.Name}})
		if i.Namespace != "" {
			o = o.With(i.Namespace, "metadata", "namespace")
		}
		if body, ok := bodies[i.Kind.Name]; ok {
			o = o.With(body(i.Name), "spec")
		}
		for _, p := range parts[1:] {
			path, v, _ := strings.Cut(p, "=")
			o = o.With(value("", v), strings.Split(path, ".")...)
		}
		fmt.Fprintf(&out, "---\n%s\n", o.JSON())
	}
	return out.String()
}

var bodies = map[string]func(name string) map[string]any{
	"Deployment": func(name string) map[string]any {
		labels := map[string]any{"app": name}
		return map[string]any{
			"replicas": int64(1),
			"selector": map[string]any{"matchLabels": labels},
			"template": map[string]any{
				"metadata": map[string]any{"labels": labels},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "c", "image": name + ":1"}}},
			},
		}
	},
	"CustomResourceDefinition": func(string) map[string]any {
		return map[string]any{
			"group": "example.com", "scope": "Namespaced",
			"names": map[string]any{"kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}},
		}
	},
}

package install_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/sane-gitops/sane/install"
	"github.com/sane-gitops/sane/object"
)

// crd decodes o and knows every field of it.
func crd(t *testing.T, o object.Object) apiextensions.CustomResourceDefinition {
	t.Helper()
	var c apiextensions.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(o.JSON(), &c); err != nil {
		t.Fatalf("%s: %v", o, err)
	}
	return c
}

func TestCRDs(t *testing.T) {
	got := make(map[string]string)
	for _, o := range install.CRDs() {
		c := crd(t, o)
		for _, v := range c.Spec.Versions {
			key := c.Spec.Group + "/" + v.Name + " " + c.Spec.Names.Kind
			got[key] = strings.Join(append(slices.Clone(c.Spec.Names.ShortNames), c.Spec.Names.Categories...), " ")
			if !v.Served || !v.Storage || v.Subresources == nil || v.Subresources.Status == nil {
				t.Errorf("%s: served %v, stored %v, subresources %v", key, v.Served, v.Storage, v.Subresources)
			}
			if len(v.AdditionalPrinterColumns) == 0 {
				t.Errorf("%s: no printer columns", key)
			}
			structural(t, key, *v.Schema.OpenAPIV3Schema)
		}
	}
	want := []string{
		"kustomize.toolkit.fluxcd.io/v1 Kustomization",
		"source.toolkit.fluxcd.io/v1 Bucket",
		"source.toolkit.fluxcd.io/v1 ExternalArtifact",
		"source.toolkit.fluxcd.io/v1 GitRepository",
		"source.toolkit.fluxcd.io/v1 HelmChart",
		"source.toolkit.fluxcd.io/v1 HelmRepository",
		"source.toolkit.fluxcd.io/v1 OCIRepository",
	}
	if kinds := slices.Sorted(maps.Keys(got)); !slices.Equal(kinds, want) {
		t.Errorf("kinds %q, want %q", kinds, want)
	}
	for key, names := range map[string]string{want[0]: "ks all fluxcd fluxcd-appliers", want[3]: "gitrepo all fluxcd fluxcd-sources"} {
		if got[key] != names {
			t.Errorf("%s is known as %q, want %q", key, got[key], names)
		}
	}
}

// structural checks what the API server asks of a schema: a type everywhere,
// and none of what it refuses.
func structural(t *testing.T, path string, s apiextensions.JSONSchemaProps) {
	t.Helper()
	keeps := s.XPreserveUnknownFields != nil && *s.XPreserveUnknownFields
	if s.Type == "" && !keeps && !s.XIntOrString {
		t.Errorf("%s has no type", path)
	}
	if s.Ref != nil || len(s.Definitions) > 0 || s.UniqueItems {
		t.Errorf("%s is not structural", path)
	}
	if s.Description != "" {
		t.Errorf("%s has a description", path)
	}
	for name, p := range s.Properties {
		structural(t, path+"."+name, p)
	}
	if s.Items != nil && s.Items.Schema != nil {
		structural(t, path+"[]", *s.Items.Schema)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		structural(t, path+"{}", *s.AdditionalProperties.Schema)
	}
}

// What Flux's users rely on beyond the structure.
func TestRules(t *testing.T) {
	for _, o := range install.CRDs() {
		c := crd(t, o)
		schema := c.Spec.Versions[0].Schema.OpenAPIV3Schema
		status := schema.Properties["status"]
		if c.Spec.Names.Kind != "ExternalArtifact" && (status.Default == nil || string(status.Default.Raw) != `{"observedGeneration":-1}`) {
			t.Errorf("%s: the status has no default", o)
		}
		spec := schema.Properties["spec"]
		switch c.Spec.Names.Kind {
		case "GitRepository":
			if spec.Properties["url"].Pattern == "" || len(spec.XValidations) == 0 || spec.Properties["timeout"].Default == nil {
				t.Errorf("%s: rules are missing", o)
			}
		case "Kustomization":
			if !slices.Contains(spec.Required, "prune") || len(spec.Properties["deletionPolicy"].Enum) != 4 {
				t.Errorf("%s: rules are missing", o)
			}
		}
	}
}

// The definitions are what the generator makes of the Go types that we use.
func TestGenerated(t *testing.T) {
	if os.Getenv("CI") == "" {
		t.Skip("needs the network and a while; set CI=1")
	}
	dir := t.TempDir()
	if out, err := exec.Command("./generate.sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want, got := read(t, dir), read(t, "crds")
	if !maps.Equal(got, want) {
		t.Error("crds is stale: run go generate ./install")
	}
}

func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*.yaml"))
	m := make(map[string]string)
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		m[filepath.Base(f)] = string(data)
	}
	return m
}

func TestManifests(t *testing.T) {
	objects := install.Manifests(install.Options{Namespace: "gitops", Image: "x/y:v1", Args: []string{"--a=b"}})
	var ids []string
	seen := make(map[object.ID]bool)
	for _, o := range objects {
		if seen[o.ID()] {
			t.Errorf("%s is there twice", o)
		}
		seen[o.ID()] = true
		if o.ID().Kind.Name != "CustomResourceDefinition" {
			ids = append(ids, o.String())
		}
		if o.Label("app.kubernetes.io/instance") != "gitops" {
			t.Errorf("%s has labels %v", o, o.Labels())
		}
	}
	want := []string{
		"Namespace/gitops", "ServiceAccount/gitops/sane",
		"ClusterRole/sane-crd-controller-gitops", "ClusterRoleBinding/sane-crd-controller-gitops",
		"ClusterRoleBinding/sane-cluster-reconciler-gitops", "Deployment/gitops/sane",
	}
	if !slices.Equal(ids, want) {
		t.Errorf("objects %q, want %q", ids, want)
	}
	pod := container(t, objects[len(objects)-1])
	if pod.Image != "x/y:v1" || !slices.Equal(pod.Args, []string{"run", "--enable-leader-election", "--a=b"}) {
		t.Errorf("runs %s %q", pod.Image, pod.Args)
	}
	if c := pod.SecurityContext; !c.ReadOnlyRootFilesystem || !c.RunAsNonRoot || c.AllowPrivilegeEscalation || c.SeccompProfile["type"] != "RuntimeDefault" {
		t.Errorf("security context %+v", c)
	}
}

// Where artifacts are served others reach them by a Service of the program's.
func TestServing(t *testing.T) {
	objects := install.Manifests(install.Options{Namespace: "gitops", ServeArtifacts: true, Args: []string{"--a=b"}})
	i := slices.IndexFunc(objects, func(o object.Object) bool { return o.String() == "Service/gitops/sane" })
	if i < 0 {
		t.Fatal("there is no Service")
	}
	pod := container(t, objects[len(objects)-1])
	if want := []string{"run", "--enable-leader-election", "--serve-artifacts", "--storage-adv-addr=sane.gitops.svc.cluster.local.", "--a=b"}; !slices.Equal(pod.Args, want) {
		t.Errorf("runs %q, want %q", pod.Args, want)
	}
	if port := targetPort(t, objects[i]); !pod.listens(port) {
		t.Errorf("the Service leads to port %q, of %v", port, pod.Ports)
	}
}

// Pages are reached by a Service of their own, and come with what it takes to ask
// in the name of whoever looks.
func TestWeb(t *testing.T) {
	objects := install.Manifests(install.Options{Namespace: "gitops", Web: true, WebURL: "https://sane.example.com", Args: []string{"--a=b"}})
	of := func(name string) object.Object {
		i := slices.IndexFunc(objects, func(o object.Object) bool { return o.String() == name })
		if i < 0 {
			t.Fatalf("there is no %s", name)
		}
		return objects[i]
	}
	pod := container(t, objects[len(objects)-1])
	if want := []string{"run", "--enable-leader-election", "--web-addr=:8090", "--web-external-url=https://sane.example.com", "--a=b"}; !slices.Equal(pod.Args, want) {
		t.Errorf("runs %q, want %q", pod.Args, want)
	}
	if port := targetPort(t, of("Service/gitops/sane-web")); !pod.listens(port) {
		t.Errorf("the Service leads to port %q, of %v", port, pod.Ports)
	}
	if role := string(of("ClusterRole/sane-web-gitops").JSON()); !strings.Contains(role, "tokenreviews") || !strings.Contains(role, "impersonate") {
		t.Errorf("the role is %s", role)
	}
	of("ClusterRoleBinding/sane-web-gitops")
}

// targetPort returns the port that a Service leads to.
func targetPort(t *testing.T, o object.Object) string {
	t.Helper()
	var port struct{ TargetPort string }
	v, _ := o.Get("spec", "ports")
	data, _ := json.Marshal(v.([]any)[0])
	if err := json.Unmarshal(data, &port); err != nil {
		t.Fatal(err)
	}
	return port.TargetPort
}

type containerSpec struct {
	Image           string
	Args            []string
	Ports           []struct{ Name string }
	SecurityContext struct {
		ReadOnlyRootFilesystem, RunAsNonRoot, AllowPrivilegeEscalation bool
		SeccompProfile                                                 map[string]string
	}
}

func (c containerSpec) listens(port string) bool {
	return slices.ContainsFunc(c.Ports, func(p struct{ Name string }) bool { return p.Name == port })
}

func container(t *testing.T, o object.Object) containerSpec {
	t.Helper()
	v, _ := o.Get("spec", "template", "spec", "containers")
	data, _ := json.Marshal(v)
	var list []containerSpec
	if err := json.Unmarshal(data, &list); err != nil || len(list) != 1 {
		t.Fatalf("containers %s: %v", data, err)
	}
	return list[0]
}

// What is not said is Flux's default.
func TestDefaults(t *testing.T) {
	a, b := install.Manifests(install.Options{}), install.Manifests(install.Options{Namespace: "flux-system"})
	for i := range a {
		if string(a[i].JSON()) != string(b[i].JSON()) {
			t.Errorf("%s differs", a[i])
		}
	}
}

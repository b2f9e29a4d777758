package plan

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/inventory"
	"github.com/sane-gitops/sane/object"
)

// parse returns the objects "Kind/ns/name", or "Kind.group/ns/name".
func parse(names string) []object.Object {
	var out []object.Object
	for _, n := range strings.Fields(names) {
		p := strings.Split(n, "/")
		kind, group, _ := strings.Cut(p[0], ".")
		version := "v1"
		if group != "" {
			version = group + "/v1"
		}
		meta := map[string]any{"name": p[len(p)-1]}
		if len(p) == 3 {
			meta["namespace"] = p[1]
		}
		out = append(out, object.Of(map[string]any{"apiVersion": version, "kind": kind, "metadata": meta}))
	}
	return out
}

func first(name string) object.ID { return parse(name)[0].ID() }

func TestMake(t *testing.T) {
	all := Policy{Prune: true}
	ours := Known{UID: "1", Ours: true, Why: "it differs"}
	for _, tt := range []struct {
		name   string
		want   string
		once   bool // what is wanted asks to be created only
		known  map[string]Known
		owned  string
		policy Policy
		plan   string // stage verb name, a step each
	}{
		{name: "nothing"},
		{
			name: "order",
			want: "ValidatingWebhookConfiguration.admissionregistration.k8s.io/w Deployment.apps/a/web ConfigMap/a/c StorageClass.storage.k8s.io/s Namespace/a",
			plan: "definitions create Namespace/a; classes create StorageClass/s; settings create ConfigMap/a/c; objects create Deployment/a/web; webhooks create ValidatingWebhookConfiguration/w",
		},
		{
			name: "kinds of the same name in other groups are other kinds",
			want: "Namespace.azure.com/a/n Namespace/a",
			plan: "definitions create Namespace/a; objects create Namespace/a/n",
		},
		{
			name:  "same, other and unknown",
			want:  "ConfigMap/a/same ConfigMap/a/other ConfigMap/a/new",
			known: map[string]Known{"ConfigMap/a/same": {UID: "1", Ours: true, Same: true}, "ConfigMap/a/other": ours},
			plan:  "settings create ConfigMap/a/new; settings update ConfigMap/a/other; settings keep ConfigMap/a/same",
		},
		{
			name: "deletion goes the other way", policy: all,
			owned: "Namespace/a Deployment.apps/a/web ConfigMap/a/c",
			known: map[string]Known{"Namespace/a": ours, "Deployment.apps/a/web": ours, "ConfigMap/a/c": ours},
			plan:  "prune objects delete Deployment/a/web; prune settings delete ConfigMap/a/c; prune definitions delete Namespace/a",
		},
		{
			name: "nothing is deleted without leave", owned: "ConfigMap/a/c", known: map[string]Known{"ConfigMap/a/c": ours},
		},
		{
			name: "what belongs to others now, or asks to be kept, is kept", policy: all,
			owned: "ConfigMap/a/x ConfigMap/a/y ConfigMap/a/z",
			known: map[string]Known{
				"ConfigMap/a/x": {UID: "1", Owner: "Kustomization/a/other"},
				"ConfigMap/a/y": {UID: "1", Ours: true, Exempt: Exemption{Keep: true}},
				"ConfigMap/a/z": {UID: "1", Ours: true, Exempt: Exemption{Ignore: true}},
			},
			plan: "prune settings keep ConfigMap/a/z; prune settings keep ConfigMap/a/y; prune settings keep ConfigMap/a/x",
		},
		{
			name: "left alone since the live object asks for it", want: "ConfigMap/a/x",
			known: map[string]Known{"ConfigMap/a/x": {UID: "1", Ours: true, Exempt: Exemption{Ignore: true}}},
			plan:  "settings keep ConfigMap/a/x",
		},
		{
			name: "early kinds", policy: Policy{Early: []object.Kind{{Group: "apps", Name: "Deployment"}, {Name: "Namespace"}, {Name: "Secret"}}},
			want: "Deployment.apps/a/web Secret/a/s ConfigMap/a/c StorageClass.storage.k8s.io/s Namespace/a",
			plan: "definitions create Namespace/a; classes create StorageClass/s; early create Secret/a/s; early create Deployment/a/web; settings create ConfigMap/a/c",
		},
		{
			name: "what is being deleted is not deleted again", policy: all, owned: "ConfigMap/a/x",
			known: map[string]Known{"ConfigMap/a/x": {UID: "1", Ours: true, Deleting: true}},
			plan:  "prune settings keep ConfigMap/a/x",
		},
		{
			name: "created once", want: "ConfigMap/a/x ConfigMap/a/y", once: true,
			known: map[string]Known{"ConfigMap/a/x": ours},
			plan:  "settings keep ConfigMap/a/x; settings create ConfigMap/a/y",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := State{Known: make(map[object.ID]Known), Owned: make(inventory.Set)}
			for _, o := range parse(tt.owned) {
				s.Owned[o.ID()] = o.Version()
			}
			for _, o := range parse(tt.want) {
				s.Want = append(s.Want, Want{Object: o, Exempt: Exemption{Once: tt.once}})
			}
			for n, k := range tt.known {
				s.Known[first(n)] = k
			}
			p, err := Make(s, tt.policy)
			if err != nil {
				t.Fatal(err)
			}
			if got := brief(p); got != tt.plan {
				t.Errorf("got  %s\nwant %s", got, tt.plan)
			}
		})
	}
}

func brief(p Plan) string {
	var out []string
	list := func(prefix string, stages []Stage) {
		for _, s := range stages {
			for _, step := range s.Steps {
				out = append(out, fmt.Sprintf("%s%s %s %s", prefix, s.Name, step.Verb, step.ID))
			}
		}
	}
	list("", p.Stages)
	list("prune ", p.Prune)
	return strings.Join(out, "; ")
}

// TestReplace: only what is ours may be deleted to be made anew.
func TestReplace(t *testing.T) {
	for _, tt := range []struct {
		name         string
		policy, self bool // leave by the unit, and by the object
		known        Known
		want         bool
	}{
		{"no leave", false, false, Known{Ours: true}, false},
		{"the unit's", true, false, Known{Ours: true}, true},
		{"its own", false, true, Known{Ours: true}, true},
		{"not ours", true, true, Known{}, false},
		{"asks never to be deleted", true, false, Known{Ours: true, Exempt: Exemption{Keep: true}}, false},
		{"asks not to be deleted, but to be replaced", true, true, Known{Ours: true, Exempt: Exemption{Keep: true}}, true},
	} {
		o := parse("Job.batch/a/j")[0]
		p, err := Make(State{
			Want: []Want{{Object: o, Exempt: Exemption{Force: tt.self}}}, Known: map[object.ID]Known{o.ID(): tt.known},
		}, Policy{Replace: tt.policy})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.All()[0].Replace; got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestMakeRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, want, err string
		known           map[string]Known
	}{
		{"twice", "ConfigMap/a/x ConfigMap/a/x", "ConfigMap/a/x is there twice", nil},
		{"of others", "ConfigMap/a/x", "ConfigMap/a/x is kept by Kustomization/a/b: take it out of one of the two",
			map[string]Known{"ConfigMap/a/x": {Owner: "Kustomization/a/b"}}},
	} {
		s := State{Known: make(map[object.ID]Known)}
		for _, o := range parse(tt.want) {
			s.Want = append(s.Want, Want{Object: o})
		}
		for n, k := range tt.known {
			s.Known[first(n)] = k
		}
		_, err := Make(s, Policy{})
		if err == nil || err.Error() != tt.err || !fault.IsInput(err) {
			t.Errorf("%s: error %v, want %s (of the input)", tt.name, err, tt.err)
		}
	}
}

func TestAwaited(t *testing.T) {
	crd := parse("CustomResourceDefinition.apiextensions.k8s.io/widgets")[0].
		With(map[string]any{"group": "example.com", "names": map[string]any{"kind": "Widget"}}, "spec")
	s := State{Want: []Want{{Object: crd}}, Known: map[object.ID]Known{}}
	for _, o := range parse("Namespace/new ConfigMap/new/c ConfigMap/old/c Widget.example.com/old/w") {
		s.Want = append(s.Want, Want{Object: o})
	}
	p, err := Make(s, Policy{})
	if err != nil {
		t.Fatal(err)
	}
	later := Awaited(p)
	want := map[string]bool{"ConfigMap/new/c": true, "ConfigMap/old/c": false, "Widget/old/w": true, "Namespace/new": false}
	for _, step := range p.All() {
		if w, ok := want[step.ID.String()]; ok && later(step) != w {
			t.Errorf("%s waits for others: %v, want %v", step.ID, !w, w)
		}
	}
}

func TestNormal(t *testing.T) {
	s := parse("Secret/a/s")[0].With(map[string]any{"a": "eA==", "b": "eQ=="}, "data").With(map[string]any{"b": "z"}, "stringData")
	got := string(Normal(s).JSON())
	want := `{"apiVersion":"v1","data":{"a":"eA==","b":"eg=="},"kind":"Secret","metadata":{"name":"s","namespace":"a"}}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, there := s.Get("stringData"); !there {
		t.Error("Normal changed its argument")
	}
}

// What the server would refuse, or would take in another form than it is asked in,
// is not sent to it.
func TestNormalKinds(t *testing.T) {
	for _, tt := range []struct{ name, object, want string }{
		{"no certificate", converted("Cg=="), converted("")},
		{"no base64", converted("?"), converted("")},
		{"a certificate", converted(certificate), converted(certificate)},
		{"metrics twice", autoscaler("cpu", "memory", "cpu"), autoscaler("cpu", "memory")},
		{"metrics once", autoscaler("cpu", "memory"), autoscaler("cpu", "memory")},
		{"no metrics", autoscaler(), autoscaler()},
	} {
		all, err := object.Parse([]byte(tt.object + "\n---\n" + tt.want))
		if err != nil {
			t.Fatal(tt.name, err)
		}
		if got, want := string(Normal(all[0]).JSON()), string(all[1].JSON()); got != want {
			t.Errorf("%s: got %s\nwant %s", tt.name, got, want)
		}
	}
}

func converted(ca string) string {
	if ca != "" {
		ca = "caBundle: '" + ca + "'"
	}
	return "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: x.example.com}, " +
		"spec: {conversion: {strategy: Webhook, webhook: {clientConfig: {" + ca + "}}}}}"
}

func autoscaler(resources ...string) string {
	var metrics []string
	for _, r := range resources {
		metrics = append(metrics, "{type: Resource, resource: {name: "+r+"}}")
	}
	return "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: x, namespace: a}, spec: {metrics: [" + strings.Join(metrics, ", ") + "]}}"
}

// certificate is one of nobody's, in PEM and base64.
var certificate = func() string {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}()

// With the fields that kubectl left goes what it noted, and what Flux's first
// version did.
func TestTakeOverNotes(t *testing.T) {
	o := parse("ConfigMap/a/x")[0].With("7", "metadata", "resourceVersion").
		With([]any{map[string]any{"manager": "kubectl", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": map[string]any{}}}, "metadata", "managedFields").
		WithAnnotations(map[string]string{"kustomize.toolkit.fluxcd.io/checksum": "1", "mine": "2", "kubectl.kubernetes.io/last-applied-configuration": "3"}).
		WithLabels(map[string]string{"fluxcd.io/sync-gc-mark": "sha256.x", "mine": "4"})
	patch, _, err := TakeOver(o, "us")
	for _, want := range []string{"annotations/kubectl.kubernetes.io~1last-applied", "annotations/kustomize.toolkit.fluxcd.io~1checksum", "labels/fluxcd.io~1sync-gc-mark"} {
		if err != nil || !strings.Contains(string(patch), `{"op":"remove","path":"/metadata/`+want) {
			t.Errorf("%s stays: %s, %v", want, patch, err)
		}
	}
	if strings.Count(string(patch), "remove") != 3 {
		t.Errorf("more goes than that: %s", patch)
	}
}

func TestTakeOver(t *testing.T) {
	entry := func(manager, op, field string) any {
		return map[string]any{"manager": manager, "operation": op, "apiVersion": "v1", "fieldsType": "FieldsV1",
			"fieldsV1": map[string]any{"f:data": map[string]any{"f:" + field: map[string]any{}}}}
	}
	o := parse("ConfigMap/a/x")[0].With("7", "metadata", "resourceVersion")
	for _, tt := range []struct {
		name    string
		entries []any
		patch   string
	}{
		{"ours alone", []any{entry("us", "Apply", "a")}, ""},
		{"a stranger", []any{entry("us", "Apply", "a"), entry("hpa", "Update", "b")}, ""},
		{"kubectl", []any{entry("us", "Apply", "a"), entry("kubectl-edit", "Update", "b"), entry("hpa", "Update", "c")},
			`[{"op":"replace","path":"/metadata/managedFields","value":[` +
				`{"apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:data":{"f:c":{}}},"manager":"hpa","operation":"Update"},` +
				`{"apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:data":{"f:a":{},"f:b":{}}},"manager":"us","operation":"Apply"}]},` +
				`{"op":"replace","path":"/metadata/resourceVersion","value":"7"}]`},
	} {
		patch, needed, err := TakeOver(o.With(tt.entries, "metadata", "managedFields"), "us")
		if err != nil || needed != (tt.patch != "") || string(patch) != tt.patch {
			t.Errorf("%s: got %s, %v\nwant %s", tt.name, patch, err, tt.patch)
		}
	}
}

package ask_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/install"
	"github.com/sane-gitops/sane/object"
)

const unitOf = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: web, namespace: default}\nspec: {interval: 1m, prune: true, sourceRef: {kind: GitRepository, name: apps}%s}\n"

const appsSource = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: apps, namespace: default}\nspec: {interval: 1m, url: 'https://example.com/apps.git'}\n"

// deploymentOf runs something of a name.
func deploymentOf(name string) string {
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: " + name + ", namespace: default}\nspec: {selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: main, image: x}]}}}\n"
}

// definitionsThere are the definitions as a server has them, changed.
func definitionsThere(change func(object.Object) object.Object) (texts []string) {
	for _, o := range install.CRDs() {
		if o = change(o); !o.IsZero() {
			text, _ := yaml.Marshal(o.Body())
			texts = append(texts, string(text))
		}
	}
	return texts
}

// TestCheck: each thing that may be wrong is found, and nothing else is.
func TestCheck(t *testing.T) {
	as := func(who string, deeds ...string) func(cluster.Identity, cluster.Deed) bool {
		return func(i cluster.Identity, d cluster.Deed) bool {
			said := d.Verb + " " + d.Object.Kind.Name
			if d.Subresource != "" {
				said += "/" + d.Subresource
			}
			where := " in " + d.Object.Namespace
			return i.User != who || !slices.Contains(deeds, said) && (d.Object.Namespace != "" || !slices.Contains(deeds, said+" everywhere")) && !slices.Contains(deeds, said+where)
		}
	}
	whole := definitionsThere(func(o object.Object) object.Object { return o })
	for _, tt := range []struct {
		name    string
		version string
		defs    bool
		there   []string // YAML
		allow   func(cluster.Identity, cluster.Deed) bool
		want    []string // beginnings of what is not as it should be, with its grade
	}{
		{name: "nothing", version: "v1.36.3", defs: true, there: whole},
		{name: "a server that is just new enough", version: "v1.22.0-eks-1"},
		{name: "an old server", version: "v1.21.9", want: []string{"bad the API server is v1.21.9, which can't apply on its side as it has to; upgrade it to 1.22 or newer"}},
		{name: "a server of another kind", version: "devel", want: []string{"odd the API server calls its version devel; see whether it is Kubernetes 1.22 or newer"}},
		{
			name: "no definition", defs: true,
			there: definitionsThere(func(o object.Object) object.Object {
				if o.Name() == "gitrepositories.source.toolkit.fluxcd.io" {
					return object.Object{}
				}
				return o
			}),
			want: []string{"bad CustomResourceDefinition/gitrepositories.source.toolkit.fluxcd.io: is not there; sane install --crds-only | kubectl apply"},
		},
		{
			name: "an old definition", defs: true,
			there: definitionsThere(func(o object.Object) object.Object {
				if o.Name() == "kustomizations.kustomize.toolkit.fluxcd.io" {
					old := map[string]any{"name": "v1beta2", "served": true, "storage": true}
					return o.With([]any{old}, "spec", "versions")
				}
				return o
			}),
			want: []string{"bad CustomResourceDefinition/kustomizations.kustomize.toolkit.fluxcd.io: does not serve v1; sane install --crds-only"},
		},
		{
			name: "definitions that may not be seen", defs: true, there: whole, allow: as("me", "get CustomResourceDefinition"),
			want: []string{"odd you may not see definitions of kinds, so nothing is known of that; ask somebody who may"},
		},
		{
			name: "rights that it can't do without", allow: as("runner", "watch Secret", "patch GitRepository", "patch Kustomization/status"),
			want: []string{
				"bad not allowed: patch kustomizations/status; bind a role that allows it, to say in their status what became of them; `sane install --export` has one",
				"bad not allowed: patch gitrepositories; bind a role that allows it, to read them, and hold them by a finalizer",
				"bad not allowed: watch secrets; bind a role that allows it, to read what sources and units refer to",
			},
		},
		{
			name: "rights that most need", allow: as("runner", "create Event", "create Lease", "update Lease", "impersonate ServiceAccount", "delete Deployment"),
			want: []string{
				"odd not allowed: create events; bind a role that allows it, to tell what happens",
				"odd not allowed: create, update leases; bind a role that allows it, to run more than one replica",
				"odd not allowed: impersonate serviceaccounts; bind a role that allows it, to act as the service accounts that units name",
				"odd not allowed: delete deployments; bind a role that allows it, to keep such objects of units that name no service account",
			},
		},
		{name: "another program", there: []string{deploymentOf("source-controller")}, want: []string{"odd Deployment/default/source-controller: it may keep the same objects; scale it down, or leave sources to it: sane run --controllers=kustomization"}},
		{name: "Argo CD", there: []string{strings.Replace(strings.Replace(deploymentOf("argocd-application-controller"), "Deployment", "StatefulSet", 1), "spec: {", "spec: {serviceName: a, ", 1)},
			want: []string{"odd StatefulSet/default/argocd-application-controller: it may keep the same objects; see that no Application names what a unit has"}},
		{name: "Deployments that may not be seen", allow: as("me", "list Deployment"), want: []string{"odd you may not see what runs in all namespaces"}},
		{
			name: "units of one namespace alone", there: []string{fmt.Sprintf(unitOf, ", serviceAccountName: nobody"), appsSource}, allow: as("me", "list Kustomization everywhere"),
			want: []string{
				"odd you may not see Kustomizations of all namespaces",
				"bad Kustomization/default/web: it acts as ServiceAccount/default/nobody, which is not there; make it, or mend spec.serviceAccountName",
			},
		},
		{
			name: "a unit that asks for what can't be", there: []string{fmt.Sprintf(unitOf, ", healthCheckExprs: [{apiVersion: v1, kind: ConfigMap, current: 'nonsense('}]"), appsSource},
			want: []string{"bad Kustomization/default/web: "},
		},
		{
			name: "a cluster that nothing gets in at", there: []string{fmt.Sprintf(unitOf, ", kubeConfig: {secretRef: {name: nowhere}}"), appsSource},
			want: []string{"bad Kustomization/default/web: kubeConfig: secret 'default/nowhere' not found: create it with the kubeconfig of the cluster under the key 'value'; mend spec.kubeConfig, or what it refers to"},
		},
		{
			name:  "a service account of another cluster",
			there: []string{fmt.Sprintf(unitOf, ", serviceAccountName: there, kubeConfig: {secretRef: {name: there}}"), appsSource, "apiVersion: v1\nkind: Secret\nmetadata: {name: there, namespace: default}\nstringData: {value: a kubeconfig}\n"},
		},
		{
			name: "a Secret that may not be read", there: []string{strings.Replace(appsSource, "interval", "secretRef: {name: login}, interval", 1), fmt.Sprintf(unitOf, "")}, allow: as("me", "get Secret"),
			want: []string{"odd GitRepository/default/apps: it can't be read: "},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newShop(t)
			if err := s.Delete(t.Context(), s.unit, cluster.Where{}); err != nil {
				t.Fatal(err)
			}
			for _, text := range tt.there {
				all, err := object.Parse([]byte(text))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.Apply(t.Context(), all[0], cluster.How{Manager: "test"}); err != nil {
					t.Fatal(err)
				}
			}
			s.Allow(tt.allow)
			f := ask.Fitness{Version: tt.version, As: s.As(cluster.User("runner"))}
			if tt.defs {
				f.Definitions = install.CRDs()
			}
			found, err := s.desk(s.As(cluster.User("me"))).Check(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			var wrong []string
			for _, x := range found {
				if x.Grade != ask.Good && !strings.Contains(x.Says, "priority and fairness") { // which this server has not
					wrong = append(wrong, fmt.Sprintf("%s %s; %s", x.Grade, x.Says, x.Do))
				}
			}
			if !slices.EqualFunc(wrong, tt.want, strings.HasPrefix) {
				t.Errorf("found\n%s\nwant\n%s", strings.Join(wrong, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// A server that does not answer is an error, and not a finding.
func TestCheckFails(t *testing.T) {
	s := newShop(t)
	s.Fail(func(op string, id object.ID) error {
		if op == "list" && id.Kind.Name == "Kustomization" {
			return cluster.ErrUnavailable
		}
		return nil
	})
	if _, err := s.desk(s.Cluster).Check(t.Context(), ask.Fitness{As: s.Cluster}); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("it says %v", err)
	}
}

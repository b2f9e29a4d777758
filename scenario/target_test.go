package scenario

import (
	"encoding/base64"
	"strconv"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/sane-gitops/sane/object"
)

// TestServiceAccount: a unit can do what its service account may, and no more.
func TestServiceAccount(t *testing.T) {
	s := open(t)
	rev := s.commit(map[string]string{"x/cm.yaml": configMap("mine"), "z/cm.yaml": configMap("other")})
	s.feed()
	s.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: deployer, namespace: $NS}}")
	s.unit("apps", "path: x", "serviceAccountName: deployer")
	s.refused(s.unitID("apps"), "ReconciliationFailed", "ConfigMap/$NS/mine", "forbidden", "system:serviceaccount:$NS:deployer")

	s.apply(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: deployer, namespace: $NS}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get, list, create, patch, delete]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer, namespace: $NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: deployer}
subjects: [{kind: ServiceAccount, name: deployer, namespace: $NS}]
`)
	s.ready("apps", rev)

	// What it may not see is not seen for it: not even whether it is well.
	s.unit("nosy", "path: z", "serviceAccountName: deployer", "healthChecks: [{apiVersion: v1, kind: Secret, name: secret, namespace: kube-system}]")
	s.refused(s.unitID("nosy"), "HealthCheckFailed", "check health", "forbidden")

	// What may not be deleted is not forgotten.
	s.delete(object.ID{Kind: object.Kind{Group: "rbac.authorization.k8s.io", Name: "RoleBinding"}, Namespace: s.ns, Name: "deployer"})
	s.delete(s.unitID("apps"))
	s.refused(s.unitID("apps"), "PruneFailed", "forbidden", "spec.deletionPolicy")
	s.here(s.id(configMaps, "mine"))
	s.unit("apps", "path: x", "serviceAccountName: deployer", "deletionPolicy: Orphan")
	s.gone(s.unitID("apps"))
	s.here(s.id(configMaps, "mine"))
}

// TestKubeconfig: a unit is kept in the cluster that its kubeconfig names, which
// is the same one by another way here.
func TestKubeconfig(t *testing.T) {
	s := open(t)
	rev := s.commit(map[string]string{"x/cm.yaml": configMap("far")})
	s.feed()
	s.unit("apps", "path: x", "kubeConfig: {secretRef: {name: there}}")
	s.refused(s.unitID("apps"), "ReconciliationFailed", "secret '$NS/there' not found")
	s.access("there", func(*api.Config) {})
	s.ready("apps", rev)
	far := s.id(configMaps, "far")
	s.delete(far)
	s.here(far)

	s.access("there", func(c *api.Config) {
		for _, u := range c.AuthInfos {
			u.Exec = &api.ExecConfig{Command: "id", APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: api.NeverExecInteractiveMode}
		}
	})
	s.refused(s.unitID("apps"), "ReconciliationFailed", "runs a program")

	s.access("there", func(*api.Config) {})
	s.ready("apps", rev)
	s.delete(s.unitID("apps"))
	s.gone(s.unitID("apps"))
	s.gone(far)
}

// TestClusterByToken: a unit is kept in a cluster that knows its service account
// by tokens for it, which is the same one by its address here. It can do what
// that account may, and no more.
func TestClusterByToken(t *testing.T) {
	s := open(t)
	rev := s.commit(map[string]string{"x/cm.yaml": configMap("far")})
	s.feed()
	s.unit("apps", "path: x", "kubeConfig: {configMapRef: {name: there}}")
	s.refused(s.unitID("apps"), "ReconciliationFailed", "configmap '$NS/there' not found")

	s.login("there", "somebody", "https://kubernetes.default.svc")
	s.refused(s.unitID("apps"), "ReconciliationFailed", "get a token of ServiceAccount/$NS/somebody", "not found")
	s.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: somebody, namespace: $NS}}")
	s.refused(s.unitID("apps"), "ReconciliationFailed", "forbidden", "system:serviceaccount:$NS:somebody")
	s.login("there", "somebody", "somewhere else")
	s.refused(s.unitID("apps"), "ReconciliationFailed", "Unauthorized")

	s.apply(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: $NS}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get, list, watch, create, patch, delete]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: $NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: $NS}
subjects: [{kind: ServiceAccount, name: somebody, namespace: $NS}]
`)
	for _, kind := range []string{"ClusterRole", "ClusterRoleBinding"} {
		defer s.delete(object.ID{Kind: object.Kind{Group: "rbac.authorization.k8s.io", Name: kind}, Name: s.ns})
	}
	s.login("there", "somebody", "https://kubernetes.default.svc")
	s.ready("apps", rev)
	far := s.id(configMaps, "far")
	s.here(far)
	s.delete(s.unitID("apps"))
	s.gone(s.unitID("apps"))
	s.gone(far)
}

// TestClusterOfTenant: a unit is kept in a cluster where it may do all in its
// namespace and nothing beside it.
func TestClusterOfTenant(t *testing.T) {
	s := open(t)
	rev := s.commit(map[string]string{"x/cm.yaml": configMap("far"), "x/web.yaml": `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: $NS}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: main, image: example.com/web}]}}
`})
	s.feed()
	s.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: tenant, namespace: $NS}}")
	s.login("there", "tenant", "https://kubernetes.default.svc")
	s.unit("apps", "path: x", "wait: true", "kubeConfig: {configMapRef: {name: there}}")
	s.refused(s.unitID("apps"), "ReconciliationFailed", "watch ConfigMap in $NS", "watch Deployment.apps in $NS",
		"system:serviceaccount:$NS:tenant", `cannot list resource "configmaps"`, `in the namespace "$NS"`)

	s.apply(`
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: tenant, namespace: $NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: tenant, namespace: $NS}]
`)
	s.ready("apps", rev)
	far := s.id(configMaps, "far")
	s.here(far)
	s.delete(far)
	s.here(far)

	rev = s.push(map[string]string{"x/cm.yaml": configMap("near")})
	s.ready("apps", rev)
	s.gone(far)
	near := s.id(configMaps, "near")
	s.delete(s.unitID("apps"))
	s.gone(s.unitID("apps"))
	s.gone(near)
}

// login puts a ConfigMap by which an account gets in at the stage by its address.
func (s *scene) login(name, account, audiences string) {
	s.Helper()
	c, err := clientcmd.LoadFromFile(s.kubeconfig)
	s.must(err)
	s.must(api.FlattenConfig(c))
	at := c.Clusters[c.Contexts[c.CurrentContext].Cluster]
	s.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: $NS}\ndata:" + fieldsOf([]string{
		"provider: generic", "address: " + at.Server, "serviceAccountName: " + account, "audiences: " + audiences,
		"ca.crt: " + strconv.Quote(string(at.CertificateAuthorityData)),
	}, nil))
}

// access puts a Secret with the stage's kubeconfig, changed.
func (s *scene) access(secret string, change func(*api.Config)) {
	s.Helper()
	c, err := clientcmd.LoadFromFile(s.kubeconfig)
	s.must(err)
	s.must(api.FlattenConfig(c))
	change(c)
	data, err := clientcmd.Write(*c)
	s.must(err)
	s.apply("apiVersion: v1\nkind: Secret\nmetadata: {name: " + secret + ", namespace: $NS}\ndata: {value: " + base64.StdEncoding.EncodeToString(data) + "}")
}

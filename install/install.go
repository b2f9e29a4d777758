// Package install holds what a cluster needs before the program can run in it.
package install

import (
	"cmp"
	"embed"
	"fmt"

	"github.com/sane-gitops/sane/object"
)

//go:generate ./generate.sh

//go:embed crds/*.yaml
var crds embed.FS

// CRDs returns the definitions of Flux's source and kustomize kinds, in the
// order of their names.
func CRDs() []object.Object {
	files, err := crds.ReadDir("crds")
	if err != nil {
		panic("install: " + err.Error())
	}
	var objects []object.Object
	for _, f := range files {
		data, err := crds.ReadFile("crds/" + f.Name())
		if err != nil {
			panic("install: " + err.Error())
		}
		objects = append(objects, parse(string(data))...)
	}
	return objects
}

// Options say how the program is to run.
type Options struct {
	Namespace string   // a valid name; "" means flux-system
	Image     string   // "" means the newest
	Args      []string // of "sane run"

	// ServeArtifacts has others get what sources hold, within the cluster.
	ServeArtifacts bool

	// Web has people look at pages: a Service sane-web leads to them. WebURL is
	// where browsers find them, by way of an ingress that speaks TLS; "" means
	// that they may come by any name.
	Web    bool
	WebURL string
}

const (
	name      = "sane"
	namespace = "flux-system"
	image     = "ghcr.io/sane-gitops/sane:latest"
)

// Manifests returns everything that is to be applied, in an order in which it
// can be: the definitions, the namespace, the rights and the program itself.
func Manifests(o Options) []object.Object {
	o.Namespace = cmp.Or(o.Namespace, namespace)
	o.Image = cmp.Or(o.Image, image)
	objects := append(CRDs(), parse(fmt.Sprintf(access, o.Namespace))...)
	if o.ServeArtifacts {
		o.Args = append([]string{"--serve-artifacts", "--storage-adv-addr=sane." + o.Namespace + ".svc.cluster.local."}, o.Args...)
		objects = append(objects, parse(fmt.Sprintf(service, o.Namespace))...)
	}
	if o.Web {
		args := []string{"--web-addr=:8090"}
		if o.WebURL != "" {
			args = append(args, "--web-external-url="+o.WebURL)
		}
		o.Args = append(args, o.Args...)
		objects = append(objects, parse(fmt.Sprintf(pages, o.Namespace))...)
	}
	objects = append(objects, o.deployment())
	for i := range objects {
		objects[i] = objects[i].WithLabels(map[string]string{
			"app.kubernetes.io/part-of":  name,
			"app.kubernetes.io/instance": o.Namespace,
		})
	}
	return objects
}

func parse(text string) []object.Object {
	objects, err := object.Parse([]byte(text))
	if err != nil {
		panic("install: " + err.Error())
	}
	return objects
}

// access is the namespace, who the program is, and what it may do: all that it
// is asked to keep, it has to be able to make. Its own needs are listed by
// themselves, for those who take cluster-admin away and have it impersonate.
const access = `
apiVersion: v1
kind: Namespace
metadata:
  name: %[1]s
  labels:
    pod-security.kubernetes.io/warn: restricted
    pod-security.kubernetes.io/warn-version: latest
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: sane, namespace: %[1]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: sane-crd-controller-%[1]s}
rules:
- apiGroups: [source.toolkit.fluxcd.io, kustomize.toolkit.fluxcd.io]
  resources: ["*"]
  verbs: ["*"]
- apiGroups: [""]
  resources: [namespaces, secrets, configmaps, serviceaccounts]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [serviceaccounts/token]
  verbs: [create]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, watch, create, update, patch, delete]
- nonResourceURLs: [/livez, /readyz, /version, /openapi/v3, /openapi/v3/*]
  verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: sane-crd-controller-%[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: sane-crd-controller-%[1]s}
subjects:
- {kind: ServiceAccount, name: sane, namespace: %[1]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: sane-cluster-reconciler-%[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects:
- {kind: ServiceAccount, name: sane, namespace: %[1]s}
`

// service is where artifacts are had from.
const service = `
apiVersion: v1
kind: Service
metadata:
  name: sane
  namespace: %[1]s
  labels: {app: sane}
spec:
  selector: {app: sane}
  ports:
  - {name: http, port: 80, protocol: TCP, targetPort: http}
`

// pages is where people look, and what it takes to know who they are and to ask in
// their name.
const pages = `
apiVersion: v1
kind: Service
metadata:
  name: sane-web
  namespace: %[1]s
  labels: {app: sane}
spec:
  selector: {app: sane}
  ports:
  - {name: http, port: 80, protocol: TCP, targetPort: http-web}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: sane-web-%[1]s}
rules:
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
- apiGroups: [""]
  resources: [users, groups, serviceaccounts]
  verbs: [impersonate]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: sane-web-%[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: sane-web-%[1]s}
subjects:
- {kind: ServiceAccount, name: sane, namespace: %[1]s}
`

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: sane
  namespace: %[1]s
  labels: {app: sane}
spec:
  replicas: 1
  strategy: {type: Recreate}
  selector:
    matchLabels: {app: sane}
  template:
    metadata:
      labels: {app: sane}
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/port: "8080"
    spec:
      serviceAccountName: sane
      terminationGracePeriodSeconds: 60
      securityContext:
        fsGroup: 1337
        runAsNonRoot: true
        seccompProfile: {type: RuntimeDefault}
      nodeSelector: {kubernetes.io/os: linux}
      containers:
      - name: sane
        image: ""
        args: []
        env:
        - name: RUNTIME_NAMESPACE
          valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
        - name: POD_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        - {name: HOME, value: /tmp}
        ports:
        - {name: http, containerPort: 9090, protocol: TCP}
        - {name: http-prom, containerPort: 8080, protocol: TCP}
        - {name: healthz, containerPort: 9440, protocol: TCP}
        - {name: http-web, containerPort: 8090, protocol: TCP}
        livenessProbe:
          httpGet: {path: /healthz, port: healthz}
        readinessProbe:
          httpGet: {path: /readyz, port: healthz}
        resources:
          requests: {cpu: 100m, memory: 128Mi}
          limits: {cpu: 2000m, memory: 1Gi}
        securityContext:
          allowPrivilegeEscalation: false
          capabilities: {drop: [ALL]}
          readOnlyRootFilesystem: true
          runAsNonRoot: true
          seccompProfile: {type: RuntimeDefault}
        volumeMounts:
        - {name: data, mountPath: /data}
        - {name: tmp, mountPath: /tmp}
      volumes:
      - {name: data, emptyDir: {}}
      - {name: tmp, emptyDir: {}}
`

// deployment returns the program, with what o says put into the parsed object:
// text that is put into YAML could say anything.
func (o Options) deployment() object.Object {
	d := parse(fmt.Sprintf(deployment, o.Namespace))[0]
	const at = "containers"
	list, _ := d.Get("spec", "template", "spec", at)
	args := []any{"run", "--enable-leader-election"} // however many replicas somebody makes of it
	for _, a := range o.Args {
		args = append(args, a)
	}
	container := object.Of(list.([]any)[0].(map[string]any)).With(o.Image, "image").With(args, "args")
	return d.With([]any{container.Body()}, "spec", "template", "spec", at)
}

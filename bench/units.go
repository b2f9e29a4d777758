package bench

import (
	"fmt"
	"strings"

	"github.com/sane-gitops/sane/object"
)

// The kinds that this is about.
var (
	kustomization = object.Kind{Group: "kustomize.toolkit.fluxcd.io", Name: "Kustomization"}
	gitRepository = object.Kind{Group: "source.toolkit.fluxcd.io", Name: "GitRepository"}
	deployment    = object.Kind{Group: "apps", Name: "Deployment"}
	account       = object.Kind{Name: "ServiceAccount"}
	service       = object.Kind{Name: "Service"}
	ingress       = object.Kind{Group: "networking.k8s.io", Name: "Ingress"}
	namespace     = object.Kind{Name: "Namespace"}
)

// managed are the kinds of the objects that units are made of.
var managed = []object.Kind{deployment, account, service, ingress}

// perUnit is how many objects a unit has.
const perUnit = 4

// about reports whether a request is about an object of a unit. What
// Kubernetes' own controllers do with Deployments and Services goes by PUT or
// concerns the status, which no GitOps controller does to them.
func about(r Request) bool {
	return managedResource(r.Resource) && r.Verb != "WATCH" && r.Verb != "PUT" && r.Subresource == ""
}

// managedResource reports whether units have objects of a resource.
func managedResource(name string) bool {
	switch name {
	case "deployments.apps", "serviceaccounts", "services", "ingresses.networking.k8s.io":
		return true
	}
	return false
}

// event reports whether a request tells of an event.
func event(r Request) bool {
	return r.writes() && (r.Resource == "events" || r.Resource == "events.events.k8s.io")
}

// aboutUnits reports whether a request is about what asks for units and
// sources, or tells of them.
func aboutUnits(r Request) bool {
	if r.Verb == "WATCH" {
		return false
	}
	return event(r) || strings.HasSuffix(r.Resource, ".toolkit.fluxcd.io")
}

// statusWrite reports whether a request writes the status of a unit.
func statusWrite(r Request) bool {
	return r.Resource == "kustomizations.kustomize.toolkit.fluxcd.io" && r.writes()
}

// unitName names the ith unit.
func unitName(i int) string { return fmt.Sprintf("unit-%05d", i) }

func unitNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = unitName(i)
	}
	return names
}

// unitPath is where the ith unit lies in its repository.
func unitPath(i int) string { return fmt.Sprintf("units/%05d", i) }

// image is what a Deployment of a version runs.
func image(version string) string { return "registry.example.com/app:" + version }

// unitFiles returns the files of the ith unit, with a Deployment of a version.
func unitFiles(i int, ns, version string) map[string]string {
	name := unitName(i)
	fill := strings.NewReplacer("NAMESPACE", ns, "NAME", name, "IMAGE", image(version)).Replace
	dir := unitPath(i) + "/"
	return map[string]string{
		dir + "deployment.yaml":     fill(deploymentYAML),
		dir + "serviceaccount.yaml": fill(accountYAML),
		dir + "service.yaml":        fill(serviceYAML),
		dir + "ingress.yaml":        fill(ingressYAML),
	}
}

// unitObjects returns what is in the files.
func unitObjects(i int, ns, version string) []object.Object {
	var all []object.Object
	for _, name := range []string{"deployment", "serviceaccount", "service", "ingress"} {
		found, err := object.Parse([]byte(unitFiles(i, ns, version)[unitPath(i)+"/"+name+".yaml"]))
		if err != nil {
			panic("bench: " + err.Error()) // the templates are below
		}
		all = append(all, found...)
	}
	return all
}

// keptHistory is revisionHistoryLimit of all Deployments: the field that
// foreign edits change.
const keptHistory = 2

const deploymentYAML = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: NAME
  namespace: NAMESPACE
  labels:
    app.kubernetes.io/name: NAME
    app.kubernetes.io/part-of: bench
spec:
  replicas: 0
  revisionHistoryLimit: 2
  selector:
    matchLabels:
      app.kubernetes.io/name: NAME
  template:
    metadata:
      labels:
        app.kubernetes.io/name: NAME
        app.kubernetes.io/part-of: bench
    spec:
      serviceAccountName: NAME
      containers:
      - name: app
        image: IMAGE
        args: ["serve", "--listen=:8080"]
        env:
        - name: LOG_LEVEL
          value: info
        - name: GREETING
          value: hello from NAME
        ports:
        - name: http
          containerPort: 8080
          protocol: TCP
        resources:
          requests:
            cpu: 100m
            memory: 64Mi
          limits:
            memory: 128Mi
        readinessProbe:
          httpGet:
            path: /healthz
            port: http
`

const kustomizationYAML = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- deployment.yaml
- serviceaccount.yaml
- service.yaml
- ingress.yaml
`

const accountYAML = `apiVersion: v1
kind: ServiceAccount
metadata:
  name: NAME
  namespace: NAMESPACE
  labels:
    app.kubernetes.io/name: NAME
    app.kubernetes.io/part-of: bench
automountServiceAccountToken: false
`

const serviceYAML = `apiVersion: v1
kind: Service
metadata:
  name: NAME
  namespace: NAMESPACE
  labels:
    app.kubernetes.io/name: NAME
    app.kubernetes.io/part-of: bench
spec:
  selector:
    app.kubernetes.io/name: NAME
  ports:
  - name: http
    port: 80
    targetPort: http
    protocol: TCP
`

const ingressYAML = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: NAME
  namespace: NAMESPACE
  labels:
    app.kubernetes.io/name: NAME
    app.kubernetes.io/part-of: bench
spec:
  rules:
  - host: NAME.example.com
    http:
      paths:
      - path: /
        pathType: Prefix
        backend:
          service:
            name: NAME
            port:
              name: http
`

// chainLinks is how many units the chain has.
const chainLinks = 10

func linkName(i int) string { return fmt.Sprintf("link-%02d", i) }

func linkNames() []string {
	var names []string
	for i := range chainLinks {
		names = append(names, linkName(i))
	}
	return names
}

func linkPath(i int) string { return fmt.Sprintf("chain/%02d", i) }

// chainFiles returns the files of the chain: a Deployment with one replica for
// each link.
func chainFiles(ns string) map[string]string {
	files := make(map[string]string)
	for i := range chainLinks {
		text := strings.NewReplacer("NAMESPACE", ns, "NAME", linkName(i), "IMAGE", image("v1"),
			"replicas: 0", "replicas: 1", "      serviceAccountName: NAME\n", "").Replace(deploymentYAML)
		files[linkPath(i)+"/deployment.yaml"] = text
	}
	return files
}

// repository returns a GitRepository that follows the branch main.
func repository(ns, name, url, interval string) object.Object {
	return object.Of(map[string]any{
		"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": gitRepository.Name,
		"metadata": map[string]any{"namespace": ns, "name": name},
		"spec": map[string]any{
			"url": url, "interval": interval, "timeout": "5m",
			"ref": map[string]any{"branch": "main"},
		},
	})
}

// unitOf returns a Kustomization of a directory of a repository.
func unitOf(ns, name, repo, dir, interval string) object.Object {
	return object.Of(map[string]any{
		"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": kustomization.Name,
		"metadata": map[string]any{"namespace": ns, "name": name},
		"spec": map[string]any{
			"interval": interval, "timeout": "5m", "prune": true, "path": "./" + dir,
			"sourceRef": map[string]any{"kind": gitRepository.Name, "name": repo},
		},
	})
}

// A unitFact is what matters of a Kustomization.
type unitFact struct {
	ready      bool
	applied    string // revision
	handled    string // token
	generation int64
	observed   int64
	why        string // Ready's message
}

func unitFactOf(o object.Object) unitFact {
	c := condition(o, "Ready")
	return unitFact{
		ready: str(c["status"]) == "True", why: str(c["message"]), applied: text(o, "status", "lastAppliedRevision"),
		handled:    text(o, "status", "lastHandledReconcileAt"),
		generation: o.Generation(), observed: number(o, "status", "observedGeneration"),
	}
}

// A feedFact is what matters of a GitRepository.
type feedFact struct{ revision, handled string }

func feedFactOf(o object.Object) feedFact {
	return feedFact{text(o, "status", "artifact", "revision"), text(o, "status", "lastHandledReconcileAt")}
}

// A deploymentFact is what matters of a Deployment.
type deploymentFact struct {
	name       string
	generation int64
	image      string
	history    int64
	available  bool
}

func deploymentFactOf(o object.Object) deploymentFact {
	f := deploymentFact{name: o.Name(), generation: o.Generation(), history: number(o, "spec", "revisionHistoryLimit")}
	list, _ := o.Get("spec", "template", "spec", "containers")
	if all, ok := list.([]any); ok && len(all) > 0 {
		c, _ := all[0].(map[string]any)
		f.image = str(c["image"])
	}
	replicas, seen := number(o, "spec", "replicas"), number(o, "status", "observedGeneration")
	f.available = seen == o.Generation() && number(o, "status", "availableReplicas") >= replicas &&
		number(o, "status", "updatedReplicas") >= replicas && str(condition(o, "Available")["status"]) == "True"
	return f
}

func condition(o object.Object, kind string) map[string]any {
	v, _ := o.Get("status", "conditions")
	list, _ := v.([]any)
	for _, c := range list {
		if c, ok := c.(map[string]any); ok && c["type"] == kind {
			return c
		}
	}
	return nil
}

func text(o object.Object, path ...string) string {
	v, _ := o.Get(path...)
	return str(v)
}

func str(v any) string {
	s, _ := v.(string)
	return s
}

func number(o object.Object, path ...string) int64 {
	v, _ := o.Get(path...)
	n, _ := v.(int64)
	return n
}

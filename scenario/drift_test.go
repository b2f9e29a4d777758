package scenario

import (
	"context"
	"testing"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// kept are the objects with which TestDrift begins.
var kept = map[string]string{
	"a.yaml": configMap("edited") + configMap("deleted") + configMap("stripped") + configMap("by-kubectl") +
		configMap("applied") + configMap("added-to"),
	"b.yaml": deployment("scaled", "web:1", 2, "") + deployment("with-sidecar", "web:1", 1, "") + service("web", 80),
	"c.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: secret, namespace: $NS}\nstringData: {password: correct}\n",
}

// TestDrift: whatever others do to what is ours is undone at once, and what
// is theirs is left to them.
func TestDrift(t *testing.T) {
	s := open(t)
	s.commit(kept)
	s.feed()
	s.unit("apps", "wait: true")
	s.ready("apps", "")
	uid := s.get(s.id(deployments, "scaled")).UID()

	s.patch(s.id(configMaps, "added-to"), "operator", `{"data":{"theirs":"v"},"metadata":{"annotations":{"theirs":"v"}}}`)
	s.patchJSON(s.id(deployments, "with-sidecar"), "injector", `[{"op":"add","path":"/spec/template/spec/containers/-","value":{"name":"sidecar","image":"side:1"}}]`)
	s.patch(s.id(configMaps, "edited"), "somebody", `{"data":{"k":"other"}}`)
	s.delete(s.id(configMaps, "deleted"))
	s.patch(s.id(configMaps, "stripped"), "somebody", `{"metadata":{"labels":null}}`)
	s.patch(s.id(configMaps, "by-kubectl"), "kubectl-edit", `{"data":{"k":"other","more":"x"}}`)
	s.run("scale", "deployment", "scaled", "--replicas=5")
	s.patch(s.id(secrets, "secret"), "somebody", `{"data":{"password":"d3Jvbmc="}}`)
	s.serverSide("applied", `{apiVersion: v1, kind: ConfigMap, metadata: {name: applied, namespace: $NS}, data: {k: other, theirs: v}}`)

	s.has(s.id(configMaps, "edited"), "v", "data", "k")
	s.here(s.id(configMaps, "deleted"))
	s.has(s.id(configMaps, "stripped"), "apps", "metadata", "labels", "kustomize.toolkit.fluxcd.io/name")
	s.has(s.id(configMaps, "by-kubectl"), "map[k:v]", "data")
	s.has(s.id(deployments, "scaled"), 2, "spec", "replicas")
	s.has(s.id(secrets, "secret"), "Y29ycmVjdA==", "data", "password")
	s.has(s.id(configMaps, "applied"), "v", "data", "k")
	s.event(s.unitID("apps"), "Progressing", "ConfigMap/$NS/edited configured")
	s.event(s.unitID("apps"), "Progressing", "ConfigMap/$NS/deleted created")

	s.asks(s.unitID("apps"))
	s.ready("apps", "")
	s.is(s.get(s.id(configMaps, "added-to")), "map[k:v theirs:v]", "data")
	s.is(s.get(s.id(configMaps, "added-to")), "v", "metadata", "annotations", "theirs")
	s.is(s.get(s.id(configMaps, "applied")), "v", "data", "theirs")
	s.is(s.get(s.id(deployments, "scaled")), uid, "metadata", "uid")
	containers, _ := s.get(s.id(deployments, "with-sidecar")).Get("spec", "template", "spec", "containers")
	if list, _ := containers.([]any); len(list) != 2 {
		t.Errorf("another's container was not left alone: %v", containers)
	}
}

// TestRenumbered: who renumbers a port of a Service leaves it under another key,
// beside which ours is invalid. It must go all the same.
func TestRenumbered(t *testing.T) {
	for _, manager := range []string{"kubectl-edit", "operator"} {
		t.Run(manager, func(t *testing.T) {
			s := open(t)
			s.commit(map[string]string{"svc.yaml": service("web", 80) + configMap("beside")})
			s.feed()
			s.unit("apps")
			s.ready("apps", "")
			// One thing alone, and one of several, are different ways through the engine.
			s.patchJSON(s.id(services, "web"), manager, `[{"op":"replace","path":"/spec/ports/0/port","value":8080}]`)
			s.port(80)
			s.patchJSON(s.id(services, "web"), manager, `[{"op":"replace","path":"/spec/ports/0/port","value":8081}]`)
			s.delete(s.id(configMaps, "beside"))
			s.port(80)
			s.here(s.id(configMaps, "beside"))
			rev := s.push(map[string]string{"svc.yaml": service("web", 81) + configMap("beside", "more: x")})
			s.ready("apps", rev)
			s.port(81)
		})
	}
}

// port returns when the Service has one port only, of that number.
func (s *scene) port(want int64) {
	s.Helper()
	s.until(s.id(services, "web"), "has one port", func(o object.Object) bool {
		v, _ := o.Get("spec", "ports")
		list, _ := v.([]any)
		return len(list) == 1 && list[0].(map[string]any)["port"] == want
	})
}

func (s *scene) patchJSON(id object.ID, manager, data string) {
	s.Helper()
	_, err := s.Patch(context.Background(), id, cluster.Patch{Type: cluster.JSONPatch, Data: []byte(data)}, cluster.How{Manager: manager})
	s.must(err)
}

// serverSide applies a text as another manager that takes what it wants.
func (s *scene) serverSide(manager, text string) {
	s.Helper()
	all, err := object.Parse([]byte(s.expand(text)))
	s.must(err)
	for _, o := range all {
		_, err := s.Apply(context.Background(), o, cluster.How{Manager: manager, Force: true})
		s.must(err)
	}
}

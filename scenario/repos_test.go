package scenario

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/object"
)

// clone makes a bundle of ../shared/repos the repository "app".
func (s *scene) clone(name string) {
	s.Helper()
	bundle, err := filepath.Abs("../../shared/repos/" + name + ".bundle")
	s.must(err)
	if _, err := os.Stat(bundle); err != nil {
		s.Skipf("no real repositories beside the project: %v", err)
	}
	if out, err := exec.Command("git", "-C", s.git.Path("app"), "fetch", "-q", bundle, "main:main").CombinedOutput(); err != nil {
		s.Fatalf("fetch %s: %v: %s", bundle, err, out)
	}
}

// file returns a file of the repository.
func (s *scene) file(name string) string {
	s.Helper()
	out, err := exec.Command("git", "-C", s.git.Path("app"), "show", "main:"+name).Output()
	s.must(err)
	return string(out)
}

// edit returns a file of the repository with one text for another.
func (s *scene) edit(name, was, is string) (string, string) {
	s.Helper()
	text := s.file(name)
	if !strings.Contains(text, was) {
		s.Fatalf("%s: no %q", name, was)
	}
	return name, strings.ReplaceAll(text, was, is)
}

// volume makes a volume for a claim: there is nobody else to make one.
func (s *scene) volume(namespace, claim string) {
	s.Helper()
	s.apply(`apiVersion: v1
kind: PersistentVolume
metadata: {name: $NS-` + namespace + `}
spec:
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  hostPath: {path: /tmp}
  claimRef: {namespace: ` + namespace + `, name: ` + claim + `}
`)
	s.Cleanup(func() {
		s.delete(object.ID{Kind: object.Kind{Name: "PersistentVolume"}, Name: s.ns + "-" + namespace})
	})
}

// TestPodinfo syncs each overlay of podinfo, changes it and prunes it.
func TestPodinfo(t *testing.T) {
	s := open(t)
	s.clone("podinfo")
	s.feed()
	in := func(ns, name string) object.ID { return object.ID{Kind: deployments, Namespace: ns, Name: name} }
	overlays := []string{"dev", "staging", "production"}
	for _, name := range overlays {
		s.volume(name, "database-primary")
		s.unit(name, "path: deploy/overlays/"+name, "wait: true", "timeout: 2m")
	}
	s.unit("base", "path: kustomize", "targetNamespace: $NS", "wait: true")
	s.unit("webapp", "path: deploy/webapp", "wait: true")
	s.unit("secure", "path: ./deploy/secure")
	all := append([]string{"base", "webapp"}, overlays...)
	for _, name := range all {
		s.ready(name, "")
	}
	o := s.refused(s.unitID("secure"), "ReconciliationFailed", "ClusterIssuer.cert-manager.io")
	_, _, message := condition(o, "Ready")
	t.Log("secure: ", message)
	s.has(in(s.ns, "podinfo"), 2, "status", "readyReplicas")
	s.has(object.ID{Kind: object.Kind{Group: "apps", Name: "StatefulSet"}, Namespace: "dev", Name: "database-primary"}, 1, "status", "readyReplicas")

	files := make(map[string]string)
	for _, name := range []string{"kustomize/deployment.yaml", "deploy/bases/frontend/deployment.yaml", "deploy/webapp/frontend/deployment.yaml"} {
		name, text := s.edit(name, "podinfo:6.14.1", "podinfo:6.14.2")
		files[name] = text
	}
	name, text := s.edit("deploy/bases/cache/redis.conf", "maxmemory ", "maxmemory-samples 5\nmaxmemory ")
	files[name] = text
	rev := s.push(files)
	for _, name := range all {
		s.ready(name, rev)
	}
	for _, id := range []object.ID{in(s.ns, "podinfo"), in("dev", "frontend"), in("production", "frontend"), in("webapp", "frontend")} {
		if text := string(s.get(id).JSON()); !strings.Contains(text, "podinfo:6.14.2") {
			t.Errorf("%s has not changed", id)
		}
	}
	if n := len(s.generated("dev", "redis-config-")); n != 1 {
		t.Errorf("%d generated ConfigMaps of the cache, want 1: the old one is pruned", n)
	}

	// One service is given up, in one overlay; and the whole of another directory.
	name, text = s.edit("deploy/overlays/dev/kustomization.yaml", "  - ../../bases/cache\n", "")
	rev = s.push(map[string]string{name: text, "deploy/webapp/backend/deployment.yaml": gitserver.Delete,
		"deploy/webapp/backend/hpa.yaml": gitserver.Delete, "deploy/webapp/backend/service.yaml": gitserver.Delete})
	for _, name := range all {
		s.ready(name, rev)
	}
	s.gone(in("dev", "cache"))
	s.gone(in("webapp", "backend"))
	if s.get(in("staging", "cache")).IsZero() || s.get(in("webapp", "frontend")).IsZero() {
		t.Error("too much has been deleted")
	}
	s.run("delete", "kustomization", "--all", "--timeout=75s")
	for _, ns := range []string{"dev", "staging", "production", "webapp", "secure"} {
		s.gone(object.ID{Kind: namespaces, Name: ns})
	}
	s.gone(in(s.ns, "podinfo"))
}

// generated returns the names of the ConfigMaps in a namespace that begin so.
func (s *scene) generated(namespace, prefix string) []string {
	s.Helper()
	var names []string
	for o, err := range s.List(s.Context(), cluster.Selection{Kind: configMaps, Namespace: namespace}) {
		s.must(err)
		if strings.HasPrefix(o.Name(), prefix) {
			names = append(names, o.Name())
		}
	}
	return names
}

// TestSockShop syncs 14 services, changes and prunes them.
func TestSockShop(t *testing.T) {
	s := open(t)
	s.clone("sock-shop")
	s.feed()
	s.unit("shop", "path: sock-shop", "targetNamespace: $NS", "wait: true", "timeout: 2m")
	o := s.ready("shop", "")
	if n := len(inventory(o)); n != 29 {
		t.Errorf("%d objects, want 29", n)
	}
	name, text := s.edit("sock-shop/base/front-end-dep.yaml", "replicas: 1", "replicas: 2")
	rev := s.push(map[string]string{name: text})
	s.ready("shop", rev)
	s.is(s.get(s.id(deployments, "front-end")), 2, "status", "readyReplicas")

	name, text = s.edit("sock-shop/kustomization.yaml", "  - base/rabbitmq-dep.yaml\n  - base/rabbitmq-svc.yaml\n", "")
	rev = s.push(map[string]string{name: text})
	o = s.ready("shop", rev)
	s.gone(s.id(deployments, "rabbitmq"))
	s.gone(s.id(services, "rabbitmq"))
	if n := len(inventory(o)); n != 27 {
		t.Errorf("%d objects, want 27", n)
	}
	s.run("delete", "kustomization", "shop", "--timeout=60s")
	s.same("left", s.owned(deployments, "shop"))
	s.same("left", s.owned(services, "shop"))
}

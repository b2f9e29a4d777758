package scenario

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/object"
)

// shard is the label by which these scenarios share out their objects.
const shard = "sharding.fluxcd.io/key"

// shards returns a scene, and two controllers of its own that share its objects
// out by their labels: what bears none is the first one's.
func shards(t *testing.T) (s *scene, one, two *program) {
	s = openAlone(t)
	dir := t.TempDir()
	run := func(name, labels string) *program {
		return s.controller(s.kubeconfig, filepath.Join(dir, name), "--watch-label-selector", alone+"="+s.ns+","+labels,
			"--enable-leader-election", "--serve-artifacts", "--storage-addr=127.0.0.1:0")
	}
	return s, run("one", "!"+shard), run("two", shard+"=two")
}

// move puts an object into a shard, or into the first one.
func (s *scene) move(id object.ID, to string) {
	s.Helper()
	value := "null"
	if to != "" {
		value = `"` + to + `"`
	}
	s.patch(id, "tester", fmt.Sprintf(`{"metadata":{"labels":{%q:%s}}}`, shard, value))
}

// TestShards: a unit of one shard has its source in another, comes after a unit of
// another, and does not take what that keeps.
func TestShards(t *testing.T) {
	s, one, two := shards(t)
	rev := s.commit(map[string]string{"base/b.yaml": configMap("b"), "web/w.yaml": configMap("w")})
	s.feed()
	s.unit("web", "path: ./web", "dependsOn: [{name: base}]")
	s.move(s.unitID("web"), "two")
	s.refused(s.unitID("web"), "DependencyNotReady", "dependency '$NS/base' is not ready: not found")
	s.unit("base", "path: ./base")
	s.ready("base", rev)
	s.ready("web", rev)
	for _, p := range []*program{one, two} {
		if len(p.says(`"msg":"leading"`)) != 1 {
			t.Error("a shard does not lead")
		}
	}
	if said := two.says(`"msg":"pruned"`); len(said) > 0 {
		t.Errorf("something was deleted: %s", said)
	}

	// The next revision comes in order, too.
	rev = s.commit(map[string]string{"base/b.yaml": configMap("b", "n: two"), "web/w.yaml": configMap("w", "n: two")})
	s.ask(s.feedID())
	s.ready("web", rev)
	s.is(s.get(s.id(configMaps, "b")), "two", "data", "n")

	// What the other shard's unit keeps is not taken from it, until that gives it up.
	rev = s.push(map[string]string{"web/b.yaml": configMap("b", "n: three")})
	s.ready("base", rev)
	s.refused(s.unitID("web"), "ReconciliationFailed", "ConfigMap/$NS/b is kept by Kustomization/$NS/base")
	uid := s.here(s.id(configMaps, "b")).UID()
	rev = s.push(map[string]string{"base/b.yaml": gitserver.Delete, "base/c.yaml": configMap("c")})
	s.ready("base", rev)
	s.ready("web", rev)
	if b := s.get(s.id(configMaps, "b")); b.UID() != uid || b.Label("kustomize.toolkit.fluxcd.io/name") != "web" {
		t.Errorf("it has not gone over as it is: %s", show(b))
	}

	// And back again in one push, while each looks at what the other wants.
	rev = s.push(map[string]string{"base/b.yaml": configMap("b", "n: four"), "web/b.yaml": gitserver.Delete})
	s.ready("base", rev)
	s.ready("web", rev)
	if b := s.get(s.id(configMaps, "b")); b.UID() != uid || b.Label("kustomize.toolkit.fluxcd.io/name") != "base" {
		t.Errorf("it has not gone back as it is: %s", show(b))
	}
	s.run("delete", "kustomization", "--all", "--timeout=60s")
	s.gone(s.id(configMaps, "b"))
	s.gone(s.id(configMaps, "w"))
	s.run("delete", "gitrepository", "--all", "--timeout=60s")
}

// TestMovedShard hands units and their source from one shard to the other and
// back: nothing is deleted, nothing is written that is as it should be, and
// nobody writes to what is not his any more.
func TestMovedShard(t *testing.T) {
	s, one, two := shards(t)
	rev := s.commit(map[string]string{"a.yaml": configMap("a"), "b.yaml": configMap("b")})
	s.feed()
	s.unit("apps")
	s.ready("apps", rev)
	a, b := s.get(s.id(configMaps, "a")), s.get(s.id(configMaps, "b"))

	// As it is.
	s.move(s.unitID("apps"), "two")
	s.asks(s.unitID("apps"))
	s.ready("apps", rev)
	for _, was := range []object.Object{a, b} {
		if is := s.get(was.ID()); is.UID() != was.UID() || is.ResourceVersion() != was.ResourceVersion() {
			t.Errorf("it was written to: %s", show(is))
		}
	}

	// Changed by somebody at the moment at which it is handed back, and in the
	// source a moment later.
	s.move(s.unitID("apps"), "")
	s.patch(s.id(configMaps, "a"), "kubectl-edit", `{"data":{"k":"mine"}}`)
	s.run("delete", "configmap", "b", "--wait=true")
	s.asks(s.unitID("apps"))
	s.has(s.id(configMaps, "a"), "v", "data", "k")
	s.here(s.id(configMaps, "b"))
	s.move(s.unitID("apps"), "two")
	rev = s.push(map[string]string{"a.yaml": configMap("a", "n: two"), "b.yaml": gitserver.Delete, "c.yaml": configMap("c")})
	s.ready("apps", rev)
	s.gone(s.id(configMaps, "b"))
	s.has(s.id(configMaps, "a"), "two", "data", "n")
	if is := s.get(a.ID()); is.UID() != a.UID() {
		t.Errorf("it was deleted and made again: %s", show(is))
	}

	// The source, too.
	s.move(s.feedID(), "two")
	rev = s.push(map[string]string{"a.yaml": configMap("a", "n: three")})
	s.ready("apps", rev)
	at := two.address("storage")
	s.until(s.feedID(), "is offered by the second shard", func(o object.Object) bool {
		return strings.HasPrefix(text(o, "status", "artifact", "url"), "http://"+at)
	})

	for range 5 {
		s.move(s.unitID("apps"), "")
		s.move(s.feedID(), "")
		s.move(s.unitID("apps"), "two")
		s.move(s.feedID(), "two")
	}
	rev = s.push(map[string]string{"a.yaml": configMap("a", "n: four")})
	o := s.ready("apps", rev)
	s.same("inventory", inventory(o), "$NS_a__ConfigMap v1", "$NS_c__ConfigMap v1")
	if is := s.get(a.ID()); is.UID() != a.UID() {
		t.Errorf("it was deleted and made again: %s", show(is))
	}
	s.move(s.unitID("apps"), "")
	s.delete(s.unitID("apps"))
	s.gone(s.unitID("apps"))
	s.gone(s.id(configMaps, "a"))
	for _, p := range []*program{one, two} {
		for _, line := range p.says(`"level":"ERROR"`) {
			t.Error(line)
		}
	}
}

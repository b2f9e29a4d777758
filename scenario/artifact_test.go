package scenario

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestArtifacts has one process keep sources and another make units of their
// artifacts, as Flux's controllers do.
func TestArtifacts(t *testing.T) {
	s := openAlone(t)
	dir := t.TempDir()
	s.controller(s.kubeconfig, filepath.Join(dir, "source"), "--controllers=source-controller", "--serve-artifacts",
		"--storage-addr=127.0.0.1:0", "--feature-gates=CacheSecretsAndConfigMaps=true")
	s.controller(s.kubeconfig, filepath.Join(dir, "units"), "--controllers=kustomize-controller", "--http-retry=9")
	rev := s.commit(map[string]string{"deploy/a.yaml": configMap("a"), "img.png": "no business here", "run.sh": "#!/bin/sh"})
	s.feed("interval: 2s")
	s.unit("apps", "path: ./deploy")
	o := s.ready("apps", rev)
	s.same("inventory", inventory(o), "$NS_a__ConfigMap v1")

	repo := s.has(s.feedID(), rev, "status", "artifact", "revision")
	url := text(repo, "status", "artifact", "url")
	path := "gitrepository/" + s.ns + "/app/"
	if p := text(repo, "status", "artifact", "path"); !strings.HasPrefix(p, path) || !strings.HasSuffix(url, "/"+p) {
		t.Errorf("the artifact is at %s, its path is %s", url, p)
	}
	data, status := get(t, url)
	sum := sha256.Sum256(data)
	if status != 200 || text(repo, "status", "artifact", "digest") != "sha256:"+hex.EncodeToString(sum[:]) {
		t.Errorf("%s answers %d, with another digest than is told", url, status)
	}
	s.is(repo, len(data), "status", "artifact", "size")
	s.event(s.feedID(), "NewArtifact", "stored artifact for commit")

	rev = s.commit(map[string]string{"deploy/a.yaml": configMap("a", "n: new"), "deploy/b.yaml": configMap("b")})
	s.ready("apps", rev)
	s.is(s.get(s.id(configMaps, "a")), "new", "data", "n")
	if _, status := get(t, url); status != 200 {
		t.Errorf("the artifact before is gone at once: %d", status)
	}
	s.patch(s.feedID(), "tester", `{"spec":{"ignore":"deploy/b.yaml\n"}}`)
	s.gone(s.id(configMaps, "b"))

	repo = s.get(s.feedID())
	url = text(repo, "status", "artifact", "url")
	s.run("delete", "gitrepository", "app", "--timeout=60s")
	if _, status := get(t, url); status != 404 {
		t.Errorf("the artifact of a source that is gone is there: %d", status)
	}
	s.run("delete", "kustomization", "apps", "--timeout=60s")
	s.gone(s.id(configMaps, "a"))
}

func get(t *testing.T, url string) ([]byte, int) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return data, res.StatusCode
}

// TestExternalArtifact makes units of artifacts that belong to no source of
// Flux's, and goes on after a restart when their keeper is away.
func TestExternalArtifact(t *testing.T) {
	s := openAlone(t)
	k := keep(s)
	data := filepath.Join(t.TempDir(), "data")
	args := []string{"--controllers=Kustomization", "--feature-gates=ExternalArtifact=true,GroupChangeLog=false"}
	p := s.controller(s.kubeconfig, data, args...)
	s.apply("apiVersion: source.toolkit.fluxcd.io/v1\nkind: ExternalArtifact\nmetadata: {name: made, namespace: $NS}\nspec: {}")
	made := s.id(externals, "made")
	id := k.of(made, "made", "path: ./a")
	k.failed(id, "ArtifactFailed", "", "Source artifact not found")
	k.offer(made, "latest@sha256:1111", map[string]string{"a/a.yaml": configMap("made-a"), "b/b.yaml": configMap("made-b")})
	k.at(id, "latest@sha256:1111")
	if n := len(p.says("feature gate")); n != 1 {
		t.Errorf("%d gates are said to choose nothing, want 1", n)
	}

	// A copy that is damaged is had anew.
	trees, err := filepath.Glob(filepath.Join(data, "unpacked", "sha256-*"))
	if err != nil || len(trees) != 1 {
		t.Fatalf("the trees are %q, %v", trees, err)
	}
	f, err := os.OpenFile(trees[0], os.O_WRONLY, 0)
	s.must(err)
	_, err = f.WriteAt([]byte("DAMAGED"), 0)
	s.must(errors.Join(err, f.Close()))
	k.of(made, "made", "path: ./a", "commonMetadata: {annotations: {new: 'yes'}}")
	s.has(s.id(configMaps, "made-a"), "yes", "metadata", "annotations", "new")
	k.at(id, "latest@sha256:1111")

	p.stop()
	k.server.CloseClientConnections()
	k.server.Close()
	k.of(made, "more", "path: ./b")
	s.delete(s.id(configMaps, "made-a"))
	s.controller(s.kubeconfig, data, args...)
	s.here(s.id(configMaps, "made-a"))
	k.at(s.unitID("more"), "latest@sha256:1111")
	k.untouched(made)
	s.run("delete", "kustomization", "--all", "--timeout=60s")
}

// TestRunRefuses says what is wrong with flags, and what would be right.
func TestRunRefuses(t *testing.T) {
	need(t)
	for _, tt := range []struct {
		arg  string
		want []string
	}{
		{"--controllers=helm-controller", []string{"helm-controller", "kustomize-controller"}},
		{"--feature-gates=Nonsense=true", []string{"Nonsense", "ExternalArtifact"}},
		{"--feature-gates=ExternalArtifact=perhaps", []string{"true or false"}},
		{"--artifact-retention-records=0", []string{"--artifact-retention-records", "1 or more"}},
	} {
		p, err := start(t.TempDir(), home.kubeconfig, tt.arg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.stop)
		<-p.done
		said := fmt.Sprint(p.says(""))
		for _, w := range tt.want {
			if !strings.Contains(said, w) {
				t.Errorf("%s: it says %s, want %q in it", tt.arg, said, w)
			}
		}
	}
}

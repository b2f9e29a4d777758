package scenario

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/internal/ociserver"
	"github.com/sane-gitops/sane/internal/s3server"
	"github.com/sane-gitops/sane/object"
)

var (
	images  = object.Kind{Group: "source.toolkit.fluxcd.io", Name: "OCIRepository"}
	buckets = object.Kind{Group: "source.toolkit.fluxcd.io", Name: "Bucket"}
)

// image makes the OCIRepository "app" with fields of its spec.
func (s *scene) image(fields ...string) {
	s.Helper()
	s.apply("apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {name: app, namespace: $NS}\nspec:" +
		fieldsOf([]string{"interval: 10m", "insecure: true"}, fields))
}

// publish publishes an image with files and returns its digest.
func (s *scene) publish(r *ociserver.Server, tag, origin string, files map[string]string) string {
	s.Helper()
	all := make(map[string]string)
	for name, text := range files {
		all[name] = s.expand(text)
	}
	d, err := r.Push("team/app", tag, map[string]string{"org.opencontainers.image.revision": origin}, ociserver.Layer{Files: all})
	s.must(err)
	return string(d)
}

// TestImage: a Kustomization of an image, from a registry that asks for a
// password. The tag is pushed again, then there is a higher version.
func TestImage(t *testing.T) {
	s := open(t)
	r, err := ociserver.Start(ociserver.Options{Username: "ada", Password: "right-pw"})
	s.must(err)
	t.Cleanup(r.Close)
	id := s.id(images, "app")
	one := s.publish(r, "latest", "main@sha1:1111", map[string]string{"cm.yaml": configMap("a", "n: one"), "b.yaml": configMap("b")})
	s.secret("pull", map[string]string{".dockerconfigjson": fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, r.Host(), base64.StdEncoding.EncodeToString([]byte("ada:wrong-pw")))})
	s.image("url: "+r.URL("team/app"), "secretRef: {name: pull}")
	s.unit("apps", "sourceRef: {kind: OCIRepository, name: app}")
	s.refused(id, "AuthenticationFailed")
	s.secret("pull", map[string]string{".dockerconfigjson": fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, r.Host(), base64.StdEncoding.EncodeToString([]byte("ada:right-pw")))})
	o := s.ready("apps", "latest@"+one)
	s.is(o, "main@sha1:1111", "status", "lastAppliedOriginRevision")
	s.has(s.id(configMaps, "a"), "one", "data", "n")
	feed := s.has(id, "latest@"+one, "status", "artifact", "revision")
	s.is(feed, "main@sha1:1111", "status", "artifact", "metadata", "org.opencontainers.image.revision")
	s.event(s.unitID("apps"), "ReconciliationSucceeded", "")

	two := s.publish(r, "latest", "main@sha1:2222", map[string]string{"cm.yaml": configMap("a", "n: two")})
	s.ask(id)
	o = s.ready("apps", "latest@"+two)
	s.is(o, "main@sha1:2222", "status", "lastAppliedOriginRevision")
	s.has(s.id(configMaps, "a"), "two", "data", "n")
	s.gone(s.id(configMaps, "b"))

	s.publish(r, "1.0.0", "", map[string]string{"cm.yaml": configMap("a", "n: three")})
	four := s.publish(r, "1.1.0", "", map[string]string{"cm.yaml": configMap("a", "n: four")})
	s.image("url: "+r.URL("team/app"), "secretRef: {name: pull}", "ref: {semver: 1.x}")
	s.ready("apps", "1.1.0@"+four)
	s.has(s.id(configMaps, "a"), "four", "data", "n")
	if out := s.run("get", "ocirepo"); !contains(out, r.URL("team/app"), "True") {
		t.Errorf("kubectl get ocirepo prints\n%s", out)
	}

	_, err = r.Push("team/app", "1.2.0", nil)
	s.must(err)
	s.ask(id)
	s.refused(id, "OCIArtifactLayerOperationFailed", "no layers")
	s.ready("apps", "1.1.0@"+four)
	s.silent(sane, "right-pw", "wrong-pw")
	s.delete(id)
	s.gone(id)
}

// TestSignedImage: an image counts once it is signed by the right key.
func TestSignedImage(t *testing.T) {
	s := open(t)
	r, err := ociserver.Start(ociserver.Options{})
	s.must(err)
	t.Cleanup(r.Close)
	id := s.id(images, "app")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.must(err)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	s.must(err)
	s.secret("keys", map[string]string{"cosign.pub": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))})
	rev := s.publish(r, "v1", "", map[string]string{"cm.yaml": configMap("a")})
	s.image("url: "+r.URL("team/app"), "ref: {tag: v1}", "verify: {provider: cosign, secretRef: {name: keys}}")
	s.unit("apps", "sourceRef: {kind: OCIRepository, name: app}")
	o := s.refused(id, "VerificationError", "bears no signature")
	if status, _, _ := condition(o, "SourceVerified"); status != "False" {
		t.Errorf("SourceVerified=%s", status)
	}

	payload := fmt.Appendf(nil, `{"critical":{"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"}}`, rev)
	sum := sha256.Sum256(payload)
	signed, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	s.must(err)
	_, err = r.Push("team/app", strings.Replace(rev, ":", "-", 1)+".sig", nil, ociserver.Layer{
		Data: payload, MediaType: "application/vnd.dev.cosign.simplesigning.v1+json",
		Annotations: map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(signed)},
	})
	s.must(err)
	s.ready("apps", "v1@"+rev)
	o = s.has(id, "v1@"+rev, "status", "artifact", "revision")
	if status, reason, _ := condition(o, "SourceVerified"); status != "True" || reason != "Succeeded" {
		t.Errorf("SourceVerified=%s %s", status, reason)
	}
}

// TestBucket: a Kustomization of a bucket, whose objects change.
func TestBucket(t *testing.T) {
	s := open(t)
	b, err := s3server.Start(s3server.Options{Key: "ada"})
	s.must(err)
	t.Cleanup(b.Close)
	s.must(b.Create("apps"))
	put := func(key, text string) { s.must(b.Put("apps", key, s.expand(text))) }
	put("web/a.yaml", configMap("a", "n: one"))
	put("web/b.yaml", configMap("b"))
	put("web/logo.png", "no YAML at all: {")
	put("other/c.yaml", configMap("c"))
	id := s.id(buckets, "app")
	s.secret("keys", map[string]string{"accesskey": "ada", "secretkey": "right-pw"})
	s.apply("apiVersion: source.toolkit.fluxcd.io/v1\nkind: Bucket\nmetadata: {name: app, namespace: $NS}\n" +
		"spec: {interval: 10m, bucketName: apps, endpoint: '" + b.Host() + "', insecure: true, prefix: web/, secretRef: {name: keys}}")
	s.unit("apps", "sourceRef: {kind: Bucket, name: app}", "path: web")
	o := s.ready("apps", "")
	first := text(o, "status", "lastAppliedRevision")
	s.has(s.id(configMaps, "a"), "one", "data", "n")
	s.has(id, first, "status", "artifact", "revision")

	put("other/c.yaml", configMap("c", "n: two"))
	put("web/logo.png", "nor this")
	s.is(s.asks(id), first, "status", "artifact", "revision")
	put("web/a.yaml", configMap("a", "n: two"))
	s.must(b.Delete("apps", "web/b.yaml"))
	s.ask(id)
	s.has(s.id(configMaps, "a"), "two", "data", "n")
	s.gone(s.id(configMaps, "b"))
	if out := s.run("get", "bucket"); !contains(out, b.Host(), "True") {
		t.Errorf("kubectl get bucket prints\n%s", out)
	}
	s.secret("keys", map[string]string{"accesskey": "mallory", "secretkey": "right-pw"})
	s.refused(id, "AuthenticationFailed", "InvalidAccessKeyId")
	s.silent(sane, "right-pw")
}

// contains reports whether a text contains all words.
func contains(text string, words ...string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// TestCopiedImage: a layer that is to be copied is offered to others as it is, and
// a Kustomization has what is in it. A tarball that is damaged is replaced.
func TestCopiedImage(t *testing.T) {
	s := openAlone(t)
	dir := t.TempDir()
	s.controller(s.kubeconfig, dir, "--serve-artifacts", "--storage-addr=127.0.0.1:0")
	r, err := ociserver.Start(ociserver.Options{})
	s.must(err)
	t.Cleanup(r.Close)
	layer := ociserver.Archive(map[string]string{"cm.yaml": s.expand(configMap("a"))})
	image, err := r.Push("team/app", "latest", nil, ociserver.Layer{Data: layer})
	s.must(err)
	s.image("url: "+r.URL("team/app"), "layerSelector: {operation: copy}")
	s.unit("apps", "sourceRef: {kind: OCIRepository, name: app}")
	s.ready("apps", "latest@"+string(image))
	s.here(s.id(configMaps, "a"))
	id := s.id(images, "app")
	feed := s.has(id, "copy", "status", "observedLayerSelector", "operation")
	url, sum := text(feed, "status", "artifact", "url"), sha256.Sum256(layer)
	s.is(feed, "sha256:"+hex.EncodeToString(sum[:]), "status", "artifact", "digest")
	if data, status := get(t, url); status != 200 || !bytes.Equal(data, layer) || !strings.HasSuffix(url, ".tgz") {
		t.Errorf("%s answers %d, with %d bytes; the layer has %d", url, status, len(data), len(layer))
	}

	file := filepath.Join(dir, "artifacts", filepath.FromSlash(text(feed, "status", "artifact", "path")))
	s.must(os.WriteFile(file, []byte("damaged"), 0o600))
	s.asks(id)
	s.event(id, "ArtifactVerificationFailed", "failed to verify integrity of artifact")
	if data, _ := get(t, url); !bytes.Equal(data, layer) {
		t.Error("it is served as it was damaged")
	}
	s.run("delete", "kustomization,ocirepository", "--all", "--timeout=60s")
}

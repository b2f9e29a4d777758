package scenario

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// renderings returns how many times a unit was rendered.
func (s *scene) renderings(unit string) int {
	return len(sane.says(`"msg":"rendered","unit":"Kustomization/` + s.ns + "/" + unit + `"`))
}

// TestVariables: variables of a ConfigMap and a Secret change. The objects that
// have them change, and no other unit is rendered again.
func TestVariables(t *testing.T) {
	s := open(t)
	vars := func(data string) {
		s.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: vars, namespace: $NS}\ndata: " + data + "\n")
	}
	s.commit(map[string]string{
		"web/a.yaml":   configMap("a", "region: ${region}", "zone: ${zone:=any}"),
		"size/d.yaml":  deployment("d", "web:1", 9, "") + configMap("size", "size: x${size}"),
		"word/c.yaml":  configMap("c", "word: ${word}"),
		"plain/p.yaml": configMap("p"),
	})
	vars("{region: eu, size: \"1\"}")
	s.secret("pass", map[string]string{"word": "first-secret"})
	s.feed()
	from := "postBuild: {substitute: {own: inline}, substituteFrom: [{kind: ConfigMap, name: vars}, {kind: Secret, name: pass, optional: true}]}"
	for _, unit := range []string{"web", "size", "word"} {
		s.unit(unit, "path: "+unit, from)
	}
	s.unit("plain", "path: plain")
	for _, unit := range []string{"web", "size", "word", "plain"} {
		s.ready(unit, "")
	}
	s.has(s.id(configMaps, "a"), "eu", "data", "region")
	s.has(s.id(configMaps, "a"), "any", "data", "zone")
	before := map[string]int{}
	for _, unit := range []string{"web", "size", "word", "plain"} {
		before[unit] = s.renderings(unit)
	}
	vars("{region: us, size: \"1\"}")
	s.has(s.id(configMaps, "a"), "us", "data", "region")
	vars("{region: us, size: \"1\", zone: b}")
	s.has(s.id(configMaps, "a"), "b", "data", "zone")
	s.secret("pass", map[string]string{"word": "second-secret"})
	s.has(s.id(configMaps, "c"), "second-secret", "data", "word")
	for unit, want := range map[string]int{"web": 2, "size": 0, "word": 1, "plain": 0} {
		if got := s.renderings(unit) - before[unit]; got != want {
			t.Errorf("%s was rendered %d times more, want %d", unit, got, want)
		}
	}

	vars("{size: \"1\"}")
	s.refused(s.unitID("web"), "BuildFailed", "web/a.yaml", "ConfigMap/$NS/a", `variable "region" is not set`)
	s.has(s.id(configMaps, "a"), "us", "data", "region")
	vars("{region: again, size: \"1\"}")
	s.ready("web", "")
	s.has(s.id(configMaps, "a"), "again", "data", "region")

	s.delete(s.id(configMaps, "vars"))
	s.refused(s.unitID("web"), "BuildFailed", "spec.postBuild.substituteFrom: ConfigMap/$NS/vars not found")
	vars("{region: back, size: \"1\"}")
	s.ready("web", "")
	s.has(s.id(configMaps, "a"), "back", "data", "region")
	for _, secret := range []string{"first-secret", "second-secret"} {
		if said := sane.says(secret); len(said) > 0 {
			t.Errorf("the log tells a secret: %s", said)
		}
	}
}

// TestVariableTypes: what becomes a number is one, and what the server says of
// it tells no secret.
func TestVariableTypes(t *testing.T) {
	s := open(t)
	s.commit(map[string]string{"d.yaml": strings.Replace(deployment("d", "web:1", 9, ""), "replicas: 9", "replicas: ${replicas}", 1)})
	s.secret("vars", map[string]string{"replicas": "-47114711"})
	s.feed()
	s.unit("apps", "postBuild: {substituteFrom: [{kind: Secret, name: vars}]}")
	o := s.refused(s.unitID("apps"), "ReconciliationFailed", "Deployment/$NS/d", "spec.replicas", "***")
	if strings.Contains(string(o.JSON()), "47114711") || len(sane.says("47114711")) > 0 {
		t.Errorf("the status or the log tells a secret: %s", o.JSON())
	}
	s.secret("vars", map[string]string{"replicas": "2"})
	s.ready("apps", "")
	s.has(s.id(deployments, "d"), 2, "spec", "replicas")
}

// sops returns a document that was encrypted with SOPS, for a scene's namespace.
func (s *scene) sops(name string) string {
	s.Helper()
	data, err := os.ReadFile("../render/sops/testdata/formats/" + name + ".enc")
	s.must(err)
	return strings.ReplaceAll(string(data), "namespace: apps", "namespace: $NS")
}

// keys makes a Secret with keys of the test data of package sops.
func (s *scene) keys(name string, files ...string) {
	s.Helper()
	data := make(map[string]string)
	for _, file := range files {
		content, err := os.ReadFile("../render/sops/testdata/keys/" + file)
		s.must(err)
		data[file] = string(content)
	}
	s.secret(name, data)
}

// TestDecryption: an encrypted Secret is refused until there is a key for it, and
// lands decrypted then. Nothing of it is in the log, nor on the disk.
func TestDecryption(t *testing.T) {
	s := openAlone(t)
	s.commit(map[string]string{
		"age/s.yaml":              strings.ReplaceAll(s.sops("secret.yaml"), "name: db", "name: age"),
		"pgp/s.yaml":              strings.ReplaceAll(s.sops("pgp.yaml"), "name: db", "name: pgp"),
		"gen/kustomization.yaml":  "namespace: $NS\nsecretGenerator: [{name: gen, envs: [e.env], options: {disableNameSuffixHash: true}}]\n",
		"gen/e.env":               s.sops("values.env"),
		"none/s.yaml":             strings.ReplaceAll(s.sops("secret.yaml"), "name: db", "name: none"),
		"back/s.yaml":             strings.ReplaceAll(s.sops("secret.yaml"), "name: db", "name: back"),
		"both/s.yaml":             strings.ReplaceAll(s.sops("secret.yaml"), "name: db", "name: both-${name}"),
		"elsewhere/not-read.yaml": configMap("elsewhere"),
	})
	data := t.TempDir()
	p := s.controller(s.kubeconfig, data, "--sops-age-secret", "fallback")
	s.feed()
	by := "decryption: {provider: sops, secretRef: {name: keys}}"
	s.unit("none", "path: none")
	s.unit("age", "path: age", by)
	s.refused(s.unitID("none"), "BuildFailed", "none/s.yaml: Secret/$NS/none is encrypted with SOPS: set spec.decryption")
	s.refused(s.unitID("age"), "BuildFailed", "spec.decryption.secretRef: Secret/$NS/keys not found")
	s.keys("keys", "pq.agekey")
	s.refused(s.unitID("age"), "BuildFailed", "age/s.yaml: decrypt: one of these keys is needed, and none is there: age age1")
	s.keys("keys", "age.agekey", "test.asc")
	s.unit("pgp", "path: pgp", by)
	s.unit("gen", "path: gen", by)
	s.unit("both", "path: both", by, "postBuild: {substitute: {name: x}}")
	s.keys("fallback", "age.agekey")
	s.unit("back", "path: back", "decryption: {provider: sops}")
	for _, unit := range []string{"age", "pgp", "gen", "both", "back"} {
		s.ready(unit, "")
	}
	for name, key := range map[string]string{"age": "password", "pgp": "password", "gen": "PASSWORD", "both-x": "password", "back": "password"} {
		s.has(s.id(secrets, name), "aHVudGVyMg==", "data", key)
	}
	if !s.get(s.id(secrets, "none")).IsZero() {
		t.Error("what is encrypted was applied")
	}
	for _, secret := range []string{"hunter2", "aHVudGVyMg", "AGE-SECRET-KEY"} {
		if said := p.says(secret); len(said) > 0 {
			t.Errorf("the log tells a secret: %s", said)
		}
		s.notIn(data, secret)
	}
}

// notIn complains if a file in or below dir has a text in it.
func (s *scene) notIn(dir, text string) {
	s.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // it has gone
		}
		if data, _ := os.ReadFile(path); bytes.Contains(data, []byte(text)) {
			s.Errorf("%s has %q in it", path, text)
		}
		return nil
	})
	s.must(err)
}

// TestVault: the key of a Secret is kept by Vault, which is asked by a token.
func TestVault(t *testing.T) {
	s := open(t)
	dataKey := bytes.Repeat([]byte("kms.yaml 0123456789abcdef0123456789abcdef"), 2)[:32] // as its generator chose it
	vault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Ciphertext string }
		_ = json.NewDecoder(r.Body).Decode(&in) // if it is anything else, it says nothing
		if r.URL.Path != "/v1/transit/decrypt/first" || r.Header.Get("X-Vault-Token") != "hvs.hunter3" || in.Ciphertext != "vault:v1:ENC" {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"errors":["permission denied"]}`)
			return
		}
		fmt.Fprintf(w, `{"data":{"plaintext":%q}}`, base64.StdEncoding.EncodeToString(dataKey))
	}))
	t.Cleanup(vault.Close)
	before, rest, ok := strings.Cut(s.sops("kms.yaml"), "    kms:\n")
	_, after, ok2 := strings.Cut(rest, "    lastmodified:")
	if !ok || !ok2 {
		t.Fatal("kms.yaml is not what it was")
	}
	doc := before + "    hc_vault: [{vault_address: '" + vault.URL + "', engine_path: transit, key_name: first, enc: 'vault:v1:ENC'}]\n    lastmodified:" + after
	rev := s.commit(map[string]string{"s.yaml": doc})
	s.secret("keys", map[string]string{"sops.vault-token": "hvs.hunter4"})
	s.feed()
	s.unit("apps", "targetNamespace: $NS", "decryption: {provider: sops, secretRef: {name: keys}}")
	s.refused(s.unitID("apps"), "BuildFailed", "s.yaml: decrypt: ", "permission denied")
	s.secret("keys", map[string]string{"sops.vault-token": "hvs.hunter3"})
	s.ready("apps", rev)
	s.has(s.id(secrets, "db"), "aHVudGVyMg==", "data", "password")
	for _, secret := range []string{"hunter3", "hunter4"} {
		if said := sane.says(secret); len(said) > 0 {
			t.Errorf("the log tells a secret: %s", said)
		}
	}
}

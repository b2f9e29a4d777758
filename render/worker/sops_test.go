package worker_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/render/worker"
)

// A worker reaches those who keep keys, though nobody else; that they fail is no
// fault of the input, here as there.
func TestKeysKeptByOthers(t *testing.T) {
	var sealed atomic.Bool
	vault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sealed.Load() || r.URL.Path != "/v1/transit/decrypt/k" || r.Header.Get("X-Vault-Token") != "hvs.secret" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		key := strings.Repeat("kms.yaml 0123456789abcdef0123456789abcdef", 2)[:32] // as its generator chose
		fmt.Fprintf(w, `{"data":{"plaintext":%q}}`, base64.StdEncoding.EncodeToString([]byte(key)))
	}))
	defer vault.Close()
	data, err := os.ReadFile("../sops/testdata/formats/kms.yaml.enc")
	if err != nil {
		t.Fatal(err)
	}
	kept := "    hc_vault: [{vault_address: '" + vault.URL + "', engine_path: transit, key_name: k, enc: 'vault:v1:a'}]\n    kms:\n"
	in := render.Input{
		Tree:   fstest.MapFS{"a.yaml": {Data: []byte(strings.Replace(string(data), "    kms:\n", kept, 1))}},
		Recipe: render.Recipe{Dir: ".", Decrypt: &render.Step{}},
		Facts:  render.Known{render.Keys: {Value: `{"sops.vault-token":"hvs.secret"}`, Secret: true}},
	}
	p := pool(t, "sops", worker.Config{})
	objects, err := p.Render(t.Context(), in)
	if err != nil || len(objects) != 1 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	if got, _ := objects[0].Get("stringData", "password"); got != "hunter2" {
		t.Errorf("password is %q", got)
	}
	sealed.Store(true)
	want := "a.yaml: decrypt: Vault " + vault.URL + " k: it answers 503 Service Unavailable"
	if _, err = p.Render(t.Context(), in); fault.IsInput(err) || !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("error is %v, want %q", err, want)
	}
}

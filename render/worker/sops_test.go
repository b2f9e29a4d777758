package worker_test

import (
	"context"
	"encoding/base64"
	"errors"
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

// passer lets in at Vault by a token that changes.
type passer struct {
	asked atomic.Int64
	fails atomic.Bool
}

func (p *passer) Pass(ctx context.Context, cloud, where string) (string, error) {
	p.asked.Add(1)
	if p.fails.Load() {
		return "", errors.New("nobody lets us in")
	}
	if _, ok := ctx.Deadline(); cloud != render.Vault || !strings.HasPrefix(where, "http://127.0.0.1:") || !ok {
		return "", fmt.Errorf("asked for %q at %q", cloud, where)
	}
	return fmt.Sprintf("hvs.secret%d", p.asked.Load()), nil
}

// Passes come from the pool. That there is none is no fault of the input, and
// the worker goes on.
func TestPasses(t *testing.T) {
	vault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("X-Vault-Token"), "hvs.secret") {
			w.WriteHeader(http.StatusForbidden)
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
	document := []byte(strings.Replace(string(data), "    kms:\n", kept, 1))
	passes := new(passer)
	in := render.Input{
		Tree:   fstest.MapFS{"a.yaml": {Data: document}},
		Recipe: render.Recipe{Dir: ".", Decrypt: &render.Step{}},
		Facts:  render.Known{render.As(render.Vault): {Value: "{}", Secret: true}},
		Passes: passes,
	}
	p := pool(t, "sops", worker.Config{Max: 1})
	for _, tt := range []struct {
		name   string
		passes render.Passes
		fails  bool
		words  string // of the error; "" means none
		asked  int64
	}{
		{"a pass", passes, false, "", 1},
		{"no pass", passes, true, "nobody lets us in", 2},
		{"another pass", passes, false, "", 3},
		{"no passes at all", nil, false, "there are no passes here", 3},
	} {
		in.Passes = tt.passes
		passes.fails.Store(tt.fails)
		objects, err := p.Render(t.Context(), in)
		switch {
		case tt.words == "" && (err != nil || len(objects) != 1):
			t.Errorf("%s: %d objects, %v", tt.name, len(objects), err)
		case tt.words != "" && (err == nil || fault.IsInput(err) || !strings.Contains(err.Error(), tt.words) || strings.Contains(err.Error(), "hvs.secret")):
			t.Errorf("%s: error is %v, want %q", tt.name, err, tt.words)
		}
		if n := passes.asked.Load(); n != tt.asked {
			t.Errorf("%s: asked %d times, want %d", tt.name, n, tt.asked)
		}
	}
}

package git

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/source"
)

func TestAzure(t *testing.T) {
	var asked atomic.Int64
	authority := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		r.ParseForm()
		switch {
		case r.Method != http.MethodPost || r.URL.Path != "/tenant/oauth2/v2.0/token":
			http.NotFound(w, r)
		case r.PostForm.Get("client_id") == "ill":
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.PostForm.Get("client_id") == "odd":
			fmt.Fprint(w, "hello")
		case r.PostForm.Get("client_assertion") != "federated-hunter2" || r.PostForm.Get("grant_type") != "client_credentials" ||
			r.PostForm.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || r.PostForm.Get("scope") != azureDevOps:
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client","error_codes":[700211]}`)
		default:
			fmt.Fprint(w, `{"access_token":"azure-hunter2","expires_in":3600}`)
		}
	}))
	t.Cleanup(authority.Close)
	b := setup(t, gitserver.Options{Bearer: "azure-hunter2"})
	b.put(map[string]string{"a": "1"})
	b.at.Access = source.Access{Cloud: source.Azure, CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Certificate().Raw})}
	file := filepath.Join(t.TempDir(), "token")
	for _, c := range []struct {
		name         string
		client, text string
		kind         error
		words        string
	}{
		{"none", "", "federated-hunter2", source.ErrAuth, "AZURE_CLIENT_ID"},
		{"wrong", "client", "other-hunter2", source.ErrAuth, "401 Unauthorized: invalid_client [700211]"},
		{"no file", "client", "", source.ErrAuth, "its token can't be read"},
		{"ill", "ill", "federated-hunter2", source.ErrNetwork, "503"},
		{"odd", "odd", "federated-hunter2", source.ErrAuth, "holds no token"},
		{"right", "client", "federated-hunter2\n", nil, ""},
	} {
		t.Setenv("AZURE_AUTHORITY_HOST", authority.URL+"/")
		t.Setenv("AZURE_TENANT_ID", "tenant")
		t.Setenv("AZURE_CLIENT_ID", c.client)
		t.Setenv("AZURE_FEDERATED_TOKEN_FILE", file)
		os.Remove(file)
		if c.text != "" {
			b.must(os.WriteFile(file, []byte(c.text), 0o600))
		}
		snap, err := b.try(mainRef)
		switch {
		case c.kind == nil && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.kind == nil:
			b.reads(snap, "a", "1")
		default:
			b.fails(err, c.kind, c.words, "log in as this program's Azure workload identity")
			if strings.Contains(fmt.Sprint(err), "hunter2") {
				t.Errorf("%s: %v tells a secret", c.name, err)
			}
		}
	}
	before := asked.Load()
	b.get(mainRef)
	if asked.Load() > before {
		t.Error("a token that is good for an hour was asked for again")
	}
	b.nowhere("hunter2")
}

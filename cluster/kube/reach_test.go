package kube_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/kube"
	"github.com/sane-gitops/sane/object"
)

// TestReach finds a cluster below a path, gets to know its moves and its
// refusals, and shows the token to nobody else.
func TestReach(t *testing.T) {
	var stranger http.HandlerFunc = func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a stranger is asked %s with %q", r.URL, r.Header.Get("Authorization"))
	}
	elsewhere := httptest.NewTLSServer(stranger)
	defer elsewhere.Close()
	token := "first"
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Header.Get("Authorization") != "Bearer good":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.EscapedPath() == "/k8s/one/away":
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		default:
			fmt.Fprintf(w, "%s %s?%s", r.Method, r.URL.EscapedPath(), r.URL.RawQuery)
		}
	}))
	defer server.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	spot, lost := kube.Spot{Address: server.URL + "/k8s/one", CA: ca}, error(nil)
	refused := 0
	c, err := kube.New(kube.Reach(kube.Way{
		Find:    func(context.Context) (kube.Spot, error) { return spot, lost },
		Token:   func(context.Context) (string, error) { return token, nil },
		Refused: func() { refused++ },
	}), kube.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path, want string) {
		t.Helper()
		got, err := c.Raw(t.Context(), path)
		if text := fmt.Sprint(string(got), err); !strings.Contains(text, want) || strings.Contains(text, token) {
			t.Errorf("%s: %s; want %q", path, text, want)
		}
	}
	ask("/version", "Unauthorized")
	if refused != 1 {
		t.Errorf("it was told %d times that it was refused", refused)
	}
	token = "good"
	ask("/version", "GET /k8s/one/version?<nil>")
	ask("/a%2Fb%3Fc:d", "GET /k8s/one/a%2Fb%3Fc:d?<nil>")
	spot.Address = server.URL
	ask("/version", "GET /version?<nil>")
	spot.Address = server.URL + "/k8s/one/"
	ask("/away", "the server redirects to "+strings.TrimPrefix(elsewhere.URL, "https://")+", where it is not followed")
	spot.CA = ""
	ask("/version", "certificate signed by unknown authority")
	spot.CA = "none"
	ask("/version", "ca.crt holds no certificate")
	spot = kube.Spot{Address: "http://" + strings.TrimPrefix(server.URL, "https://"), CA: ca}
	ask("/version", "the cluster's address is no https URL")
	lost = errors.New("nobody knows it")
	ask("/version", "find the cluster: nobody knows it")
	if refused != 1 {
		t.Errorf("it was told %d times that it was refused", refused)
	}
}

// TestAccountToken gets in by the token of a service account, where its audience
// is the server's, and not otherwise.
func TestAccountToken(t *testing.T) {
	c := connect(t, kube.Options{})
	ns := namespace(t, c)
	account := object.Of(map[string]any{
		"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"name": "deployer", "namespace": ns},
	})
	if _, err := c.Apply(t.Context(), account, cluster.How{Manager: "sane"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.AccountToken(t.Context(), ns, "nobody", nil); !errors.Is(err, cluster.ErrNotFound) || !strings.Contains(err.Error(), "get a token of ServiceAccount/"+ns+"/nobody: ") {
		t.Errorf("a token of nobody: %v", err)
	}
	token, until, err := c.AccountToken(t.Context(), ns, "deployer", []string{"prod"})
	if err != nil || strings.Count(token, ".") != 2 || until.IsZero() {
		t.Errorf("%d bytes until %v, %v", len(token), until, err)
	}
}

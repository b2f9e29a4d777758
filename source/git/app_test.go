package git

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/source"
)

// A hub stands in for GitHub's API: it knows one app, 42, which is installed
// as 7 at the organisation "acme" and as 8 at the user "ada".
type hub struct {
	key *rsa.PrivateKey
	now func() time.Time

	mu      sync.Mutex
	asked   []string        // guarded by mu
	valid   map[string]bool // guarded by mu; tokens
	strange string          // guarded by mu; what to answer instead
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, r.Method+" "+r.URL.Path)
	answer := func(code int, v any) {
		w.WriteHeader(code)
		json.NewEncoder(w).Encode(v)
	}
	if h.strange != "" {
		fmt.Fprint(w, h.strange)
		return
	}
	claims := new(jwt.RegisteredClaims)
	_, err := jwt.ParseWithClaims(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), claims,
		func(*jwt.Token) (any, error) { return &h.key.PublicKey, nil }, jwt.WithTimeFunc(h.now), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithValidMethods([]string{"RS256"}))
	if err != nil || claims.Issuer != "42" || claims.ExpiresAt.Sub(claims.IssuedAt.Time) > 10*time.Minute {
		answer(http.StatusUnauthorized, map[string]string{"message": "A JSON web token could not be decoded"})
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /api/v3/orgs/acme/installation":
		answer(http.StatusOK, map[string]int{"id": 7})
	case "GET /api/v3/users/ada/installation":
		answer(http.StatusOK, map[string]int{"id": 8})
	case "POST /api/v3/app/installations/7/access_tokens", "POST /api/v3/app/installations/8/access_tokens":
		t := fmt.Sprintf("ghs_hunter2_%d", len(h.valid))
		h.valid[t] = true
		answer(http.StatusCreated, map[string]any{"token": t, "expires_at": h.now().Add(time.Hour).Format(time.RFC3339)})
	case "POST /api/v3/app/installations/500/access_tokens":
		answer(http.StatusInternalServerError, nil)
	default:
		answer(http.StatusNotFound, map[string]string{"message": "Not Found"})
	}
}

// lets reports whether a request has a token that is valid.
func (h *hub) lets(r *http.Request) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	user, password, _ := r.BasicAuth()
	return user == "x-access-token" && h.valid[password]
}

// tokensAsked returns how often a token was asked for.
func (h *hub) tokensAsked() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.asked {
		if strings.HasPrefix(a, "POST") {
			n++
		}
	}
	return n
}

func keyPEM(k *rsa.PrivateKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)})
}

// setupHub serves a repository that tokens of a hub open. Time is what skip
// makes it.
func setupHub(t *testing.T) (b *bench, h *hub, api *httptest.Server, skip func(time.Duration)) {
	t.Helper()
	var mu sync.Mutex
	var skipped time.Duration
	now := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(skipped)
	}
	h = &hub{key: must(rsa.GenerateKey(rand.Reader, 2048)), now: now, valid: make(map[string]bool)}
	api = httptest.NewTLSServer(h)
	t.Cleanup(api.Close)
	b = setup(t, gitserver.Options{Hook: func(w http.ResponseWriter, r *http.Request) bool {
		if h.lets(r) {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}}, Config{Dir: t.TempDir(), Fresh: -1, Now: now})
	b.put(map[string]string{"a": "1"})
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})
	b.at.Access = source.Access{CA: ca, App: &source.App{ID: "42", Installation: "7", Key: keyPEM(h.key), API: api.URL + "/api/v3/"}}
	return b, h, api, func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		skipped += d
	}
}

func TestApp(t *testing.T) {
	t.Parallel()
	b, h, _, skip := setupHub(t)
	for range 3 {
		b.reads(b.get(mainRef), "a", "1")
	}
	if n := h.tokensAsked(); n != 1 {
		t.Errorf("asked for %d tokens, want 1: it is good for an hour", n)
	}
	skip(56 * time.Minute)
	b.get(mainRef)
	if n := h.tokensAsked(); n != 2 {
		t.Errorf("asked for %d tokens, want 2: the first is about to expire", n)
	}
	h.mu.Lock()
	clear(h.valid)
	h.valid["used up"] = true // so that the next is another one
	h.valid["used up too"] = true
	h.valid["and this"] = true
	h.mu.Unlock()
	b.get(mainRef)
	if n := h.tokensAsked(); n != 3 {
		t.Errorf("asked for %d tokens, want 3: the second was revoked", n)
	}
	b.nowhere("hunter2")
	if strings.Contains(b.log.String(), "hunter2") {
		t.Errorf("the log tells a token: %s", b.log)
	}
}

func TestAppProxy(t *testing.T) {
	t.Parallel()
	proxy := gitserver.StartProxy("p", "q")
	t.Cleanup(proxy.Close)
	b, h, _, _ := setupHub(t)
	b.at.Access.Proxy = proxy.URL("p", "q")
	b.get(mainRef)
	if proxy.Passed() < 2 || h.tokensAsked() != 1 {
		t.Errorf("%d requests passed the proxy, and %d tokens were asked for", proxy.Passed(), h.tokensAsked())
	}
	b.at.Access.Proxy = proxy.URL("p", "hunter2")
	b.at.Access.App.ID = "43"
	_, err := b.try(mainRef)
	b.fails(err, source.ErrNetwork, "Proxy Authentication Required")
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v tells the password", err)
	}
}

func TestAppFailures(t *testing.T) {
	t.Parallel()
	b, h, _, _ := setupHub(t)
	other := must(rsa.GenerateKey(rand.Reader, 2048))
	good := *b.at.Access.App
	for _, c := range []struct {
		name   string
		change func(*source.App)
		kind   error
		words  string
	}{
		{"by organisation", func(a *source.App) { a.Installation, a.Owner = "", "acme" }, nil, ""},
		{"by user", func(a *source.App) { a.Installation, a.Owner = "", "ada" }, nil, ""},
		{"not installed", func(a *source.App) { a.Installation, a.Owner = "", "nobody" }, source.ErrAuth, "log in as GitHub App 42: it is not installed at 'nobody'"},
		{"no such installation", func(a *source.App) { a.Installation = "9" }, source.ErrAuth, "Not Found"},
		{"out of the path", func(a *source.App) { a.Installation = "../../x?y" }, source.ErrAuth, "Not Found"},
		{"another app", func(a *source.App) { a.ID = "43" }, source.ErrAuth, "log in as GitHub App 43: POST /app/installations/7/access_tokens: 401 Unauthorized: A JSON web token"},
		{"another key", func(a *source.App) { a.Key = keyPEM(other) }, source.ErrAuth, "401 Unauthorized"},
		{"no key", func(a *source.App) { a.Key = []byte("hunter2") }, source.ErrAuth, "it is no RSA key in PEM"},
		{"GitHub is ill", func(a *source.App) { a.Installation = "500" }, source.ErrNetwork, "500 Internal Server Error"},
		{"no GitHub", func(a *source.App) { a.API = "http://127.0.0.1:1" }, source.ErrNetwork, "http://127.0.0.1:1 can't be reached"},
		{"no URL", func(a *source.App) { a.API = "file:///etc" }, source.ErrAuth, "no http or https URL"},
		{"GitHub is not trusted", func(a *source.App) { b.at.Access.CA = nil }, source.ErrNetwork, "certificate"},
	} {
		app := good
		b.at.Access.App = &app
		ca := b.at.Access.CA
		c.change(&app)
		_, err := b.try(mainRef)
		b.at.Access.CA = ca
		switch {
		case c.kind == nil && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.kind != nil:
			b.fails(err, c.kind, c.words)
			if strings.Contains(fmt.Sprint(err), "hunter2") {
				t.Errorf("%s: %v tells a secret", c.name, err)
			}
		}
	}
	for _, strange := range []string{"hello", "{}", `{"token":7}`} {
		h.mu.Lock()
		h.strange = strange
		h.mu.Unlock()
		app := good
		app.Installation = strange
		b.at.Access.App = &app
		_, err := b.try(mainRef)
		b.fails(err, source.ErrAuth, "the answer")
	}
}

// What says who an app is does not say its key.
func TestAppIsSecret(t *testing.T) {
	a := source.Access{App: &source.App{Key: []byte("hunter2")}}
	data, err := json.Marshal(struct{ A, B any }{a, a.App})
	if text := fmt.Sprintf("%v %+v %#v %s %v", a, a.App, *a.App, data, err); strings.Contains(text, "hunter2") || strings.Contains(text, "104, 117") {
		t.Error(text)
	}
}

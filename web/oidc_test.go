package web

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sane-gitops/sane/cluster"
)

// An issuer vouches for whomever a test says.
type issuer struct {
	*httptest.Server
	t      *testing.T
	key    *rsa.PrivateKey
	signer *rsa.PrivateKey // the key, unless a test has another

	mu     sync.Mutex
	asked  url.Values     // by the last who was sent here
	claims map[string]any // over those that are as they should be
	down   bool           // it hands out no tokens
}

func newIssuer(t *testing.T) *issuer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{t: t, key: key, signer: key}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		i.answer(w, map[string]any{
			"issuer": i.URL, "authorization_endpoint": i.URL + "/auth", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		i.answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("POST /token", i.token)
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// token hands out a token for the code, to who can prove to have asked for it.
func (i *issuer) token(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.down {
		http.Error(w, "try later", http.StatusBadGateway)
		return
	}
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if r.PostFormValue("code") != "code" || base64.RawURLEncoding.EncodeToString(sum[:]) != i.asked.Get("code_challenge") {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	claims := map[string]any{
		"iss": i.URL, "aud": "sane", "sub": "1", "nonce": i.asked.Get("nonce"), "email": "ada@example.com", "email_verified": true,
		"groups": []string{"devs", "system:masters"}, "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
	}
	for k, v := range i.claims {
		claims[k] = v
	}
	data, err := json.Marshal(claims)
	if err != nil {
		i.t.Error(err)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: i.signer, KeyID: "k"}}, nil)
	if err != nil {
		i.t.Error(err)
		return
	}
	signed, err := s.Sign(data)
	if err != nil {
		i.t.Error(err)
		return
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		i.t.Error(err)
	}
	i.answer(w, map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": raw})
}

const site = "http://sane.example.com"

// visit asks for a page by the name of the site.
func (b *caller) visit(path string) answer {
	b.st.t.Helper()
	r := b.request("GET", path, "")
	r.Host = strings.TrimPrefix(site, "http://")
	return b.do(r)
}

// depart begins a login, and returns what the issuer is asked.
func (b *caller) depart(i *issuer) url.Values {
	b.st.t.Helper()
	a := b.visit("/login/oidc?to=" + url.QueryEscape("/?q=x"))
	to, err := url.Parse(a.header.Get("Location"))
	if err != nil || a.status != http.StatusSeeOther || !strings.HasPrefix(to.String(), i.URL+"/auth?") {
		b.st.t.Fatalf("the way to the issuer is %v", a)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked = to.Query()
	return to.Query()
}

func TestOIDC(t *testing.T) {
	i := newIssuer(t)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	st := play(t, func(c *Config) {
		c.Desk.Now = time.Now // the issuer's tokens are of now
		c.Door = Door{URL: site, OIDC: &OIDC{Issuer: i.URL, ClientID: "sane", UsernameClaim: "email", GroupsPrefix: "org:"}}
	})
	back := func(state string) string {
		return "/login/callback?" + url.Values{"code": {"code"}, "state": {state}}.Encode()
	}

	b := st.caller()
	if a := b.visit("/?q=x"); a.header.Get("Location") != "/login/oidc?to=%2F%3Fq%3Dx" {
		t.Errorf("a stranger is sent to %v", a.header)
	}
	asked := b.depart(i)
	if asked.Get("redirect_uri") != site+"/login/callback" || asked.Get("code_challenge_method") != "S256" || asked.Get("nonce") == "" {
		t.Errorf("the issuer is asked %v", asked)
	}
	a := b.visit(back(asked.Get("state")))
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "/?q=x" {
		t.Fatalf("back from the issuer: %v", a)
	}
	var x session
	u, _ := url.Parse(site)
	for _, c := range b.Jar.Cookies(u) {
		if err := st.seal.open("session", c.Value, &x); err != nil {
			t.Errorf("cookie %s: %v", c.Name, err)
		}
	}
	if x.Who.User != "ada@example.com" || !slices.Equal(x.Who.Groups, []string{"org:devs", "org:system:masters"}) {
		t.Errorf("who came in is %+v", x.Who)
	}
	if a := b.visit(back(asked.Get("state"))); a.status != http.StatusForbidden {
		t.Errorf("a second time with one state: %d", a.status)
	}

	for _, tt := range []struct {
		name   string
		claims map[string]any
		signer *rsa.PrivateKey
		state  string
	}{
		{"another state", nil, i.key, "other"},
		{"another nonce", map[string]any{"nonce": "other"}, i.key, ""},
		{"for another client", map[string]any{"aud": "other"}, i.key, ""},
		{"of another issuer", map[string]any{"iss": "https://evil.example"}, i.key, ""},
		{"expired", map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, i.key, ""},
		{"signed by another", nil, other, ""},
		{"without a name", map[string]any{"email": ""}, i.key, ""},
		{"an address that is not verified", map[string]any{"email_verified": false}, i.key, ""},
		{"a name of Kubernetes' own", map[string]any{"email": "system:admin"}, i.key, ""},
	} {
		b := st.caller()
		state := b.depart(i).Get("state")
		if tt.state != "" {
			state = tt.state
		}
		i.mu.Lock()
		i.claims, i.signer = tt.claims, tt.signer
		i.mu.Unlock()
		if a := b.visit(back(state)); a.status != http.StatusForbidden {
			t.Errorf("%s: %d", tt.name, a.status)
		}
		if a := b.visit("/"); a.status != http.StatusSeeOther {
			t.Errorf("%s: there is a session: %d", tt.name, a.status)
		}
	}
	if a := st.caller().visit(back(asked.Get("state"))); a.status != http.StatusForbidden {
		t.Errorf("a login that was begun elsewhere: %d", a.status)
	}
}

// An issuer that does not answer is not a login that has failed.
func TestOIDCDown(t *testing.T) {
	i := newIssuer(t)
	st := play(t, func(c *Config) {
		c.Desk.Now = time.Now // the issuer's tokens are of now
		c.Door = Door{URL: site, OIDC: &OIDC{Issuer: i.URL, ClientID: "sane", UsernameClaim: "email"}}
	})
	arrive := func(down bool) answer {
		b := st.caller()
		state := b.depart(i).Get("state")
		i.mu.Lock()
		i.down = down
		i.mu.Unlock()
		return b.visit("/login/callback?" + url.Values{"code": {"code"}, "state": {state}}.Encode())
	}
	for range maxTries {
		if a := arrive(true); a.status != http.StatusServiceUnavailable {
			t.Fatalf("the issuer is down, and a login is answered with %v", a)
		}
	}
	if a := arrive(false); a.status != http.StatusSeeOther {
		t.Errorf("the issuer is back: %v", a)
	}
}

func TestNamed(t *testing.T) {
	for _, tt := range []struct {
		oidc   OIDC
		claims string
		want   string
	}{
		{OIDC{}, `{"sub":"1"}`, "https://login#1 []"},
		{OIDC{UsernamePrefix: "-"}, `{"sub":"1","groups":["b","a",1,""]}`, "1 [a b]"},
		{OIDC{UsernamePrefix: "-"}, `{"sub":"1","groups":"one"}`, "1 [one]"},
		{OIDC{UsernamePrefix: "-"}, `{"sub":"1","groups":["system:masters","a"]}`, "1 [a]"},
		{OIDC{UsernamePrefix: "-"}, `{"sub":"system:admin"}`, `error "system:admin" is a name of Kubernetes' own`},
		{OIDC{UsernameClaim: "email"}, `{"email":"a@b","email_verified":"true"}`, "error the email address is not verified"},
		{OIDC{UsernameClaim: "name"}, `{"sub":"1"}`, `error the token has no claim "name"`},
	} {
		tt.oidc.Issuer, tt.oidc.ClientID = "https://login", "sane"
		v, err := newVoucher(tt.oidc, site)
		if err != nil {
			t.Fatal(err)
		}
		var claims map[string]any
		if err := json.Unmarshal([]byte(tt.claims), &claims); err != nil {
			t.Fatal(err)
		}
		who, err := v.named(claims)
		got := fmt.Sprintf("%s %v", who.User, who.Groups)
		if err != nil {
			got = "error " + err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.claims, got, tt.want)
		}
		if err != nil && !equal(who, cluster.Identity{}) {
			t.Errorf("%s: an error, and %+v", tt.claims, who)
		}
	}
}

func equal(a, b cluster.Identity) bool { return a.User == b.User && slices.Equal(a.Groups, b.Groups) }

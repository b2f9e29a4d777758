package git

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sane-gitops/sane/source"
)

// The API of GitHub, and how long before its end a token is not used any more.
const (
	githubAPI  = "https://api.github.com"
	tokenSlack = 5 * time.Minute
	maxAnswer  = 1 << 20 // bytes
)

// A token is what a GitHub App gets in with.
type token struct {
	mu    sync.Mutex // held while it is asked for
	value string
	until time.Time
}

// tokens are those of all apps.
type tokens struct {
	mu  sync.Mutex
	all map[[32]byte]*token // guarded by mu; by app
}

// of returns the token of an app, which may be empty or too old.
func (ts *tokens) of(a *source.App) *token {
	h := sha256.New()
	for _, s := range []string{a.ID, a.Installation, a.Owner, string(a.Key), a.API} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	key := [32]byte(h.Sum(nil))
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.all == nil {
		ts.all = make(map[[32]byte]*token)
	}
	if ts.all[key] == nil {
		ts.all[key] = new(token)
	}
	return ts.all[key]
}

// login returns p with what a GitHub App gets in with, if p is for one.
func (s *Source) login(ctx context.Context, p place) (place, error) {
	app := p.access.App
	if app == nil {
		return p, nil
	}
	t := s.apps.of(app)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value == "" || !s.Now().Before(t.until.Add(-tokenSlack)) {
		value, until, err := s.askToken(ctx, p)
		if err != nil {
			return place{}, fmt.Errorf("log in as GitHub App %s: %w", app.ID, err)
		}
		t.value, t.until = value, until
	}
	p.access.App, p.access.Username, p.access.Password = nil, "x-access-token", t.value
	return p, nil
}

// logout forgets a token that a server does not accept, so that the next is a
// new one. It reports whether p is for an app, and had that one from before.
func (s *Source) logout(p, used place) bool {
	if p.access.App == nil {
		return false
	}
	t := s.apps.of(p.access.App)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value == used.access.Password {
		t.value = ""
	}
	return true
}

// askToken asks GitHub for a token of the installation.
func (s *Source) askToken(ctx context.Context, p place) (value string, until time.Time, err error) {
	app := p.access.App
	key, err := jwt.ParseRSAPrivateKeyFromPEM(app.Key)
	if err != nil {
		return "", time.Time{}, denied("its private key can't be used: it is no RSA key in PEM")
	}
	now := s.Now()
	proof, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.RegisteredClaims{
		Issuer: app.ID, IssuedAt: jwt.NewNumericDate(now.Add(-time.Minute)), ExpiresAt: jwt.NewNumericDate(now.Add(5 * time.Minute)),
	}).SignedString(key)
	if err != nil {
		return "", time.Time{}, denied("its private key can't be used: " + err.Error())
	}
	g, err := p.github(proof)
	if err != nil {
		return "", time.Time{}, err
	}
	defer g.client.CloseIdleConnections()
	id := app.Installation
	if id == "" {
		if id, err = g.installation(ctx, app.Owner); err != nil {
			return "", time.Time{}, err
		}
	}
	var answer struct {
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	if err := g.call(ctx, http.MethodPost, "/app/installations/"+url.PathEscape(id)+"/access_tokens", &answer); err != nil {
		return "", time.Time{}, err
	}
	if answer.Token == "" {
		return "", time.Time{}, denied("the answer holds no token")
	}
	return answer.Token, answer.ExpiresAt, nil
}

func denied(text string) error { return &failure{text: text, kind: source.ErrAuth} }

// A github is the API of a GitHub server, as an app sees it.
type github struct {
	client *http.Client
	api    string
	proof  string // that we are the app
}

// github returns the API that goes with p, on the same terms as git: whom to
// trust, and by which way to go.
func (p place) github(proof string) (*github, error) {
	api := strings.TrimSuffix(p.access.App.API, "/")
	if api == "" {
		api = githubAPI
	}
	if u, err := url.Parse(api); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, denied("the URL of its API is no http or https URL")
	}
	tr := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 10 * time.Second}
	if p.access.Proxy != "" {
		u, err := url.Parse(p.access.Proxy)
		if err != nil {
			return nil, denied("the proxy's address is not a URL")
		}
		tr.Proxy = http.ProxyURL(u)
	}
	if len(p.access.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		pool.AppendCertsFromPEM(p.access.CA)
		tr.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &github{client: &http.Client{Transport: tr, CheckRedirect: stay}, api: api, proof: proof}, nil
}

// errNoAnswer says that GitHub does not know what it is asked for.
var errNoAnswer = errors.New("not found")

// installation returns the id of the app's installation at an organisation or
// a user.
func (g *github) installation(ctx context.Context, owner string) (string, error) {
	var answer struct {
		ID json.Number `json:"id"`
	}
	var err error
	for _, kind := range []string{"orgs", "users"} {
		if err = g.call(ctx, http.MethodGet, "/"+kind+"/"+url.PathEscape(owner)+"/installation", &answer); err == nil {
			return answer.ID.String(), nil
		}
		if !errors.Is(err, errNoAnswer) {
			return "", err
		}
	}
	return "", denied("it is not installed at '" + owner + "'")
}

// call makes one request.
func (g *github) call(ctx context.Context, method, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, g.api+path, nil)
	if err != nil {
		return denied("the URL of its API does not parse")
	}
	req.Header.Set("Authorization", "Bearer "+g.proof)
	req.Header.Set("Accept", "application/vnd.github+json")
	req.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	resp, err := g.client.Do(req)
	if ctx.Err() != nil {
		return stopped(ctx)
	}
	if err != nil {
		var u *url.Error // repeats the URL of a proxy, perhaps with its password
		if errors.As(err, &u) {
			err = u.Err
		}
		return &failure{text: redact(g.api) + " can't be reached: " + err.Error(), kind: source.ErrNetwork}
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return &failure{text: redact(g.api) + " breaks off: " + err.Error(), kind: source.ErrNetwork}
	}
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return &failure{text: said(method+" "+path, resp, data), kind: errors.Join(errNoAnswer, source.ErrAuth)}
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return &failure{text: said(method+" "+path, resp, data), kind: source.ErrNetwork}
	case resp.StatusCode >= 300:
		return denied(said(method+" "+path, resp, data))
	}
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(into); err != nil {
		return denied(fmt.Sprintf("the answer of %s to %s %s can't be read", redact(g.api), method, path))
	}
	return nil
}

// said returns what a server has answered, as far as it is for people.
func said(asked string, resp *http.Response, data []byte) string {
	var answer struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(data, &answer) != nil || answer.Message == "" {
		return asked + ": " + resp.Status
	}
	answer.Message = strings.Join(strings.Fields(answer.Message), " ")
	return asked + ": " + resp.Status + ": " + strings.ToValidUTF8(answer.Message[:min(len(answer.Message), 300)], "")
}

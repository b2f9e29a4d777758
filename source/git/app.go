package git

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/web"
)

// githubAPI is where GitHub itself is asked.
const githubAPI = "https://api.github.com"

// githubOffice returns the office of the GitHub App that p gets in as.
func (s *Source) githubOffice(p place) *office {
	a := p.access.App
	return &office{
		name: "GitHub App " + a.ID,
		key:  web.Key(source.Access{}, "github", a.ID, a.Installation, a.Owner, string(a.Key), a.API),
		ask:  func(ctx context.Context) (string, time.Time, error) { return s.askToken(ctx, p) },
		use: func(a *source.Access, token string) {
			a.App, a.Username, a.Password = nil, "x-access-token", token
		},
	}
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
	client, err := p.client()
	if err != nil {
		return nil, err
	}
	return &github{client: client, api: api, proof: proof}, nil
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
	resp, data, err := send(g.client, req)
	if err != nil {
		return err
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

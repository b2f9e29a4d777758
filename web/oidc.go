package web

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/sane-gitops/sane/cluster"
)

// OIDC says who else can vouch for people, as the API server's flags of the same
// names do: by whatever name it knows them, they have the rights of that name.
type OIDC struct {
	Issuer         string // "https://login.example.com"
	ClientID       string
	ClientSecret   string   // "" for a public client
	Scopes         []string // beside openid; nil means profile, email and groups
	UsernameClaim  string   // "" means sub
	UsernamePrefix string   // "" means none for email, and the issuer and # for others; "-" means none
	GroupsClaim    string   // "" means groups
	GroupsPrefix   string
}

// A voucher asks an issuer who somebody is.
type voucher struct {
	OIDC
	back string // where it sends people to

	mu       sync.Mutex
	provider *oidc.Provider // guarded by mu; nil until it has been reached
}

// A quest is a login under way. It lives in a cookie, sealed.
type quest struct {
	State, Nonce, Verifier, To string
	Until                      time.Time
}

const questLasts = 10 * time.Minute

func newVoucher(o OIDC, site string) (*voucher, error) {
	if o.Issuer == "" || o.ClientID == "" {
		return nil, errors.New("OIDC needs an issuer and a client id")
	}
	if site == "" {
		return nil, errors.New("OIDC needs to know where browsers find us, to send them back there")
	}
	if o.Scopes == nil {
		o.Scopes = []string{"profile", "email", "groups"}
	}
	o.UsernameClaim, o.GroupsClaim = cmp.Or(o.UsernameClaim, "sub"), cmp.Or(o.GroupsClaim, "groups")
	switch {
	case o.UsernamePrefix == "-":
		o.UsernamePrefix = ""
	case o.UsernamePrefix == "" && o.UsernameClaim != "email":
		o.UsernamePrefix = o.Issuer + "#"
	}
	return &voucher{OIDC: o, back: strings.TrimSuffix(site, "/") + "/login/callback"}, nil
}

// reach asks the issuer how it is to be asked, once.
func (o *voucher) reach(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.provider == nil {
		p, err := oidc.NewProvider(context.WithoutCancel(ctx), o.Issuer)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", errNoIssuer, err)
		}
		o.provider = p
	}
	return o.provider, &oauth2.Config{
		ClientID: o.ClientID, ClientSecret: o.ClientSecret, RedirectURL: o.back,
		Endpoint: o.provider.Endpoint(), Scopes: append([]string{oidc.ScopeOpenID}, o.Scopes...),
	}, nil
}

// depart sends somebody to the issuer.
func (s *Server) depart(w http.ResponseWriter, r *http.Request) {
	_, config, err := s.oidc.reach(s.asking(r))
	if err != nil {
		s.noIssuer(w, r, err)
		return
	}
	q := quest{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), To: local(r.FormValue("to")), Until: s.now().Add(questLasts)}
	s.setCookie(w, r, "quest", s.seal.close("quest", q), questLasts)
	http.Redirect(w, r, config.AuthCodeURL(q.State, oidc.Nonce(q.Nonce), oauth2.S256ChallengeOption(q.Verifier)), http.StatusSeeOther)
}

// errNoIssuer is that the issuer does not answer: no login has failed for that.
var errNoIssuer = errors.New("the OIDC issuer does not answer")

func (s *Server) noIssuer(w http.ResponseWriter, r *http.Request, err error) {
	s.log.Error("login failed", "issuer", s.oidc.Issuer, "err", err)
	s.askIn(w, r, http.StatusServiceUnavailable, "The login of your organization does not answer.")
}

// arrive lets in who comes back from the issuer.
func (s *Server) arrive(w http.ResponseWriter, r *http.Request) {
	var q quest
	c, err := r.Cookie(s.cookie(r, "quest"))
	if err != nil || s.seal.open("quest", c.Value, &q) != nil || !s.now().Before(q.Until) || !hmac.Equal([]byte(q.State), []byte(r.FormValue("state"))) {
		s.askIn(w, r, http.StatusForbidden, "This login was not begun here, or too long ago. Try again, please.")
		return
	}
	if !s.try(w, r) {
		return
	}
	s.setCookie(w, r, "quest", "", 0)
	who, err := s.oidc.identify(s.asking(r), q, r.FormValue("code"))
	if errors.Is(err, errNoIssuer) && r.Context().Err() == nil { // who hangs up has failed
		s.tries.giveBack(remote(r))
		s.noIssuer(w, r, err)
		return
	}
	if err != nil {
		s.log.Info("login refused", "from", r.RemoteAddr, "err", err, "said", r.FormValue("error"))
		s.askIn(w, r, http.StatusForbidden, "The login of your organization did not let you in.")
		return
	}
	s.tries.giveBack(remote(r))
	r.Form.Set("to", q.To)
	s.welcome(w, r, who, "")
}

// asking is the context of questions to the issuer.
func (s *Server) asking(r *http.Request) context.Context {
	return oidc.ClientContext(r.Context(), s.issuers)
}

// identify returns whom the issuer says somebody is.
func (o *voucher) identify(ctx context.Context, q quest, code string) (cluster.Identity, error) {
	provider, config, err := o.reach(ctx)
	if err != nil {
		return cluster.Identity{}, err
	}
	token, err := config.Exchange(ctx, code, oauth2.VerifierOption(q.Verifier))
	if said := (*oauth2.RetrieveError)(nil); err != nil && (!errors.As(err, &said) || said.Response.StatusCode >= 500) {
		return cluster.Identity{}, fmt.Errorf("%w: %w", errNoIssuer, err)
	}
	if err != nil {
		return cluster.Identity{}, err
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: o.ClientID}).Verify(ctx, raw)
	if err != nil {
		return cluster.Identity{}, err
	}
	if !hmac.Equal([]byte(id.Nonce), []byte(q.Nonce)) {
		return cluster.Identity{}, errors.New("the token is not for this login")
	}
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return cluster.Identity{}, err
	}
	return o.named(claims)
}

// named returns the identity that claims are about. Names that are Kubernetes'
// own are nobody's to claim.
func (o *voucher) named(claims map[string]any) (cluster.Identity, error) {
	name, _ := claims[o.UsernameClaim].(string)
	if name == "" {
		return cluster.Identity{}, fmt.Errorf("the token has no claim %q", o.UsernameClaim)
	}
	if verified, said := claims["email_verified"]; o.UsernameClaim == "email" && said && verified != true {
		return cluster.Identity{}, errors.New("the email address is not verified")
	}
	who := cluster.Identity{User: o.UsernamePrefix + name}
	if reserved(who.User) {
		return cluster.Identity{}, fmt.Errorf("%q is a name of Kubernetes' own", who.User)
	}
	list, _ := claims[o.GroupsClaim].([]any)
	if one, ok := claims[o.GroupsClaim].(string); ok {
		list = []any{one}
	}
	for _, g := range list {
		if g, ok := g.(string); ok && g != "" && !reserved(o.GroupsPrefix+g) {
			who.Groups = append(who.Groups, o.GroupsPrefix+g)
		}
	}
	slices.Sort(who.Groups)
	return who, nil
}

func reserved(name string) bool { return strings.HasPrefix(name, "system:") }

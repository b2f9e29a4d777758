package bucket

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/web"
)

// A role gives out the keys of an identity at Amazon, which its office remembers.
type role struct {
	office *cloud.Office
	p      place
}

func (s *Source) roleOf(p place) *role { return &role{s.Office.By(p.Access.Proxy), p} }

// IsExpired implements [credentials.Provider].
func (r *role) IsExpired() bool { return true }

// Retrieve implements [credentials.Provider].
func (r *role) Retrieve() (credentials.Value, error) { return r.RetrieveWithCredContext(nil) }

// RetrieveWithCredContext implements [credentials.Provider].
func (r *role) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	ctx, cancel := context.WithTimeout(context.Background(), r.p.Timeout) // which it has not got
	defer cancel()
	sts := ""
	if r.p.Access.Issuer != nil {
		sts = r.p.Access.Issuer.Endpoint
	}
	key, until, err := r.office.Amazon(ctx, r.p.Access.Cloud, r.p.Region, sts)
	if err != nil {
		return credentials.Value{}, web.CloudFailed(err)
	}
	return credentials.Value{AccessKeyID: key.ID, SecretAccessKey: key.Secret, SessionToken: key.Session, Expiration: until, SignerType: credentials.SignatureV4}, nil
}

const (
	azureStorage  = "https://storage.azure.com"
	googleStorage = "https://www.googleapis.com/auth/devstorage.read_only"
)

// plain returns a client that goes by t, and nowhere else than where it is sent.
func plain(t http.RoundTripper) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (s *Source) openBlobs(p place, t *http.Transport) (store, error) {
	b := &blobs{rest: rest{client: plain(t)}}
	switch g := p.Access.Grant; {
	case g == nil && p.Access.Cloud.Cloud != "":
		s.asIdentity(&b.rest, p, azureStorage+"/.default")
	case g == nil:
	case g.AccountKey != "":
		k, err := newSharedKey(p.URL, g.AccountKey, s.Now)
		if err != nil {
			return nil, err
		}
		b.sign = k.sign
	case g.SAS != "":
		sas, err := url.ParseQuery(strings.TrimPrefix(strings.TrimSpace(g.SAS), "?"))
		if err != nil {
			return nil, fail(source.ErrAuth, "sasKey is no query of a URL")
		}
		b.sas = sas
	default:
		a, err := cloud.NewAzure(g.Tenant, g.Client, g.Secret, g.Authority)
		if len(g.Certificate) > 0 {
			a, err = cloud.NewAzureCertificate(g.Tenant, g.Client, g.Authority, cloud.Certificate{Data: g.Certificate, Password: g.Password, Chain: g.Chain})
		}
		if err != nil {
			return nil, fail(source.ErrAuth, "%s", err)
		}
		s.byTokens(&b.rest, p, func(ctx context.Context, c *http.Client) (cloud.Token, error) {
			return a.Token(ctx, c, azureStorage, s.Now())
		})
	}
	return b, nil
}

func (s *Source) openStorage(p place, t *http.Transport) (store, error) {
	g := &storage{rest{client: plain(t)}}
	switch {
	case p.Access.Grant != nil:
		account, err := cloud.ReadGoogle(p.Access.Grant.Account)
		if err != nil {
			return nil, fail(source.ErrAuth, "%s", err)
		}
		s.byTokens(&g.rest, p, func(ctx context.Context, c *http.Client) (cloud.Token, error) {
			return account.Token(ctx, c, googleStorage, s.Now())
		})
	case p.Access.Cloud.Cloud != "":
		s.asIdentity(&g.rest, p, "")
	}
	return g, nil
}

// asIdentity has requests made by tokens of a place's identity.
func (s *Source) asIdentity(r *rest, p place, scope string) {
	office, id := s.Office.By(p.Access.Proxy), p.Access.Cloud
	r.sign = bearer(func(ctx context.Context) (string, error) { return office.Token(ctx, id, scope) })
	r.refused = func() { office.ForgetToken(id, scope) }
}

// byTokens has requests made by tokens that ask gets.
func (s *Source) byTokens(r *rest, p place, ask func(context.Context, *http.Client) (cloud.Token, error)) {
	tokens := &cloud.Tokens[string]{Now: s.Now}
	r.sign = bearer(func(ctx context.Context) (string, error) {
		return tokens.Get(ctx, "", func(ctx context.Context) (string, time.Time, error) {
			t, err := s.officeTransport(p)
			if err != nil {
				return "", time.Time{}, err
			}
			c := cloud.Client(t)
			defer c.CloseIdleConnections()
			token, err := ask(ctx, c)
			return token.Value, token.Until, err
		})
	})
	r.refused = func() { tokens.Forget("") }
}

// officeTransport returns by what offices are asked that a place's Secret names.
func (s *Source) officeTransport(p place) (http.RoundTripper, error) {
	if s.Office.Transport != nil {
		return s.Office.Transport, nil
	}
	t := cloud.Transport()
	if p.Access.Proxy != "" {
		u, err := url.Parse(p.Access.Proxy)
		if err != nil {
			return nil, fail(source.ErrAuth, "the proxy's address is no URL")
		}
		t.Proxy = http.ProxyURL(u)
	}
	return t, nil
}

// bearer returns what adds a token to a request.
func bearer(token func(context.Context) (string, error)) func(*http.Request) error {
	return func(r *http.Request) error {
		t, err := token(r.Context())
		if err != nil {
			return web.CloudFailed(err)
		}
		r.Header.Set("Authorization", "Bearer "+t)
		return nil
	}
}

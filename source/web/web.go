// Package web is what sources have in common that speak HTTP: how they get in,
// and what they may say of why they did not.
package web

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/source"
)

// A failure is an error of one of package source's kinds, which does not say
// so itself.
type failure struct {
	text string
	kind error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.kind }

// Fail returns an error of a kind, such as [source.ErrAuth].
func Fail(kind error, format string, args ...any) error {
	return &failure{fmt.Sprintf(format, args...), kind}
}

// Transport returns a transport that trusts whom a says, shows a's certificate
// and goes by a's proxy. Without one it goes by the environment's.
func Transport(a source.Access) (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if len(a.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(a.CA) {
			return nil, Fail(source.ErrAuth, "there is no certificate in ca.crt")
		}
		t.TLSClientConfig.RootCAs = pool
	}
	if len(a.Cert) > 0 || len(a.Key) > 0 {
		pair, err := tls.X509KeyPair(a.Cert, a.Key)
		if err != nil {
			return nil, Fail(source.ErrAuth, "tls.crt and tls.key are no client certificate and its key")
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	if a.Proxy != "" {
		u, err := url.Parse(a.Proxy)
		if err != nil {
			return nil, Fail(source.ErrAuth, "the proxy's address is no URL")
		}
		t.Proxy = http.ProxyURL(u)
	}
	return t, nil
}

// Key names a way in, and gives nothing away.
func Key(a source.Access, more ...string) string {
	c := a.Cloud
	parts := append(more, c.Cloud, c.Account, c.Role, c.Pool, a.Username, a.Password, a.Bearer, string(a.CA), string(a.Cert), string(a.Key), a.Proxy)
	if g := a.Grant; g != nil {
		parts = append(parts, g.Account, g.AccountKey, g.SAS, g.Tenant, g.Client, g.Secret, string(g.Certificate), g.Password, fmt.Sprint(g.Chain), g.Authority)
	}
	if i := a.Issuer; i != nil {
		parts = append(parts, i.Type, i.Endpoint, Key(i.Access))
	}
	h := sha256.New()
	for _, s := range parts {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Route returns what of a says that the server which is reached is the right one.
// Whoever trusts others, or goes by a proxy of his own, may talk to one that says
// what he likes.
func Route(a source.Access) source.Access {
	r := source.Access{CA: a.CA, KnownHosts: a.KnownHosts, Proxy: a.Proxy}
	if u, err := url.Parse(a.Proxy); err == nil {
		u.User = nil
		r.Proxy = u.String()
	}
	return r
}

// Untrusted reports whether err is about a certificate, the server's or ours.
func Untrusted(err error) bool {
	var bad *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var alert *net.OpError // of TLS, by its name
	return errors.As(err, &bad) || errors.As(err, &unknown) || errors.As(err, &alert) && alert.Op == "remote error"
}

// Why returns the words of err without the URL of the request: where a server
// redirects to, that holds a signature.
func Why(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err.Error()
	}
	return err.Error()
}

// CloudFailed returns an error that says why a cloud did not let somebody in.
func CloudFailed(err error) error {
	if cloud.Denied(err) {
		return Fail(source.ErrAuth, "%s", err)
	}
	return Fail(source.ErrNetwork, "%s", err)
}

// Hide removes a's secrets from text, if some server should repeat them.
func Hide(a source.Access, text string) string {
	secrets := []string{a.Password, a.Bearer}
	if u, err := url.Parse(a.Proxy); err == nil && u.User != nil {
		password, _ := u.User.Password()
		secrets = append(secrets, password)
	}
	if a.Issuer != nil {
		text = Hide(a.Issuer.Access, text)
	}
	if g := a.Grant; g != nil {
		secrets = append(secrets, g.AccountKey, g.SAS, g.Secret, g.Password)
	}
	for _, secret := range secrets {
		if len(secret) > 3 {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}

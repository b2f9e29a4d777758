package git

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/source"
)

// certificate returns a certificate that vouches for itself, and its key.
func certificate(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &priv.PublicKey, priv)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func TestClientCertificate(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t, "sane")
	stranger, strangerKey := certificate(t, "stranger")
	b := setup(t, gitserver.Options{TLS: true, Clients: cert})
	b.put(map[string]string{"a": "1"})
	for _, c := range []struct {
		name      string
		cert, key []byte
		kind      error
		words     string
	}{
		{"trusted", cert, key, nil, ""},
		{"none", nil, nil, source.ErrAuth, "wants a client certificate"},
		{"stranger", stranger, strangerKey, source.ErrAuth, "wants a client certificate, or another"},
		{"another's key", cert, strangerKey, source.ErrAuth, "can't be used"},
		{"no PEM", []byte("x"), key, source.ErrAuth, "can't be used"},
	} {
		b.at.Access = source.Access{CA: b.CA(), Cert: c.cert, Key: c.key}
		snap, err := b.try(mainRef)
		for range 20 { // in TLS 1.3 the connection may break before its alert is read
			if !errors.Is(err, source.ErrNetwork) {
				break
			}
			snap, err = b.try(mainRef)
		}
		switch {
		case c.kind == nil && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.kind == nil:
			b.reads(snap, "a", "1")
		default:
			b.fails(err, c.kind, c.words)
		}
	}
	if left, _ := os.ReadDir(b.src.temp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestProxy(t *testing.T) {
	t.Parallel()
	proxy := gitserver.StartProxy("ada", "open:sesame")
	t.Cleanup(proxy.Close)
	for _, tls := range []bool{false, true} {
		b := setup(t, gitserver.Options{TLS: tls, Username: "u", Password: "p"})
		b.put(map[string]string{"a": "1"})
		for _, c := range []struct {
			name  string
			proxy string
			kind  error
			words string
		}{
			{"let through", proxy.URL("ada", "open:sesame"), nil, ""},
			{"turned away", proxy.URL("ada", "wrong:pass"), source.ErrAuth, "the proxy does not accept the credentials"},
			{"nobody", proxy.Address(), source.ErrAuth, "the proxy does not accept the credentials"},
			{"no proxy", "http://127.0.0.1:1", source.ErrNetwork, ""},
			{"no URL", "proxy:3128", source.ErrAuth, "the proxy's address is not a URL"},
		} {
			b.at.Access = source.Access{CA: b.CA(), Username: "u", Password: "p", Proxy: c.proxy}
			before := proxy.Passed()
			snap, err := b.try(mainRef)
			switch {
			case c.kind == nil && err != nil:
				t.Errorf("%s (TLS %v): %v", c.name, tls, err)
			case c.kind == nil:
				b.reads(snap, "a", "1")
				if proxy.Passed() == before {
					t.Errorf("%s (TLS %v): nothing passed the proxy", c.name, tls)
				}
			default:
				b.fails(err, c.kind, c.words)
				if strings.Contains(fmt.Sprint(err), "sesame") || strings.Contains(fmt.Sprint(err), "wrong") {
					t.Errorf("%s: %v tells the password", c.name, err)
				}
			}
		}
		b.nowhere("sesame")
	}
	b := setup(t, gitserver.Options{})
	b.at = source.Remote{URL: "ssh://git@127.0.0.1/app.git", Access: source.Access{Proxy: proxy.Address(), Identity: []byte("x"), KnownHosts: []byte("x")}}
	_, err := b.try(mainRef)
	b.fails(err, source.ErrURL, "ssh can't go by it")
}

// nowhere checks that no file of the source tells a secret.
func (b *bench) nowhere(secret string) {
	b.Helper()
	for _, root := range []string{b.src.Dir, b.src.temp} {
		filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if data, _ := os.ReadFile(name); strings.Contains(string(data), secret) {
				b.Errorf("%s tells %q", name, secret)
			}
			return nil
		})
	}
}

package git

import (
	"context"
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
	"sync/atomic"
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
}

// TestMain lets the test's program be what ssh goes by a proxy with.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "ssh-tunnel" {
		if err := Tunnel(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// SSH goes by proxies, of which no command line tells the password.
func TestSSHProxy(t *testing.T) {
	t.Parallel()
	s := sshd(t)
	if _, err := s.Commit("app.git", "main", "x", map[string]string{"a": "1"}); err != nil {
		t.Fatal(err)
	}
	src := open(t, Config{Dir: t.TempDir(), Fresh: -1, Tunnel: []string{os.Args[0], "ssh-tunnel", "100%h 'y'"}})
	var told atomic.Bool
	look := func() {
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range lines {
			if line, _ := os.ReadFile(file); strings.Contains(string(line), "open:sesame") || strings.Contains(string(line), "open%3Asesame") {
				told.Store(true)
			}
		}
	}
	web := gitserver.StartProxy("ada", "open:sesame")
	t.Cleanup(web.Close)
	socks, err := gitserver.StartSOCKS("ada", "open:sesame")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(socks.Close)
	closed, err := gitserver.StartSOCKS("", "")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	web.Look, socks.Look = look, look
	b := &bench{T: t, src: src, at: source.Remote{URL: s.URL("app.git")}}
	for _, c := range []struct {
		name   string
		proxy  string
		passed func() int // what went by it
		kind   error
		words  string
	}{
		{"CONNECT", web.URL("ada", "open:sesame"), web.Passed, nil, ""},
		{"CONNECT, wrong password", web.URL("ada", "wrong:pass"), web.Passed, source.ErrAuth, "the proxy does not accept the credentials"},
		{"CONNECT, nobody", web.Address(), web.Passed, source.ErrAuth, "the proxy does not accept the credentials"},
		{"SOCKS", socks.URL("ada", "open:sesame"), socks.Passed, nil, ""},
		{"SOCKS, wrong password", socks.URL("ada", "wrong:pass"), socks.Passed, source.ErrAuth, "the proxy does not accept the credentials"},
		{"SOCKS, nobody", socks.Address(), socks.Passed, source.ErrAuth, "the proxy does not accept the credentials"},
		{"CONNECT of SOCKS's", strings.Replace(socks.Address(), "socks5:", "http:", 1), socks.Passed, source.ErrNetwork, "the proxy does not let us through"},
		{"no proxy", closed.Address(), closed.Passed, source.ErrNetwork, "the proxy can't be reached"},
		{"no URL", "proxy:3128", closed.Passed, source.ErrAuth, "the proxy's address is not a URL"},
	} {
		b.at.Access = source.Access{Identity: s.Identity, KnownHosts: s.KnownHosts, Proxy: c.proxy}
		before := c.passed()
		snap, err := b.try(mainRef)
		switch {
		case c.kind == nil && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.kind == nil:
			b.reads(snap, "a", "1")
			if c.passed() == before {
				t.Errorf("%s: nothing passed the proxy", c.name)
			}
		default:
			b.fails(err, c.kind, c.words)
		}
		if text := fmt.Sprint(err); strings.Contains(text, "sesame") || strings.Contains(text, "wrong:") {
			t.Errorf("%s: %v tells the password", c.name, err)
		}
	}
	b.at.Access = source.Access{Identity: s.Identity, KnownHosts: s.OtherHost, Proxy: web.URL("ada", "open:sesame")}
	_, err = b.try(mainRef)
	b.fails(err, source.ErrAuth, "host key is not in known_hosts")
	b.at.Access = source.Access{Identity: s.Identity, KnownHosts: s.KnownHosts, Proxy: web.Address()}
	b.src = open(t, Config{Dir: t.TempDir()})
	_, err = b.try(mainRef)
	b.fails(err, source.ErrURL, "ssh can't go by a proxy here")
	if told.Load() {
		t.Error("a command line tells the password")
	}
	b.nowhere("sesame")
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

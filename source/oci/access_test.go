package oci

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sane-gitops/sane/internal/ociserver"
	"github.com/sane-gitops/sane/source"
)

// clientPair returns a certificate that a client may show, its key, and who trusts
// it.
func clientPair(t testing.TB) (cert, key []byte, pool *x509.CertPool) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	data, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	must(t, err)
	parsed, err := x509.ParseCertificate(data)
	must(t, err)
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: data}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), pool
}

// proxy serves an HTTP proxy that wants a password, and counts what it passes
// on.
func proxy(t testing.TB) (url string, passed *atomic.Int64) {
	passed = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("bob:hunter3")) {
			http.Error(w, "who are you?", http.StatusProxyAuthRequired)
			return
		}
		to, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer to.Close()
		passed.Add(1)
		from, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer from.Close()
		fmt.Fprint(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(to, from); to.Close() }()
		_, _ = io.Copy(from, to)
	}))
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "://", "://bob:hunter3@", 1), passed
}

func TestAccess(t *testing.T) {
	cert, key, pool := clientPair(t)
	otherCert, otherKey, _ := clientPair(t)
	open1 := serve(t, ociserver.Options{})
	basic := serve(t, ociserver.Options{Username: "alice", Password: "hunter2"})
	secure := serve(t, ociserver.Options{TLS: true, Username: "alice", Password: "hunter2"})
	pair, err := tls.X509KeyPair(cert, key)
	must(t, err)
	mutual := serve(t, ociserver.Options{TLS: true, Clients: pool, Client: pair})
	gone := serve(t, ociserver.Options{})
	gone.Close()
	slow := serve(t, ociserver.Options{Hook: func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	}})
	loud := serve(t, ociserver.Options{Hook: func(w http.ResponseWriter, r *http.Request) bool {
		if _, password, ok := r.BasicAuth(); ok {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":"not with %s"}]}`, password)
			return true
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}})
	for _, s := range []*ociserver.Server{open1, basic, secure, mutual} {
		_, err := s.Files("team/app", "v1", map[string]string{"a": "1"})
		must(t, err)
	}
	through, passed := proxy(t)
	type access = source.Access
	alice := func(a access) access { a.Username, a.Password = "alice", "hunter2"; return a }
	for _, tt := range []struct {
		name     string
		server   *ociserver.Server
		insecure bool
		access   access
		err      error
		words    string
	}{
		{"plain", open1, true, access{}, nil, ""},
		{"plain, not allowed", open1, false, access{}, source.ErrNetwork, "HTTP response to HTTPS client"},
		{"password", basic, true, alice(access{}), nil, ""},
		{"wrong password", basic, true, access{Username: "alice", Password: "wrong-hunter2"}, source.ErrAuth, "401"},
		{"no password", basic, true, access{}, source.ErrAuth, "there are none"},
		{"trusted", secure, false, alice(access{CA: secure.CA()}), nil, ""},
		{"insecure and yet TLS", secure, true, alice(access{CA: secure.CA()}), nil, ""},
		{"not trusted", secure, false, alice(access{}), source.ErrAuth, "certificate"},
		{"insecure does not mean to trust anybody", secure, true, alice(access{}), source.ErrAuth, "certificate"},
		{"no certificate of a CA", secure, false, access{CA: []byte("none")}, source.ErrAuth, "ca.crt"},
		{"client certificate", mutual, false, access{CA: mutual.CA(), Cert: cert, Key: key}, nil, ""},
		{"another client", mutual, false, access{CA: mutual.CA(), Cert: otherCert, Key: otherKey}, source.ErrAuth, "certificate"},
		{"no client certificate", mutual, false, access{CA: mutual.CA(), Cert: cert, Key: []byte("hunter2")}, source.ErrAuth, "tls.crt and tls.key"},
		{"proxy", secure, false, alice(access{CA: secure.CA(), Proxy: through}), nil, ""},
		{"proxy, wrong password", secure, false, alice(access{CA: secure.CA(), Proxy: strings.Replace(through, "hunter3", "hunter2", 1)}), source.ErrNetwork, "Proxy"},
		{"nobody there", gone, true, access{}, source.ErrNetwork, "refused"},
		{"too slow", slow, true, access{}, source.ErrNetwork, "no answer within 1s"},
		{"repeats the password", loud, true, alice(access{}), source.ErrAuth, "403"},
	} {
		at := remoteOf(tt.server)
		at.Access, at.Insecure = tt.access, tt.insecure
		if tt.server == slow {
			at.Timeout = time.Second
		}
		_, err := get(t, open(t, t.TempDir(), -1), at, source.Ref{Tag: "v1"})
		if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || !strings.Contains(fmt.Sprint(err), tt.words) {
			t.Errorf("%s: error %v, want %v with %q", tt.name, err, tt.err, tt.words)
		}
		if strings.Contains(fmt.Sprint(err), "hunter") {
			t.Errorf("%s: the error tells a secret: %v", tt.name, err)
		}
	}
	if passed.Load() == 0 {
		t.Error("nothing went through the proxy")
	}
}

// Where a registry redirects to, the URL holds a signature, which is not told.
func TestRedirect(t *testing.T) {
	var to atomic.Value
	to.Store("")
	r := serve(t, ociserver.Options{Hook: func(w http.ResponseWriter, q *http.Request) bool {
		if u := to.Load().(string); u != "" && strings.Contains(q.URL.Path, "/blobs/") && q.URL.RawQuery == "" {
			http.Redirect(w, q, u, http.StatusTemporaryRedirect)
			return true
		}
		return false
	}})
	_, err := r.Files("team/app", "v1", map[string]string{"a": "1"})
	must(t, err)
	for _, url := range []string{"http://127.0.0.1:1/blob?signature=hunter2", "http://" + r.Host() + "/none?signature=hunter2"} {
		to.Store(url)
		_, err := get(t, open(t, t.TempDir(), -1), remoteOf(r), source.Ref{Tag: "v1"})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestURL(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"oci://ghcr.io/team/app", "oci://ghcr.io/team/app"},
		{"oci://ghcr.io/team/app/", "oci://ghcr.io/team/app"},
		{"oci://localhost:5000/app", "oci://localhost:5000/app"},
		{"oci://docker.io/alpine", "oci://docker.io/library/alpine"},
		{"https://ghcr.io/team/app", ""},
		{"oci://ghcr.io", ""},
		{"oci://ghcr.io/Team/App", ""},
		{"oci://ghcr.io/team/app:v1", ""},
		{"oci://ghcr.io/team/app@sha256:1f0c", ""},
		{"oci://alice:hunter2@ghcr.io/team/app", ""},
		{"", ""},
	} {
		p, err := parsePlace(source.Remote{URL: tt.url})
		if p.name != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: %q, %v", tt.url, p.name, err)
		}
		if err != nil && !errors.Is(err, source.ErrURL) {
			t.Errorf("%s: %v is not of a kind", tt.url, err)
		}
		if _, err := New(Config{}).Resolve(t.Context(), source.Remote{URL: tt.url}, source.Ref{Tag: "../"}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: Resolve: %v", tt.url, err)
		}
	}
}

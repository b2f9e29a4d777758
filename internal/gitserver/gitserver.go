// Package gitserver serves Git repositories on loopback: by HTTP, and by SSH with
// the machine's sshd. It is for tests, for the demo and for the benchmark.
package gitserver

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
)

// Options say how a Server lets people in. The zero Options let everyone in.
type Options struct {
	Username, Password string // HTTP basic; both "" means that none is asked for
	Bearer             string // bearer token
	TLS                bool   // serve HTTPS
	Clients            []byte // certificates, PEM, of which a client must show one by TLS; nil means that none is asked for
	Old                bool   // speak protocol 0 only and refuse to give commits by id, as old servers do
	Addr               string // where to listen; "" means a free port of 127.0.0.1

	// Hook, if it is not nil, sees every request first, and reports whether
	// it has answered it. A Hook that waits should end with r.Context().
	Hook func(w http.ResponseWriter, r *http.Request) bool
}

// A Server serves the repositories in a directory.
type Server struct {
	Repos
	opts Options
	http *httptest.Server
	said sync.Map // what git can do, by who is asked and how
	seen atomic.Int64
	sent atomic.Int64
	stop context.CancelFunc
}

// Start serves the bare repositories in dir until the server is closed.
func Start(dir string, opts Options) (*Server, error) {
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", opts.Addr)
	if err != nil {
		return nil, fmt.Errorf("gitserver: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{Repos: Repos(dir), opts: opts, stop: stop}
	s.http = &httptest.Server{Listener: l, Config: &http.Server{
		Handler:     s,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    nil,
	}}
	if opts.TLS {
		s.http.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		if opts.Clients != nil {
			s.http.TLS.ClientAuth, s.http.TLS.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
			s.http.TLS.ClientCAs.AppendCertsFromPEM(opts.Clients)
		}
		s.http.StartTLS()
	} else {
		s.http.Start()
	}
	return s, nil
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.seen.Add(1)
	if s.opts.Hook != nil && s.opts.Hook(w, r) {
		return
	}
	if !s.allowed(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	s.speak(&counter{w, &s.sent}, r)
}

// A counter counts the bytes of an answer.
type counter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return c.ResponseWriter.Write(p)
}

// Unwrap is for [http.ResponseController].
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (s *Server) allowed(r *http.Request) bool {
	if s.opts.Bearer != "" {
		return same(r.Header.Get("Authorization"), "Bearer "+s.opts.Bearer)
	}
	if s.opts.Username == "" && s.opts.Password == "" {
		return true
	}
	user, password, _ := r.BasicAuth()
	return same(user, s.opts.Username) && same(password, s.opts.Password)
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// URL returns where a repository is served.
func (s *Server) URL(repo string) string { return s.http.URL + "/" + repo }

// CA returns the certificate to trust, as PEM; nil without TLS.
func (s *Server) CA() []byte {
	c := s.http.Certificate()
	if c == nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// Requests returns how many requests have come in.
func (s *Server) Requests() int { return int(s.seen.Load()) }

// Sent returns how many bytes git has answered.
func (s *Server) Sent() int { return int(s.sent.Load()) }

// Close breaks off all requests and ends the server.
func (s *Server) Close() {
	s.stop()
	s.http.CloseClientConnections()
	s.http.Close()
}

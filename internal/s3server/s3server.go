// Package s3server serves buckets on loopback as S3 does, for tests.
package s3server

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// Options say how a Server lets people in. The zero Options let everyone in.
type Options struct {
	Key  string // the access key that requests must be signed with; the signature itself is not checked; "" means none
	TLS  bool   // serve HTTPS
	Addr string // where to listen; "" means a free port of 127.0.0.1

	// Hook, if it is not nil, sees every request first, and reports whether
	// it has answered it.
	Hook func(w http.ResponseWriter, r *http.Request) bool
}

// A Server serves buckets in memory.
type Server struct {
	opts    Options
	http    *httptest.Server
	backend gofakes3.Backend
	s3      http.Handler
	got     atomic.Int64
}

// Start serves until the server is closed. There is no bucket yet.
func Start(opts Options) (*Server, error) {
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", opts.Addr)
	if err != nil {
		return nil, fmt.Errorf("s3server: %w", err)
	}
	s := &Server{opts: opts, backend: s3mem.New()}
	s.s3 = gofakes3.New(s.backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	s.http = &httptest.Server{Listener: l, Config: &http.Server{Handler: s}}
	if opts.TLS {
		s.http.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		s.http.StartTLS()
	} else {
		s.http.Start()
	}
	return s, nil
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.opts.Hook != nil && s.opts.Hook(w, r) {
		return
	}
	if s.opts.Key != "" && !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="+s.opts.Key+"/") {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, "<Error><Code>InvalidAccessKeyId</Code><Message>Who are you?</Message></Error>")
		return
	}
	if r.Method == http.MethodGet && strings.Count(strings.Trim(r.URL.Path, "/"), "/") > 0 {
		s.got.Add(1)
	}
	s.s3.ServeHTTP(w, r)
}

// Create makes an empty bucket.
func (s *Server) Create(bucket string) error { return s.backend.CreateBucket(bucket) }

// Put makes or replaces an object.
func (s *Server) Put(bucket, key, content string) error {
	meta := map[string]string{"Last-Modified": time.Now().UTC().Format(http.TimeFormat)}
	_, err := s.backend.PutObject(bucket, key, meta, strings.NewReader(content), int64(len(content)), nil)
	return err
}

// Delete removes an object.
func (s *Server) Delete(bucket, key string) error {
	_, err := s.backend.DeleteObject(bucket, key)
	return err
}

// Replace makes a bucket hold these objects and no others.
func (s *Server) Replace(bucket string, objects map[string]string) error {
	list, err := s.backend.ListBucket(bucket, nil, gofakes3.ListBucketPage{})
	if err != nil {
		return err
	}
	for _, o := range list.Contents {
		if _, ok := objects[o.Key]; ok {
			continue
		}
		if _, err := s.backend.DeleteObject(bucket, o.Key); err != nil {
			return err
		}
	}
	for key, content := range objects {
		if err := s.Put(bucket, key, content); err != nil {
			return err
		}
	}
	return nil
}

// URL returns where the server is.
func (s *Server) URL() string { return s.http.URL }

// Host returns the host and port of the server.
func (s *Server) Host() string { return s.http.Listener.Addr().String() }

// CA returns the certificate to trust, as PEM; nil without TLS.
func (s *Server) CA() []byte {
	c := s.http.Certificate()
	if c == nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// Objects returns how many times objects were asked for.
func (s *Server) Objects() int { return int(s.got.Load()) }

// Close ends the server.
func (s *Server) Close() {
	s.http.CloseClientConnections()
	s.http.Close()
}

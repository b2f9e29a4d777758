// Package ociserver serves images on loopback, for tests.
package ociserver

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/sane-gitops/sane/digest"
)

// Options say how a Server lets people in. The zero Options let everyone in.
type Options struct {
	Username, Password string          // HTTP basic; both "" means that none is asked for
	TLS                bool            // serve HTTPS
	Clients            *x509.CertPool  // if set, TLS clients must have a certificate of these
	Client             tls.Certificate // with which the server's own methods come in
	Addr               string          // where to listen; "" means a free port of 127.0.0.1

	// Hook, if it is not nil, sees every request first, and reports whether
	// it has answered it.
	Hook func(w http.ResponseWriter, r *http.Request) bool
}

// A Server is a registry in memory.
type Server struct {
	opts     Options
	http     *httptest.Server
	registry http.Handler
	seen     atomic.Int64
}

// Start serves an empty registry until the server is closed.
func Start(opts Options) (*Server, error) {
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", opts.Addr)
	if err != nil {
		return nil, fmt.Errorf("ociserver: %w", err)
	}
	quiet := log.New(io.Discard, "", 0)
	s := &Server{opts: opts, registry: registry.New(registry.Logger(quiet), registry.WithReferrersSupport(true))}
	s.http = &httptest.Server{Listener: l, Config: &http.Server{Handler: s, ErrorLog: quiet}}
	if opts.TLS {
		s.http.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		if opts.Clients != nil {
			s.http.TLS.ClientCAs, s.http.TLS.ClientAuth = opts.Clients, tls.RequireAndVerifyClientCert
		}
		s.http.StartTLS()
		if opts.Clients != nil {
			own := s.http.Client().Transport.(*http.Transport).TLSClientConfig
			own.Certificates = []tls.Certificate{opts.Client}
		}
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
	user, password, _ := r.BasicAuth()
	if s.opts.Username+s.opts.Password != "" && !(same(user, s.opts.Username) && same(password, s.opts.Password)) {
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}`, http.StatusUnauthorized)
		return
	}
	s.registry.ServeHTTP(w, r)
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// Host returns the host and port at which the registry is.
func (s *Server) Host() string { return s.http.Listener.Addr().String() }

// URL returns a repository's URL as Flux writes it.
func (s *Server) URL(repo string) string { return "oci://" + s.Host() + "/" + repo }

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

// Close ends the server.
func (s *Server) Close() {
	s.http.CloseClientConnections()
	s.http.Close()
}

// A Layer is a part of an image.
type Layer struct {
	Files       map[string]string // of a gzipped tar archive
	Data        []byte            // instead of Files
	MediaType   string            // "" means Flux's own
	Annotations map[string]string
}

// The media types of what Flux publishes.
const (
	ConfigType  = "application/vnd.cncf.flux.config.v1+json"
	ContentType = "application/vnd.cncf.flux.content.v1.tar+gzip"
)

// Push publishes an image under a tag, or under none, and returns its digest.
func (s *Server) Push(repo, tag string, annotations map[string]string, layers ...Layer) (digest.Digest, error) {
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Annotations: annotations}
	var err error
	if m.Config, err = s.Blob(repo, ConfigType, []byte("{}")); err != nil {
		return "", err
	}
	for _, l := range layers {
		if l.MediaType == "" {
			l.MediaType = ContentType
		}
		if l.Data == nil {
			l.Data = Archive(l.Files)
		}
		d, err := s.Blob(repo, l.MediaType, l.Data)
		if err != nil {
			return "", err
		}
		d.Annotations = l.Annotations
		m.Layers = append(m.Layers, d)
	}
	return s.Manifest(repo, tag, m.MediaType, m)
}

// Files publishes an image with one layer of files, as `flux push artifact`
// does.
func (s *Server) Files(repo, tag string, files map[string]string) (digest.Digest, error) {
	return s.Push(repo, tag, nil, Layer{Files: files})
}

// Blob publishes some bytes.
func (s *Server) Blob(repo, mediaType string, data []byte) (ocispec.Descriptor, error) {
	r := s.repository(repo)
	d := content.NewDescriptorFromBytes(mediaType, data)
	if there, err := r.Blobs().Exists(context.Background(), d); err != nil || there {
		return d, err
	}
	return d, r.Blobs().Push(context.Background(), d, bytes.NewReader(data))
}

// Manifest publishes a manifest of any kind under a tag, or under none.
func (s *Server) Manifest(repo, tag, mediaType string, manifest any) (digest.Digest, error) {
	data, err := json.Marshal(manifest)
	if err != nil {
		return "", err
	}
	r := s.repository(repo)
	d := content.NewDescriptorFromBytes(mediaType, data)
	if tag == "" {
		tag = string(d.Digest)
	}
	return digest.Digest(d.Digest), r.Manifests().PushReference(context.Background(), d, bytes.NewReader(data), tag)
}

func (s *Server) repository(repo string) *remote.Repository {
	r, err := remote.NewRepository(s.Host() + "/" + repo)
	if err != nil {
		panic("ociserver: " + err.Error())
	}
	r.PlainHTTP = !s.opts.TLS
	r.Client = &auth.Client{Client: s.http.Client(), Cache: auth.NewCache(), Credential: auth.StaticCredential(s.Host(), auth.Credential{
		Username: s.opts.Username, Password: s.opts.Password,
	})}
	return r
}

// Archive returns a gzipped tar archive of files.
func Archive(files map[string]string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(files[name]))}
		if err := w.WriteHeader(h); err != nil {
			panic("ociserver: " + err.Error())
		}
		if _, err := io.Copy(w, strings.NewReader(files[name])); err != nil {
			panic("ociserver: " + err.Error())
		}
	}
	w.Close() // into memory
	z.Close()
	return b.Bytes()
}

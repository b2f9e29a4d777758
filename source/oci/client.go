package oci

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/source/web"
)

const (
	maxManifest = 4 << 20 // bytes
	maxPages    = 1000    // of tags
)

// A client talks to one registry in one way. It remembers the tokens that it
// was given, and keeps connections open.
type client struct {
	*http.Client
	auth *auth.Client

	mu    sync.Mutex
	plain *bool // whether the registry speaks HTTP without TLS; nil if that is not known yet
}

// client returns the client for a place.
func (s *Source) client(p place) (*client, error) {
	return s.clients.Get(p.wayIn(), s.Now(), func() (*client, error) { return s.newClient(p) })
}

func (s *Source) newClient(p place) (*client, error) {
	t, err := web.Transport(p.Access)
	if err != nil {
		return nil, err
	}
	again := retry.NewTransport(t)
	again.Policy = func() retry.Policy { return patience }
	plain := &http.Client{Transport: again}
	c := &auth.Client{Client: plain, Cache: auth.NewCache(), Credential: auth.StaticCredential(p.Host(), auth.Credential{
		Username: p.Username, Password: p.Password, RefreshToken: p.Bearer,
	})}
	if p.Cloud.Cloud != "" {
		c.Credential = s.byCloud(p)
	}
	c.SetUserAgent("sane")
	return &client{Client: plain, auth: c}, nil
}

// byCloud returns what a cloud lets its identity in by at its registry.
func (s *Source) byCloud(p place) auth.CredentialFunc {
	return func(ctx context.Context, host string) (auth.Credential, error) {
		if host != p.Host() { // a registry may send us to others
			return auth.EmptyCredential, nil
		}
		l, err := s.Office.By(p.Proxy).Registry(ctx, p.Cloud, cmp.Or(s.alias, host))
		if err != nil {
			return auth.EmptyCredential, fmt.Errorf("log in: %w", web.CloudFailed(err))
		}
		return auth.Credential{Username: l.User, Password: l.Password}, nil
	}
}

// patience is what a registry gets that is too busy for a moment.
var patience = &retry.GenericPolicy{
	Retryable: retry.DefaultPredicate,
	Backoff:   retry.ExponentialBackoff(200*time.Millisecond, 2, 0.1),
	MinWait:   100 * time.Millisecond, MaxWait: 2 * time.Second, MaxRetry: 2,
}

// repository returns what answers for a place.
func (s *Source) repository(ctx context.Context, p place) (*remote.Repository, error) {
	c, err := s.client(p)
	if err != nil {
		return nil, err
	}
	r := &remote.Repository{Client: c.auth, Reference: p.Reference, TagListMaxPages: maxPages,
		ReferrerListMaxPages: 10, MaxMetadataBytes: maxManifest}
	if p.insecure {
		r.PlainHTTP = c.isPlain(ctx, p.Host())
	}
	return r, nil
}

// isPlain reports whether a registry speaks HTTP without TLS. It is asked only
// where that is allowed.
func (c *client) isPlain(ctx context.Context, host string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.plain != nil {
		return *c.plain
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/v2/", nil)
	if err != nil {
		return true
	}
	resp, err := c.Client.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	plain := errors.Is(err, http.ErrSchemeMismatch)
	if err == nil || plain {
		c.plain = &plain
	}
	return err != nil && !web.Untrusted(err)
}

// head returns the digest of a tag's manifest.
func (s *Source) head(ctx context.Context, p place, tag string) (digest.Digest, error) {
	r, err := s.repository(ctx, p)
	if err != nil {
		return "", err
	}
	d, err := r.Resolve(ctx, tag)
	var unkind *errcode.ErrorResponse
	var unreachable *url.Error
	if err != nil && ctx.Err() == nil && !errors.As(err, &unreachable) &&
		(!errors.As(err, &unkind) || unkind.StatusCode == http.StatusMethodNotAllowed) { // it has no HEAD, or none with a digest
		var body io.ReadCloser
		if d, body, err = r.Manifests().FetchReference(ctx, tag); err == nil {
			body.Close()
		}
	}
	return digest.Digest(d.Digest), err
}

// list returns all tags.
func (s *Source) list(ctx context.Context, p place) ([]string, error) {
	r, err := s.repository(ctx, p)
	if err != nil {
		return nil, err
	}
	var all []string
	err = r.Tags(ctx, "", func(tags []string) error {
		all = append(all, tags...)
		return nil
	})
	return all, err
}

// manifest returns the manifest of a digest, and checks that it is that.
func (s *Source) manifest(ctx context.Context, r *remote.Repository, d digest.Digest) (ocispec.Descriptor, []byte, error) {
	desc, body, err := r.Manifests().FetchReference(ctx, string(d))
	if err != nil {
		return desc, nil, err
	}
	defer body.Close()
	if desc.Size > maxManifest {
		return desc, nil, unusable("its manifest has %d bytes, more than %d", desc.Size, maxManifest)
	}
	data, err := content.ReadAll(body, desc)
	return desc, data, err
}

// Package artifact speaks Flux's artifacts: the tarballs by which those who
// keep sources hand them, over HTTP, to those who use them.
package artifact

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/unpack"
)

// A Config says how tarballs are had.
type Config struct {
	Store    *unpack.Store // for their content; must be set
	Host     string        // host and port to ask instead of those in URLs; "" means those
	MaxBytes int64         // of a tarball; 0 means 1 GiB
	Client   *http.Client  // nil means one that follows the environment's proxy settings
}

// A Source has snapshots of tarballs that others make. A [source.Ref] names
// one by its revision and the digest of the tarball, so that nobody has to be
// asked what it means. What is here is not asked for again by whoever names the
// same URL. The digest alone is not enough: who knows it need not be one who can
// get at the content.
type Source struct{ Config }

var _ source.Source = (*Source)(nil)

// New returns a Source. It does not close c.Store.
func New(c Config) *Source {
	c.MaxBytes = cmp.Or(c.MaxBytes, 1<<30)
	if c.Client == nil {
		c.Client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	return &Source{c}
}

// Close ends connections that are not in use.
func (s *Source) Close() error {
	s.Client.CloseIdleConnections()
	return nil
}

// Resolve implements [source.Source]. It asks nobody.
func (s *Source) Resolve(ctx context.Context, at source.Remote, ref source.Ref) (source.Revision, error) {
	if err := ctx.Err(); err != nil {
		return source.Revision{}, err
	}
	if _, err := s.where(at.URL); err != nil {
		return source.Revision{}, err
	}
	if _, err := hasher(ref.Digest); err != nil {
		return source.Revision{}, fmt.Errorf("artifact %s: %w: %w", ref.Name, err, source.ErrRef)
	}
	return source.Revision{Name: ref.Name, Digest: ref.Digest}, nil
}

// Fetch implements [source.Source]. A tarball that is not at its place is
// [source.ErrNotFound]: it may have moved, or not have come yet. One that is
// there and is another is [source.ErrContent].
func (s *Source) Fetch(ctx context.Context, at source.Remote, _ source.Ref, rev source.Revision) (*source.Snapshot, error) {
	from, err := s.where(at.URL)
	if err != nil {
		return nil, err
	}
	if _, err := hasher(rev.Digest); err != nil {
		return nil, fmt.Errorf("artifact %s: %w: %w", rev.Name, err, source.ErrRef)
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(at.Timeout, time.Minute))
	defer cancel()
	tree, err := s.Store.Tree(ctx, digest.Of(fmt.Appendf(nil, "artifact\n%s\n%s", from, rev.Digest)), func(w *unpack.Writer) error {
		body, err := s.get(ctx, from)
		if err != nil {
			return err
		}
		defer body.Close()
		return fill(w, &bounded{body, s.MaxBytes, s.MaxBytes}, rev.Digest)
	})
	if err != nil {
		return nil, fmt.Errorf("fetch artifact %s from %s: %w", rev.Name, from.Redacted(), sorted(err))
	}
	return &source.Snapshot{Revision: rev, Tree: tree}, nil
}

// where returns where a tarball is had from.
func (s *Source) where(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err == nil && u.Scheme != "http" && u.Scheme != "https" {
		err = fmt.Errorf("scheme %q is neither http nor https", u.Scheme)
	}
	if err == nil && u.Host == "" {
		err = errors.New("there is no host")
	}
	if err != nil {
		var bad *url.Error
		if errors.As(err, &bad) {
			err = bad.Err // without the URL, which may hold a password
		}
		return nil, fmt.Errorf("artifact: %w: %w", source.ErrURL, err)
	}
	if s.Host != "" {
		u.Host = s.Host
	}
	return u, nil
}

// get asks for a tarball.
func (s *Source) get(ctx context.Context, from *url.URL) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "identity") // its digest is that of the file as it is
	res, err := s.Client.Do(req)
	if err != nil {
		var bad *url.Error
		if errors.As(err, &bad) {
			err = bad.Err // the URL is told anyway
		}
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	res.Body.Close()
	return nil, answer(res.StatusCode)
}

// An answer is an HTTP status other than success.
type answer int

func (a answer) Error() string {
	return fmt.Sprintf("the server answers %d %s", int(a), http.StatusText(int(a)))
}

// sorted returns err as one of the kinds of errors that sources have.
func sorted(err error) error {
	for _, kind := range []error{source.ErrContent, source.ErrStorage, source.ErrNotFound} {
		if errors.Is(err, kind) {
			return err
		}
	}
	kind := source.ErrNetwork
	switch a := answer(0); {
	case !errors.As(err, &a):
	case a == http.StatusNotFound, a == http.StatusGone:
		kind = source.ErrNotFound
	case a == http.StatusUnauthorized, a == http.StatusForbidden:
		kind = source.ErrAuth
	}
	return fmt.Errorf("%w: %w", kind, steady(err))
}

// steady returns err without our end of the connection, which is another each
// time: what happens again is to be told once.
func steady(err error) error {
	op := new(net.OpError)
	if !errors.As(err, &op) {
		return err
	}
	same := *op
	same.Source = nil
	return &same
}

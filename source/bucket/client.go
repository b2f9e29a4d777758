package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/unpack"
	"github.com/sane-gitops/sane/source/web"
)

// maxObjects bounds a listing.
const maxObjects = 200_000

func fail(kind error, format string, args ...any) error { return web.Fail(kind, format, args...) }

// A place is a bucket, or a part of one, and what it takes to get in.
type place struct {
	source.Remote
	bucket, prefix string
	ignore         string // rules for what does not count
	key            string // begins with the URL and a space; stands for all but Timeout
	route          string // stands for what of that decides what is there, and not for who gets in
}

func placeOf(at source.Remote, ref source.Ref) place {
	p := place{Remote: at, bucket: ref.Name, prefix: ref.Prefix, ignore: ref.Ignore}
	if p.Timeout == 0 {
		p.Timeout = time.Minute
	}
	p.key = at.URL + " " + web.Key(at.Access, at.URL, at.Region, at.API, p.bucket, p.prefix, p.ignore)
	p.route = at.URL + " " + web.Key(web.Route(at.Access), at.URL, at.Region, at.API, p.bucket, p.prefix, p.ignore)
	return p
}

// isAt reports whether a key is that of a place with this URL.
func isAt(key, url string) bool { return strings.HasPrefix(key, url+" ") }

func (p place) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, p.Timeout, fail(source.ErrNetwork, "no answer within %s", p.Timeout))
}

// shown is what people call it.
func (p place) shown() string {
	if p.prefix == "" {
		return p.bucket
	}
	return p.bucket + "/" + p.prefix
}

// A client talks to one server in one way.
type client struct {
	*http.Transport
	store
}

// client returns the client for a place.
func (s *Source) client(p place) (*client, error) {
	return s.clients.Get(web.Key(p.Access, p.URL, p.Region, p.API), s.Now(), func() (*client, error) { return s.newClient(p) })
}

func (s *Source) newClient(p place) (*client, error) {
	u, err := url.Parse(p.URL)
	if err != nil || u.Host == "" {
		return nil, fail(source.ErrURL, "the endpoint is no URL")
	}
	t, err := web.Transport(p.Access)
	if err != nil {
		return nil, err
	}
	open := map[string]func(place, *http.Transport) (store, error){"": s.openS3, "azure": s.openBlobs, "gcp": s.openStorage}[p.API]
	if open == nil {
		return nil, fail(source.ErrURL, "the API %q is not supported", p.API)
	}
	at, err := open(p, t)
	if err != nil {
		return nil, err
	}
	return &client{Transport: t, store: at}, nil
}

// An s3 is the API of Amazon's S3.
type s3 struct{ core minio.Core }

func (s *Source) openS3(p place, t *http.Transport) (store, error) {
	proof, err := s.proofOf(p)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(p.URL)
	if err != nil {
		return nil, fail(source.ErrURL, "the endpoint is no URL")
	}
	m, err := minio.New(u.Host, &minio.Options{Creds: proof, Secure: u.Scheme == "https", Transport: t, Region: p.Region, MaxRetries: 3})
	if err != nil {
		return nil, fail(source.ErrURL, "%s", err)
	}
	m.SetAppInfo("sane", "1")
	return s3{minio.Core{Client: m}}, nil
}

// proofOf returns by what requests are signed.
func (s *Source) proofOf(p place) (*credentials.Credentials, error) {
	i := p.Access.Issuer
	if p.Access.Cloud.Cloud != "" {
		return credentials.New(s.roleOf(p)), nil
	}
	if i == nil {
		kind := credentials.SignatureV4
		if p.Access.Username == "" {
			kind = credentials.SignatureAnonymous
		}
		return credentials.NewStatic(p.Access.Username, p.Access.Password, "", kind), nil
	}
	issuing := i.Access
	issuing.Proxy = p.Access.Proxy
	t, err := web.Transport(issuing)
	if err != nil {
		return nil, err
	}
	to := &http.Client{Transport: t, Timeout: p.Timeout}
	switch i.Type {
	case "aws":
		t.Proxy = uneavesdropped(t.Proxy)
		return credentials.New(&credentials.IAM{Client: to, Endpoint: i.Endpoint, Region: p.Region}), nil
	case "ldap":
		return credentials.New(&credentials.LDAPIdentity{Client: to, STSEndpoint: i.Endpoint,
			LDAPUsername: i.Access.Username, LDAPPassword: i.Access.Password}), nil
	}
	return nil, fail(source.ErrURL, "credentials by %q are not supported", i.Type)
}

// uneavesdropped returns by which proxy to go to where our own credentials come
// from: by none if it could read them.
func uneavesdropped(proxy func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		if r.URL.Scheme != "https" {
			return nil, nil
		}
		return proxy(r)
	}
}

func (c s3) list(ctx context.Context, p place) (index, error) {
	if err := s3utils.CheckValidBucketName(p.bucket); err != nil {
		return nil, fail(source.ErrURL, "%s", err)
	}
	var all index
	for o := range c.core.ListObjectsIter(ctx, p.bucket, minio.ListObjectsOptions{Recursive: true, Prefix: p.prefix}) {
		if o.Err != nil {
			return nil, o.Err
		}
		if len(all) == maxObjects {
			return nil, tooMany()
		}
		all = append(all, entry{key: o.Key, tag: o.ETag, size: o.Size})
	}
	return all, ctx.Err()
}

func (c s3) open(ctx context.Context, p place, e entry) (io.ReadCloser, error) {
	opts := minio.GetObjectOptions{}
	if err := opts.SetMatchETag(e.tag); err != nil {
		return nil, err
	}
	body, info, _, err := c.core.GetObject(ctx, p.bucket, e.key, opts)
	if err == nil && info.ETag != e.tag {
		body.Close()
		err = changed(e)
	}
	return body, about(e, err)
}

func (c s3) check(ctx context.Context, p place, e entry) error {
	opts := minio.StatObjectOptions{}
	if err := opts.SetMatchETag(e.tag); err != nil {
		return err
	}
	info, err := c.core.StatObject(ctx, p.bucket, e.key, opts)
	if err == nil && info.ETag != e.tag {
		err = changed(e)
	}
	return about(e, err)
}

func changed(e entry) error {
	return fail(source.ErrNetwork, "the object %q has changed meanwhile", e.key)
}

// about says which object err is about.
func about(e entry, err error) error {
	switch code := minio.ToErrorResponse(err).Code; {
	case err == nil:
		return nil
	case code == minio.PreconditionFailed, code == minio.NoSuchKey:
		return changed(e)
	}
	return fmt.Errorf("object %q: %w", e.key, err)
}

// get returns the content of an object.
func (c *client) get(ctx context.Context, p place, e entry) ([]byte, error) {
	body, err := c.open(ctx, p, e)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, e.size+1))
	if err == nil && int64(len(data)) != e.size {
		err = changed(e)
	}
	return data, about(e, err)
}

// write adds an object to a tree: what was fetched of it, or all if it is
// large.
func (c *client) write(ctx context.Context, p place, e entry, got []byte, w *unpack.Writer) error {
	if got != nil || e.size <= small {
		return w.File(e.name(), strings.NewReader(string(got)))
	}
	body, err := c.open(ctx, p, e)
	if err != nil {
		return err
	}
	defer body.Close()
	return w.File(e.name(), body)
}

// kinds are what an error can be known as.
var kinds = []error{source.ErrURL, source.ErrAuth, source.ErrNotFound, source.ErrNetwork, source.ErrStorage, source.ErrContent}

// failed returns err as an error of one kind, without anything secret in it.
func (p place) failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	for _, k := range kinds {
		if errors.Is(err, k) {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fail(kindOf(err), "%s", web.Hide(p.Access, words(err)))
}

func kindOf(err error) error {
	var no minio.ErrorResponse
	var noKeys credentials.ErrorResponse
	var answer *refusal
	if errors.As(err, &answer) {
		no.StatusCode = answer.status
		err = no
	}
	switch {
	case web.Untrusted(err), errors.As(err, &noKeys):
		return source.ErrAuth
	case !errors.As(err, &no):
		return source.ErrNetwork
	case no.StatusCode == http.StatusUnauthorized, no.StatusCode == http.StatusForbidden:
		return source.ErrAuth
	case no.StatusCode == http.StatusNotFound:
		return source.ErrNotFound
	}
	return source.ErrNetwork
}

// words says what went wrong.
func words(err error) string {
	var no minio.ErrorResponse
	if errors.As(err, &no) && no.Code != "" {
		return fmt.Sprintf("the server answers %s: %s", no.Code, no.Message)
	}
	return web.Why(err)
}

package oci

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/source"
)

// A failure is an error of one of source's kinds.
type failure struct {
	text string
	kind error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.kind }

// unusable returns an error about the image, which waits for another one.
func unusable(format string, args ...any) error {
	return fault.Input(&failure{fmt.Sprintf(format, args...), source.ErrContent})
}

// kinds are what an error can be known as.
var kinds = []error{source.ErrURL, source.ErrAuth, source.ErrNotFound, source.ErrNetwork, source.ErrStorage,
	source.ErrRef, source.ErrProof, source.ErrContent}

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
	return &failure{p.hide(words(err)), kindOf(err)}
}

func kindOf(err error) error {
	var no *errcode.ErrorResponse
	switch {
	case errors.As(err, &no) && (no.StatusCode == http.StatusUnauthorized || no.StatusCode == http.StatusForbidden):
		return source.ErrAuth
	case errors.As(err, &no) && no.StatusCode == http.StatusNotFound, errors.Is(err, errdef.ErrNotFound):
		return source.ErrNotFound
	case errors.Is(err, content.ErrMismatchedDigest), errors.Is(err, content.ErrTrailingData):
		return source.ErrContent
	case untrusted(err):
		return source.ErrAuth
	}
	return source.ErrNetwork
}

// untrusted reports whether err is about a certificate.
func untrusted(err error) bool {
	var bad *tls.CertificateVerificationError
	var alert tls.AlertError
	var unknown x509.UnknownAuthorityError
	return errors.As(err, &bad) || errors.As(err, &alert) || errors.As(err, &unknown)
}

// words says what went wrong. URLs are left out: where a registry redirects to,
// they hold a signature.
func words(err error) string {
	var no *errcode.ErrorResponse
	if errors.As(err, &no) {
		text := fmt.Sprintf("the registry answers %d %s", no.StatusCode, http.StatusText(no.StatusCode))
		if len(no.Errors) > 0 {
			text += ": " + no.Errors.Error()
		}
		return text
	}
	var web *url.Error
	if errors.As(err, &web) {
		return web.Err.Error()
	}
	return err.Error()
}

// hide removes p's secrets from text, if some server should repeat them.
func (p place) hide(text string) string {
	secrets := []string{p.Password, p.Bearer}
	if u, err := url.Parse(p.Proxy); err == nil && u.User != nil {
		password, _ := u.User.Password()
		secrets = append(secrets, password)
	}
	for _, secret := range secrets {
		if len(secret) > 3 {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}

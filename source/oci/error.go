package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/web"
)

// unusable returns an error about the image, which waits for another one.
func unusable(format string, args ...any) error {
	return fault.Input(web.Fail(source.ErrContent, format, args...))
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
	return web.Fail(kindOf(err), "%s", web.Hide(p.Access, words(err)))
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
	case web.Untrusted(err), errors.Is(err, auth.ErrBasicCredentialNotFound):
		return source.ErrAuth
	}
	return source.ErrNetwork
}

// words says what went wrong.
func words(err error) string {
	var no *errcode.ErrorResponse
	if errors.As(err, &no) {
		text := fmt.Sprintf("the registry answers %d %s", no.StatusCode, http.StatusText(no.StatusCode))
		if len(no.Errors) > 0 {
			text += ": " + no.Errors.Error()
		}
		return text
	}
	if errors.Is(err, auth.ErrBasicCredentialNotFound) {
		return "the registry asks for a user and a password, and there are none for it"
	}
	return web.Why(err)
}

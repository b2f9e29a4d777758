package sops

import (
	"context"
	"errors"
	"fmt"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
)

// A Guard renders with another Renderer, and refuses Secrets that are still
// encrypted then: nobody who reads them could do anything with them.
type Guard struct {
	Next render.Renderer
}

// Render implements [render.Renderer].
func (g Guard) Render(ctx context.Context, in render.Input) ([]object.Object, error) {
	objects, err := g.Next.Render(ctx, in)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, o := range objects {
		if !isSecret(o) || !IsEncrypted(o) {
			continue
		}
		_, file := render.From(o)
		why := "set spec.decryption, with the provider sops and a secretRef to the keys"
		if in.Recipe.Decrypt != nil {
			why = fmt.Sprintf("take away its mark %s", in.Recipe.Decrypt.Unless.Key)
		}
		errs = append(errs, fmt.Errorf("%s: %s is encrypted with SOPS: %s", file, o, why))
	}
	if len(errs) > 0 {
		return nil, fault.Input(errors.Join(errs...))
	}
	return objects, nil
}

package oci

import (
	"context"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/web"
)

// prove returns an error unless an image bears the signature that is asked for.
func (s *Source) prove(ctx context.Context, repo *remote.Repository, proof *source.Proof, image ocispec.Descriptor) error {
	return web.Fail(source.ErrProof, "verification by %s is not supported yet", proof.Method)
}

package oci

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/web"
)

// Bounds of what is looked at of an image's signatures.
const (
	maxSignatures = 50
	maxSignature  = 1 << 20 // bytes
)

// prove returns by what an image is proven; "" if the proof asks for nothing.
func (s *Source) prove(ctx context.Context, repo *remote.Repository, proof *source.Proof, image ocispec.Descriptor) (string, error) {
	switch proof.Method {
	case "cosign":
		return proof.Method, s.cosign(ctx, repo, proof, image)
	case "notation":
		return notation(ctx, repo, proof, image)
	}
	return "", unproven("verification by %q is not supported", proof.Method)
}

func unproven(format string, args ...any) error { return web.Fail(source.ErrProof, format, args...) }

// all joins why no signature would do.
func all(why []error) error {
	if len(why) == 0 {
		return unproven("it bears no signature")
	}
	var texts []string
	for _, err := range why[:min(len(why), 3)] {
		texts = append(texts, err.Error())
	}
	return unproven("none of its %d signatures is by anybody who is trusted: %s", len(why), strings.Join(texts, "; "))
}

// A signature is what came with an image to prove it: a payload that was
// signed, with annotations that say by whom, or a whole bundle.
type signature struct {
	payload     []byte
	annotations map[string]string
	bundle      []byte
}

// signatures returns the signatures that cosign has left beside an image.
func signatures(ctx context.Context, repo *remote.Repository, image ocispec.Descriptor) ([]signature, error) {
	old, err := tagged(ctx, repo, image)
	if err != nil {
		return nil, err
	}
	referring, err := bundles(ctx, repo, image)
	return append(old, referring...), err
}

const payloadType = "application/vnd.dev.cosign.simplesigning.v1+json"

// tagged returns the signatures under the tag that is made of the image's
// digest.
func tagged(ctx context.Context, repo *remote.Repository, image ocispec.Descriptor) ([]signature, error) {
	m, err := manifestAt(ctx, repo, strings.Replace(string(image.Digest), ":", "-", 1)+".sig")
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []signature
	for _, l := range m.Layers[:min(len(m.Layers), maxSignatures)] {
		if l.MediaType != payloadType {
			continue
		}
		data, err := blob(ctx, repo, l)
		if err != nil {
			return nil, err
		}
		found = append(found, signature{payload: data, annotations: l.Annotations})
	}
	return found, nil
}

const bundleType = "application/vnd.dev.sigstore.bundle"

// bundles returns the bundles that refer to an image.
func bundles(ctx context.Context, repo *remote.Repository, image ocispec.Descriptor) ([]signature, error) {
	var refs []ocispec.Descriptor
	err := repo.Referrers(ctx, image, "", func(some []ocispec.Descriptor) error {
		for _, r := range some {
			kind := r.ArtifactType // some registries tell the type of the manifest's config instead
			if (strings.HasPrefix(kind, bundleType) || kind == ocispec.MediaTypeEmptyJSON) && len(refs) < maxSignatures {
				refs = append(refs, r)
			}
		}
		return nil
	})
	if err != nil && !missing(err) {
		return nil, err
	}
	var found []signature
	for _, r := range refs {
		m, err := manifestAt(ctx, repo, string(r.Digest))
		if err != nil {
			return nil, err
		}
		for _, l := range m.Layers[:min(len(m.Layers), 1)] {
			if !strings.HasPrefix(l.MediaType, bundleType) {
				continue
			}
			data, err := blob(ctx, repo, l)
			if err != nil {
				return nil, err
			}
			found = append(found, signature{bundle: data})
		}
	}
	return found, nil
}

// missing reports whether err says that there is nothing of that name.
func missing(err error) bool {
	var no *errcode.ErrorResponse
	return errors.Is(err, errdef.ErrNotFound) || errors.As(err, &no) && no.StatusCode == 404
}

// manifestAt returns the manifest under a tag or a digest.
func manifestAt(ctx context.Context, repo *remote.Repository, ref string) (m ocispec.Manifest, err error) {
	desc, body, err := repo.Manifests().FetchReference(ctx, ref)
	if err != nil {
		return m, err
	}
	defer body.Close()
	if desc.Size > maxManifest {
		return m, unproven("the manifest of a signature has %d bytes, more than %d", desc.Size, maxManifest)
	}
	data, err := content.ReadAll(body, desc)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, unproven("the manifest of a signature is no JSON: %s", err)
	}
	return m, nil
}

// blob returns a small blob.
func blob(ctx context.Context, repo *remote.Repository, d ocispec.Descriptor) ([]byte, error) {
	if d.Size > maxSignature {
		return nil, unproven("a signature has %d bytes, more than %d", d.Size, maxSignature)
	}
	return content.FetchAll(ctx, repo.Blobs(), d)
}

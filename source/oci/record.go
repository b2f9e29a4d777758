package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/unpack"
)

// A record is what is kept of an image that was let in.
type record struct {
	Manifest ocispec.Manifest
	Proven   string // the Method of its proof, if it needed any
}

const recordFile = "record.json"

// record returns what is known of an image, which is asked for and verified
// unless that was done before by the same way in and with the same proof.
func (s *Source) record(ctx context.Context, p place, proof *source.Proof, d digest.Digest) (record, error) {
	tree, err := s.Store.Tree(ctx, recordName(p, proof, d), func(w *unpack.Writer) error {
		r, err := s.admit(ctx, p, proof, d)
		if err != nil {
			return err
		}
		data, err := json.Marshal(r)
		if err != nil {
			return err
		}
		return w.File(recordFile, bytes.NewReader(data))
	})
	if err != nil {
		return record{}, err
	}
	data, err := tree.ReadFile(recordFile)
	if err != nil {
		return record{}, err
	}
	var r record
	err = json.Unmarshal(data, &r)
	return r, err
}

func recordName(p place, proof *source.Proof, d digest.Digest) digest.Digest {
	asked, err := json.Marshal(proof)
	if err != nil {
		panic("oci: " + err.Error()) // of bytes and strings
	}
	return digest.Of(fmt.Appendf(nil, "image\n%s\n%s\n%s", p.key, d, asked))
}

// layer returns the content of a layer to a way in that the registry has given
// it to, or begins to now.
func (s *Source) layer(ctx context.Context, p place, layer ocispec.Descriptor) (*unpack.Tree, error) {
	given := false
	tree, err := s.Store.Tree(ctx, digest.Of(fmt.Appendf(nil, "layer\n%s\n%s", p.route, layer.Digest)), func(w *unpack.Writer) error {
		given = true
		return s.unpack(ctx, p, layer, w)
	})
	if err != nil {
		return nil, err
	}
	_, err = s.Store.Tree(ctx, digest.Of(fmt.Appendf(nil, "let in to layer\n%s\n%s", p.key, layer.Digest)), func(*unpack.Writer) error {
		if given {
			return nil
		}
		body, err := s.blob(ctx, p, layer)
		if err != nil {
			return err
		}
		return body.Close() // the rest is here
	})
	return tree, err
}

// blob asks for a layer.
func (s *Source) blob(ctx context.Context, p place, layer ocispec.Descriptor) (io.ReadCloser, error) {
	repo, err := s.repository(ctx, p)
	if err != nil {
		return nil, err
	}
	return repo.Blobs().Fetch(ctx, layer)
}

// admit fetches and verifies an image's manifest.
func (s *Source) admit(ctx context.Context, p place, proof *source.Proof, d digest.Digest) (record, error) {
	repo, err := s.repository(ctx, p)
	if err != nil {
		return record{}, err
	}
	desc, data, err := s.manifest(ctx, repo, d)
	if err != nil {
		return record{}, err
	}
	var r record
	if proof != nil {
		if r.Proven, err = s.prove(ctx, repo, proof, desc); err != nil {
			return record{}, err
		}
	}
	if isIndex(desc.MediaType) {
		one, err := forLinux(data)
		if err != nil {
			return record{}, err
		}
		if _, data, err = s.manifest(ctx, repo, one); err != nil {
			return record{}, err
		}
	}
	if err := json.Unmarshal(data, &r.Manifest); err != nil {
		return record{}, unusable("its manifest is no JSON: %s", err)
	}
	return r, nil
}

func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == "application/vnd.docker.distribution.manifest.list.v2+json"
}

// forLinux returns the image in an index that is taken where nobody asks for a
// platform.
func forLinux(data []byte) (digest.Digest, error) {
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return "", unusable("its index is no JSON: %s", err)
	}
	for _, m := range index.Manifests {
		if m.Platform != nil && m.Platform.OS == "linux" && m.Platform.Architecture == "amd64" {
			return parseDigest(digest.Digest(m.Digest))
		}
	}
	return "", unusable("it is an index of %d images, none of which is for linux/amd64", len(index.Manifests))
}

// layer returns the first layer of a media type; "" means any.
func (r record) layer(mediaType string) (ocispec.Descriptor, error) {
	layers := r.Manifest.Layers
	if len(layers) == 0 {
		return ocispec.Descriptor{}, unusable("no layers found in artifact")
	}
	for _, l := range layers {
		if mediaType == "" || l.MediaType == mediaType {
			_, err := parseDigest(digest.Digest(l.Digest))
			return l, err
		}
	}
	var have []string
	for _, l := range layers {
		have = append(have, l.MediaType)
	}
	return ocispec.Descriptor{}, unusable("failed to find layer with media type '%s' in artifact: it has %q", mediaType, have)
}

// unpack writes the content of a layer, and checks that it is that.
func (s *Source) unpack(ctx context.Context, p place, layer ocispec.Descriptor, w *unpack.Writer) error {
	if layer.Size > s.Store.MaxBytes {
		return unusable("its layer has %d bytes, more than %d", layer.Size, s.Store.MaxBytes)
	}
	body, err := s.blob(ctx, p, layer)
	if err != nil {
		return err
	}
	defer body.Close()
	all := content.NewVerifyReader(body, layer)
	err = w.TarGz(all)
	if errors.Is(err, source.ErrContent) { // or it came damaged
		_, _ = io.Copy(io.Discard, all) // Verify says whether that failed
	}
	if bad := all.Verify(); bad != nil && (err == nil || errors.Is(err, source.ErrContent)) {
		return fmt.Errorf("layer %s: %w", layer.Digest, bad)
	}
	return err
}

package oci

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/sane-gitops/sane/source"
)

// Whatever a registry says is a manifest, a layer of it has a sound digest.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"layers":[{"mediaType":"a","digest":"sha256:1f0c3d"}]}`), "a")
	f.Add([]byte(`{"manifests":[{"digest":"../x","platform":{"os":"linux","architecture":"amd64"}}]}`), "")
	f.Fuzz(func(t *testing.T, data []byte, kind string) {
		if d, err := forLinux(data); err == nil && digest.Digest(d).Validate() != nil {
			t.Errorf("an index gives %q", d)
		}
		var r record
		if json.Unmarshal(data, &r.Manifest) != nil {
			return
		}
		l, err := r.layer(kind)
		if err == nil && (l.Digest.Validate() != nil || kind != "" && l.MediaType != kind) {
			t.Errorf("layer %+v", l)
		}
	})
}

// Whatever was signed, it proves no image but the one that it names.
func FuzzSignature(f *testing.F) {
	image := ocispec.Descriptor{Digest: digest.FromString("image")}
	f.Add(string(payloadOf("sha256:1f0c")), "c2ln", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----", `{"Payload":{"body":"e30="}}`, `{}`)
	f.Fuzz(func(t *testing.T, payload, signed, cert, entry, stamp string) {
		s := signature{payload: []byte(payload), annotations: map[string]string{
			"dev.cosignproject.cosign/signature":   signed,
			"dev.sigstore.cosign/certificate":      cert,
			"dev.sigstore.cosign/bundle":           entry,
			"dev.sigstore.cosign/rfc3161timestamp": stamp,
		}}
		if claims(s.payload, image) == nil && !strings.Contains(payload, image.Digest.Encoded()[:8]) && !strings.Contains(payload, `\u`) {
			t.Errorf("%q claims the image", payload)
		}
		_, _ = s.toBundle([]byte(signed))
		if err := (judge{}).checkBundle([]byte(payload), image); err == nil {
			t.Error("proven by nobody")
		}
	})
}

// Whatever tags there are, one in range is chosen, or none is found.
func FuzzChoose(f *testing.F) {
	f.Add("1.0.0\nv1.2.0\nlatest", "1.x", ".*")
	f.Fuzz(func(t *testing.T, tags, within, among string) {
		w, err := parseRef(source.Ref{Semver: within, Filter: among})
		if err != nil || w.within == nil {
			return
		}
		tag, err := w.choose(strings.Split(tags, "\n"))
		if err != nil && !errors.Is(err, source.ErrNotFound) {
			t.Error(err)
		}
		if err == nil && (!strings.Contains(tags, tag) || w.among != nil && !w.among.MatchString(tag)) {
			t.Errorf("chosen: %q", tag)
		}
	})
}

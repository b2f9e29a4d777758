package oci

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	sigs "github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/web"
)

// cosign returns an error unless an image bears a signature by one of the
// proof's keys or, if there are none, by one of its identities. Signatures by
// keys need not be in a log.
func (s *Source) cosign(ctx context.Context, repo *remote.Repository, proof *source.Proof, image ocispec.Descriptor) error {
	judges, err := s.judges(ctx, proof)
	if err != nil {
		return err
	}
	found, err := signatures(ctx, repo, image)
	if err != nil {
		return err
	}
	var why []error
	for _, sig := range found {
		var no error
		for _, j := range judges {
			if no = j.check(sig, image); no == nil {
				return nil
			}
		}
		why = append(why, no)
	}
	return all(why)
}

// A judge knows one way in which an image may have been signed.
type judge struct {
	key      sigs.Verifier // nil if it is about identities
	verifier *verify.Verifier
	who      []verify.PolicyOption
}

func (s *Source) judges(ctx context.Context, proof *source.Proof) ([]judge, error) {
	if len(proof.Keys) > 0 {
		return keyJudges(proof.Keys)
	}
	trusted, err := s.trusted(ctx, proof.TrustedRoot)
	if err != nil {
		return nil, err
	}
	v, err := verify.NewVerifier(trusted, witnesses(trusted)...)
	if err != nil {
		return nil, unproven("%s", err)
	}
	j := judge{verifier: v}
	for _, id := range proof.Identities {
		is, err := verify.NewShortCertificateIdentity("", id.Issuer, "", id.Subject)
		if err != nil {
			return nil, unproven("%s", err)
		}
		j.who = append(j.who, verify.WithCertificateIdentity(is))
	}
	if len(j.who) == 0 {
		j.who = append(j.who, verify.WithoutIdentitiesUnsafe()) // as its user asks: anybody
	}
	return []judge{j}, nil
}

// keyJudges returns a judge for each public key, in order of their names.
func keyJudges(keys map[string][]byte) ([]judge, error) {
	var all []judge
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		public, err := cryptoutils.UnmarshalPEMToPublicKey(keys[name])
		if err != nil {
			return nil, unproven("%s is no public key in PEM", name)
		}
		key, err := sigs.LoadVerifier(public, crypto.SHA256)
		if err != nil {
			return nil, unproven("%s is no key that can be verified with: %s", name, err)
		}
		ever := root.NewExpiringKey(key, time.Time{}, time.Time{})
		trusted := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) { return ever, nil })
		v, err := verify.NewVerifier(trusted, verify.WithNoObserverTimestamps())
		if err != nil {
			return nil, unproven("%s", err)
		}
		all = append(all, judge{key: key, verifier: v, who: []verify.PolicyOption{verify.WithKey()}})
	}
	return all, nil
}

// witnesses returns what must have seen a signature by an identity: all sorts
// that the trusted root knows, and at least one that tells the time.
func witnesses(trusted root.TrustedMaterial) []verify.VerifierOption {
	all := []verify.VerifierOption{verify.WithObserverTimestamps(1)}
	if len(trusted.CTLogs()) > 0 {
		all = append(all, verify.WithSignedCertificateTimestamps(1))
	}
	if len(trusted.RekorLogs()) > 0 {
		all = append(all, verify.WithTransparencyLog(1))
	}
	return all
}

// publicRoot is for how long the root of the public Sigstore is used.
const publicRoot = 24 * time.Hour

// trusted returns whom to trust: whom a trusted_root.json names, or the public
// Sigstore.
func (s *Source) trusted(ctx context.Context, data []byte) (*root.TrustedRoot, error) {
	if data != nil {
		trusted, err := root.NewTrustedRootFromJSON(data)
		if err != nil {
			return nil, unproven("trusted_root.json can't be read: %s", err)
		}
		return trusted, nil
	}
	trusted, err := s.roots.Get(ctx, "", func(context.Context) (*root.TrustedRoot, error) {
		get := fetcher.NewDefaultFetcher()
		get.SetHTTPClient(&http.Client{Timeout: 15 * time.Second})
		return root.FetchTrustedRootWithOptions(tuf.DefaultOptions().WithDisableLocalCache().WithFetcher(get))
	})
	if err != nil && ctx.Err() == nil {
		s.roots.Expire(func(string) bool { return true })
		return nil, web.Fail(source.ErrNetwork, "fetch the public Sigstore's trusted root: %s", web.Why(err))
	}
	return trusted, err
}

// check returns why a signature does not prove an image.
func (j judge) check(s signature, image ocispec.Descriptor) error {
	if s.bundle != nil {
		return j.checkBundle(s.bundle, image)
	}
	signed, err := base64.StdEncoding.DecodeString(s.annotations["dev.cosignproject.cosign/signature"])
	if err != nil || len(signed) == 0 {
		return errors.New("there is no signature in it")
	}
	if j.key != nil {
		if err := j.key.VerifySignature(bytes.NewReader(signed), bytes.NewReader(s.payload)); err != nil {
			return errors.New("it is not by this key")
		}
		return claims(s.payload, image)
	}
	b, err := s.toBundle(signed)
	if err != nil {
		return err
	}
	policy := verify.NewPolicy(verify.WithArtifact(bytes.NewReader(s.payload)), j.who...)
	if _, err := j.verifier.Verify(b, policy); err != nil {
		return err
	}
	return claims(s.payload, image)
}

// claims returns an error unless a payload says that it is about an image.
func claims(payload []byte, image ocispec.Descriptor) error {
	var p struct {
		Critical struct {
			Type  string
			Image struct {
				Digest string `json:"docker-manifest-digest"`
			}
		}
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return errors.New("what was signed is no JSON")
	}
	if p.Critical.Image.Digest != string(image.Digest) {
		return errors.New("it is about another image")
	}
	return nil
}

// signing is what a bundle says if it is about who has signed an image, and not
// about what somebody has to say of it.
const signing = "https://sigstore.dev/cosign/sign/v1"

func (j judge) checkBundle(data []byte, image ocispec.Descriptor) error {
	b := new(bundle.Bundle)
	if err := b.UnmarshalJSON(data); err != nil {
		return errors.New("it is no bundle that can be read: " + err.Error())
	}
	sum, err := hex.DecodeString(image.Digest.Encoded())
	if err != nil {
		return err
	}
	policy := verify.NewPolicy(verify.WithArtifactDigest(image.Digest.Algorithm().String(), sum), j.who...)
	got, err := j.verifier.Verify(b, policy)
	if err != nil {
		return err
	}
	if got.Statement == nil || got.Statement.PredicateType != signing {
		return errors.New("it is about the image, but does not sign it")
	}
	return nil
}

// certificate returns the first certificate of an annotation.
func (s signature) certificate() ([]byte, error) {
	block, _ := pem.Decode([]byte(s.annotations["dev.sigstore.cosign/certificate"]))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("there is no certificate with it: it was signed with a key")
	}
	return block.Bytes, nil
}

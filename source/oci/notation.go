package oci

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"slices"
	"strings"

	notationgo "github.com/notaryproject/notation-go"
	notationregistry "github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/sane-gitops/sane/source"
)

// policyFile is the name of what says whom to trust with which image.
const policyFile = "trustpolicy.json"

// notation returns "notation" if an image bears a signature that the proof's
// policy wants, and "" if the policy wants none of it.
func notation(ctx context.Context, repo *remote.Repository, proof *source.Proof, image ocispec.Descriptor) (string, error) {
	var policy trustpolicy.Document
	if err := json.Unmarshal(proof.Keys[policyFile], &policy); err != nil {
		return "", unproven("%s is no trust policy in JSON: %s", policyFile, err)
	}
	store, err := certificates(proof.Keys)
	if err != nil {
		return "", err
	}
	v, err := verifier.New(&policy, store, nil)
	if err != nil {
		return "", unproven("%s: %s", policyFile, err)
	}
	ref := repo.Reference
	ref.Reference = string(image.Digest)
	_, outcomes, err := notationgo.Verify(ctx, v, notationregistry.NewRepository(repo), notationgo.VerifyOptions{
		ArtifactReference: ref.String(), MaxSignatureAttempts: maxSignatures,
	})
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "", unproven("%s", err)
	}
	skipped := slices.ContainsFunc(outcomes, func(o *notationgo.VerificationOutcome) bool {
		return o.VerificationLevel != nil && o.VerificationLevel.Name == trustpolicy.LevelSkip.Name
	})
	if skipped {
		return "", nil
	}
	return proof.Method, nil
}

// A trustStore holds the certificates of a Secret: it is the one store that any
// policy can name.
type trustStore []*x509.Certificate

// GetCertificates implements [truststore.X509TrustStore].
func (t trustStore) GetCertificates(context.Context, truststore.Type, string) ([]*x509.Certificate, error) {
	return t, nil
}

// certificates returns the certificates among the files of a proof.
func certificates(files map[string][]byte) (trustStore, error) {
	var all trustStore
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(name, ".crt") && !strings.HasSuffix(name, ".pem") {
			continue
		}
		for block, rest := pem.Decode(files[name]); block != nil; block, rest = pem.Decode(rest) {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, unproven("%s holds no certificate: %s", name, err)
			}
			all = append(all, cert)
		}
	}
	if len(all) == 0 {
		return nil, unproven("there are no certificates beside %s: their names must end in .crt or .pem", policyFile)
	}
	return all, nil
}

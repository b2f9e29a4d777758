package oci

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
)

// toBundle returns a signature of the old sort as one of the new: what its
// annotations say of its certificate, the log and the time.
func (s signature) toBundle(signed []byte) (*bundle.Bundle, error) {
	cert, err := s.certificate()
	if err != nil {
		return nil, err
	}
	logged, err := s.logged()
	if err != nil {
		return nil, err
	}
	stamped, err := s.stamped()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(s.payload)
	return bundle.NewBundle(&protobundle.Bundle{
		MediaType: "application/vnd.dev.sigstore.bundle+json;version=0.1",
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_X509CertificateChain{X509CertificateChain: &protocommon.X509CertificateChain{
				Certificates: []*protocommon.X509Certificate{{RawBytes: cert}},
			}},
			TlogEntries:               logged,
			TimestampVerificationData: stamped,
		},
		Content: &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: sum[:]},
			Signature:     signed,
		}},
	})
}

// logged returns the entry in the log, if there is one.
func (s signature) logged() ([]*protorekor.TransparencyLogEntry, error) {
	text := s.annotations["dev.sigstore.cosign/bundle"]
	if text == "" {
		return nil, nil
	}
	var b struct {
		SignedEntryTimestamp []byte
		Payload              struct {
			Body           []byte
			IntegratedTime int64
			LogIndex       int64
			LogID          string
		}
	}
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		return nil, errors.New("its entry in the log can't be read")
	}
	var kind struct{ APIVersion, Kind string }
	if err := json.Unmarshal(b.Payload.Body, &kind); err != nil {
		return nil, errors.New("its entry in the log can't be read")
	}
	log, err := hex.DecodeString(b.Payload.LogID)
	if err != nil {
		return nil, errors.New("its entry is in a log without a name")
	}
	return []*protorekor.TransparencyLogEntry{{
		LogIndex:          b.Payload.LogIndex,
		LogId:             &protocommon.LogId{KeyId: log},
		KindVersion:       &protorekor.KindVersion{Kind: kind.Kind, Version: kind.APIVersion},
		IntegratedTime:    b.Payload.IntegratedTime,
		InclusionPromise:  &protorekor.InclusionPromise{SignedEntryTimestamp: b.SignedEntryTimestamp},
		CanonicalizedBody: b.Payload.Body,
	}}, nil
}

// stamped returns the time as an authority has signed it, if one has.
func (s signature) stamped() (*protobundle.TimestampVerificationData, error) {
	text := s.annotations["dev.sigstore.cosign/rfc3161timestamp"]
	if text == "" {
		return nil, nil
	}
	var t struct{ SignedRFC3161Timestamp string }
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return nil, errors.New("its timestamp can't be read")
	}
	raw, err := base64.StdEncoding.DecodeString(t.SignedRFC3161Timestamp)
	if err != nil {
		return nil, errors.New("its timestamp can't be read")
	}
	return &protobundle.TimestampVerificationData{Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: raw}}}, nil
}

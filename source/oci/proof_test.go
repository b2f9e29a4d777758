package oci

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	notationgo "github.com/notaryproject/notation-go"
	notationregistry "github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/signer"
	godigest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	sigs "github.com/sigstore/sigstore/pkg/signature"
	"google.golang.org/protobuf/encoding/protojson"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/internal/ociserver"
	"github.com/sane-gitops/sane/source"
)

// A bench is where images are signed in ways of all sorts.
type bench struct {
	*testing.T
	registry *ociserver.Server
	keys     map[string]*ecdsa.PrivateKey
	sigstore map[string]*ca.VirtualSigstore
}

func newBench(t *testing.T) *bench {
	b := &bench{T: t, registry: serve(t, ociserver.Options{}), keys: make(map[string]*ecdsa.PrivateKey), sigstore: make(map[string]*ca.VirtualSigstore)}
	for _, name := range []string{"ours", "theirs"} {
		var err error
		b.keys[name], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		b.sigstore[name], err = ca.NewVirtualSigstore()
		must(t, err)
	}
	return b
}

// image publishes an image of its own for a case, under tag v1.
func (b *bench) image(repo string) digest.Digest {
	id, err := b.registry.Files(repo, "v1", map[string]string{"a": repo})
	must(b, err)
	return id
}

func (b *bench) public(name string) []byte {
	data, err := cryptoutils.MarshalPublicKeyToPEM(b.keys[name].Public())
	must(b, err)
	return data
}

func (b *bench) sign(key string, data []byte) []byte {
	s, err := sigs.LoadSigner(b.keys[key], crypto.SHA256)
	must(b, err)
	sig, err := s.SignMessage(bytes.NewReader(data))
	must(b, err)
	return sig
}

func payloadOf(id digest.Digest) []byte {
	return fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":"x"},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, id)
}

// leave puts a signature of the old sort beside an image.
func (b *bench) leave(repo string, id digest.Digest, payload []byte, annotations map[string]string) {
	_, err := b.registry.Push(repo, strings.Replace(string(id), ":", "-", 1)+".sig", nil,
		ociserver.Layer{Data: payload, MediaType: payloadType, Annotations: annotations})
	must(b, err)
}

func (b *bench) leaveKeyed(repo, key string, id, about digest.Digest) {
	payload := payloadOf(about)
	b.leave(repo, id, payload, map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(b.sign(key, payload))})
}

// leaveKeyless is leaveKeyed by an identity.
func (b *bench) leaveKeyless(repo, sigstore, who string, id, about digest.Digest) {
	payload := payloadOf(about)
	e, err := b.sigstore[sigstore].Sign(who, "https://issuer.example.com", payload)
	must(b, err)
	sig, cert := b.taken(e)
	l := b.logged(sigstore, "hashedrekord", e)
	entry, err := json.Marshal(map[string]any{
		"SignedEntryTimestamp": l.InclusionPromise.SignedEntryTimestamp,
		"Payload":              map[string]any{"body": l.CanonicalizedBody, "integratedTime": l.IntegratedTime, "logIndex": l.LogIndex, "logID": hex.EncodeToString(l.LogId.KeyId)},
	})
	must(b, err)
	b.leave(repo, id, payload, map[string]string{
		"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(sig.Signature()),
		"dev.sigstore.cosign/certificate":    string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})),
		"dev.sigstore.cosign/bundle":         string(entry),
	})
}

// logged returns an entry of the log, with the log's promise.
func (b *bench) logged(sigstore, kind string, e *ca.TestEntity) *protorekor.TransparencyLogEntry {
	logs, err := e.TlogEntries()
	must(b, err)
	l := logs[0].TransparencyLogEntry()
	l.KindVersion = &protorekor.KindVersion{Kind: kind, Version: "0.0.1"}
	promise, err := b.sigstore[sigstore].RekorSignPayload(tlog.RekorPayload{
		Body: base64.StdEncoding.EncodeToString(l.CanonicalizedBody), IntegratedTime: l.IntegratedTime, LogIndex: l.LogIndex, LogID: hex.EncodeToString(l.LogId.KeyId),
	})
	must(b, err)
	l.InclusionPromise = &protorekor.InclusionPromise{SignedEntryTimestamp: promise}
	return l
}

func (b *bench) taken(e *ca.TestEntity) (verify.SignatureContent, []byte) {
	sig, err := e.SignatureContent()
	must(b, err)
	by, err := e.VerificationContent()
	must(b, err)
	return sig, by.Certificate().Raw
}

func statement(id digest.Digest, kind string) []byte {
	_, sum, _ := strings.Cut(string(id), ":")
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q}}],"predicateType":%q,"predicate":{}}`, sum, kind)
}

const inToto = "application/vnd.in-toto+json"

// refer puts a bundle beside an image.
func (b *bench) refer(repo string, id digest.Digest, material *protobundle.VerificationMaterial, payload, sig []byte) {
	data, err := protojson.Marshal(&protobundle.Bundle{
		MediaType:            "application/vnd.dev.sigstore.bundle.v0.3+json",
		VerificationMaterial: material,
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload: payload, PayloadType: inToto, Signatures: []*protodsse.Signature{{Sig: sig}},
		}},
	})
	must(b, err)
	layer, err := b.registry.Blob(repo, "application/vnd.dev.sigstore.bundle.v0.3+json", data)
	must(b, err)
	empty, err := b.registry.Blob(repo, ocispec.MediaTypeEmptyJSON, []byte("{}"))
	must(b, err)
	_, err = b.registry.Manifest(repo, "", ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: layer.MediaType,
		Config: empty, Layers: []ocispec.Descriptor{layer},
		Subject: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: godigest.Digest(id), Size: b.size(repo, id)},
	})
	must(b, err)
}

// size returns the length of a manifest.
func (b *bench) size(repo string, id digest.Digest) int64 {
	d, err := b.repository(repo).Resolve(context.Background(), string(id))
	must(b, err)
	return d.Size
}

func (b *bench) repository(repo string) *remote.Repository {
	r, err := remote.NewRepository(b.registry.Host() + "/" + repo)
	must(b, err)
	r.PlainHTTP = true
	return r
}

func (b *bench) referKeyed(repo, key string, id digest.Digest, payload []byte) {
	material := &protobundle.VerificationMaterial{Content: &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{Hint: "x"}}}
	b.refer(repo, id, material, payload, b.sign(key, dsse.PAE(inToto, payload)))
}

func (b *bench) referKeyless(repo, sigstore, who string, id digest.Digest, payload []byte) {
	e, err := b.sigstore[sigstore].AttestAtTime(who, "https://issuer.example.com", payload, time.Now().Add(5*time.Minute), true)
	must(b, err)
	sig, cert := b.taken(e)
	b.refer(repo, id, &protobundle.VerificationMaterial{
		Content:     &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: cert}},
		TlogEntries: []*protorekor.TransparencyLogEntry{b.logged(sigstore, "dsse", e)},
	}, payload, sig.Signature())
}

// trustedRoot returns what a Sigstore of ours is known by.
func (b *bench) trustedRoot(name string) []byte {
	v := b.sigstore[name]
	logs := v.RekorLogs()
	for id, l := range logs {
		var err error
		l.ID, err = hex.DecodeString(id) // in memory it is text
		must(b, err)
	}
	r, err := root.NewTrustedRoot(root.TrustedRootMediaType01, v.FulcioCertificateAuthorities(), nil, v.TimestampingAuthorities(), logs)
	must(b, err)
	data, err := r.MarshalJSON()
	must(b, err)
	return data
}

func TestCosign(t *testing.T) {
	b := newBench(t)
	other := digest.Of([]byte("another image"))
	byKey := func(names ...string) *source.Proof {
		p := &source.Proof{Method: "cosign", Keys: make(map[string][]byte)}
		for _, n := range names {
			p.Keys[n+".pub"] = b.public(n)
		}
		return p
	}
	by := func(sigstore, issuer, subject string) *source.Proof {
		return &source.Proof{Method: "cosign", TrustedRoot: b.trustedRoot(sigstore), Identities: []source.Identity{{Issuer: "^none$", Subject: "none"}, {Issuer: issuer, Subject: subject}}}
	}
	const me, issuer = "me@example.com", "^https://issuer"
	for i, tt := range []struct {
		name  string
		sign  func(repo string, id digest.Digest)
		proof *source.Proof
		err   string // "" means that it is proven
	}{
		{"not signed", func(string, digest.Digest) {}, byKey("ours"), "bears no signature"},
		{"key", func(r string, id digest.Digest) { b.leaveKeyed(r, "ours", id, id) }, byKey("ours"), ""},
		{"one of the keys", func(r string, id digest.Digest) { b.leaveKeyed(r, "ours", id, id) }, byKey("theirs", "ours"), ""},
		{"another key", func(r string, id digest.Digest) { b.leaveKeyed(r, "theirs", id, id) }, byKey("ours"), "not by this key"},
		{"key, for another image", func(r string, id digest.Digest) { b.leaveKeyed(r, "ours", id, other) }, byKey("ours"), "another image"},
		{"no key", func(r string, id digest.Digest) { b.leaveKeyed(r, "ours", id, id) }, &source.Proof{Method: "cosign", Keys: map[string][]byte{"x.pub": []byte("none")}}, "x.pub is no public key"},
		{"key where an identity is wanted", func(r string, id digest.Digest) { b.leaveKeyed(r, "ours", id, id) }, by("ours", issuer, me), "signed with a key"},
		{"identity", func(r string, id digest.Digest) { b.leaveKeyless(r, "ours", me, id, id) }, by("ours", issuer, "^me@"), ""},
		{"another identity", func(r string, id digest.Digest) { b.leaveKeyless(r, "ours", "you@example.com", id, id) }, by("ours", issuer, "^me@"), "none of its 1 signatures"},
		{"another issuer", func(r string, id digest.Digest) { b.leaveKeyless(r, "ours", me, id, id) }, by("ours", "^https://else", "^me@"), "none of its 1 signatures"},
		{"another sigstore", func(r string, id digest.Digest) { b.leaveKeyless(r, "theirs", me, id, id) }, by("ours", issuer, "^me@"), "none of its 1 signatures"},
		{"identity, for another image", func(r string, id digest.Digest) { b.leaveKeyless(r, "ours", me, id, other) }, by("ours", issuer, "^me@"), "another image"},
		{"no trusted root", func(string, digest.Digest) {}, &source.Proof{Method: "cosign", TrustedRoot: []byte("{}")}, "trusted_root.json"},
		{"anybody", func(r string, id digest.Digest) { b.leaveKeyless(r, "ours", me, id, id) }, &source.Proof{Method: "cosign", TrustedRoot: b.trustedRoot("ours")}, ""},
		{"bundle by key", func(r string, id digest.Digest) { b.referKeyed(r, "ours", id, statement(id, signing)) }, byKey("ours"), ""},
		{"bundle by another key", func(r string, id digest.Digest) { b.referKeyed(r, "theirs", id, statement(id, signing)) }, byKey("ours"), "none of its 1 signatures"},
		{"bundle for another image", func(r string, id digest.Digest) { b.referKeyed(r, "ours", id, statement(other, signing)) }, byKey("ours"), "none of its 1 signatures"},
		{"bundle that signs nothing", func(r string, id digest.Digest) {
			b.referKeyed(r, "ours", id, statement(id, "https://slsa.dev/provenance/v1"))
		}, byKey("ours"), "does not sign it"},
		{"bundle by identity", func(r string, id digest.Digest) { b.referKeyless(r, "ours", me, id, statement(id, signing)) }, by("ours", issuer, "^me@"), ""},
		{"bundle by another identity", func(r string, id digest.Digest) {
			b.referKeyless(r, "ours", "you@example.com", id, statement(id, signing))
		}, by("ours", issuer, "^me@"), "none of its 1 signatures"},
		{"bundle of another sigstore", func(r string, id digest.Digest) { b.referKeyless(r, "theirs", me, id, statement(id, signing)) }, by("ours", issuer, "^me@"), "none of its 1 signatures"},
		{"a bad one and a good one", func(r string, id digest.Digest) {
			b.leaveKeyed(r, "theirs", id, id)
			b.referKeyed(r, "ours", id, statement(id, signing))
		}, byKey("ours"), ""},
		{"unknown method", func(string, digest.Digest) {}, &source.Proof{Method: "wax"}, `"wax" is not supported`},
	} {
		repo := fmt.Sprintf("signed/app-%d", i)
		tt.sign(repo, b.image(repo))
		b.proven(tt.name, repo, tt.proof, tt.err)
	}
}

// proven checks what becomes of an image that must be proven.
func (b *bench) proven(name, repo string, proof *source.Proof, want string) {
	b.Helper()
	at := remoteOf(b.registry)
	at.URL, at.Proof = b.registry.URL(repo), proof
	s := open(b, b.TempDir(), -1)
	snap, err := get(b, s, at, source.Ref{Tag: "v1"})
	if want == "" {
		if err != nil || snap.Proven != proof.Method {
			b.Errorf("%s: %+v, %v", name, snap, err)
		}
		return
	}
	if !errors.Is(err, source.ErrProof) || !strings.Contains(fmt.Sprint(err), want) {
		b.Errorf("%s: error %v, want one with %q", name, err, want)
	}
}

// An image is verified once, and again if something else is to be proven.
func TestProvenOnce(t *testing.T) {
	b := newBench(t)
	const repo = "signed/app"
	id := b.image(repo)
	b.leaveKeyed(repo, "ours", id, id)
	s := open(t, t.TempDir(), -1)
	at := remoteOf(b.registry)
	at.URL = b.registry.URL(repo)
	at.Proof = &source.Proof{Method: "cosign", Keys: map[string][]byte{"a.pub": b.public("ours")}}
	rev, err := s.Resolve(t.Context(), at, source.Ref{Tag: "v1"})
	must(t, err)
	fetch := func() error {
		_, err := s.Fetch(t.Context(), at, source.Ref{Tag: "v1"}, rev)
		return err
	}
	must(t, fetch())
	asked := b.registry.Requests()
	must(t, fetch())
	if n := b.registry.Requests(); n != asked {
		t.Errorf("%d requests for what was proven before", n-asked)
	}
	at.Proof = &source.Proof{Method: "cosign", Keys: map[string][]byte{"a.pub": b.public("theirs")}}
	if err := fetch(); !errors.Is(err, source.ErrProof) {
		t.Errorf("with another key: %v", err)
	}
}

// certified returns a key with a certificate of itself.
func certified(t testing.TB, name string) (*rsa.PrivateKey, *x509.Certificate) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{"Example"}, Country: []string{"US"}, Province: []string{"WA"}},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	data, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(data)
	must(t, err)
	return key, cert
}

func TestNotation(t *testing.T) {
	b := newBench(t)
	ours, oursCert := certified(t, "ours")
	theirs, theirsCert := certified(t, "theirs")
	sign := func(key *rsa.PrivateKey, cert *x509.Certificate) func(string, digest.Digest) {
		return func(repo string, id digest.Digest) {
			s, err := signer.NewGenericSigner(key, []*x509.Certificate{cert})
			must(t, err)
			r := b.repository(repo)
			_, err = notationgo.Sign(t.Context(), s, notationregistry.NewRepository(r), notationgo.SignOptions{
				SignerSignOptions: notationgo.SignerSignOptions{SignatureMediaType: "application/jose+json"},
				ArtifactReference: b.registry.Host() + "/" + repo + "@" + string(id),
			})
			must(t, err)
		}
	}
	policy := func(level string) []byte {
		stores := `"trustStores": ["ca:any"], "trustedIdentities": ["*"],`
		if level == "skip" {
			stores = ""
		}
		return fmt.Appendf(nil, `{"version": "1.0", "trustPolicies": [{"name": "p", "registryScopes": ["*"], %s "signatureVerification": {"level": %q}}]}`, stores, level)
	}
	proof := func(policy []byte, cert *x509.Certificate) *source.Proof {
		return &source.Proof{Method: "notation", Keys: map[string][]byte{
			policyFile: policy, "a.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}),
		}}
	}
	for i, tt := range []struct {
		name  string
		sign  func(repo string, id digest.Digest)
		proof *source.Proof
		err   string
	}{
		{"signed", sign(ours, oursCert), proof(policy("strict"), oursCert), ""},
		{"by another", sign(theirs, theirsCert), proof(policy("strict"), oursCert), "any trusted certificate"},
		{"not signed", func(string, digest.Digest) {}, proof(policy("strict"), oursCert), "no signature"},
		{"no policy", func(string, digest.Digest) {}, proof([]byte("none"), oursCert), "no trust policy"},
		{"a policy that makes no sense", func(string, digest.Digest) {}, proof([]byte(`{"version": "9"}`), oursCert), policyFile},
		{"no certificates", func(string, digest.Digest) {}, &source.Proof{Method: "notation", Keys: map[string][]byte{policyFile: policy("strict")}}, "no certificates"},
	} {
		repo := fmt.Sprintf("noted/app-%d", i)
		tt.sign(repo, b.image(repo))
		b.proven(tt.name, repo, tt.proof, tt.err)
	}
	at := remoteOf(b.registry)
	at.Proof = proof(policy("skip"), oursCert)
	b.image("team/app")
	snap, err := get(t, open(t, t.TempDir(), -1), at, source.Ref{Tag: "v1"})
	if err != nil || snap.Proven != "" {
		t.Errorf("a policy that asks for nothing: %+v, %v", snap, err)
	}
}

// A registry that can't be asked for signatures is no image without them.
func TestProofUnreachable(t *testing.T) {
	var down atomic.Bool
	r := serve(t, ociserver.Options{Hook: func(w http.ResponseWriter, q *http.Request) bool {
		if down.Load() && strings.HasSuffix(q.URL.Path, ".sig") {
			w.WriteHeader(http.StatusBadRequest)
			return true
		}
		return false
	}})
	b := &bench{T: t, registry: r, keys: make(map[string]*ecdsa.PrivateKey)}
	var err error
	b.keys["ours"], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	b.image("team/app")
	at := remoteOf(r)
	at.Proof = &source.Proof{Method: "cosign", Keys: map[string][]byte{"a.pub": b.public("ours")}}
	down.Store(true)
	if _, err := get(t, open(t, t.TempDir(), -1), at, source.Ref{Tag: "v1"}); !errors.Is(err, source.ErrNetwork) {
		t.Errorf("error %v", err)
	}
}

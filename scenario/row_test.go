package scenario

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/sane-gitops/sane/object"
)

// Many rows of a table share a scene: all their objects are made first, so that
// they are looked at beside each other, and then each is looked at.

// source makes a source of a kind with fields of its spec.
func (s *scene) source(k object.Kind, name string, fields ...string) object.ID {
	s.Helper()
	s.apply("apiVersion: source.toolkit.fluxcd.io/v1\nkind: " + k.Name + "\nmetadata: {name: " + name + ", namespace: $NS}\nspec:" +
		fieldsOf([]string{"interval: 10m"}, fields))
	return s.id(k, name)
}

// unitOf makes a Kustomization of a source, of the same name, with fields of its spec.
func (s *scene) unitOf(id object.ID, fields ...string) object.ID {
	s.Helper()
	s.unit(id.Name, append([]string{"sourceRef: {kind: " + id.Kind.Name + ", name: " + id.Name + "}"}, fields...)...)
	return s.unitID(id.Name)
}

// row plays a part of a test under a name of its own.
func (s *scene) row(name string, play func(*scene)) {
	s.T.Run(name, func(t *testing.T) { play(s.under(t)) })
}

// stored returns a source once it has a revision, and complains about anything in
// its status that is not as it must be then. More conditions may be there by type
// alone.
func (s *scene) stored(id object.ID, revision string, more ...string) object.Object {
	s.Helper()
	said := "stored artifact for revision '" + revision + "'"
	o := s.until(id, "is ready: "+said, func(o object.Object) bool {
		status, reason, message := condition(o, "Ready")
		return status == "True" && reason == "Succeeded" && message == said && observed(o)
	})
	s.is(o, revision, "status", "artifact", "revision")
	want := append([]string{"ArtifactInStorage=True Succeeded", "Ready=True Succeeded"}, more...)
	slices.Sort(want)
	s.same("conditions", conditions(o), want...)
	return o
}

// unfetched returns a source once it is not ready for a reason, with a message
// that contains all the given words, and complains if another condition tells of
// anything else. It is tried again unless it is stalled.
func (s *scene) unfetched(id object.ID, because, reason string, words ...string) object.Object {
	s.Helper()
	o := s.refused(id, reason, words...)
	want := []string{"Ready=False " + reason}
	switch {
	case because == "Stalled":
		want = append(want, "FetchFailed=True "+reason, "Stalled=True "+reason)
	case because == "SourceVerified":
		want = append(want, "Reconciling=True ProgressingWithRetry", "SourceVerified=False "+reason)
	default:
		want = append(want, "Reconciling=True ProgressingWithRetry", because+"=True "+reason)
	}
	slices.Sort(want)
	s.same("conditions", conditions(o), want...)
	return o
}

// silent complains if the log of a process tells one of some secrets.
func (s *scene) silent(p *program, secrets ...string) {
	s.Helper()
	for _, secret := range secrets {
		if said := p.says(secret); len(said) > 0 {
			s.Errorf("the log tells a secret: %s", said)
		}
	}
}

// certificate returns a certificate that vouches for itself, and its key.
func (s *scene) certificate(name string) (cert, key []byte) {
	s.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	s.must(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	s.must(err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

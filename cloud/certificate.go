package cloud

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/pkcs12"
)

// A Certificate is one of an application of Entra's, with its private key: both
// in PEM, or in PKCS #12.
type Certificate struct {
	Data     []byte // secret
	Password string // of PKCS #12
	Chain    bool   // show all certificates in Data
}

// A stamped certificate proves who has it.
type stamped struct {
	key   *rsa.PrivateKey
	certs []*x509.Certificate // the key's first
	chain bool
}

var errCertificate = errors.New("no credentials of Azure's: clientCertificate must be a certificate and its RSA key, in PEM without a password or in PKCS #12")

// NewAzureCertificate returns the application with that certificate. If authority
// is "", tokens are given out by Microsoft's public cloud.
func NewAzureCertificate(tenant, client, authority string, c Certificate) (Azure, error) {
	a, err := NewAzure(tenant, client, "none", authority)
	if err != nil {
		return a, err
	}
	blocks, err := pkcs12.ToPEM(c.Data, c.Password)
	if err != nil {
		blocks = nil
		for rest := c.Data; ; {
			var b *pem.Block
			if b, rest = pem.Decode(rest); b == nil {
				break
			}
			blocks = append(blocks, b)
		}
	}
	s := &stamped{chain: c.Chain}
	for _, b := range blocks {
		if err := s.add(b); err != nil {
			return Azure{}, errCertificate
		}
	}
	if !s.sort() {
		return Azure{}, errCertificate
	}
	a.secret, a.proof = "", s
	return a, nil
}

func (s *stamped) add(b *pem.Block) error {
	if b.Type == "CERTIFICATE" {
		c, err := x509.ParseCertificate(b.Bytes)
		s.certs = append(s.certs, c)
		return err
	}
	if key, err := x509.ParsePKCS1PrivateKey(b.Bytes); err == nil {
		s.key = key
		return nil
	}
	key, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	s.key, _ = key.(*rsa.PrivateKey)
	return err
}

// sort puts the certificate of the key first. It reports whether there are both.
func (s *stamped) sort() bool {
	if s.key == nil {
		return false
	}
	for i, c := range s.certs {
		if s.key.PublicKey.Equal(c.PublicKey) {
			s.certs[0], s.certs[i] = s.certs[i], s.certs[0]
			return true
		}
	}
	return false
}

// assertion returns a token by which an application says at a URL who it is.
func (s *stamped) assertion(client, at string, now time.Time) (string, error) {
	id := make([]byte, 16)
	rand.Read(id) // it never fails
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"aud": at, "iss": client, "sub": client, "jti": hex.EncodeToString(id),
		"nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	})
	old, sum := sha1.Sum(s.certs[0].Raw), sha256.Sum256(s.certs[0].Raw)
	t.Header["x5t"] = base64.RawURLEncoding.EncodeToString(old[:]) // by which Entra finds it
	t.Header["x5t#S256"] = base64.RawURLEncoding.EncodeToString(sum[:])
	if s.chain {
		var all []string
		for _, c := range s.certs {
			all = append(all, base64.StdEncoding.EncodeToString(c.Raw))
		}
		t.Header["x5c"] = all
	}
	return t.SignedString(s.key)
}

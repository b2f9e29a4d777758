package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// life is how long certificates are good for. Nothing renews them.
const life = 10 * 365 * 24 * time.Hour

// A subject is somebody that the CA vouches for, by the name of its files.
type subject struct {
	file  string
	name  string   // common name: the user
	group []string // organizations: the user's groups
}

const masters = "system:masters"

// clients are the API server's clients. The controller manager is a master so
// that its controllers can share one identity instead of asking for a token
// each, which start-up would wait for.
var clients = []subject{
	{"admin", "devcluster-admin", []string{masters}},
	{"controller-manager", "system:kube-controller-manager", []string{masters}},
	{"scheduler", "system:kube-scheduler", nil},
	{"kwok", "system:kwok", []string{masters}},
}

// makePKI puts into dir the CA's certificate, a certificate and key for the API
// server and for each client, and the key that signs ServiceAccount tokens. It
// does nothing if dir exists: dir is there whole or not at all. The CA's own
// key is forgotten.
func makePKI(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	tmp := dir + ".tmp"
	if err := errors.Join(os.RemoveAll(tmp), os.Mkdir(tmp, 0o700)); err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	if err := fillPKI(tmp); err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	return os.Rename(tmp, dir)
}

func fillPKI(dir string) error {
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(dir, "ca.crt"), "CERTIFICATE", ca.cert.Raw); err != nil {
		return err
	}
	server := certificate(subject{name: "kube-apiserver"}, x509.ExtKeyUsageServerAuth)
	server.DNSNames = []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
	server.IPAddresses = []net.IP{net.ParseIP(loopback)}
	if err := ca.issue(filepath.Join(dir, "apiserver"), server); err != nil {
		return err
	}
	for _, s := range clients {
		if err := ca.issue(filepath.Join(dir, s.file), certificate(s, x509.ExtKeyUsageClientAuth)); err != nil {
			return err
		}
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	return writeKey(filepath.Join(dir, "service-account.key"), key)
}

// An authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newAuthority() (*authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	c := certificate(subject{name: "devcluster"})
	c.IsCA = true
	c.BasicConstraintsValid = true
	c.KeyUsage |= x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert, key}, err
}

// issue writes base.crt, which is c signed, and base.key.
func (a *authority) issue(base string, c *x509.Certificate) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	return errors.Join(writePEM(base+".crt", "CERTIFICATE", der), writeKey(base+".key", key))
}

// certificate is a template for s. Its start lies in the past, for clocks that
// jump back.
func certificate(s subject, use ...x509.ExtKeyUsage) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // never fails
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: s.name, Organization: s.group},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(life),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  use,
	}
}

func newKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

func writeKey(file string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(file, "EC PRIVATE KEY", der)
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

package git

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/sane-gitops/sane/source"
)

// A keyring holds the public keys of those who may sign.
type keyring struct {
	now func() time.Time // by which keys expire
	pgp openpgp.EntityList
	ssh []ssh.PublicKey
}

// readKeys reads public keys by file name: those of SSH from files that end
// in ".sshpub", a key a line, and those of OpenPGP from all others.
func readKeys(files map[string][]byte, now func() time.Time) (keyring, error) {
	k := keyring{now: now}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		var err error
		if strings.HasSuffix(name, ".sshpub") {
			err = k.readSSH(files[name])
		} else {
			err = k.readPGP(files[name])
		}
		if err != nil {
			return keyring{}, &source.ProofError{Why: fmt.Sprintf("the trusted key %s can't be read: %v", name, err)}
		}
	}
	if len(k.pgp)+len(k.ssh) == 0 {
		return keyring{}, &source.ProofError{Why: "there is no key that is trusted"}
	}
	return k, nil
}

func (k *keyring) readSSH(data []byte) error {
	for len(bytes.TrimSpace(data)) > 0 {
		key, _, _, rest, err := ssh.ParseAuthorizedKey(data)
		if err != nil {
			return err
		}
		k.ssh, data = append(k.ssh, key), rest
	}
	return nil
}

const pgpArmor = "-----BEGIN PGP PUBLIC KEY BLOCK-----"

// readPGP reads one keyring without armor, or any number with it.
func (k *keyring) readPGP(data []byte) error {
	if !bytes.Contains(data, []byte(pgpArmor)) {
		keys, err := openpgp.ReadKeyRing(bytes.NewReader(data))
		k.pgp = append(k.pgp, keys...)
		return err
	}
	for _, block := range bytes.Split(data, []byte(pgpArmor))[1:] {
		keys, err := openpgp.ReadArmoredKeyRing(strings.NewReader(pgpArmor + string(block)))
		if err != nil {
			return err
		}
		k.pgp = append(k.pgp, keys...)
	}
	return nil
}

// Why a signature does not count.
var (
	errStranger = errors.New("it is by none of the trusted keys")
	errForged   = errors.New("it does not match what is signed")
	errForeign  = errors.New("it is neither of OpenPGP nor of SSH")
)

// check returns the id of the key by which s is signed.
func (k keyring) check(s signed) (id string, err error) {
	switch {
	case bytes.HasPrefix(s.signature, []byte("-----BEGIN SSH")):
		return k.checkSSH(s)
	case bytes.HasPrefix(s.signature, []byte("-----BEGIN PGP")):
		return k.checkPGP(s)
	}
	return "", errForeign
}

func (k keyring) checkPGP(s signed) (string, error) {
	if len(k.pgp) == 0 {
		return "", fmt.Errorf("%w: it is of OpenPGP, and they are not", errStranger)
	}
	by, err := openpgp.CheckArmoredDetachedSignature(k.pgp, bytes.NewReader(s.payload), bytes.NewReader(s.signature), &packet.Config{Time: k.now})
	var forged pgperrors.SignatureError
	switch {
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return "", errStranger
	case errors.As(err, &forged):
		return "", errForged
	case err != nil:
		return "", err
	}
	return by.PrimaryKey.KeyIdString(), nil
}

// sshNamespace is what git signs in: a signature of another program's does not
// count.
const sshNamespace = "git"

func (k keyring) checkSSH(s signed) (string, error) {
	sig, err := sshsig.Unarmor(s.signature)
	if err != nil {
		return "", fmt.Errorf("it can't be read: %w", err)
	}
	if sig.Signature.Format == ssh.KeyAlgoRSA {
		return "", errors.New("it is made with SHA-1, which can be forged")
	}
	for _, key := range k.ssh {
		if !bytes.Equal(key.Marshal(), sig.PublicKey.Marshal()) {
			continue
		}
		if err := sshsig.Verify(bytes.NewReader(s.payload), sig, key, sig.HashAlgorithm, sshNamespace); err != nil {
			return "", errForged
		}
		return ssh.FingerprintSHA256(key), nil
	}
	if len(k.ssh) == 0 {
		return "", fmt.Errorf("%w: it is of SSH, and they are not", errStranger)
	}
	return "", errStranger
}

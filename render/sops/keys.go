package sops

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"filippo.io/age"
	agearmor "filippo.io/age/armor"
	"github.com/ProtonMail/go-crypto/openpgp"
	pgparmor "github.com/ProtonMail/go-crypto/openpgp/armor"
)

// A keyring is what there is to decrypt with.
type keyring struct {
	age    []age.Identity
	pgp    openpgp.EntityList
	remote remoteKeys
}

// maxKey bounds a decrypted data key. It has 32 bytes, or one more if it is a
// part.
const maxKey = 256

// readKeyring reads a JSON object of file names and contents. Its errors do not
// tell the contents.
func readKeyring(data string) (keyring, error) {
	var files map[string]string
	if err := json.Unmarshal([]byte(data), &files); err != nil {
		return keyring{}, errors.New("the keys can't be read")
	}
	var k keyring
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := k.add(name, files[name]); err != nil {
			return k, fmt.Errorf("the keys of spec.decryption.secretRef: %s: %w", name, err)
		}
	}
	return k, nil
}

func (k *keyring) add(name, content string) error {
	if known, err := k.remote.add(name, content); known {
		return err
	}
	switch path.Ext(name) {
	case ".agekey":
		ids, err := age.ParseIdentities(strings.NewReader(content))
		if err != nil {
			return errors.New("no age identities: there must be a line for each, beginning with AGE-SECRET-KEY-")
		}
		k.age = append(k.age, ids...)
	case ".asc":
		entities, err := openpgp.ReadArmoredKeyRing(strings.NewReader(content))
		if err != nil {
			return errors.New("no armored OpenPGP keys: make it by gpg --export-secret-keys --armor")
		}
		k.pgp = append(k.pgp, entities...)
	}
	return nil
}

// dataKey returns the key by which the values of a document are encrypted. Keys
// that are here are tried before ask is called for those that others keep. An
// error that wraps an outage is about those, and may pass.
func (k keyring) dataKey(m metadata, ask func(remoteKey) ([]byte, error)) ([]byte, error) {
	var parts [][]byte
	var rest []group
	for _, g := range m.Groups {
		if part := k.part(g); part != nil {
			parts = append(parts, part)
		} else {
			rest = append(rest, g)
		}
	}
	var errs []error
	for _, g := range rest {
		if len(parts) >= m.Threshold {
			break
		}
		part, err := k.remotePart(g, ask)
		if part != nil {
			parts = append(parts, part)
		}
		errs = append(errs, err)
	}
	switch err := errors.Join(errs...); {
	case len(parts) < m.Threshold && err != nil:
		return nil, err
	case len(parts) < m.Threshold:
		return nil, k.missing(m, len(parts))
	case len(m.Groups) == 1:
		return parts[0], nil
	}
	return combine(parts)
}

// remotePart returns what the first of a group's keys that others keep stands
// for, or why none could be asked, or nothing if there are no credentials.
func (k keyring) remotePart(g group, ask func(remoteKey) ([]byte, error)) ([]byte, error) {
	var errs []error
	for _, key := range g.remote() {
		if !key.usable(k.remote) {
			continue
		}
		part, err := ask(key)
		if err == nil {
			return part, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", key, err))
	}
	return nil, errors.Join(errs...)
}

// missing returns an error that names the keys that could do it.
func (k keyring) missing(m metadata, have int) error {
	var all []string
	for _, g := range m.Groups {
		all = append(all, strings.Join(g.names(), ", "))
	}
	which := "one of these keys is needed, and none is there"
	if len(m.Groups) > 1 {
		which = fmt.Sprintf("%d of these %d groups of keys are needed, and %d are there", m.Threshold, len(m.Groups), have)
	}
	way := "those of Huawei Cloud are not supported"
	if files := m.files(); len(files) > 0 {
		way = "add one, or what gets in where it is kept, to the Secret of spec.decryption.secretRef, as " + strings.Join(files, " or ")
	}
	if k.locked() {
		way += "; OpenPGP keys must have no passphrase"
	}
	return fmt.Errorf("%s: %s: %s", which, strings.Join(all, " / "), way)
}

// locked reports whether there is an OpenPGP key with a passphrase.
func (k keyring) locked() bool {
	return slices.ContainsFunc(k.pgp, func(e *openpgp.Entity) bool {
		return e.PrivateKey != nil && e.PrivateKey.Encrypted
	})
}

// part returns what the keys of a group stand for, or nil.
func (k keyring) part(g group) []byte {
	for _, key := range g.Age {
		if len(k.age) == 0 {
			break
		}
		r, err := age.Decrypt(agearmor.NewReader(strings.NewReader(key.Enc)), k.age...)
		if part := readKey(r, err); part != nil {
			return part
		}
	}
	for _, key := range g.PGP {
		if len(k.pgp) == 0 {
			break
		}
		if part := readKey(k.openPGP(key.Enc)); part != nil {
			return part
		}
	}
	return nil
}

func (k keyring) openPGP(enc string) (io.Reader, error) {
	block, err := pgparmor.Decode(strings.NewReader(enc))
	if err != nil {
		return nil, err
	}
	message, err := openpgp.ReadMessage(block.Body, k.pgp, nobody, nil)
	if err != nil {
		return nil, err
	}
	return message.UnverifiedBody, nil
}

// nobody is who is asked for passphrases.
func nobody([]openpgp.Key, bool) ([]byte, error) { return nil, errors.New("there is nobody to ask") }

// readKey returns all that r holds, or nil if that can be no key.
func readKey(r io.Reader, err error) []byte {
	if err != nil {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(r, maxKey+1))
	if err != nil || len(data) == 0 || len(data) > maxKey {
		return nil
	}
	return data
}

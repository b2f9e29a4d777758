// Generate makes the test data of package sops with the library of SOPS itself:
//
//	cd render/sops/testdata/generate && go mod tidy && go run .
//
// It is a module of its own, since that library needs the clients of all clouds.
// For each of its documents it writes ../formats/NAME.enc, and what the library
// decrypts it to: ../formats/NAME.dec. The keys in ../keys are made if they are
// not there.
package main

import (
	"bytes"
	"crypto"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/kms"
	"github.com/getsops/sops/v3/pgp"
	"github.com/getsops/sops/v3/shamir"
	"github.com/getsops/sops/v3/stores/dotenv"
	"github.com/getsops/sops/v3/stores/json"
	"github.com/getsops/sops/v3/stores/yaml"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// A document is one to encrypt: its groups are lists of names of keys.
type document struct {
	name, plain string
	groups      [][]string
	threshold   int
	with        func(*sops.Metadata)
}

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func main() {
	for _, d := range documents {
		if len(d.groups) == 0 {
			d.groups = [][]string{{"age"}}
		}
		d.write()
	}
}

func (d document) store() sops.Store {
	switch filepath.Ext(d.name) {
	case ".yaml":
		return yaml.NewStore(&config.YAMLStoreConfig{Indent: 4})
	case ".json":
		return json.NewStore(&config.JSONStoreConfig{Indent: -1})
	case ".env":
		return dotenv.NewStore(&config.DotenvStoreConfig{})
	}
	return json.NewBinaryStore(&config.JSONBinaryStoreConfig{Indent: -1})
}

func (d document) write() {
	store := d.store()
	branches, err := store.LoadPlainFile([]byte(d.plain))
	check(err)
	tree := sops.Tree{Branches: branches, Metadata: sops.Metadata{
		UnencryptedSuffix: "_unencrypted", Version: "3.13.3", LastModified: now, ShamirThreshold: d.threshold,
	}}
	if d.with != nil {
		d.with(&tree.Metadata)
	}
	key := bytes.Repeat([]byte(d.name+" 0123456789abcdef0123456789abcdef"), 2)[:32]
	parts := [][]byte{key}
	if len(d.groups) > 1 {
		parts, err = shamir.Split(key, len(d.groups), d.threshold)
		check(err)
	}
	for i, names := range d.groups {
		var group sops.KeyGroup
		for _, name := range names {
			switch name {
			case "kms":
				group = append(group, &kms.MasterKey{Arn: "arn:aws:kms:eu-west-1:1:key/a", EncryptedKey: "AAAA", CreationDate: now})
			case "pgp":
				group = append(group, withPGP(parts[i]))
			default:
				group = append(group, withAge(name, parts[i]))
			}
		}
		tree.Metadata.KeyGroups = append(tree.Metadata.KeyGroups, group)
	}
	mac, err := tree.Encrypt(key, aes.NewCipher())
	check(err)
	tree.Metadata.MessageAuthenticationCode, err = aes.NewCipher().Encrypt(mac, key, now.Format(time.RFC3339))
	check(err)
	enc, err := store.EmitEncryptedFile(tree)
	check(err)
	check(os.WriteFile("../formats/"+d.name+".enc", enc, 0o644))
	back, err := store.LoadEncryptedFile(enc)
	check(err)
	_, err = back.Decrypt(key, aes.NewCipher())
	check(err)
	dec, err := store.EmitPlainFile(back.Branches)
	check(err)
	check(os.WriteFile("../formats/"+d.name+".dec", dec, 0o644))
}

func withAge(name string, part []byte) *sopsage.MasterKey {
	file := "../keys/" + name + ".agekey"
	data, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		var secret, public string
		if name == "pq" {
			id, err := age.GenerateHybridIdentity()
			check(err)
			secret, public = id.String(), id.Recipient().String()
		} else {
			id, err := age.GenerateX25519Identity()
			check(err)
			secret, public = id.String(), id.Recipient().String()
		}
		data = []byte("# public key: " + public + "\n" + secret + "\n")
		check(os.WriteFile(file, data, 0o644))
	}
	first, _, _ := strings.Cut(string(data), "\n")
	key, err := sopsage.MasterKeyFromRecipient(strings.TrimPrefix(first, "# public key: "))
	check(err)
	check(key.Encrypt(part))
	return key
}

func withPGP(part []byte) *pgp.MasterKey {
	const file = "../keys/test.asc"
	conf := &packet.Config{Time: func() time.Time { return now }, DefaultHash: crypto.SHA256, RSABits: 2048}
	if _, err := os.Stat(file); os.IsNotExist(err) {
		e, err := openpgp.NewEntity("sane", "test", "sane@example.com", conf)
		check(err)
		var b bytes.Buffer
		w, err := armor.Encode(&b, openpgp.PrivateKeyType, nil)
		check(err)
		check(e.SerializePrivate(w, conf))
		check(w.Close())
		check(os.WriteFile(file, b.Bytes(), 0o644))
	}
	data, err := os.ReadFile(file)
	check(err)
	entities, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(data))
	check(err)
	var b bytes.Buffer
	a, err := armor.Encode(&b, "PGP MESSAGE", nil)
	check(err)
	w, err := openpgp.Encrypt(a, entities, nil, &openpgp.FileHints{IsBinary: true}, conf)
	check(err)
	_, err = w.Write(part)
	check(err)
	check(w.Close())
	check(a.Close())
	return &pgp.MasterKey{Fingerprint: fmt.Sprintf("%X", entities[0].PrimaryKey.Fingerprint), EncryptedKey: b.String(), CreationDate: now}
}

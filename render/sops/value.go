package sops

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sane-gitops/sane/lazy"
)

// sealed is the form of an encrypted value: the ciphertext, the nonce, the tag
// and what type the value has.
var sealed = lazy.Compile(`^ENC\[AES256_GCM,data:([^,]*),iv:([^,]+),tag:([^,]+),type:([a-z]+)\]$`)

// maxNonce bounds the nonces that are taken. SOPS makes ones of 32 bytes.
const maxNonce = 64

var errPlain = errors.New("it is not encrypted, and by the rules of its document it should be")

var errForged = errors.New("it has been changed or moved since it was encrypted, or with another key")

// unseal returns the value that text is the encrypted form of: a string, an
// int, a float64, a bool or a [time.Time]. It must have been encrypted under the
// same path. The empty string is not encrypted.
func unseal(text string, key []byte, path string) (any, error) {
	if text == "" {
		return "", nil
	}
	m := sealed.FindStringSubmatch(text)
	if m == nil {
		return nil, errPlain
	}
	var parts [3][]byte
	for i := range parts {
		var err error
		if parts[i], err = base64.StdEncoding.DecodeString(m[i+1]); err != nil {
			return nil, errors.New("it is not base64")
		}
	}
	plain, err := gcmOpen(key, parts[1], append(parts[0], parts[2]...), path)
	if err != nil {
		return nil, err
	}
	return typed(string(plain), m[4])
}

func gcmOpen(key, nonce, data []byte, path string) ([]byte, error) {
	if len(nonce) > maxNonce {
		return nil, errors.New("its nonce is too long")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errors.New("its data key has the wrong length")
	}
	aead, err := cipher.NewGCMWithNonceSize(block, len(nonce))
	if err != nil {
		return nil, errForged
	}
	plain, err := aead.Open(nil, nonce, data, []byte(path))
	if err != nil {
		return nil, errForged
	}
	return plain, nil
}

// typed returns the value of a type that text stands for. Its errors do not
// tell text.
func typed(text, kind string) (v any, err error) {
	switch kind {
	case "str", "bytes", "comment":
		return text, nil
	case "int":
		v, err = strconv.Atoi(text)
	case "float":
		v, err = strconv.ParseFloat(text, 64)
	case "bool":
		v, err = strconv.ParseBool(text)
	case "time":
		v, err = time.Parse(time.RFC3339Nano, text)
	default:
		return nil, fmt.Errorf("its type %q is unknown", kind)
	}
	if err != nil {
		return nil, fmt.Errorf("it is no value of its type %q", kind)
	}
	return v, nil
}

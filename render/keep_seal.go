package render

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
)

// A seal closes what is secret, so that only this process can open it. Its key
// is nowhere but in memory: one that was made of the secrets themselves would
// be guessed with them.
type seal struct {
	names []byte // the key of what sealed data is called by
	aead  cipher.AEAD
}

func newSeal() seal {
	key := make([]byte, 64)
	rand.Read(key) // it never fails
	block, err := aes.NewCipher(key[:32])
	if err != nil {
		panic(err) // the key has the right length
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // the block has the right length
	}
	return seal{key[32:], aead}
}

// close returns data closed, and its name, which is the same for equal data.
func (s seal) close(data []byte) (name sum, closed []byte) {
	h := hmac.New(sha256.New, s.names)
	h.Write(data)
	name = sum(h.Sum(nil))
	return name, s.aead.Seal(nil, nil, data, name[:])
}

// open returns what was closed by that name.
func (s seal) open(name sum, closed []byte) ([]byte, error) {
	data, err := s.aead.Open(nil, nil, closed, name[:])
	if err != nil {
		return nil, errors.New("they are not what they were")
	}
	return data, nil
}

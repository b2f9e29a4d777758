// Package digest names content by its SHA-256.
package digest

import (
	"crypto/sha256"
	"encoding/hex"
)

// A Digest is the name of some bytes: an algorithm and a hexadecimal sum, such
// as "sha256:9f86d0…". Git's own object ids are digests too ("sha1:1f0c3d…").
// The zero Digest names nothing.
type Digest string

// Of returns the SHA-256 digest of data.
func Of(data []byte) Digest {
	sum := sha256.Sum256(data)
	return Digest("sha256:" + hex.EncodeToString(sum[:]))
}

package artifact

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/zeebo/blake3"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/unpack"
)

// algorithms are those by which artifacts may be named.
var algorithms = map[string]func() hash.Hash{
	"sha256": sha256.New,
	"sha384": sha512.New384,
	"sha512": sha512.New,
	"blake3": func() hash.Hash { return blake3.New() },
}

// hasher returns what computes digests of d's kind.
func hasher(d digest.Digest) (hash.Hash, error) {
	name, sum, _ := strings.Cut(string(d), ":")
	alg, ok := algorithms[name]
	if !ok {
		return nil, fmt.Errorf("digest %.100q is none of sha256, sha384, sha512 and blake3", d)
	}
	h := alg()
	raw, err := hex.DecodeString(sum)
	if err != nil || len(raw) != h.Size() || strings.ToLower(sum) != sum {
		return nil, fmt.Errorf("digest %.200q is not %d hexadecimal digits in lower case", d, 2*h.Size())
	}
	return h, nil
}

// total returns the digest of what h has seen, of the kind of another.
func total(h hash.Hash, like digest.Digest) digest.Digest {
	alg, _, _ := strings.Cut(string(like), ":")
	return digest.Digest(alg + ":" + hex.EncodeToString(h.Sum(nil)))
}

// fill unpacks a tarball whose digest must be want. If it is another, that is
// said before anything else that is wrong with it.
func fill(w *unpack.Writer, body *bounded, want digest.Digest) error {
	h, err := hasher(want)
	if err != nil {
		return err
	}
	unpacked := w.TarGz(io.TeeReader(body, h))
	if unpacked != nil {
		if _, err := io.Copy(h, body); err != nil {
			return unpacked // it is not known to be another
		}
	}
	if got := total(h, want); got != want {
		return fmt.Errorf("%w: its digest is %s, not %s as the artifact says; it may have been replaced", source.ErrContent, got, want)
	}
	return unpacked
}

// A bounded ends with an error after so many bytes.
type bounded struct {
	io.Reader
	left, most int64
}

func (r *bounded) Read(p []byte) (int, error) {
	if r.left <= 0 {
		var one [1]byte
		if n, err := r.Reader.Read(one[:]); n == 0 {
			return 0, err
		}
		return 0, fmt.Errorf("%w: the tarball has more than %d bytes", source.ErrContent, r.most)
	}
	n, err := r.Reader.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
}

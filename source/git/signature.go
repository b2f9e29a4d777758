package git

import (
	"bytes"
	"slices"

	"github.com/sane-gitops/sane/source"
)

// A signed is an object and its signature, apart.
type signed struct {
	payload   []byte // what the signature is of
	signature []byte // armored; nil if there is none
}

// armors begin the signatures that git knows: of OpenPGP, of SSH, of X.509.
var armors = []string{"-----BEGIN PGP SIGNATURE-----", "-----BEGIN PGP MESSAGE-----", "-----BEGIN SSH SIGNATURE-----", "-----BEGIN SIGNED MESSAGE-----"}

// signatureHeaders are those of objects named by SHA-1 and by SHA-256.
var signatureHeaders = []string{"gpgsig", "gpgsig-sha256"}

// splitCommit takes the signature out of a commit object: the header that
// belongs to ids of that length. The other one is in no payload.
func splitCommit(data []byte, idLen int) (signed, error) {
	own := signatureHeaders[0]
	if idLen == 64 {
		own = signatureHeaders[1]
	}
	payload, found := withoutSignatures(data)
	s := signed{payload: payload}
	switch all := found[own]; len(all) {
	case 0:
	case 1:
		s.signature = all[0]
	default: // git takes them as one; nobody writes that
		return signed{}, &source.ProofError{Of: "commit", Why: "it has more than one signature of one kind"}
	}
	return s, nil
}

// splitTag takes the signature off the end of a tag object.
func splitTag(data []byte) signed {
	at := -1
	for i := 0; i < len(data); {
		if slices.ContainsFunc(armors, func(a string) bool { return bytes.HasPrefix(data[i:], []byte(a)) }) {
			at = i
		}
		n := bytes.IndexByte(data[i:], '\n')
		if n < 0 {
			break
		}
		i += n + 1
	}
	if at < 0 {
		return signed{payload: data}
	}
	payload, _ := withoutSignatures(data[:at])
	return signed{payload: payload, signature: data[at:]}
}

// withoutSignatures returns an object without its headers that are signatures,
// and these, with the space gone that begins each further line.
func withoutSignatures(data []byte) (rest []byte, found map[string][][]byte) {
	found = make(map[string][][]byte)
	in := "" // the header that further lines belong to, if it is a signature
	for len(data) > 0 && data[0] != '\n' {
		n := bytes.IndexByte(data, '\n') + 1
		if n == 0 {
			n = len(data)
		}
		line := data[:n]
		data = data[n:]
		if more, ok := bytes.CutPrefix(line, []byte(" ")); ok {
			if in == "" {
				rest = append(rest, line...)
			} else {
				last := len(found[in]) - 1
				found[in][last] = append(found[in][last], more...)
			}
			continue
		}
		key, value, _ := bytes.Cut(line, []byte(" "))
		if in = string(key); !slices.Contains(signatureHeaders, in) {
			in = ""
			rest = append(rest, line...)
			continue
		}
		found[in] = append(found[in], bytes.Clone(value))
	}
	return append(rest, data...), found
}

// A tagObject is what we need of a tag object.
type tagObject struct {
	object, kind, name string
}

// parseTag reads a tag object.
func parseTag(data []byte) (t tagObject) {
	head, _, _ := bytes.Cut(data, []byte("\n\n"))
	for line := range bytes.SplitSeq(head, []byte("\n")) {
		key, value, _ := bytes.Cut(line, []byte(" "))
		switch string(key) {
		case "object":
			t.object = string(value)
		case "type":
			t.kind = string(value)
		case "tag":
			t.name = string(value)
		}
	}
	return t
}

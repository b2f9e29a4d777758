package flux

import (
	"errors"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sane-gitops/sane/source"
)

// proofOf returns what content must prove.
func proofOf(spec sourcev1.GitRepositorySpec, keys secret) (*source.Proof, error) {
	v := spec.Verification
	if v == nil {
		return nil, nil
	}
	if v.VerifyTag() && !namesTag(spec.Reference) {
		return nil, refuse(badVerificationMode, source.ErrProof, "cannot verify tag object's signature if a tag reference is not specified")
	}
	if why := keys.unreadable(); why != "" {
		return nil, refusal{verificationError, "public keys secret error: " + why, source.ErrProof}
	}
	p := &source.Proof{Method: string(v.GetMode()), Keys: make(map[string][]byte)}
	for name, key := range keys.data {
		p.Keys[name] = []byte(key)
	}
	return p, nil
}

// namesTag reports whether what is followed is a tag.
func namesTag(ref *sourcev1.GitRepositoryRef) bool {
	switch {
	case ref == nil || ref.Commit != "":
		return false
	case ref.Name != "":
		return strings.HasPrefix(ref.Name, "refs/tags/")
	}
	return ref.SemVer != "" || ref.Tag != ""
}

// proofReason returns the reason of an error that is a lack of proof.
func proofReason(err error) string {
	var p *source.ProofError
	switch {
	case !errors.As(err, &p):
		return verificationError
	case p.Of == "tag" && p.Unsigned:
		return badGitObject
	case p.Of == "tag":
		return badTagSignature
	case p.Of == "commit":
		return badCommitSignature
	}
	return verificationError
}

// proven writes whether the content has proven what it must.
func (d *draft) proven(feed source.Feed, v verdict, st source.Status) {
	switch {
	case d.ID().Kind != GitRepository: // see verified
	case v.status == isFalse && errors.Is(st.Err, source.ErrProof):
		d.mark(condition{sourceVerified, isFalse, v.reason, v.message})
	case feed.Remote.Proof == nil && feed.Err == nil:
		d.unmark(sourceVerified)
		d.drop("sourceVerificationMode")
	case v.status == isTrue && st.Proven != "":
		d.mark(condition{sourceVerified, isTrue, succeeded, verifiedPrefix + st.Signed})
		d.set("sourceVerificationMode", st.Proven)
	}
}

const verifiedPrefix = "verified signature of "

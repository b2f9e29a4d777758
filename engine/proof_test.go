package engine_test

import (
	"fmt"
	"strings"
	"testing/fstest"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/source"
)

// prove takes the name in the file "signed" for who has signed.
func prove(snap *source.Snapshot, p source.Proof) error {
	by := ""
	if f := snap.Tree.(fstest.MapFS)["signed"]; f != nil {
		by = strings.TrimSpace(string(f.Data))
	}
	if _, ok := p.Keys[by]; !ok {
		return fault.Input(&source.ProofError{Of: "commit", Why: fmt.Sprintf("git: %s is signed by %q", snap.Revision.Name, by)})
	}
	snap.Proven, snap.Signed = p.Method, fmt.Sprintf("commit '%s' with key '%s'", snap.Revision.Digest, by)
	return nil
}

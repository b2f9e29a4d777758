package engine_test

import (
	"fmt"
	"strings"
	"testing/fstest"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
)

// secret applies a Secret that holds key=value arguments.
func (p *play) secret(name string, args []string) {
	data := make(map[string]any)
	for _, a := range args {
		k, v, _ := strings.Cut(a, "=")
		data[k] = v
	}
	o := object.Of(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"namespace": "flux-system", "name": name}, "stringData": data,
	})
	_, err := p.world.Apply(p.t.Context(), namespace("flux-system"), cluster.How{Manager: "kubectl"})
	p.check(err)
	_, err = p.world.Apply(p.t.Context(), o, cluster.How{Manager: "kubectl", Force: true})
	p.check(err)
}

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

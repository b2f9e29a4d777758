package flux

import (
	_ "embed"

	"github.com/sane-gitops/sane/object"
)

//go:embed sample.yaml
var sampleYAML []byte

// Sample returns a Kustomization that has been applied twice, of the kinds of
// objects that most are made of.
func (f flux) Sample() object.Object {
	all, err := object.Parse(sampleYAML)
	if err != nil || len(all) != 1 {
		panic("flux: the sample can't be read") // it is beside this file
	}
	return all[0]
}

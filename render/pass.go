package render

import (
	"context"

	"github.com/sane-gitops/sane/cloud"
)

// Passes are what lets in where keys are kept that never leave there. They end by
// themselves, and nothing depends on them: who asks for them is a fact, they are
// none. A Passes must be safe for use by several goroutines at once.
type Passes interface {
	// Pass returns what lets in at a cloud, or at Vault, there being what of it
	// is asked: a region of Amazon's, a resource of Azure's, an address of
	// Vault's. An access key of Amazon's is in JSON.
	Pass(ctx context.Context, cloud, where string) (string, error)
}

// Vault is what is asked for keys like a cloud, and is none.
const Vault = "vault"

// A Claimant is who asks for passes at a cloud, as a fact tells it in JSON.
type Claimant struct {
	cloud.Identity
	Why    string            `json:",omitempty"` // it can't be anybody there
	Logins map[string]string `json:",omitempty"` // where to log in at a Vault, by its address; others are not shown anything
}

// As returns the name of the fact that is who asks at a cloud.
func As(cloud string) string { return "as/" + cloud }

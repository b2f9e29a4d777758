package cluster

import "github.com/sane-gitops/sane/object"

// An Identity is in whose name something is done. The zero Identity is ourselves.
type Identity struct {
	User   string              // "system:serviceaccount:apps:deployer"; "" is ourselves, and the rest counts for nothing
	Groups []string            // nil means those that the server gives every user of that name
	Extra  map[string][]string // what else is known of the user; keys are in lower case
}

// User returns the identity of that name, of which nothing else is known.
// That of "" is ourselves.
func User(name string) Identity { return Identity{User: name} }

// A Deed is something that may be allowed to an identity, or not.
type Deed struct {
	Verb        string    // as RBAC has it: "get", "list", "watch", "create", "patch", "delete"
	Object      object.ID // without a name it is all of the kind; without a namespace, in all namespaces
	Subresource string    // "log", or "" for the object itself
}

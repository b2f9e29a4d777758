// Package unit is one thing to be kept as Git says, and what became of it.
// Flux calls it a Kustomization or a HelmRelease, Argo CD calls it an
// Application.
package unit

import (
	"errors"
	"fmt"
	"time"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/inventory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/source"
)

// A Name names a unit. It is the name of the object that asked for it.
type Name struct {
	Kind            object.Kind
	Namespace, Name string
}

// String returns "Kustomization/flux-system/apps".
func (n Name) String() string { return n.Kind.Name + "/" + n.Namespace + "/" + n.Name }

// ID returns the name of the object that asked for the unit.
func (n Name) ID() object.ID { return object.ID{Kind: n.Kind, Namespace: n.Namespace, Name: n.Name} }

// A Unit is a request to keep a part of a cluster as its source says.
type Unit struct {
	Name       Name
	Generation int64 // of the object that asks for it
	Source     source.FeedName
	Recipe     render.Recipe
	Facts      render.Known `json:"-"` // for the recipe; they may be secret
	Target     Target
	Owner      Owner
	Policy     plan.Policy
	Ignore     []plan.Ignore // what is left to others
	After      []Name        // units that must be ready first
	Gates      []Gate        // when some of these are ready

	Wait    bool          // for all that was applied to be healthy
	Checks  []object.ID   // what else must be healthy, if Wait is not set
	Patient bool          // what has failed may recover until Timeout
	Rules   []health.Rule // by which that is judged, beside those that everybody knows

	Every   time.Duration // how often to check when nothing is known to have changed
	Retry   time.Duration // how soon to try again after a failure; 0 means Every
	Timeout time.Duration // for each phase

	Paused    bool
	Deleting  bool   // the object that asked for it is being deleted
	Orphan    bool   // when deleted, leave its objects where they are
	AwaitGone bool   // when deleted, stay until its objects are gone
	Token     string // a new one asks to check now
	Err       error  // why it can't be kept, as far as the object itself tells; nil if it can
}

// A Gate is an expression that says when a unit is ready for another to come
// after it. Package health/expr can read it.
type Gate struct {
	After Name
	Expr  string
	Also  bool // the unit must be ready by itself as well
}

// A Target is a cluster and the identity to use there. The zero Target is the
// cluster that we run in, and ourselves.
type Target struct {
	Place
	As  string // the user to impersonate; "" is whoever the place, or our pod, says
	Err error  // why it is not known; nil if it is
}

// A Place is how to get in at another cluster, by either of its fields. The zero
// Place is the cluster that we run in.
type Place struct {
	Kubeconfig Secret
	Login      Login
}

// A Login is how to get in at a cluster by an identity that it, or its cloud,
// knows.
type Login struct {
	cloud.Identity
	Cluster   string // its name at the cloud; "" if Address is all that there is to know
	Address   string // URL of its API server; "" means that which the cloud knows
	CA        string // PEM certificates of those who may vouch for that; "" means whom the cloud says, or everybody
	Audiences string // whom a token is for, one a line; "" means the usual
}

// A Secret is text that prints as nothing.
type Secret string

// Format implements [fmt.Formatter], so that no verb gives anything away.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.mask()) }

// MarshalJSON gives nothing away but whether there is something.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.mask() + `"`), nil }

func (s Secret) mask() string {
	if s == "" {
		return ""
	}
	return "(secret)"
}

// An Owner is how a unit's objects are known to be its own. What it says is
// the dialect's: Flux marks with labels.
type Owner struct {
	Manager string            // the field manager of all that is applied
	Labels  map[string]string // on every object
}

// An Exemption is a [plan.Exemption].
type Exemption = plan.Exemption

// A Phase is how far a unit got.
type Phase string

const (
	Admitting Phase = "admit"   // may it begin: is the request sound, the source there, are the units before it ready?
	Fetching  Phase = "fetch"   // the source's tree
	Rendering Phase = "render"  // the tree to objects
	Planning  Phase = "plan"    // what to do, and a dry run of it
	Applying  Phase = "apply"   // stage by stage
	Observing Phase = "observe" // until all is healthy
	Pruning   Phase = "prune"   // what is not wanted any more
	Done      Phase = "done"
)

// A Status is what became of a unit when last it was reconciled.
type Status struct {
	Phase      Phase // where it stopped; Done if it went through
	Err        error // why it stopped there; nil if it went through or is still at it
	Waits      Wait  // what it waits for, if it does
	Generation int64 // of the object that asked for it
	Attempted  source.Revision
	Applied    source.Revision // the last to go through
	Rendered   digest.Digest   // of the objects
	Owned      inventory.Set   // what it may have made: what is there and what is meant to be
	Health     health.Verdict
	Token      string // the last token that was heeded
	Changes    []Change
	Fights     []Fight
	Began      time.Time
	Ended      time.Time

	// What Attempted and Applied were made from, where their source says that:
	// a revision as Flux writes it.
	AttemptedOrigin, AppliedOrigin string
}

// A Wait is what a unit waits for. The zero Wait is nothing.
type Wait struct {
	On   On
	What string // in words: "dependency 'flux-system/infra' is not ready"
}

// An On is a kind of thing that a unit can wait for.
type On string

const (
	OnSource  On = "source"  // to be there, and to have been fetched
	OnUnit    On = "unit"    // before it, to be ready
	OnStage   On = "stage"   // a stage of what is being applied
	OnHealth  On = "health"  // of what was applied
	OnRemoval On = "removal" // of what was deleted
)

// A Change is one thing that was done to one object.
type Change struct {
	ID   object.ID
	Done string // "created", "configured", "unchanged", "deleted", "skipped"

	Undid bool   // by it, what others had done to the object
	By    string // the field manager of those others; "" if it is not known
}

// Errors that say more than the phase in which they came. Status.Err wraps at
// most one of them.
var (
	ErrNoSource     = errors.New("source not found")
	ErrAccess       = errors.New("access denied")        // a reference that is not allowed
	ErrDependencies = errors.New("dependency not ready") // or never to be, as in a cycle
	ErrHealth       = errors.New("health check failed")  // an object has failed, or time is up
	ErrRecall       = errors.New("inventory unreadable") // what was made is not known
	ErrCanceled     = errors.New("canceled")             // by a newer revision or request
	ErrLeft         = errors.New("left to themselves")   // objects that were deleted and did not go
)

// A HeldError says what is not deleted until somebody approves it.
type HeldError struct {
	What     string        // in words
	Approval digest.Digest // of what would be deleted: see [plan.Policy]
}

func (e *HeldError) Error() string { return "deletion held: " + e.What }

// A Fight is about an object that others change again and again. It is brought
// back less and less often.
type Fight struct {
	ID     object.ID
	By     string // the field manager of the others
	Rounds int    // in which it was brought back
}

// Ready reports whether the unit is as its source said when last it looked.
func (s Status) Ready() bool { return s.Phase == Done && s.Err == nil }

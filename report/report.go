// Package report tells the outside what happened.
package report

import (
	"time"

	"github.com/sane-gitops/sane/object"
)

// An Event is something worth telling about one object.
type Event struct {
	About    Object
	Severity Severity
	Reason   string // one word, "ReconciliationSucceeded"
	Message  string // the same words for the same thing, so that repetitions can be folded
	At       time.Time
	By       string            // the controller that tells it, "kustomize-controller"
	Meta     map[string]string // annotations of the event: "<group>/revision", …
	Minor    bool              // nothing has changed but a name: not worth a request to the cluster

	Facts Facts `json:"-"` // that its words tell; not a part of what is told
}

// Facts are what the words of an event tell, for whoever keeps account of what
// happens.
type Facts struct {
	Kind     Kind     // "" if it's nothing to be remembered
	Revision string   // of the source
	Changes  []Change // to which objects
	Who      string   // is behind it, where somebody is and that is known
	Until    time.Time
	Cluster  string // "" is the one that we run in
}

// A Kind is a kind of thing that can happen to a source or to a unit.
type Kind string

const (
	Fetched   Kind = "revision"  // a source has a new revision
	Applied   Kind = "applied"   // objects were made as the source says
	Undone    Kind = "drift"     // what others had changed was undone
	Pruned    Kind = "pruned"    // objects were deleted that are not wanted any more
	Settled   Kind = "ready"     // a unit is as its source says
	Recovered Kind = "recovered" // and it had failed before, or a source had
	Failed    Kind = "failed"    //
	Held      Kind = "held"      // until a person approves
	Approved  Kind = "approved"  // of what is held, by Who
	Waiting   Kind = "waiting"   // for something else
	Fought    Kind = "conflict"  // others change an object again and again
	Suspended Kind = "suspended" // by Who, perhaps Until
	Resumed   Kind = "resumed"   // by Who, or at its time
	Asked     Kind = "asked"     // for something to be done now, by Who
)

// Kinds are all of them.
var Kinds = []Kind{Fetched, Applied, Undone, Pruned, Settled, Recovered, Failed, Held, Approved, Waiting, Fought, Suspended, Resumed, Asked}

// A Change is what was done to one object.
type Change struct {
	ID    object.ID
	Done  string // "created", "configured", "deleted"
	Undid bool   // by it, what others had done to the object
	By    string // the field manager of those others; "" if it is not known
}

// An Object is the object that an event is about.
type Object struct {
	APIVersion, Kind, Namespace, Name string
	UID, ResourceVersion              string
}

// A Severity says how bad an event is.
type Severity string

const (
	Info  Severity = "info"
	Error Severity = "error"
	Trace Severity = "trace" // of use to some, and told only inside the cluster
)

// A Sink is told of events.
//
// Report must return at once; what a sink cannot deliver it tries again within
// bounds, and then drops and counts. A Sink must be safe for use by several
// goroutines at once.
type Sink interface {
	Report(e Event)
}

// Package report tells the outside what happened.
package report

import "time"

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

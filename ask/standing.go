package ask

import (
	"time"

	"github.com/sane-gitops/sane/object"
)

// A Standing is how an object says that it stands, in the words that all of
// Kubernetes shares.
type Standing struct {
	Ready   string // "True", "False", "Unknown"; "" if it does not say
	Reason  string
	Message string
	Doing   string    // what is being done, if anything is
	Current bool      // it speaks of the object's present generation
	Stalled bool      // nothing is tried again before an edit
	Since   time.Time // when Ready came to be as it is
}

// StandingOf returns how an object says that it stands.
func StandingOf(o object.Object) Standing {
	ready, doing := o.Condition("Ready"), o.Condition("Reconciling")
	s := Standing{
		Ready: ready.Text("status"), Reason: ready.Text("reason"), Message: ready.Text("message"),
		Stalled: o.Condition("Stalled").Text("status") == "True", Since: changedAt(ready),
	}
	if doing.Text("status") == "True" {
		s.Doing = doing.Text("message")
	}
	s.Current = s.Ready != "" && ready.Number("observedGeneration") == o.Generation()
	return s
}

// changedAt returns when a condition came to be as it is.
func changedAt(condition object.Object) time.Time { return condition.Time("lastTransitionTime") }

// created returns when o was made.
func created(o object.Object) time.Time { return o.Time("metadata", "creationTimestamp") }

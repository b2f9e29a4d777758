// Package health judges an object by what it says of itself.
package health

import (
	"github.com/sane-gitops/sane/object"
)

// A Status is how an object is doing. Statuses are ordered, best first.
type Status uint8

const (
	Healthy     Status = iota // it is as it was asked to be
	Suspended                 // it was told to do nothing
	Progressing               // it is on its way
	Missing                   // there is none
	Unknown                   // it does not say
	Degraded                  // it says that it has failed
)

var names = [...]string{"Healthy", "Suspended", "Progressing", "Missing", "Unknown", "Degraded"}

func (s Status) String() string { return names[s] }

// A Verdict is a status and the reason for it, in words.
type Verdict struct {
	Status Status
	Why    string
}

// Worst returns the worst of the verdicts, or Healthy if there are none.
func Worst(vs ...Verdict) Verdict {
	var worst Verdict
	for _, v := range vs {
		if v.Status > worst.Status {
			worst = v
		}
	}
	return worst
}

var _ = object.Object{}

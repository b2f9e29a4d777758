package engine

import (
	"time"

	"github.com/sane-gitops/sane/object"
)

// A fight is what is known of an object that others change again and again.
type fight struct {
	rounds int       // in which it was brought back
	last   time.Time // when it was
}

// A drift is what others did to an object.
type drift struct {
	by   string // the field manager of those others; "" if that is not known
	gone bool   // they took it away
}

const (
	free  = 3                // times that an object is brought back at once
	peace = 10 * time.Minute // after which a fight is forgotten
)

// next returns when the object may be brought back again.
func (f fight) next() time.Time {
	if f.rounds <= free {
		return f.last
	}
	return f.last.Add(min(time.Second<<min(f.rounds-free, 12), peace/2))
}

// fought takes note that an object was brought back at a time.
func (k *keeping) fought(id object.ID, at time.Time) {
	f := k.drift[id]
	if at.Sub(f.last) > peace {
		f = fight{}
	}
	if k.drift == nil {
		k.drift = make(map[object.ID]fight)
	}
	k.drift[id] = fight{f.rounds + 1, at}
}

// patience returns when an object may be brought back, if that is later than
// at, and in how many rounds it has been.
func (k *keeping) patience(id object.ID, at time.Time) (until time.Time, rounds int) {
	f, ok := k.drift[id]
	if !ok || !f.next().After(at) {
		return time.Time{}, f.rounds
	}
	return f.next(), f.rounds
}

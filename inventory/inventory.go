// Package inventory remembers which objects a unit has made.
package inventory

import (
	"maps"
	"slices"

	"github.com/sane-gitops/sane/object"
)

// A Set is a set of object names, each with the API version by which the
// object was last applied ("v1"). A nil Set is empty and can be read.
type Set map[object.ID]string

// Union returns the names in s or t. Where both have one, t's version counts.
func (s Set) Union(t Set) Set {
	u := make(Set, len(s)+len(t))
	maps.Copy(u, s)
	maps.Copy(u, t)
	return u
}

// Minus returns the names in s that are not in t.
func (s Set) Minus(t Set) Set {
	d := make(Set)
	for id, v := range s {
		if _, ok := t[id]; !ok {
			d[id] = v
		}
	}
	return d
}

// Covers reports whether every name of t is in s.
func (s Set) Covers(t Set) bool {
	for id := range t {
		if _, ok := s[id]; !ok {
			return false
		}
	}
	return true
}

// Equal reports whether s and t hold the same names with the same versions.
func (s Set) Equal(t Set) bool { return maps.Equal(s, t) }

// IDs returns the names in order.
func (s Set) IDs() []object.ID {
	return slices.SortedFunc(maps.Keys(s), object.Compare)
}

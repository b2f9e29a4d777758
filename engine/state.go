package engine

import (
	"bytes"
	"slices"

	"github.com/sane-gitops/sane/object"
)

// A state is how a custom resource stands, packed: there may be many.
type state struct {
	uid      string
	version  string // the resource version
	question mark   // of all that it asks
	held     bool   // it bears our finalizer
	data     []byte // its JSON form, without managed fields, compressed by what all have in common
}

func (e *Engine) stateOf(o object.Object) state {
	o = o.Without("metadata", "managedFields")
	return state{
		uid: o.UID(), version: o.ResourceVersion(), question: question(o, e.foreign(o)),
		held: slices.Contains(o.Finalizers(), e.c.Dialect.Finalizer()), data: bytes.Clone(e.common.Encode(nil, o.JSON())),
	}
}

// unpack returns the custom resource that stands so.
func (e *Engine) unpack(s state) object.Object {
	data, err := e.common.Decode(nil, s.data)
	if err != nil {
		panic("engine: " + err.Error()) // it is never written to
	}
	o, err := object.FromJSON(data)
	if err != nil {
		panic("engine: " + err.Error()) // it was made by JSON
	}
	return o
}

// newer returns the later of two states of one object.
func (s state) newer(t state) state {
	if older(t.version, s.version) {
		return s
	}
	return t
}

// since returns the later of two states of one object, with the question of the
// second, which has been read.
func (s state) since(read state) state {
	now := s.newer(read)
	now.question = read.question
	return now
}

// question returns a digest that changes with what a custom resource asks. Its
// generation stands for its spec. What its status says counts only if others
// write it.
func question(o object.Object, foreign bool) mark {
	asks := make(map[string]any)
	ask := func(path ...string) { asks[path[len(path)-1]], _ = o.Get(path...) }
	ask("metadata", "generation")
	if foreign {
		ask("status")
	} else {
		ask("metadata", "labels")
		ask("metadata", "annotations")
		ask("metadata", "finalizers")
		ask("metadata", "deletionTimestamp")
	}
	return markOf(object.Of(asks).JSON())
}

// older reports whether resource version a comes before b. They are numbers
// without leading zeros.
func older(a, b string) bool {
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return a < b
}

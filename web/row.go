package web

import (
	"cmp"
	"errors"
	"path"
	"strings"
	"time"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// A row is what lists show of a unit or a source. It is never changed.
type row struct {
	ID       object.ID
	State    state
	Since    time.Time // of the state; zero if that is not known
	Moved    time.Time // when last something came of it
	Message  string
	Reason   string
	Revision string // that it is at
	Tries    string // the revision that it is on the way to, if it is another
	Source   object.ID
	Path     string
	Cluster  string // where the objects of a unit live; "" is the one that we run in
	URL      string // of a source, without what lets one in
	Ref      string
	Objects  int         // that the unit has made
	After    []object.ID // units that must be ready first
	Includes []object.ID // sources of which a source has parts

	text string // to be searched, in lower case
}

// reads returns as much of a unit as says what it reads.
func (x *row) reads() unit.Unit {
	return unit.Unit{Name: unit.Name{Kind: x.ID.Kind, Namespace: x.ID.Namespace, Name: x.ID.Name}, Recipe: render.Recipe{Dir: cmp.Or(x.Path, ".")}}
}

// A state is how a unit or a source stands. The worst comes first.
type state uint8

const (
	failed state = iota
	held
	waiting
	moving
	fresh
	suspended
	ready
)

// states are all states, as lists and URLs name them.
var states = [...]struct{ Name, Says string }{
	failed:    {"failed", "it went wrong"},
	held:      {"held", "a deletion waits for approval"},
	waiting:   {"waiting", "for another to be ready"},
	moving:    {"progressing", "it is being brought up"},
	fresh:     {"new", "nothing is said of it yet"},
	suspended: {"suspended", "it is left alone"},
	ready:     {"ready", "it is as its source says"},
}

func (s state) String() string { return states[s].Name }

// rowOf returns the row of an object of one of the dialect's kinds.
func (s *Server) rowOf(o object.Object) *row {
	c := ask.StandingOf(o)
	x := &row{ID: o.ID(), Since: c.Since, Message: c.Message, Reason: c.Reason}
	asked, err := s.c.Dialect.Read(o, dialect.Nothing{})
	switch {
	case err != nil:
		x.State, x.Message = failed, err.Error()
	case len(asked.Units) > 0:
		s.unitRow(x, o, asked.Units[0], c)
	case len(asked.Feeds) > 0:
		s.feedRow(x, o, asked.Feeds[0], c)
	}
	if x.State == fresh {
		x.Since = o.Time("metadata", "creationTimestamp")
	}
	x.Moved, x.Message = later(x.Moved, x.Since), plainText(x.Message)
	x.text = strings.ToLower(strings.Join([]string{x.ID.Namespace + "/" + x.ID.Name, x.Message, x.Revision, x.Source.Name, x.Path, x.Cluster, x.URL, labelText(o)}, "\n"))
	return x
}

func (s *Server) unitRow(x *row, o object.Object, u unit.Unit, c ask.Standing) {
	st := s.c.Dialect.RecallUnit(o)
	x.Source = object.ID{Kind: s.kindNamed(u.Source.Kind), Namespace: u.Source.Namespace, Name: u.Source.Name}
	x.Revision, x.Path, x.Objects = st.Applied.Name, path.Clean("/" + u.Recipe.Dir)[1:], len(st.Owned)
	for _, name := range u.After {
		x.After = append(x.After, name.ID())
	}
	if st.Attempted.Name != x.Revision {
		x.Tries = st.Attempted.Name
	}
	if s.c.Elsewhere != nil {
		x.Cluster = s.c.Elsewhere(o)
	}
	x.Moved = st.Ended
	var hold *unit.HeldError
	switch {
	case u.Paused:
		x.State = suspended
	case c.Ready == "":
		x.State = fresh
	case errors.As(st.Err, &hold):
		x.State = held
	case errors.Is(st.Err, unit.ErrDependencies) && !c.Stalled, st.Waits.On == unit.OnUnit:
		x.State = waiting
	default:
		x.State = stateOf(c)
	}
}

func (s *Server) feedRow(x *row, o object.Object, f source.Feed, c ask.Standing) {
	st := s.c.Dialect.RecallFeed(o)
	x.Revision, x.URL, x.Ref, x.Moved = st.Revision.Name, ask.PlainURL(f.Remote.URL), f.RefText(), st.Since
	for _, part := range f.Include {
		x.Includes = append(x.Includes, object.ID{Kind: s.kindNamed(part.Feed.Kind), Namespace: part.Feed.Namespace, Name: part.Feed.Name})
	}
	switch {
	case f.Paused:
		x.State = suspended
	case c.Ready == "":
		x.State = fresh
	default:
		x.State = stateOf(c)
	}
}

// kindNamed returns the kind of the dialect with a name.
func (s *Server) kindNamed(name string) object.Kind {
	for _, n := range s.c.Language.Nouns {
		if n.Kind.Name == name {
			return n.Kind
		}
	}
	return object.Kind{Name: name}
}

// stateOf returns how an object stands that says so, as far as all of Kubernetes
// shares the words.
func stateOf(c ask.Standing) state {
	switch {
	case c.Ready == "False" && c.Current:
		return failed
	case c.Ready == "True" && c.Current && c.Doing == "":
		return ready
	}
	return moving
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func labelText(o object.Object) string {
	v, _ := o.Get("metadata", "labels")
	m, _ := v.(map[string]any)
	var b strings.Builder
	for key, v := range m {
		text, _ := v.(string)
		b.WriteString(key + "=" + text + "\n")
	}
	return b.String()
}

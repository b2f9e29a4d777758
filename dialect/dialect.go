// Package dialect says what it takes to speak another system's language:
// custom resources in, units out; what became of them back into the resources.
package dialect

import (
	"time"

	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// A Dialect translates one system's custom resources to feeds and units and
// back. Both directions are pure: all that a dialect knows it reads from its
// arguments. It does no I/O of its own and keeps no state.
type Dialect interface {
	// Kinds lists the kinds whose objects ask for feeds or units.
	Kinds() []object.Kind

	// Sample returns an object as most of them are, with its status. Whoever keeps
	// many need not keep in each what they have in common with it.
	Sample() object.Object

	// Foreign reports whether others keep the objects of one of Kinds. Their
	// statuses are a part of what they ask, and nothing is written to them.
	Foreign(k object.Kind) bool

	// Read returns what o asks for. Other objects that it needs, such as the
	// Secret with a feed's credentials, it gets from r; o is read again when
	// one of them changes. What is wrong with o itself, or with what it refers
	// to, is not Read's error but the Err of the feed or the unit. Read's own
	// error says that r could not answer, or that o is of no kind of ours.
	Read(o object.Object, r Reader) (Asked, error)

	// ReadForeign returns what o asks for of others, who keep it: a feed that is
	// what its status offers, whoever is let in; a unit without what it refers
	// to. Nobody is asked.
	ReadForeign(o object.Object) (Asked, error)

	// Finalizer is what keeps a deleted object until its unit or feed has been
	// taken down.
	Finalizer() string

	// Selector selects, by label, all objects that units of this dialect own.
	Selector() string

	// Owner returns the unit that labels say owns their object.
	Owner(labels map[string]string) (unit.Name, bool)

	// Exempt says what o's own labels and annotations ask of whoever keeps it.
	// It is asked of the desired object and of the live one.
	Exempt(o object.Object) unit.Exemption

	// RecallFeed and RecallUnit return what o's status says became of its feed
	// or unit when it was last told, for the time after a restart.
	RecallFeed(o object.Object) source.Status
	RecallUnit(o object.Object) unit.Status

	// TellFeed returns o with its status saying st, and the events that tell
	// the way there from was. If o says st already, it returns an equal object
	// and no events. Transition times change only with what they belong to.
	TellFeed(o object.Object, f source.Feed, was, st source.Status, now time.Time) (object.Object, []report.Event)

	// TellUnit is TellFeed for the unit that o asks for.
	TellUnit(o object.Object, u unit.Unit, was, st unit.Status, now time.Time) (object.Object, []report.Event)

	// Pause returns what o says of its being left alone. Who asked for that, and
	// when, is in o's managed fields, if it has them.
	Pause(o object.Object) Pause

	// SetPause returns the merge patch by which an object says p.
	SetPause(p Pause) map[string]any

	// TellPause returns the events that tell that o said was and says is now.
	TellPause(o object.Object, was, is Pause, now time.Time) []report.Event

	// TellApproval returns the events that tell that o says of what is held that
	// it may be done.
	TellApproval(o object.Object, now time.Time) []report.Event

	// Recount returns what o still tells of what has happened, with its facts: a
	// resource by its status, a Kubernetes Event about one by its words.
	Recount(o object.Object) []report.Event

	// Manager is the field manager in whose name o's status is written.
	Manager(k object.Kind) string
}

// Asked is what an object asks for.
type Asked struct {
	Feeds []source.Feed
	Units []unit.Unit
}

// A Reader finds single objects for [Dialect.Read]. That there is none is no
// error.
type Reader interface {
	Get(id object.ID) (object.Object, bool, error)
}

// Nothing is a [Reader] of a cluster that holds nothing.
type Nothing struct{}

// Get implements [Reader].
func (Nothing) Get(object.ID) (object.Object, bool, error) { return object.Object{}, false, nil }

// A Pause is what an object says of its being left alone.
type Pause struct {
	On    bool
	By    string    // who said so; "" if that is not known
	Since time.Time // zero if that is not known
	Why   string    // in the words of who asked for it
	Until time.Time // when it is to end by itself; zero if nobody has said
}

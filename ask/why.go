package ask

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/diff"
	"github.com/sane-gitops/sane/object"
)

// An asking is one question why: what has been learnt so far.
type asking struct {
	*Desk
	reading *Reading

	answer *Answer
	about  object.ID                  // what is asked about
	told   map[object.ID]bool         // units that have been explained
	heard  map[string][]object.Object // warnings by namespace
	taken  map[point]*checkout
}

// An Answer is why a thing is as it is.
type Answer struct {
	State   *Reason         `json:"state"`
	MadeBy  []string        `json:"madeBy,omitempty"` // its controller, the controller of that, and so on
	Keeper  *Keeper         `json:"keeper,omitempty"`
	Origin  *Origin         `json:"origin,omitempty"`
	Tries   *Origin         `json:"tries,omitempty"` // of a unit, where it has not got to
	Asks    []Wish          `json:"asks,omitempty"`
	Differs []diff.Mismatch `json:"differs,omitempty"` // from what is wanted
	Strays  []diff.Stray    `json:"strays,omitempty"`  // fields of others, of which nothing is wanted
	UsedBy  []string        `json:"usedBy,omitempty"`
	Unknown []string        `json:"unknown,omitempty"` // what could not be learnt, and why
}

// A Reason is something that is so, and what it is so for.
type Reason struct {
	About   string    `json:"about"` // "Deployment/apps/web"
	Says    string    `json:"says"`
	Since   time.Time `json:"since,omitzero"`
	More    []string  `json:"more,omitempty"`
	Events  []Warning `json:"events,omitempty"` // the newest, the newest first
	Do      string    `json:"do,omitempty"`     // what a person can do about it
	Because []*Reason `json:"because,omitempty"`

	Well bool `json:"-"` // it is as it should be
}

// A Keeper is the unit that keeps an object.
type Keeper struct {
	Unit  string `json:"unit"` // "Kustomization/apps/web"; "" if nobody keeps it
	State string `json:"state,omitempty"`
	Doubt string `json:"doubt,omitempty"` // that its labels and the unit's inventory disagree
}

// What bounds an answer.
const (
	maxReasons = 20 // beside each other
	maxEvents  = 3

	reading = 45 * time.Second // a repository
)

// Why finds out why an object is as it is: a unit, a source, or any other. That
// there is none of that name, and that none is wanted, is an error.
func (d *Desk) Why(ctx context.Context, id object.ID) (*Answer, error) {
	w := d.asking(id)
	defer w.reading.Close()
	err := w.explain(ctx, id)
	return w.answer, err
}

func (d *Desk) asking(about object.ID) *asking {
	return &asking{
		Desk: d, reading: d.Read(At{}), answer: new(Answer), about: about,
		told: make(map[object.ID]bool), heard: make(map[string][]object.Object), taken: make(map[point]*checkout),
	}
}

func (w *asking) explain(ctx context.Context, id object.ID) error {
	o, there, err := w.Cluster.Get(ctx, id)
	if err != nil {
		return err
	}
	if !there {
		return w.absent(ctx, id)
	}
	switch n, ok := w.Language.Noun(id.Kind); {
	case !ok:
		return w.object(ctx, o)
	case n.Feed:
		return w.source(ctx, o)
	}
	w.answer.State = w.unit(ctx, o)
	return w.unitOrigin(ctx, o)
}

// unknown notes that something could not be learnt.
func (w *asking) unknown(format string, args ...any) {
	w.answer.Unknown = once(w.answer.Unknown, fmt.Sprintf(format, args...))
}

// once appends text to a list that does not have it yet.
func once(list []string, text string) []string {
	for _, s := range list {
		if s == text {
			return list
		}
	}
	return append(list, text)
}

// all returns all units or all sources, or those of the namespace if only they
// may be seen.
func (w *asking) all(ctx context.Context, nouns []Noun) ([]object.Object, error) {
	var all []object.Object
	for _, n := range nouns {
		found, err := List(ctx, w.Cluster, cluster.Selection{Kind: n.Kind})
		if errors.Is(err, cluster.ErrForbidden) {
			w.unknown("what is in other namespaces: %v", err)
			found, err = List(ctx, w.Cluster, cluster.Selection{Kind: n.Kind, Namespace: w.Namespace})
		}
		if err != nil && !errors.Is(err, cluster.ErrNoKind) {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

package ask

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/sane-gitops/sane/diff"
	"github.com/sane-gitops/sane/engine"
	"github.com/sane-gitops/sane/object"
)

// A Comparison is how an object that a unit wants differs between two revisions,
// without what is secret in it.
type Comparison struct {
	ID   object.ID
	Verb string // "create", "update" or "delete": what going from the first to the second would do
	diff.Difference
}

// Compare returns how what the unit that o asks for wants differs between two
// revisions of its source, in the order of the objects' names. The cluster is asked
// for nothing but the unit and its sources.
func (p *Reading) Compare(ctx context.Context, o object.Object, from, to string) ([]Comparison, error) {
	return p.CompareAt(ctx, o, At{Revision: from}, At{Revision: to})
}

// CompareAt is Compare for whatever stands for the source.
func (p *Reading) CompareAt(ctx context.Context, o object.Object, from, to At) ([]Comparison, error) {
	var sides [2]engine.Wants
	for i, at := range []At{from, to} {
		var err error
		if sides[i], err = p.At(at).Wanted(ctx, o); err != nil {
			if at.Revision != "" {
				err = fmt.Errorf("at %s: %w", at.Revision, err)
			}
			return nil, err
		}
	}
	was, now := sides[0].ByID(), sides[1].ByID()
	secrets := append(sides[0].Secrets, sides[1].Secrets...)
	ids := make(map[object.ID]bool)
	for id := range was {
		ids[id] = true
	}
	for id := range now {
		ids[id] = true
	}
	var out []Comparison
	for _, id := range slices.SortedFunc(maps.Keys(ids), object.Compare) {
		a, b := was[id], now[id]
		c := Comparison{ID: id, Verb: "update"}
		switch {
		case a.IsZero():
			c.Verb = "create"
		case b.IsZero():
			c.Verb = "delete"
		}
		a, b = diff.Masked(a, b)
		a, b = diff.Discreet(a, b, secrets)
		if c.Difference = diff.Of(a, b); len(c.Lines) > 0 {
			out = append(out, c)
		}
	}
	return out, nil
}

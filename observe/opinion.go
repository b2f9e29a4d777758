package observe

import (
	"slices"
	"unique"

	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/health/expr"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/unit"
)

// An opinion is what a judge said of an object when it was seen: the object
// itself is not kept.
type opinion struct {
	by      *expr.Judge
	verdict unique.Handle[health.Verdict]
}

// maxOpinions is how many opinions of one object are kept.
const maxOpinions = 32

// whole reports whether more is to be seen of objects of a kind than metadata.
func (w *Watcher) whole(k object.Kind) bool {
	return !health.Silent(k) || w.c.Whole != nil && w.c.Whole(k)
}

// opinions returns what all its judges say of an object, or nil.
func (w *Watcher) opinions(owner unit.Name, o object.Object) *[]opinion {
	if w.c.Judges == nil {
		return nil
	}
	var all []opinion
	for _, j := range w.c.Judges(owner, o.ID()) {
		all = append(all, opinion{j, unique.Make(j.Of(o))})
	}
	if all == nil {
		return nil
	}
	return &all
}

// Opinion returns what a judge said of an object when it was last seen, and
// whether it did: it may have come later than that, or only metadata may have
// been seen. Then somebody has to get the object and call [Watcher.Judge].
func (w *Watcher) Opinion(id object.ID, by *expr.Judge) (health.Verdict, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for seen := range w.sightings(id) {
		if seen.gone {
			return seen.usual.Value().health, true
		}
		for _, o := range seen.said() {
			if o.by == by {
				return o.verdict.Value(), true
			}
		}
	}
	return health.Verdict{}, false
}

// Judge has a judge say of an object what [Watcher.Opinion] is to return until
// the object changes.
func (w *Watcher) Judge(o object.Object, by *expr.Judge) health.Verdict {
	v := by.Of(o)
	w.mu.Lock()
	defer w.mu.Unlock()
	for seen := range w.sightings(o.ID()) {
		if seen.of(o.UID()) && seen.version <= version(o) {
			all := seen.said()
			all = append(slices.Clip(all[max(len(all)-maxOpinions+1, 0):]), opinion{by, unique.Make(v)})
			seen.opinions = &all
		}
	}
	return v
}

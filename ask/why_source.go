package ask

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
)

// source explains a source.
func (w *asking) source(ctx context.Context, o object.Object) error {
	w.answer.State = w.sourceState(ctx, o)
	name := feedName(o)
	w.answer.UsedBy = w.usersOf(ctx, name)
	st := w.Dialect.RecallFeed(o)
	w.answer.Origin = w.originOf(ctx, o, st.Revision)
	if st.Err != nil && w.take(ctx, name, st.Revision).err == nil {
		w.answer.State.More = append(w.answer.State.More,
			"from here it can be read by what the object says: it is the controller's way to it that fails, or it has come back since")
	}
	return nil
}

// Standing says how the source that o asks for stands, and why, by what the API
// server tells of it and of what it refers to.
func (d *Desk) Standing(ctx context.Context, o object.Object) *Answer {
	w := d.asking(o.ID())
	defer w.reading.Close()
	w.answer.State = w.sourceState(ctx, o)
	return w.answer
}

// usersOf returns the sources that include a source, and its units, those first
// that are not well: there may be hundreds of the others.
func (w *asking) usersOf(ctx context.Context, name source.FeedName) []string {
	var includes, unwell, well []string
	units, err := w.all(ctx, w.Language.Units())
	feeds, err2 := w.all(ctx, w.Language.Feeds())
	if err = errors.Join(err, err2); err != nil {
		w.unknown("who uses it: %v", err)
	}
	for _, o := range append(units, feeds...) {
		asked, err := w.Dialect.Read(o, dialect.Nothing{})
		if err != nil {
			continue
		}
		for _, u := range asked.Units {
			if u.Source == name {
				state := w.unitState(o)
				says := o.ID().String() + ": " + state.Says
				if state.Well {
					well = append(well, says)
				} else {
					unwell = append(unwell, says)
				}
			}
		}
		for _, f := range asked.Feeds {
			if slices.ContainsFunc(f.Include, func(i source.Include) bool { return i.Feed == name }) {
				includes = append(includes, o.ID().String()+" includes it")
			}
		}
	}
	return slices.Concat(includes, unwell, well)
}

func feedName(o object.Object) source.FeedName {
	return source.FeedName{Kind: o.ID().Kind.Name, Namespace: o.Namespace(), Name: o.Name()}
}

// sourceState says how a source stands, and why.
func (w *asking) sourceState(ctx context.Context, o object.Object) *Reason {
	s, st := StandingOf(o), w.Dialect.RecallFeed(o)
	r := &Reason{About: o.ID().String(), Since: changedAt(o.Condition("Ready"))}
	s.Current = s.Current || w.Language.Paused(o) // what is suspended is not looked at again
	switch {
	case s.Ready == "True" && s.Current:
		r.Says, r.Well = "fetched "+st.Revision.Name, true
		if !st.Since.IsZero() {
			r.Since = st.Since
		}
	case s.Ready == "":
		r.Says, r.Since = "nothing is said of it yet", created(o)
	case !s.Current:
		r.Says = "it was edited, and nothing is said of that yet"
	default:
		r.Says = "not ready: " + s.Reason + ": " + s.Message
		r.Do = cure(st.Err)
	}
	if w.Language.Paused(o) {
		r.Says, r.Well = "suspended; "+r.Says, false
		r.Because = append(r.Because, w.pausedBy(o))
	}
	r.Because = append(r.Because, w.neglected(o, s)...)
	if s.Ready != "True" {
		r.Because = append(r.Because, w.unreadable(ctx, o)...)
	}
	r.Events = w.warnings(ctx, o, s.Message)
	return r
}

// unreadable says what is wrong with a source's object, or with what it refers
// to, as it is now.
func (w *asking) unreadable(ctx context.Context, o object.Object) []*Reason {
	asked, err := w.Dialect.Read(o, reader{ctx, w.Cluster})
	switch {
	case err != nil:
		w.unknown("what %s refers to: %v", o.ID(), err)
	case len(asked.Feeds) > 0 && asked.Feeds[0].Err != nil:
		return []*Reason{{About: o.ID().String(), Says: fmt.Sprint(asked.Feeds[0].Err)}}
	}
	return nil
}

// cure says what to do about why a source could not be fetched.
func cure(err error) string {
	for _, c := range []struct {
		is error
		do string
	}{
		{source.ErrURL, "mend spec.url"},
		{source.ErrAuth, "look at the Secret that spec.secretRef names: may its user still read, and are the host key or certificate those of the server?"},
		{source.ErrEmpty, "push a first commit"},
		{source.ErrStorage, "look at the disk of the controller"},
	} {
		if errors.Is(err, c.is) {
			return c.do
		}
	}
	return "see whether the URL and the ref are right, and whether the cluster can reach the server"
}

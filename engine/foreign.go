package engine

import (
	"context"
	"errors"
	"time"

	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// A Publisher lets others have the content of feeds. It is called for one feed
// by one goroutine at a time.
type Publisher interface {
	// Publish makes a tarball of a feed's snapshot available, unless there is
	// one, and returns what it is. It is called whenever the feed has been
	// looked at, and must be cheap if it was called for the same snapshot
	// before. What it returned before stays available for a while.
	Publish(ctx context.Context, name source.FeedName, snap *source.Snapshot) (source.Artifact, error)

	// Withdraw takes back all that was published of a feed.
	Withdraw(name source.FeedName) error
}

// publish lets others have what a feed holds, if anybody is to have it. Our own
// units do not wait for that. It returns what has become of the feed then.
func (e *Engine) publish(ctx context.Context, was feed, st source.Status, tree *source.Snapshot) source.Status {
	if e.c.Publisher == nil || tree == nil || st.Err != nil {
		return st
	}
	st.Artifact, st.Err = e.c.Publisher.Publish(ctx, was.want.Name, tree)
	e.mu.Lock()
	defer e.mu.Unlock()
	if f := e.feeds[was.want.Name]; f != nil && !f.foreign {
		f.status = st
		f.status.Artifact.Mended = "" // that is told once
		if st.Err != nil {
			f.fails = was.fails + 1
		}
		if errors.Is(st.Err, source.ErrAuth) { // of who fetched it: who gets in may have changed since
			f.own = nil
		}
	}
	return st
}

// takeBack ends what was done for a feed whose object is being deleted. It
// returns when to try again.
func (e *Engine) takeBack(ctx context.Context, f feed) time.Time {
	if e.c.Publisher != nil {
		if err := e.c.Publisher.Withdraw(f.want.Name); err != nil {
			e.log.Warn("withdraw", "feed", f.want.Name.String(), "error", err)
			return e.faltered(f)
		}
	}
	if err := e.letGo(ctx, f.by); err != nil {
		e.log.Warn("remove finalizer", "object", f.by.String(), "error", err)
		return e.faltered(f)
	}
	return time.Time{}
}

// accept takes in what others offer as a feed's content, if it is used, and
// returns when to look again. They tell how the feed is: nothing is written.
func (e *Engine) accept(ctx context.Context, f feed) time.Time {
	if !e.used(f.want.Name) {
		return time.Time{}
	}
	st, m := e.ask(ctx, f)
	if ctx.Err() != nil {
		return time.Time{}
	}
	e.moved(f.want.Name, f, st, m, time.Time{})
	if st.Err == nil || st.Err == f.want.Err {
		return time.Time{} // until they offer something else
	}
	if !sameError(st.Err, f.status.Err) {
		e.log.Warn("fetch", "feed", f.want.Name.String(), "error", st.Err)
	}
	return e.nextLook(f, st.Err)
}

// used reports whether any unit uses a feed, or any feed of ours includes it. If
// none does, its tree is let go.
func (e *Engine) used(name source.FeedName) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.users[name]) > 0 {
		return true
	}
	for _, f := range e.feeds {
		if f.includes(name) {
			return true
		}
	}
	if f := e.feeds[name]; f != nil {
		f.made, f.status = made{}, source.Status{}
	}
	return false
}

func sameError(a, b error) bool {
	return a == b || a != nil && b != nil && a.Error() == b.Error()
}

// taken reports whether what others offer as the unit's source is here. If not,
// only the unit can say so: nobody else knows.
func (r *run) taken() bool {
	err := r.src.status.Err
	switch {
	case err == nil && r.src.tree == nil:
		return r.wait(unit.OnSource, "%s has not been fetched yet", r.u.Source)
	case err == nil:
		return true
	case passing(err):
		return r.wait(unit.OnSource, "%v", err)
	}
	r.st.Phase = unit.Fetching
	return r.fail(err)
}

// passing reports whether err is of those that pass: nothing is offered yet, or
// what is offered has just given way to something else.
func passing(err error) bool {
	return errors.Is(err, source.ErrEmpty) || errors.Is(err, source.ErrNotFound)
}

// A race is for how long what others offer may not be there, where it has been
// there before: they take it away a moment before they offer something else.
const race = 5 * time.Second

// foreignGrace is grace for what others offer.
func (r *run) foreignGrace() time.Duration {
	switch err := r.src.status.Err; {
	case err == nil:
		return firstFetch
	case r.st.Applied.IsZero():
		return grace
	case errors.Is(err, source.ErrEmpty): // they have just been started
		return firstFetch
	}
	return race
}

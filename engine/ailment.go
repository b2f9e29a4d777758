package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/observe"
	"github.com/sane-gitops/sane/unit"
)

// An ailment is an object that is not healthy.
type ailment struct {
	id object.ID
	health.Verdict
	cause string // of it, if that was looked for and found
}

func (a ailment) String() string {
	s := fmt.Sprintf("%s: %s", a.id, a.Why)
	if a.cause != "" {
		s += ": " + a.cause
	}
	return s
}

// unwell ends the run, or has it wait, for the objects that are not healthy.
func (r *run) unwell() bool {
	var waits, failed []string
	for _, a := range r.sick {
		if a.Status == health.Degraded {
			failed = append(failed, a.String())
		} else {
			waits = append(waits, a.String())
		}
	}
	switch {
	case len(failed) > 0 && (r.tooLate || !r.u.Patient):
		return r.fail(fmt.Errorf("%w: %s", unit.ErrHealth, strings.Join(failed, "; ")))
	case r.tooLate:
		return r.fail(fmt.Errorf("%w: timeout after %s waiting for %s", unit.ErrHealth, r.u.Timeout, strings.Join(waits, "; ")))
	}
	return r.wait(unit.OnHealth, "%s", strings.Join(append(failed, waits...), "; "))
}

// A finding is the cause that was found for an ailment.
type finding struct {
	health.Verdict
	failed bool // the unit had failed
	cause  string
	at     time.Time
}

const (
	ill        = 10 * time.Second // for how long something may become healthy before its cause is looked for
	maxCauses  = 3                // that are looked for at a time
	lookAgain  = 10 * time.Second // at the soonest, after a failure
	lookingFor = 5 * time.Second  // at the longest
)

// explain finds out why objects are not healthy, and words it anew. It is for
// when somebody is about to be told.
func (r *run) explain(ctx context.Context) {
	if len(r.sick) == 0 || r.st.Err == nil && r.st.Ended.Sub(r.k.since) < min(ill, r.u.Timeout) {
		r.k.causes = nil
		return
	}
	found := make(map[object.ID]finding)
	defer func() { r.k.causes = found }()
	ctx, cancel := context.WithTimeout(ctx, lookingFor)
	defer cancel()
	for i := range r.sick {
		a := &r.sick[i]
		if a.Status == health.Missing || len(found) == maxCauses || r.st.Err != nil && !r.tooLate && a.Status != health.Degraded {
			continue
		}
		f := r.find(ctx, *a)
		a.cause, found[a.id] = f.cause, f
	}
	r.unwell()
}

// diagnosis returns when a cause is to be looked for, of what does not become
// healthy, or else when time is up.
func (r *run) diagnosis(now time.Time) time.Time {
	if at := r.k.since.Add(ill); r.st.Waits.On == unit.OnHealth && ill < r.u.Timeout && now.Before(at) {
		return at
	}
	return r.k.since.Add(max(r.u.Timeout, grace))
}

// find looks for the cause of an ailment, unless nothing has changed since that
// was last done.
func (r *run) find(ctx context.Context, a ailment) finding {
	failed := r.st.Err != nil
	old, ok := r.k.causes[a.id]
	if ok && old.Verdict == a.Verdict && old.failed == failed && (!failed || r.st.Ended.Sub(old.at) < lookAgain) {
		return old
	}
	cause, err := observe.Cause(ctx, r.as, a.id)
	if err != nil {
		r.e.log.Debug("look for a cause", "object", a.id.String(), "error", err)
	}
	return finding{a.Verdict, failed, cause, r.st.Ended}
}

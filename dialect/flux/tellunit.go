package flux

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/report"
	"github.com/sane-gitops/sane/unit"
)

// A verdict is how a unit or a feed stands, as its Ready condition says it.
// The zero verdict says nothing.
type verdict struct {
	status, reason, message string

	stalled bool // nothing is tried again before an edit
	over    bool // an attempt has come to its end
}

func (f flux) TellUnit(o object.Object, u unit.Unit, was, st unit.Status, now time.Time) (object.Object, []report.Event) {
	v := judgeUnit(u, st)
	if u.Paused || v == (verdict{}) {
		return o, nil
	}
	events := unitEvents(newTeller(o, KustomizeController, now), u, was, st)
	if u.Deleting && st.Ready() {
		return o, events
	}
	d := &draft{o, cmp.Or(st.Generation, u.Generation), now}
	d.outcome(v, progress(u, st))
	d.health(u, st, v)
	d.revisions(st)
	d.inventory(st)
	d.history(st, v)
	if v.over {
		d.name("lastHandledReconcileAt", st.Token)
	}
	return d.Object, events
}

// judgeUnit returns what st means for the Ready condition.
func judgeUnit(u unit.Unit, st unit.Status) verdict {
	switch {
	case st.Err != nil:
		refused := fault.IsInput(st.Err) && st.Phase == unit.Admitting
		return verdict{isFalse, failure(st), words(u, st.Err), refused || errors.Is(st.Err, unit.ErrAccess), true}
	case st.Phase == "":
		return verdict{}
	case st.Ready():
		return verdict{isTrue, reconcileSucceeded, "Applied revision: " + cmp.Or(st.Applied, st.Attempted).Name, false, true}
	case st.Waits.On == unit.OnUnit:
		return verdict{isFalse, dependencyNotReady, st.Waits.What, false, true}
	case st.Waits.On == unit.OnSource:
		return verdict{isFalse, artifactFailed, cmp.Or(st.Waits.What, "Source artifact not found"), false, true}
	}
	return verdict{isUnknown, progressing, reconcileInProgress, false, false}
}

// words returns what err says to Flux's users, without end if it must be.
func words(u unit.Unit, err error) string {
	if errors.Is(err, unit.ErrNoSource) && reasonIn(err) == "" {
		return fmt.Sprintf("%s.%s %q not found", u.Source.Kind, sourceGroup, u.Source.Name)
	}
	if h := new(unit.HeldError); errors.As(err, &h) {
		err = fmt.Errorf("%w%s%s", err, toApprove, h.Approval)
	}
	if u.Deleting && !errors.Is(err, unit.ErrLeft) {
		err = fmt.Errorf("%w; set spec.deletionPolicy to Orphan to leave its objects where they are", err)
	}
	return shorten(err.Error())
}

// toApprove comes after what is held, and before what would be approved.
const toApprove = "; if that is meant, annotate it with " + Approve + "="

var reasonOf = []struct {
	is     error
	reason string
}{
	{unit.ErrAccess, accessDenied},
	{unit.ErrDependencies, dependencyNotReady},
	{unit.ErrNoSource, artifactFailed},
	{render.ErrNoPath, artifactFailed},
	{unit.ErrCanceled, healthCanceled},
	{unit.ErrHealth, healthFailed},
}

var reasonAt = map[unit.Phase]string{
	unit.Admitting: reconcileFailed,
	unit.Fetching:  artifactFailed,
	unit.Rendering: buildFailed,
	unit.Planning:  reconcileFailed,
	unit.Applying:  reconcileFailed,
	unit.Observing: healthFailed,
	unit.Pruning:   pruneFailed,
}

// failure returns the reason for st's error: its own, or that of its phase.
func failure(st unit.Status) string {
	if reason := reasonIn(st.Err); reason != "" {
		return reason
	}
	if h := new(unit.HeldError); errors.As(st.Err, &h) {
		return deletionHeld
	}
	for _, r := range reasonOf {
		if errors.Is(st.Err, r.is) {
			return r.reason
		}
	}
	return cmp.Or(reasonAt[st.Phase], reconcileFailed)
}

var doing = map[unit.Phase]string{
	unit.Fetching:  "Fetching manifests",
	unit.Rendering: "Building manifests",
	unit.Planning:  "Detecting drift",
	unit.Applying:  "Detecting drift",
	unit.Observing: "Running health checks",
	unit.Pruning:   "Pruning objects",
}

// progress says what u is doing, or was doing when it failed.
func progress(u unit.Unit, st unit.Status) string {
	if st.Err == nil && st.Waits.What != "" {
		return st.Waits.What
	}
	what := doing[st.Phase]
	if what == "" || st.Attempted.IsZero() {
		return reconcileInProgress
	}
	return fmt.Sprintf("%s for revision %s with a timeout of %s", what, st.Attempted.Name, u.Timeout)
}

// outcome writes the conditions that v means.
func (d *draft) outcome(v verdict, doing string) {
	d.mark(condition{ready, v.status, v.reason, v.message})
	switch {
	case v.status == isTrue:
		d.unmark(reconciling, stalled)
		d.observed()
	case v.stalled:
		d.mark(condition{stalled, isTrue, v.reason, v.message})
		d.unmark(reconciling)
		d.observed()
	case v.status == isFalse:
		d.unmark(stalled)
		d.mark(condition{reconciling, isTrue, progressingRetry, doing})
	default:
		d.unmark(stalled)
		d.mark(condition{reconciling, isTrue, progressing, doing})
	}
}

// health writes the Healthy condition, which is there if anything is checked.
func (d *draft) health(u unit.Unit, st unit.Status, v verdict) {
	switch {
	case !checks(u, st):
		d.unmark(healthy)
	case v.reason == healthFailed:
		d.mark(condition{healthy, isFalse, v.reason, v.message})
	case st.Ready():
		d.mark(healthOf(st.Health))
	case st.Err == nil && st.Phase == unit.Observing:
		d.mark(condition{healthy, isUnknown, progressing, progress(u, st)})
	}
}

// checks reports whether u waits for the health of anything.
func checks(u unit.Unit, st unit.Status) bool {
	if u.Wait {
		return !st.Ready() || len(st.Owned) > 0
	}
	return len(u.Checks) > 0
}

func healthOf(h health.Verdict) condition {
	switch h.Status {
	case health.Healthy:
		return condition{healthy, isTrue, succeeded, "Health check passed"}
	case health.Degraded:
		return condition{healthy, isFalse, healthFailed, h.Why}
	}
	return condition{healthy, isUnknown, progressing, h.Why}
}

func (d *draft) revisions(st unit.Status) {
	d.name("lastAttemptedRevision", st.Attempted.Name)
	if st.Applied.IsZero() {
		return
	}
	d.set("lastAppliedRevision", st.Applied.Name)
	if st.AppliedOrigin == "" {
		d.drop("lastAppliedOriginRevision")
		return
	}
	d.set("lastAppliedOriginRevision", st.AppliedOrigin)
}

// inventory writes what st owns. A nil set says nothing and takes nothing away,
// and neither do entries get lost that could not be read.
func (d *draft) inventory(st unit.Status) {
	if st.Owned == nil {
		return
	}
	_, bad := recallInventory(d.Object)
	d.set("inventory", map[string]any{"entries": entriesOf(st.Owned, bad)})
}

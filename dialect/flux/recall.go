package flux

import (
	"strings"
	"time"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

func (f flux) RecallFeed(o object.Object) source.Status {
	st := source.Status{
		Revision: revision(text(o, "artifact", "revision")),
		Token:    text(o, "lastHandledReconcileAt"),
		Origin:   text(o, "artifact", "metadata", firstMade),
		Proven:   text(o, "sourceVerificationMode"),
	}
	if m := fields(o, "status", "artifact", "metadata"); len(m) > 0 {
		st.Metadata = m
	}
	recallIncluded(&st, o)
	if c, _, _ := conditionOf(o, sourceVerified); c.status == isTrue {
		st.Signed = strings.TrimPrefix(c.message, verifiedPrefix)
	}
	if v, ok := o.Get("status", "artifact", "lastUpdateTime"); ok {
		st.Since = parseStamp(v)
	}
	if c, _, ok := conditionOf(o, ready); ok && c.status == isFalse {
		st.Err = recallError(o, c, feedSentinel(c.reason))
	}
	return st
}

func feedSentinel(reason string) error {
	for _, list := range [][]kindReason{feedReasons, imageReasons} {
		for _, r := range list {
			if r.reason == reason {
				return r.is
			}
		}
	}
	return nil
}

func (f flux) RecallUnit(o object.Object) unit.Status {
	owned, bad := recallInventory(o)
	st := unit.Status{
		Generation: integerAt(o, "observedGeneration"),
		Attempted:  revision(text(o, "lastAttemptedRevision")),
		Applied:    revision(text(o, "lastAppliedRevision")),
		Owned:      owned,
		Health:     recallHealth(o),
		Token:      text(o, "lastHandledReconcileAt"),

		AppliedOrigin: text(o, "lastAppliedOriginRevision"),
	}
	recallHistory(&st, o)
	recallOutcome(&st, o)
	if len(bad) > 0 {
		st.Phase, st.Err = unit.Admitting, unreadable(bad)
	}
	return st
}

func unreadable(bad []unread) error {
	var why []string
	for _, u := range bad {
		why = append(why, u.why.Error())
	}
	return refuse(reconcileFailed, unit.ErrRecall, "can't read the inventory in the status, mend it first: %s", strings.Join(why, "; "))
}

// recallOutcome sets how far the unit got, and why no further. What was under
// way is forgotten: it begins anew.
func recallOutcome(st *unit.Status, o object.Object) {
	c, gen, ok := conditionOf(o, ready)
	if !ok {
		return
	}
	if gen != 0 {
		st.Generation = gen
	}
	switch {
	case c.status == isTrue:
		st.Phase = unit.Done
	case c.status != isFalse:
		st.Phase = unit.Admitting
	case c.reason == dependencyNotReady && !isStalled(o):
		st.Phase, st.Waits = unit.Admitting, unit.Wait{On: unit.OnUnit, What: c.message}
	default:
		st.Phase, st.Err = phaseOf(c.reason, isStalled(o)), recallError(o, c, unitSentinel(c.reason))
	}
}

func phaseOf(reason string, stalled bool) unit.Phase {
	switch {
	case stalled:
		return unit.Admitting
	case reason == reconcileFailed:
		return unit.Applying
	case reason == healthCanceled:
		return unit.Observing
	}
	for _, p := range []unit.Phase{unit.Fetching, unit.Rendering, unit.Observing, unit.Pruning} {
		if reasonAt[p] == reason {
			return p
		}
	}
	return unit.Admitting
}

func unitSentinel(reason string) error {
	if reason == artifactFailed { // more than one thing; the words tell which
		return nil
	}
	for _, r := range reasonOf {
		if r.reason == reason {
			return r.is
		}
	}
	return nil
}

func isStalled(o object.Object) bool {
	c, _, _ := conditionOf(o, stalled)
	return c.status == isTrue
}

// recallError returns the error that a condition tells of.
func recallError(o object.Object, c condition, is error) error {
	if held := recallHeld(c); held != nil {
		return held
	}
	err := error(refusal{c.reason, c.message, is})
	if isStalled(o) {
		err = fault.Input(err)
	}
	return err
}

// recallHeld returns what a condition says is held, as [words] has said it, or
// nil.
func recallHeld(c condition) error {
	what, approval, ok := strings.Cut(c.message, toApprove)
	if c.reason != deletionHeld || !ok {
		return nil
	}
	approval, _, _ = strings.Cut(approval, ";")
	return &unit.HeldError{What: strings.TrimPrefix(what, new(unit.HeldError).Error()), Approval: digest.Digest(approval)}
}

func recallHealth(o object.Object) health.Verdict {
	c, _, _ := conditionOf(o, healthy)
	switch c.status {
	case isFalse:
		return health.Verdict{Status: health.Degraded, Why: c.message}
	case isUnknown:
		return health.Verdict{Status: health.Progressing, Why: c.message}
	}
	return health.Verdict{}
}

// recallHistory sets what the newest entry of the history tells.
func recallHistory(st *unit.Status, o object.Object) {
	v, _ := o.Get("status", "history")
	list, _ := v.([]any)
	if len(list) == 0 {
		return
	}
	last, _ := list[0].(map[string]any)
	sum, _ := last["digest"].(string)
	st.Rendered = digest.Digest(sum)
	if st.Ended = parseStamp(last["lastReconciled"]); st.Ended.IsZero() {
		return
	}
	if meta, _ := last["metadata"].(map[string]any); meta["revision"] == st.Attempted.Name {
		st.AttemptedOrigin, _ = meta["originRevision"].(string)
	}
	took, _ := last["lastReconciledDuration"].(string)
	d, _ := time.ParseDuration(took)
	st.Began = st.Ended.Add(-d)
}

// revision reads a revision as Flux writes it: "main@sha1:1f0c3d…".
func revision(name string) source.Revision {
	if name == "" {
		return source.Revision{}
	}
	return source.Revision{Name: name, Digest: digest.Digest(name[strings.LastIndex(name, "@")+1:])}
}

func integerAt(o object.Object, field string) int64 {
	v, _ := o.Get("status", field)
	return max(integer(v), 0) // -1 is "never"
}

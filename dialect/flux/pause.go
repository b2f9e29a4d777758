package flux

import (
	"cmp"
	"time"

	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/diff"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
)

// Annotations by which a suspended object says more than that it is. They count
// from the write that suspended it, or a later one: what was left behind by an
// earlier suspension says nothing of this one.
const (
	suspendReason = "sane-gitops.io/suspend-reason"
	suspendUntil  = "sane-gitops.io/suspend-until" // as RFC 3339 has it
	suspendedBy   = "sane-gitops.io/suspended-by"
)

func (f flux) Pause(o object.Object) dialect.Pause {
	v, said := o.Get("spec", "suspend")
	if !said {
		return dialect.Pause{} // and there is nobody who has
	}
	on, _ := v.(bool)
	who, since := diff.Owner(o, "spec", "suspend")
	p := dialect.Pause{On: on, By: who, Since: since}
	if !on {
		return p
	}
	note := func(key string) string {
		if _, at := diff.Owner(o, "metadata", "annotations", key); at.Before(since) {
			return ""
		}
		return o.Annotation(key)
	}
	p.By, p.Why = cmp.Or(note(suspendedBy), p.By), note(suspendReason)
	if until := parseStamp(note(suspendUntil)); until.After(since) { // or else it has been suspended since
		p.Until = until
	}
	return p
}

func (f flux) SetPause(p dialect.Pause) map[string]any {
	set := map[string]any{suspendReason: nil, suspendUntil: nil, suspendedBy: nil}
	if p.On {
		set[suspendReason], set[suspendedBy] = orNil(p.Why), orNil(p.By)
		if !p.Until.IsZero() {
			set[suspendUntil] = stamp(p.Until)
		}
	}
	return map[string]any{
		"metadata": map[string]any{"annotations": set},
		"spec":     map[string]any{"suspend": p.On},
	}
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// TellPause: Flux does not tell of suspensions, and neither do these events,
// outside: they are for who keeps account. That an object goes on by itself is
// told to all.
func (f flux) TellPause(o object.Object, was, is dialect.Pause, now time.Time) []report.Event {
	by := SourceController
	if o.ID().Kind == Kustomization {
		by = KustomizeController
	}
	t := newTeller(o, by, now)
	switch over := !was.Until.IsZero() && !now.Before(was.Until); {
	case is.On && (!was.On || was.By != is.By || was.Why != is.Why || !was.Until.Equal(is.Until)):
		t.aside(report.Suspended, "Suspended", "suspended"+details(is), is)
	case was.On && !is.On && over && is.By == "":
		t.tell(report.Resumed, report.Info, "Resumed", "resumed, having been suspended"+details(was))
	case was.On && !is.On:
		t.aside(report.Resumed, "Resumed", "resumed"+details(is), is)
	}
	return t.events
}

// aside tells what p says to nobody but who keeps account.
func (t *teller) aside(k report.Kind, reason, message string, p dialect.Pause) {
	t.tell(k, report.Trace, reason, message)
	e := &t.events[len(t.events)-1]
	e.Minor, e.At = true, cmp.Or(p.Since, e.At)
	e.Facts.Who, e.Facts.Until = p.By, p.Until
}

// details returns " by Ada until 2026-01-02T15:04:05Z: release".
func details(p dialect.Pause) string {
	var s string
	if p.By != "" {
		s += " by " + p.By
	}
	if !p.Until.IsZero() {
		s += " until " + stamp(p.Until)
	}
	if p.Why != "" {
		s += ": " + p.Why
	}
	return s
}

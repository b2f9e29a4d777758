package flux

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
	"github.com/sane-gitops/sane/unit"
)

// A teller collects events about one object.
type teller struct {
	object object.Object // as it was
	event  report.Event  // what all events have in common
	group  string        // of its metadata
	events []report.Event
}

func newTeller(o object.Object, by string, now time.Time) *teller {
	id := o.ID()
	return &teller{object: o, group: id.Kind.Group, event: report.Event{
		About: report.Object{
			APIVersion: o.APIVersion(), Kind: id.Kind.Name, Namespace: id.Namespace, Name: id.Name,
			UID: o.UID(), ResourceVersion: o.ResourceVersion(),
		},
		At:    now,
		By:    by,
		Meta:  metaOf(o),
		Facts: report.Facts{Cluster: clusterOf(o)},
	}}
}

// clusterOf names the cluster that o is kept in by the Secret that says how to
// reach it; "" is the one that we run in.
func clusterOf(o object.Object) string {
	if name := o.Text("spec", "kubeConfig", "secretRef", "name"); name != "" {
		return o.Namespace() + "/" + name
	}
	return ""
}

// metaOf returns the annotations by which o asks for metadata of its events.
func metaOf(o object.Object) map[string]string {
	meta := make(map[string]string)
	for k, v := range o.Annotations() {
		if strings.HasPrefix(k, eventGroup+"/") {
			meta[k] = v
		}
	}
	return meta
}

// about sets metadata for all events that follow.
func (t *teller) about(key, value string) {
	if value != "" {
		t.event.Meta[t.group+"/"+key] = value
	}
}

func (t *teller) tell(k report.Kind, s report.Severity, reason, message string) {
	e := t.event
	e.Severity, e.Reason, e.Message, e.Facts.Kind = s, reason, shorten(message), k
	e.Meta = maps.Clone(e.Meta)
	t.events = append(t.events, e)
}

// at says which revision all events that follow are about.
func (t *teller) at(revision string) {
	t.about("revision", revision)
	t.event.Facts.Revision = revision
}

// unitEvents tells the way from was to st.
func unitEvents(t *teller, u unit.Unit, was, st unit.Status) []report.Event {
	prev, v := judgeUnit(u, was), judgeUnit(u, st)
	news := fresh(was, st)
	t.at(attempted(st))
	t.about("originRevision", originOf(st))
	t.changes(report.Applied, news, func(done string) bool { return done != "deleted" })
	if t.passed(u, was, st, news) {
		t.tell("", report.Info, progressing, "Health check passed")
	}
	t.changes(report.Pruned, news, func(done string) bool { return done == "deleted" })
	t.fights(was, st)
	asked := st.Token != "" && was.Token != st.Token // somebody waits for an answer, whatever it is
	switch {
	case u.Deleting && st.Ready():
	case st.Ready() && (prev.status != isTrue || was.Applied.Name != st.Applied.Name || asked):
		t.about("commit_status", "update")
		t.tell(settled(was, prev, news), report.Info, v.reason, "Reconciliation finished, next run in "+u.Every.String())
		t.events[len(t.events)-1].Minor = prev.status == isTrue && !changedAny(news) && !asked
	case v.status == isFalse && (v != prev || was.Attempted.Name != st.Attempted.Name || asked):
		t.failure(v, st)
	}
	return t.events
}

// settled says what it is that a unit has become ready: nothing to be remembered
// beside the changes that are told with it, or where nothing had to be changed.
func settled(was unit.Status, prev verdict, news []unit.Change) report.Kind {
	switch {
	case was.Err != nil:
		return report.Recovered
	case prev.status == isTrue || changedAny(news):
		return ""
	}
	return report.Settled
}

// fights tells of the objects that others have begun to change again and again.
func (t *teller) fights(was, st unit.Status) {
	for _, f := range st.Fights {
		if slices.ContainsFunc(was.Fights, func(g unit.Fight) bool { return g.ID == f.ID }) {
			continue
		}
		t.tell(report.Fought, report.Error, "FieldManagerConflict", fmt.Sprintf(
			"%s is changed again and again by %q, and was brought back %d times: it will be brought back less often; have one of the two leave it alone",
			f.ID, cmp.Or(f.By, "somebody"), f.Rounds))
		facts := &t.events[len(t.events)-1].Facts
		facts.Who, facts.Changes = f.By, []report.Change{{ID: f.ID}}
	}
}

func (t *teller) failure(v verdict, st unit.Status) {
	switch {
	case st.Waits.On == unit.OnSource && st.Err == nil:
	case v.stalled:
		t.tell(report.Failed, report.Error, v.reason, v.message)
	case v.reason == dependencyNotReady:
		t.tell(report.Waiting, report.Info, v.reason, "Dependencies do not meet ready condition: "+v.message)
	case v.reason == healthCanceled:
		t.tell("", report.Info, v.reason, v.message)
	case v.reason == deletionHeld:
		t.tell(report.Held, report.Error, v.reason, v.message)
	default:
		t.tell(report.Failed, report.Error, v.reason, v.message)
	}
}

// passed reports whether it is news that all is healthy.
func (t *teller) passed(u unit.Unit, was, st unit.Status, news []unit.Change) bool {
	if !st.Ready() || u.Deleting || !checks(u, st) || st.Health.Status != health.Healthy {
		return false
	}
	c, _, _ := conditionOf(t.object, healthy)
	return c.status != isTrue || was.Applied.Name != st.Applied.Name && changedAny(news)
}

// changes tells what was done, a line for each change.
func (t *teller) changes(k report.Kind, news []unit.Change, which func(done string) bool) {
	var lines []string
	var facts []report.Change
	for _, c := range news {
		if changed(c) && which(c.Done) {
			lines = append(lines, c.ID.String()+" "+c.Done)
			facts = append(facts, report.Change(c))
		}
	}
	if len(lines) > 0 {
		t.tell(k, report.Info, progressing, strings.Join(lines, "\n"))
		t.events[len(t.events)-1].Facts.Changes = facts
	}
}

// fresh returns the changes of st that were not in was.
func fresh(was, st unit.Status) []unit.Change {
	if !was.Began.Equal(st.Began) {
		return st.Changes
	}
	return slices.DeleteFunc(slices.Clone(st.Changes), func(c unit.Change) bool { return slices.Contains(was.Changes, c) })
}

func changedAny(cs []unit.Change) bool { return slices.ContainsFunc(cs, changed) }

func changed(c unit.Change) bool { return c.Done != "unchanged" && c.Done != "skipped" }

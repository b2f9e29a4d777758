package flux

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
)

func (f flux) Recount(o object.Object) []report.Event {
	kind := o.ID().Kind
	switch {
	case kind == object.Kind{Name: "Event"} && (o.Text("involvedObject", "kind") != ""):
		return recountEvent(o)
	case kind == Kustomization, kind == GitRepository, kind == OCIRepository, kind == Bucket:
		return append(recountHistory(o), f.TellPause(o, f.Pause(object.Object{}), f.Pause(o), o.Time("metadata", "creationTimestamp"))...)
	}
	return nil
}

// recountHistory tells the ends of attempts.
func recountHistory(o object.Object) []report.Event {
	v, _ := o.Get("status", "history")
	list, _ := v.([]any)
	var all []report.Event
	for _, e := range slices.Backward(list) {
		m, _ := e.(map[string]any)
		entry := object.Of(m)
		first, last := entry.Time("firstReconciled"), entry.Time("lastReconciled")
		at := last
		reason := entry.Text("lastReconciledStatus")
		if reason == reconcileSucceeded {
			at = cmp.Or(first, last) // it has been so since
		}
		if at.IsZero() {
			continue
		}
		t := newTeller(o, KustomizeController, at)
		t.at(entry.Text("metadata", "revision"))
		switch reason {
		case reconcileSucceeded:
			t.tell(report.Settled, report.Info, reason, "")
		case deletionHeld:
			t.tell(report.Held, report.Error, reason, "")
		default:
			t.tell(report.Failed, report.Error, reason, "")
		}
		all = append(all, t.events...)
	}
	return all
}

// recountEvent tells what an Event did, if it is about a kind of ours.
func recountEvent(o object.Object) []report.Event {
	about := report.Object{
		APIVersion: o.Text("involvedObject", "apiVersion"), Kind: o.Text("involvedObject", "kind"),
		Namespace: o.Text("involvedObject", "namespace"), Name: o.Text("involvedObject", "name"), UID: o.Text("involvedObject", "uid"),
	}
	group, _, _ := strings.Cut(about.APIVersion, "/")
	kinds := []object.Kind{GitRepository, OCIRepository, Bucket, Kustomization}
	kind := object.Kind{Group: group, Name: about.Kind}
	if !slices.Contains(kinds, kind) {
		return nil
	}
	e := report.Event{
		About: about, Severity: report.Info, Reason: o.Text("reason"), Message: shorten(o.Text("message")),
		At: cmp.Or(o.Time("firstTimestamp"), o.Time("eventTime"), o.Time("metadata", "creationTimestamp")),
		By: cmp.Or(o.Text("reportingComponent"), o.Text("source", "component")),
	}
	if o.Text("type") == "Warning" {
		e.Severity = report.Error
	}
	e.Facts = report.Facts{Revision: o.Annotation(group + "/revision")}
	e.Facts.Kind, e.Facts.Changes = factsIn(e)
	if e.Facts.Kind == "" {
		return nil
	}
	return []report.Event{e}
}

// factsIn reads in the words of an event what they tell.
func factsIn(e report.Event) (report.Kind, []report.Change) {
	switch {
	case e.Reason == newArtifact:
		return report.Fetched, nil
	case e.Reason == deletionHeld:
		return report.Held, nil
	case e.Reason == "FieldManagerConflict":
		return report.Fought, nil
	case e.Reason == "Resumed":
		return report.Resumed, nil
	case e.Reason == dependencyNotReady:
		return report.Waiting, nil
	case e.Severity == report.Error:
		return report.Failed, nil
	case e.Reason == reconcileSucceeded:
		return report.Settled, nil
	case e.Reason == progressing:
		return changesIn(e.Message)
	}
	return "", nil
}

// changesIn reads lines such as "Deployment/apps/web configured". That others were
// the cause of it is not in them.
func changesIn(message string) (report.Kind, []report.Change) {
	var all []report.Change
	kind := report.Applied
	for line := range strings.Lines(message) {
		what, done, ok := strings.Cut(strings.TrimSpace(line), " ")
		parts := strings.Split(what, "/")
		if !ok || len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") || !slices.Contains([]string{"created", "configured", "deleted"}, done) {
			continue
		}
		id := object.ID{Kind: object.Kind{Name: parts[0]}, Name: parts[len(parts)-1]}
		if len(parts) == 3 {
			id.Namespace = parts[1]
		}
		if done == "deleted" {
			kind = report.Pruned
		}
		all = append(all, report.Change{ID: id, Done: done})
	}
	if len(all) == 0 {
		return "", nil
	}
	return kind, all
}

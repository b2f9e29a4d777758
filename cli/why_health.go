package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/health/expr"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/observe"
)

// A warning is an event that warns about an object.
type warning struct {
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	Count   int64     `json:"count,omitempty"`
	Last    time.Time `json:"last,omitzero"`
}

var (
	podKind   = object.Kind{Name: "Pod"}
	eventKind = object.Kind{Name: "Event"}
)

// ailing says why an object is not healthy, down to the container that fails;
// nil if it is healthy in the eyes of a judge.
func (w *asking) ailing(ctx context.Context, id object.ID, o object.Object, judge *expr.Judge) *reason {
	if o.Deleting() {
		return &reason{
			About: id.String(), Since: at(stringAt(o, "metadata", "deletionTimestamp")),
			Says: "being deleted" + awaited(o.Finalizers()),
		}
	}
	v := judge.Of(o)
	switch {
	case id.Kind == podKind && (observe.Trouble(o) != "" || v.Status != health.Healthy) && !o.IsZero():
		return w.pod(ctx, o, v)
	case v.Status == health.Healthy:
		return nil
	case v.Status == health.Missing:
		return &reason{About: id.String(), Says: "not there"}
	}
	r := &reason{About: id.String(), Says: "not healthy: " + v.Why, Since: sickSince(o)}
	if why := observe.Refusal(o); why != "" {
		r.More = append(r.More, "no pods can be made: "+why)
	}
	r.Because = w.below(ctx, o)
	if len(r.Because) == 0 {
		r.Events = w.warnings(ctx, o, "")
	}
	return r
}

func awaited(finalizers []string) string {
	if len(finalizers) == 0 {
		return ""
	}
	return ", and waits for whoever is to take away its finalizers: " + strings.Join(finalizers, ", ")
}

// below says what is wrong with what a workload has made. Of pods with one
// trouble the newest is told, and how many there are.
func (w *asking) below(ctx context.Context, o object.Object) []*reason {
	made, err := observe.Below(ctx, w.at.Cluster, o)
	if err != nil {
		w.unknown("what %s has made: %v", o.ID(), err)
		return nil
	}
	var out []*reason
	first := make(map[string]*reason)
	more := make(map[*reason]int)
	for _, b := range made {
		r := w.ailing(ctx, b.ID(), b, nil)
		switch {
		case r == nil:
		case first[r.Says] != nil && b.ID().Kind == podKind:
			more[first[r.Says]]++
		default:
			first[r.Says] = r
			out = append(out, r)
		}
	}
	for _, r := range out {
		if n := more[r]; n > 0 {
			r.More = append(r.More, fmt.Sprintf("and %d more like it", n))
		}
	}
	return limited(out)
}

// pod says why a pod is not healthy.
func (w *asking) pod(ctx context.Context, o object.Object, v health.Verdict) *reason {
	r := &reason{About: o.ID().String(), Says: cmp.Or(observe.Trouble(o), "not healthy: "+v.Why), Since: sickSince(o)}
	for _, field := range []string{"initContainerStatuses", "containerStatuses"} {
		list, _ := o.Get("status", field)
		all, _ := list.([]any)
		for _, c := range all {
			if line := w.restarts(object.Of(child(c))); line != "" {
				r.More = append(r.More, line)
			}
		}
	}
	r.Events = w.warnings(ctx, o, "")
	return r
}

// restarts says how often a container was started again, and when it last ended.
func (w *asking) restarts(c object.Object) string {
	n, _ := c.Get("restartCount")
	if number(n) == 0 {
		return ""
	}
	line := fmt.Sprintf("container %q was started again %s", stringAt(c, "name"), times(number(n)))
	if end := at(stringAt(c, "lastState", "terminated", "finishedAt")); !end.IsZero() {
		line += ", and last ended " + w.ago(end)
	}
	return line
}

func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// sickSince returns since when an object has said that it is not as it should
// be: its own word, or its birth.
func sickSince(o object.Object) time.Time {
	for _, kind := range []string{"Ready", "Available", "PodScheduled", "Failed", "Progressing"} {
		if c := condition(o, kind); c != nil && (text(c["status"]) == "False" || kind == "Failed" || kind == "Progressing") {
			if t := changedAt(c); !t.IsZero() {
				return t
			}
		}
	}
	return created(o)
}

// warnings returns the newest events that warn about an object, but for what is
// known already.
func (w *asking) warnings(ctx context.Context, o object.Object, known string) []warning {
	var out []warning
	for _, e := range w.warned(ctx, o.Namespace()) {
		if !concerns(e, o) {
			continue
		}
		message := oneLine(stringAt(e, "message"))
		if known != "" && oneLine(known) == message {
			continue
		}
		out = append(out, warning{stringAt(e, "reason"), message, count(e), lastSeen(e)})
	}
	slices.SortStableFunc(out, func(a, b warning) int {
		return cmp.Or(b.Last.Compare(a.Last), strings.Compare(a.Reason, b.Reason), strings.Compare(a.Message, b.Message))
	})
	out = slices.CompactFunc(out, func(a, b warning) bool { return a.Reason == b.Reason && a.Message == b.Message })
	return out[:min(len(out), maxEvents)]
}

func concerns(e, o object.Object) bool {
	if uid := stringAt(e, "involvedObject", "uid"); uid != "" {
		return uid == o.UID()
	}
	return stringAt(e, "involvedObject", "kind") == o.ID().Kind.Name && stringAt(e, "involvedObject", "name") == o.Name()
}

// warned returns all warnings of a namespace. Events about objects without one
// are in default.
func (w *asking) warned(ctx context.Context, namespace string) []object.Object {
	const most = 5000
	namespace = cmp.Or(namespace, "default")
	if found, ok := w.heard[namespace]; ok {
		return found
	}
	var found []object.Object
	n := 0
	for e, err := range w.at.Cluster.List(ctx, cluster.Selection{Kind: eventKind, Namespace: namespace}) {
		if err != nil {
			w.unknown("events in %s: %v", namespace, err)
			break
		}
		if stringAt(e, "type") == "Warning" {
			found = append(found, e)
		}
		if n++; n == most {
			w.unknown("events in %s: there are more than %d, and the rest was not read", namespace, most)
			break
		}
	}
	w.heard[namespace] = found
	return found
}

func count(e object.Object) int64 {
	series, _ := e.Get("series", "count")
	n, _ := e.Get("count")
	return cmp.Or(number(series), number(n))
}

func lastSeen(e object.Object) time.Time {
	for _, path := range [][]string{{"series", "lastObservedTime"}, {"lastTimestamp"}, {"eventTime"}, {"metadata", "creationTimestamp"}} {
		if t := at(stringAt(e, path...)); !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

func child(v any) map[string]any { m, _ := v.(map[string]any); return m }

package ask

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/health/expr"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/observe"
)

// A Warning is an event that warns about an object.
type Warning struct {
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
func (w *asking) ailing(ctx context.Context, id object.ID, o object.Object, judge *expr.Judge) *Reason {
	if o.Deleting() {
		return &Reason{
			About: id.String(), Since: o.Time("metadata", "deletionTimestamp"),
			Says: "being deleted" + awaited(o.Finalizers()),
		}
	}
	v := judge.Of(o)
	trouble, _ := observe.Trouble(o)
	switch {
	case id.Kind == podKind && !o.IsZero() && (v.Status != health.Healthy || trouble != ""):
		return w.pod(ctx, o, v)
	case v.Status == health.Healthy:
		return nil
	case v.Status == health.Missing:
		return &Reason{About: id.String(), Says: "not there"}
	}
	r := &Reason{About: id.String(), Says: "not healthy: " + v.Why, Since: sickSince(o)}
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
func (w *asking) below(ctx context.Context, o object.Object) []*Reason {
	made, err := observe.Below(ctx, w.Cluster, o)
	if err != nil {
		w.unknown("what %s has made: %v", o.ID(), err)
		return nil
	}
	var out []*Reason
	first := make(map[string]*Reason)
	more := make(map[*Reason]int)
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
func (w *asking) pod(ctx context.Context, o object.Object, v health.Verdict) *Reason {
	trouble, _ := observe.Trouble(o)
	r := &Reason{About: o.ID().String(), Says: cmp.Or(trouble, "not healthy: "+v.Why), Since: sickSince(o)}
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
	n := c.Number("restartCount")
	if n == 0 {
		return ""
	}
	line := fmt.Sprintf("container %q was started again %s", c.Text("name"), times(n))
	if end := c.Time("lastState", "terminated", "finishedAt"); !end.IsZero() {
		line += ", and last ended " + duration.HumanDuration(w.now().Sub(end)) + " ago"
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
		if c := o.Condition(kind); !c.IsZero() && (c.Text("status") == "False" || kind == "Failed" || kind == "Progressing") {
			if t := changedAt(c); !t.IsZero() {
				return t
			}
		}
	}
	return created(o)
}

// warnings returns the newest events that warn about an object, but for what is
// known already.
func (w *asking) warnings(ctx context.Context, o object.Object, known string) []Warning {
	var out []Warning
	for _, e := range w.warned(ctx, o.Namespace()) {
		if !concerns(e, o) {
			continue
		}
		message := oneLine(e.Text("message"))
		if known != "" && oneLine(known) == message {
			continue
		}
		out = append(out, Warning{e.Text("reason"), message, count(e), LastSeen(e)})
	}
	slices.SortStableFunc(out, func(a, b Warning) int {
		return cmp.Or(b.Last.Compare(a.Last), strings.Compare(a.Reason, b.Reason), strings.Compare(a.Message, b.Message))
	})
	out = slices.CompactFunc(out, func(a, b Warning) bool { return a.Reason == b.Reason && a.Message == b.Message })
	return out[:min(len(out), maxEvents)]
}

func concerns(e, o object.Object) bool {
	if uid := e.Text("involvedObject", "uid"); uid != "" {
		return uid == o.UID()
	}
	return e.Text("involvedObject", "kind") == o.ID().Kind.Name && e.Text("involvedObject", "name") == o.Name()
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
	for e, err := range w.Cluster.List(ctx, cluster.Selection{Kind: eventKind, Namespace: namespace}) {
		if err != nil {
			w.unknown("events in %s: %v", namespace, err)
			break
		}
		if e.Text("type") == "Warning" {
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
	return cmp.Or(e.Number("series", "count"), e.Number("count"))
}

// LastSeen returns when an event happened last.
func LastSeen(e object.Object) time.Time {
	for _, path := range [][]string{{"series", "lastObservedTime"}, {"lastTimestamp"}, {"eventTime"}, {"metadata", "creationTimestamp"}} {
		if t := e.Time(path...); !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func child(v any) map[string]any { m, _ := v.(map[string]any); return m }

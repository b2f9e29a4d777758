package event_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
	"github.com/sane-gitops/sane/report/event"
)

// A writer is a cluster that only Events are written to. Besides the sink's
// goroutine a test may use it after [synctest.Wait].
type writer struct {
	cluster.Writer
	objects map[object.ID]object.Object
	log     []string
	fail    []error // for the writes to come
}

func (w *writer) failure(what string) error {
	w.log = append(w.log, what)
	if len(w.fail) == 0 {
		return nil
	}
	err := w.fail[0]
	w.fail = w.fail[1:]
	return err
}

func (w *writer) Create(_ context.Context, o object.Object, how cluster.How) (object.Object, error) {
	if err := w.failure("create " + message(o) + " by " + how.Manager); err != nil {
		return o, err
	}
	if w.objects == nil {
		w.objects = make(map[object.ID]object.Object)
	}
	w.objects[o.ID()] = o
	return o, nil
}

func (w *writer) Patch(_ context.Context, id object.ID, p cluster.Patch, _ cluster.How) (object.Object, error) {
	o, ok := w.objects[id]
	if err := w.failure("patch " + message(o) + " " + string(p.Data)); err != nil {
		return o, err
	}
	if !ok {
		return o, fmt.Errorf("patch %s: %w", id, cluster.ErrNotFound)
	}
	var set map[string]any
	json.Unmarshal(p.Data, &set)
	for k, v := range set {
		o = o.With(v, k)
	}
	w.objects[id] = o
	return o, nil
}

func message(o object.Object) string {
	v, _ := o.Get("message")
	s, _ := v.(string)
	return s
}

func told(message string) report.Event {
	return report.Event{
		About: report.Object{
			APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization",
			Namespace: "apps", Name: "web", UID: "1f2e", ResourceVersion: time.Now().Format(time.RFC3339),
		},
		Severity: report.Error, Reason: "BuildFailed", Message: message, At: time.Now(), By: "kustomize-controller",
		Meta: map[string]string{"kustomize.toolkit.fluxcd.io/revision": "main@sha1:aaaa"},
	}
}

// play runs a sink in a bubble while do reports to it.
func play(t *testing.T, c event.Config, w *writer, do func(s *event.Sink)) *event.Sink {
	c.Writer = w
	var s *event.Sink
	synctest.Test(t, func(t *testing.T) {
		s = event.New(c)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan bool)
		go func() { s.Run(ctx); close(done) }()
		do(s)
		synctest.Wait()
		stop()
		<-done
	})
	return s
}

// after lets the bubble's clock go on.
func after(d time.Duration) { <-time.After(d) }

func (w *writer) check(t *testing.T, want ...string) {
	t.Helper()
	if got := strings.Join(w.log, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("written\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestEvent(t *testing.T) {
	w := new(writer)
	play(t, event.Config{Instance: "sane-0"}, w, func(s *event.Sink) { s.Report(told("bad")) })
	const want = `apiVersion: v1
count: 1
firstTimestamp: "2000-01-01T00:00:00Z"
involvedObject:
  apiVersion: kustomize.toolkit.fluxcd.io/v1
  kind: Kustomization
  name: web
  namespace: apps
  uid: 1f2e
kind: Event
lastTimestamp: "2000-01-01T00:00:00Z"
message: bad
metadata:
  annotations:
    kustomize.toolkit.fluxcd.io/revision: main@sha1:aaaa
  namespace: apps
reason: BuildFailed
reportingComponent: kustomize-controller
reportingInstance: sane-0
source:
  component: kustomize-controller
type: Warning
`
	for id, o := range w.objects {
		got, _ := yaml.Marshal(o.Without("metadata", "name").Without("involvedObject", "resourceVersion").Body())
		if string(got) != want || !strings.HasPrefix(id.Name, "web.") {
			t.Errorf("%s:\n%s\nwant\n%s", id, got, want)
		}
	}
	w.check(t, "create bad by kustomize-controller")
}

func TestTypeAndNamespace(t *testing.T) {
	for _, tt := range []struct {
		severity  report.Severity
		namespace string
		want      string
	}{
		{report.Info, "apps", "Normal apps"},
		{report.Trace, "apps", "Normal apps"},
		{report.Error, "", "Warning default"},
	} {
		w := new(writer)
		play(t, event.Config{}, w, func(s *event.Sink) {
			e := told("x")
			e.Severity, e.About.Namespace = tt.severity, tt.namespace
			s.Report(e)
		})
		for id, o := range w.objects {
			v, _ := o.Get("type")
			if got := fmt.Sprint(v, " ", id.Namespace); got != tt.want {
				t.Errorf("%s in %q: %s, want %s", tt.severity, tt.namespace, got, tt.want)
			}
		}
	}
}

// Repetitions are counted now and then; after the window they are news.
func TestRepetition(t *testing.T) {
	w := new(writer)
	play(t, event.Config{}, w, func(s *event.Sink) {
		for range 600 { // ten minutes
			s.Report(told("bad"))
			after(time.Second)
		}
		after(11 * time.Minute)
		s.Report(told("bad"))
		s.Report(told("worse"))
	})
	if len(w.log) != 1+10+2 {
		t.Errorf("%d writes: %s", len(w.log), strings.Join(w.log, "\n"))
	}
	counts := make(map[string]int)
	for _, o := range w.objects {
		n, _ := o.Get("count")
		counts[fmt.Sprint(n)]++
	}
	if counts["600"] != 1 || counts["1"] != 2 {
		t.Errorf("counts: %v", counts)
	}
}

// An Event that has gone is written again, with its count.
func TestExpired(t *testing.T) {
	w := new(writer)
	play(t, event.Config{}, w, func(s *event.Sink) {
		s.Report(told("bad"))
		after(time.Second)
		synctest.Wait()
		clear(w.objects)
		s.Report(told("bad"))
	})
	w.check(t, "create bad by kustomize-controller", `patch  {"count":2,"lastTimestamp":"2000-01-01T00:00:01Z"}`, "create bad by kustomize-controller")
}

func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		name    string
		fail    []error
		writes  int
		dropped int64
	}{
		{"passing", []error{cluster.ErrUnavailable, cluster.ErrBusy}, 3, 0},
		{"lasting", []error{cluster.ErrBusy, cluster.ErrBusy, cluster.ErrBusy}, 3, 1},
		{"final", []error{cluster.ErrTerminating}, 1, 1},
	} {
		w := &writer{fail: tt.fail}
		s := play(t, event.Config{}, w, func(s *event.Sink) {
			s.Report(told("bad"))
			after(time.Minute)
		})
		if len(w.log) != tt.writes || s.Dropped() != tt.dropped {
			t.Errorf("%s: %d writes, %d dropped; want %d, %d", tt.name, len(w.log), s.Dropped(), tt.writes, tt.dropped)
		}
	}
}

// A flood of different events is bounded twice: by the queue and by the rate.
func TestFlood(t *testing.T) {
	w := new(writer)
	s := play(t, event.Config{Queue: 150, Rate: 1}, w, func(s *event.Sink) {
		for i := range 10000 {
			s.Report(told(fmt.Sprint("no. ", i)))
		}
		after(10 * time.Second)
	})
	if n := len(w.log); n > 120 || s.Dropped() < 9800 {
		t.Errorf("%d written, %d dropped", n, s.Dropped())
	}
}

func TestLongMessage(t *testing.T) {
	w := new(writer)
	play(t, event.Config{}, w, func(s *event.Sink) { s.Report(told(strings.Repeat("ä", 10000))) })
	for _, o := range w.objects {
		if m := message(o); len(m) > 4096 || !strings.HasSuffix(m, "ä... (cut)") {
			t.Errorf("message of %d bytes", len(m))
		}
	}
}

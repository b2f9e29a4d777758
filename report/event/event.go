// Package event writes events into the cluster that they are about.
package event

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/time/rate"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/delay"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
)

// A Config says where and how events are written.
type Config struct {
	Writer   cluster.Writer
	Log      *slog.Logger     // nil means none
	Now      func() time.Time // nil means time.Now
	Instance string           // who we are among equals: our pod's name

	Queue  int           // events that may wait to be written; 0 means 1000
	Window time.Duration // equal events within it are one; 0 means 10 minutes
	Flush  time.Duration // how often repetitions are counted in the cluster; 0 means a minute
	Rate   float64       // writes a second; 0 means 10
}

const (
	burst    = 100
	most     = 4096 // events that are remembered
	longest  = 4096 // bytes of a message
	attempts = 3
)

var kind = object.Kind{Name: "Event"}

// A Sink is a [report.Sink] whose events end up as core/v1 Events. Events that
// say the same of the same object within a window are one Event that counts.
type Sink struct {
	Config
	queue   chan report.Event
	limit   *rate.Limiter
	dropped atomic.Int64
	told    map[sum]*entry // of Run's goroutine only
}

// An entry is what is kept of an Event in the cluster. There may be thousands,
// of which few are repeated, so the event itself is not.
type entry struct {
	first int64 // in nanoseconds since 1970, like last
	last  int64
	count int64
	again *report.Event // it has been repeated since it was written; nil if it has not
}

// A sum names all that makes two events equal.
type sum [sha256.Size]byte

// New returns a sink. It writes nothing until it runs.
func New(c Config) *Sink {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Queue = cmp.Or(c.Queue, 1000)
	c.Window = cmp.Or(c.Window, 10*time.Minute)
	c.Flush = cmp.Or(c.Flush, time.Minute)
	c.Rate = cmp.Or(c.Rate, 10)
	return &Sink{
		Config: c,
		queue:  make(chan report.Event, c.Queue),
		limit:  rate.NewLimiter(rate.Limit(c.Rate), burst),
		told:   make(map[sum]*entry),
	}
}

// Report implements [report.Sink]. An event that comes while the queue is full
// is dropped.
func (s *Sink) Report(e report.Event) {
	if e.Minor {
		return
	}
	select {
	case s.queue <- e:
	default:
		s.dropped.Add(1)
	}
}

// Dropped returns how many events were never written.
func (s *Sink) Dropped() int64 { return s.dropped.Load() }

// Run writes events until ctx is done. Then it writes and counts what waits, for
// a few seconds at most.
func (s *Sink) Run(ctx context.Context) error {
	late, stop := delay.Grace(ctx, 5*time.Second)
	defer stop()
	tick := time.NewTicker(s.Flush)
	defer tick.Stop()
	for {
		select {
		case e := <-s.queue:
			s.note(late, e)
		case <-tick.C:
			s.flush(late)
		case <-ctx.Done():
			for len(s.queue) > 0 {
				s.note(late, <-s.queue)
			}
			s.flush(late)
			return nil
		}
	}
}

// note writes a new event, or counts one that was there.
func (s *Sink) note(ctx context.Context, e report.Event) {
	at := e.At
	if at.IsZero() {
		at = s.Now()
	}
	key := keyOf(e)
	if t := s.told[key]; t != nil && at.UnixNano()-t.last < int64(s.Window) {
		t.count, t.again = t.count+1, &e
		t.last = max(t.last, at.UnixNano())
		return
	}
	o := s.made(e, key, at)
	if err := s.try(ctx, func() error { return s.create(ctx, o) }); err != nil {
		s.drop(o, err)
		return
	}
	s.forget()
	s.told[key] = &entry{first: at.UnixNano(), last: at.UnixNano(), count: 1}
}

// flush counts in the cluster what has been repeated, and forgets what has not
// been for long.
func (s *Sink) flush(ctx context.Context) {
	for _, key := range slices.SortedFunc(maps.Keys(s.told), func(a, b sum) int { return bytes.Compare(a[:], b[:]) }) {
		t := s.told[key]
		if e := t.again; e != nil {
			t.again = nil
			if err := s.try(ctx, func() error { return s.recount(ctx, *e, key, t) }); err != nil {
				s.drop(s.made(*e, key, time.Unix(0, t.first)), err)
			}
		}
		if s.Now().UnixNano()-t.last >= int64(s.Window) {
			delete(s.told, key)
		}
	}
}

// forget makes room for one more event to be remembered.
func (s *Sink) forget() {
	if len(s.told) < most {
		return
	}
	oldest := slices.MinFunc(slices.Collect(maps.Keys(s.told)), func(a, b sum) int {
		return cmp.Compare(s.told[a].last, s.told[b].last)
	})
	delete(s.told, oldest)
}

func (s *Sink) create(ctx context.Context, o object.Object) error {
	_, err := s.Writer.Create(ctx, o, cluster.How{Manager: manager(o)})
	return err
}

// recount tells how often t was said. Events go away by themselves: one that
// has is written again.
func (s *Sink) recount(ctx context.Context, e report.Event, key sum, t *entry) error {
	stamp := time.Unix(0, t.last).UTC().Format(time.RFC3339)
	o := s.made(e, key, time.Unix(0, t.first)).With(t.count, "count").With(stamp, "lastTimestamp")
	data, err := json.Marshal(map[string]any{"count": t.count, "lastTimestamp": stamp})
	if err != nil {
		return err
	}
	p := cluster.Patch{Type: cluster.MergePatch, Data: data}
	_, err = s.Writer.Patch(ctx, o.ID(), p, cluster.How{Manager: manager(o)})
	if errors.Is(err, cluster.ErrNotFound) {
		return s.create(ctx, o)
	}
	return err
}

// try does something at the rate that is allowed, and again if that may help.
func (s *Sink) try(ctx context.Context, do func() error) error {
	for n := 1; ; n++ {
		if err := s.limit.Wait(ctx); err != nil {
			return err
		}
		err := do()
		passing := errors.Is(err, cluster.ErrBusy) || errors.Is(err, cluster.ErrUnavailable)
		if !passing || n == attempts {
			return err
		}
		if !delay.For(ctx, time.Second<<n) {
			return ctx.Err()
		}
	}
}

func (s *Sink) drop(o object.Object, err error) {
	s.dropped.Add(1)
	s.Log.Warn("event dropped", "event", o.String(), "error", err)
}

// keyOf names all that makes two events equal.
func keyOf(e report.Event) sum {
	e.At = time.Time{}
	e.About.ResourceVersion = ""
	data, err := json.Marshal(e)
	if err != nil {
		panic("event: " + err.Error())
	}
	return sha256.Sum256(data)
}

func manager(o object.Object) string {
	v, _ := o.Get("reportingComponent")
	by, _ := v.(string)
	return by
}

// made returns the Event that e is when it is new.
func (s *Sink) made(e report.Event, key sum, at time.Time) object.Object {
	stamp := at.UTC().Format(time.RFC3339)
	ns := cmp.Or(e.About.Namespace, "default")
	name := strings.TrimRight(fmt.Sprintf("%.200s", e.About.Name), ".-")
	o := object.Of(map[string]any{
		"apiVersion": "v1",
		"kind":       kind.Name,
		"metadata": map[string]any{
			"name":      fmt.Sprintf("%s.%x.%x", name, at.UnixNano(), key[:4]),
			"namespace": ns,
		},
		"involvedObject":     about(e.About),
		"type":               typeOf(e.Severity),
		"reason":             e.Reason,
		"message":            shorten(e.Message),
		"source":             map[string]any{"component": e.By},
		"reportingComponent": e.By,
		"reportingInstance":  s.Instance,
		"firstTimestamp":     stamp,
		"lastTimestamp":      stamp,
		"count":              int64(1),
	})
	return o.WithAnnotations(e.Meta)
}

func about(a report.Object) map[string]any {
	m := make(map[string]any)
	for k, v := range map[string]string{
		"apiVersion": a.APIVersion, "kind": a.Kind, "namespace": a.Namespace, "name": a.Name,
		"uid": a.UID, "resourceVersion": a.ResourceVersion,
	} {
		if v != "" {
			m[k] = v
		}
	}
	return m
}

func typeOf(s report.Severity) string {
	if s == report.Error {
		return "Warning"
	}
	return "Normal"
}

// shorten cuts a message to a length that the cluster's storage is made for.
func shorten(s string) string {
	if len(s) <= longest {
		return s
	}
	const end = "... (cut)"
	n := longest - len(end)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + end
}

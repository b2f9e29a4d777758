// Package webhook posts events to a server, in Flux's format.
package webhook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/sane-gitops/sane/delay"
	"github.com/sane-gitops/sane/report"
)

// A Config says where and how events are posted.
type Config struct {
	URL      string       // of the server, such as notification-controller's
	Client   *http.Client // nil means one that waits 15 seconds for an answer
	Log      *slog.Logger // nil means none
	Instance string       // who we are among equals: our pod's name

	Queue    int     // events that may wait to be posted; 0 means 1000
	Attempts int     // how often an event is posted at most; 0 means 5
	Rate     float64 // posts a second; 0 means 10
}

const burst = 50

// A Sink is a [report.Sink] whose events are posted. Those of severity trace
// stay here.
type Sink struct {
	Config
	queue   chan report.Event
	limit   *rate.Limiter
	dropped atomic.Int64
}

// New returns a sink. It posts nothing until it runs.
func New(c Config) (*Sink, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("events address: not a URL with http or https")
	}
	if c.Client == nil {
		c.Client = &http.Client{Timeout: 15 * time.Second}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Queue = cmp.Or(c.Queue, 1000)
	c.Attempts = cmp.Or(c.Attempts, 5)
	c.Rate = cmp.Or(c.Rate, 10)
	return &Sink{
		Config: c,
		queue:  make(chan report.Event, c.Queue),
		limit:  rate.NewLimiter(rate.Limit(c.Rate), burst),
	}, nil
}

// Report implements [report.Sink]. An event that comes while the queue is full
// is dropped.
func (s *Sink) Report(e report.Event) {
	if e.Severity == report.Trace {
		return
	}
	select {
	case s.queue <- e:
	default:
		s.dropped.Add(1)
	}
}

// Dropped returns how many events were never accepted by the server.
func (s *Sink) Dropped() int64 { return s.dropped.Load() }

// Run posts events, one at a time and in order, until ctx is done. Then it
// posts those that wait, for a few seconds at most.
func (s *Sink) Run(ctx context.Context) error {
	late, stop := delay.Grace(ctx, 5*time.Second)
	defer stop()
	for {
		select {
		case e := <-s.queue:
			s.send(late, e)
		case <-ctx.Done():
			for len(s.queue) > 0 {
				s.send(late, <-s.queue)
			}
			return nil
		}
	}
}

// send posts e until it is accepted, refused, or was tried often enough.
func (s *Sink) send(ctx context.Context, e report.Event) {
	body, err := json.Marshal(s.wire(e))
	if err != nil {
		panic("webhook: " + err.Error())
	}
	for n := 1; ; n++ {
		if err = s.limit.Wait(ctx); err != nil {
			break
		}
		again := false
		if again, err = s.post(ctx, body); err == nil {
			return
		}
		if !again || n == s.Attempts || !delay.For(ctx, time.Second<<(n-1)) {
			break
		}
	}
	s.dropped.Add(1)
	s.Log.Warn("event dropped", "object", e.About.Kind+"/"+e.About.Namespace+"/"+e.About.Name, "reason", e.Reason, "error", err)
}

// post posts once, and returns whether to try again if that failed.
func (s *Sink) post(ctx context.Context, body []byte) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return false, errors.New("post event: invalid address")
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.Client.Do(req)
	if err != nil {
		return true, fmt.Errorf("post event: %w", bare(err))
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	switch code := resp.StatusCode; {
	case code < 300, code == http.StatusTooManyRequests: // it was told already
		return false, nil
	default:
		return code >= 500 || code == http.StatusRequestTimeout, fmt.Errorf("post event: server answers %s", resp.Status)
	}
}

// bare returns err without the URL, which may hold a token.
func bare(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// A wire is an event as it is posted.
type wire struct {
	InvolvedObject      object            `json:"involvedObject"`
	Severity            string            `json:"severity"`
	Timestamp           string            `json:"timestamp"`
	Message             string            `json:"message"`
	Reason              string            `json:"reason"`
	Metadata            map[string]string `json:"metadata,omitempty"`
	ReportingController string            `json:"reportingController"`
	ReportingInstance   string            `json:"reportingInstance,omitempty"`
}

type object struct {
	Kind            string `json:"kind,omitempty"`
	Namespace       string `json:"namespace,omitempty"`
	Name            string `json:"name,omitempty"`
	UID             string `json:"uid,omitempty"`
	APIVersion      string `json:"apiVersion,omitempty"`
	ResourceVersion string `json:"resourceVersion,omitempty"`
}

func (s *Sink) wire(e report.Event) wire {
	a := e.About
	return wire{
		InvolvedObject:      object{a.Kind, a.Namespace, a.Name, a.UID, a.APIVersion, a.ResourceVersion},
		Severity:            string(e.Severity),
		Timestamp:           e.At.UTC().Format(time.RFC3339),
		Message:             e.Message,
		Reason:              e.Reason,
		Metadata:            e.Meta,
		ReportingController: e.By,
		ReportingInstance:   s.Instance,
	}
}

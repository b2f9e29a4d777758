package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sane-gitops/sane/report"
	"github.com/sane-gitops/sane/report/webhook"
)

var event = report.Event{
	About: report.Object{
		APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization",
		Namespace: "apps", Name: "web", UID: "1f2e", ResourceVersion: "77",
	},
	Severity: report.Info,
	Reason:   "ReconciliationSucceeded",
	Message:  "Reconciliation finished",
	At:       time.Date(2026, 9, 1, 12, 0, 0, 5, time.UTC),
	By:       "kustomize-controller",
	Meta:     map[string]string{"kustomize.toolkit.fluxcd.io/revision": "main@sha1:aaaa"},
}

const wire = `{
	"involvedObject": {"kind": "Kustomization", "namespace": "apps", "name": "web", "uid": "1f2e",
		"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "resourceVersion": "77"},
	"severity": "info", "timestamp": "2026-09-01T12:00:00Z", "message": "Reconciliation finished",
	"reason": "ReconciliationSucceeded", "metadata": {"kustomize.toolkit.fluxcd.io/revision": "main@sha1:aaaa"},
	"reportingController": "kustomize-controller", "reportingInstance": "sane-0"
}`

// What a real server gets is what Flux posts.
func TestFormat(t *testing.T) {
	got := make(chan []byte, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- fmt.Appendf(nil, `["%s %s", %s]`, r.Method, r.Header.Get("Content-Type"), body)
	}))
	defer server.Close()
	s, err := webhook.New(webhook.Config{URL: server.URL, Instance: "sane-0"})
	if err != nil {
		t.Fatal(err)
	}
	trace := event
	trace.Severity = report.Trace
	s.Report(trace)
	s.Report(event)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	if got, want := decoded(t, <-got), decoded(t, []byte(`["POST application/json", `+wire+`]`)); !reflect.DeepEqual(got, want) {
		t.Errorf("posted %v\nwant %v", got, want)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func decoded(t *testing.T, data []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// A transport answers without a network, which has no place in a bubble.
type transport func(r *http.Request) (int, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) {
	code, err := f(r)
	if err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	w.WriteHeader(code)
	return w.Result(), nil
}

var errDown = errors.New("connection refused")

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answers []int // 0 is none; the last one is given for ever
		posts   int64
		dropped int64
		took    time.Duration
	}{
		{"accepted", []int{202}, 1, 0, 0},
		{"a duplicate", []int{429}, 1, 0, 0},
		{"refused", []int{400}, 1, 1, 0},
		{"too large", []int{413}, 1, 1, 0},
		{"down for a while", []int{503, 0, 200}, 3, 0, 3 * time.Second},
		{"down", []int{500}, 5, 1, 15 * time.Second},
		{"not there", []int{0}, 5, 1, 15 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var posts atomic.Int64
				s := sink(t, webhook.Config{}, func(*http.Request) (int, error) {
					code := tt.answers[min(int(posts.Add(1)), len(tt.answers))-1]
					if code == 0 {
						return 0, errDown
					}
					return code, nil
				})
				start := time.Now()
				var took time.Duration
				s.Report(event)
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan bool)
				go func() { s.Run(ctx); close(done) }()
				for posts.Load() < tt.posts {
					wait(100 * time.Millisecond)
				}
				took = time.Since(start)
				synctest.Wait()
				stop()
				<-done
				if posts.Load() != tt.posts || s.Dropped() != tt.dropped || took.Round(time.Second) != tt.took {
					t.Errorf("%d posts in %v, %d dropped; want %d in %v, %d", posts.Load(), took, s.Dropped(), tt.posts, tt.took, tt.dropped)
				}
			})
		})
	}
}

// wait lets the bubble's clock go on.
func wait(d time.Duration) { <-time.After(d) }

func sink(t *testing.T, c webhook.Config, answer transport) *webhook.Sink {
	t.Helper()
	c.URL, c.Client = "http://me:secret@events.example.com/hook?token=hidden", &http.Client{Transport: answer}
	s, err := webhook.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A flood is bounded: what does not fit is dropped at once, and what fits is
// posted at the rate that is allowed.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var posts atomic.Int64
		s := sink(t, webhook.Config{Queue: 80, Rate: 1}, func(*http.Request) (int, error) {
			posts.Add(1)
			return 200, nil
		})
		for range 100 {
			s.Report(event)
		}
		if s.Dropped() != 20 {
			t.Errorf("%d dropped, want 20", s.Dropped())
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan bool)
		go func() { s.Run(ctx); close(done) }()
		for _, want := range []int64{50, 60, 70, 80} {
			synctest.Wait()
			if posts.Load() != want {
				t.Errorf("%d posts, want %d", posts.Load(), want)
			}
			wait(10 * time.Second)
		}
		stop()
		<-done
	})
}

// What waits at the end is posted, but nobody waits long for it.
func TestEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var posts atomic.Int64
		s := sink(t, webhook.Config{}, func(r *http.Request) (int, error) {
			if posts.Add(1) == 3 { // a server that does not answer
				<-r.Context().Done()
				return 0, r.Context().Err()
			}
			return 200, nil
		})
		for range 5 {
			s.Report(event)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		start := time.Now()
		s.Run(ctx)
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("took %v", d)
		}
		if s.Dropped() != 3 {
			t.Errorf("%d dropped, want 3", s.Dropped())
		}
	})
}

// Addresses hold passwords and tokens; nothing gives them away.
func TestSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		c := webhook.Config{Attempts: 1, Log: slog.New(slog.NewTextHandler(&log, nil))}
		s := sink(t, c, func(*http.Request) (int, error) { return 0, errDown })
		s.Report(event)
		ctx, stop := context.WithCancel(t.Context())
		stop()
		s.Run(ctx)
		if got := log.String(); !strings.Contains(got, "connection refused") || strings.Contains(got, "secret") || strings.Contains(got, "hidden") {
			t.Errorf("log: %s", got)
		}
	})
	_, err := webhook.New(webhook.Config{URL: "http://me:sec ret@x/%zz"})
	var e *url.Error
	if err == nil || errors.As(err, &e) || strings.Contains(err.Error(), "ret@") {
		t.Errorf("New = %v", err)
	}
}

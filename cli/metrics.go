package cli

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/unit"
)

// meters are what /metrics tells. The names that begin with gotk are Flux's.
type meters struct {
	all      *prometheus.Registry
	took     *durations
	requests *prometheus.CounterVec
	waited   *prometheus.HistogramVec
	renders  prometheus.Counter

	// By the names of controller-runtime, which dashboards for Flux know.
	looks, failures *prometheus.CounterVec
	times           *prometheus.HistogramVec

	tokens *prometheus.CounterVec
}

// newMeters returns meters of nothing yet; busy is asked how much there is to do.
func newMeters(busy func() float64) *meters {
	m := &meters{
		all:  prometheus.NewRegistry(),
		took: newDurations(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sane_api_requests_total",
			Help: "Requests to the API server; code 0 is no answer.",
		}, []string{"verb", "resource", "code"}),
		waited: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sane_api_request_duration_seconds",
			Help:    "How long the API server took to answer; watches are not counted.",
			Buckets: []float64{.001, .005, .02, .1, .5, 2, 10, 30},
		}, []string{"verb"}),
		renders: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sane_renders_total",
			Help: "Units that had to be rendered anew.",
		}),
	}
	m.looks = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "controller_runtime_reconcile_total",
		Help: "How often sources and units were seen to, by what came of it: error, or requeue_after where they are looked at again after a while.",
	}, []string{"controller", "result"})
	m.failures = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "controller_runtime_reconcile_errors_total",
		Help: "How often that failed.",
	}, []string{"controller"})
	m.times = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "controller_runtime_reconcile_time_seconds",
		Help:    "How long that took.",
		Buckets: []float64{.005, .01, .05, .1, .5, 1, 5, 10, 30, 60},
	}, []string{"controller"})
	m.tokens = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gotk_token_cache_events_total",
		Help: "Tokens of service accounts and clouds that were wanted: cache_hit if they were remembered, or else cache_miss.",
	}, []string{"event_type"})
	m.all.MustRegister(m.took, m.requests, m.waited, m.renders, m.looks, m.failures, m.times, m.tokens,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sane_queue_length",
			Help: "Sources and units that are being seen to, or wait for a turn.",
		}, busy))
	return m
}

func (m *meters) seenTo(id object.ID, d time.Duration, failed bool) {
	m.took.observe(id, d)
	controller, result := strings.ToLower(id.Kind.Name), "requeue_after"
	if failed {
		result = "error"
		m.failures.WithLabelValues(controller).Inc()
	}
	m.looks.WithLabelValues(controller, result).Inc()
	m.times.WithLabelValues(controller).Observe(d.Seconds())
}

// left forgets a custom resource that is not there any more.
func (m *meters) left(id object.ID) { m.took.forget(id) }

func (m *meters) token(known bool) {
	event := "cache_miss"
	if known {
		event = "cache_hit"
	}
	m.tokens.WithLabelValues(event).Inc()
}

// remembers begins to tell how many tokens an office remembers.
func (m *meters) remembers(count func() int) {
	_ = m.all.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gotk_token_cached_items",
		Help: "Tokens of service accounts and clouds that are remembered.",
	}, func() float64 { return float64(count()) }))
}

func (m *meters) rendered(unit.Name) { m.renders.Inc() }

func (m *meters) request(verb, resource string, code int, d time.Duration) {
	m.requests.WithLabelValues(verb, resource, strconv.Itoa(code)).Inc()
	if verb != "watch" {
		m.waited.WithLabelValues(verb).Observe(d.Seconds())
	}
}

// sinks begins to count what sinks drop.
func (m *meters) sinks(sinks map[string]Sink) {
	for name, s := range sinks {
		_ = m.all.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name:        "sane_events_dropped_total",
			Help:        "Events that were not passed on.",
			ConstLabels: prometheus.Labels{"sink": name},
		}, func() float64 { return float64(s.Dropped()) }))
	}
}

func (m *meters) page() http.Handler {
	return promhttp.HandlerFor(m.all, promhttp.HandlerOpts{})
}

package cli

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sane-gitops/sane/unit"
)

// meters are what /metrics tells. The names that begin with gotk are Flux's.
type meters struct {
	all      *prometheus.Registry
	took     *durations
	requests *prometheus.CounterVec
	waited   *prometheus.HistogramVec
	renders  prometheus.Counter
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
	m.all.MustRegister(m.took, m.requests, m.waited, m.renders,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sane_queue_length",
			Help: "Sources and units that are being seen to, or wait for a turn.",
		}, busy))
	return m
}

func (m *meters) kept(u unit.Name, d time.Duration) {
	m.took.observe(u, d)
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

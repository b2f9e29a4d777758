package cli

import (
	"maps"
	"slices"
	"sync"
	"time"
	"unique"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sane-gitops/sane/object"
)

// durations is Flux's histogram of how long each custom resource took. There are as
// many series as resources, so it keeps no more of each than its counts; the library's
// own histograms take some kilobytes each.
type durations struct {
	desc   *prometheus.Desc
	bounds []float64 // in seconds

	mu  sync.Mutex
	all map[unique.Handle[object.ID]]*taken // guarded by mu
}

// taken is what is known of one resource.
type taken struct {
	sum    float64
	counts [11]uint32 // by the first bound that is not exceeded; the last is for the rest
}

func newDurations() *durations {
	return &durations{
		desc: prometheus.NewDesc("gotk_reconcile_duration_seconds",
			"How long it took to see to a source or a unit, or to find out that nothing was to be done.",
			[]string{"kind", "name", "namespace"}, nil),
		bounds: prometheus.ExponentialBucketsRange(10e-3, 1800, 10),
		all:    make(map[unique.Handle[object.ID]]*taken),
	}
}

func (d *durations) observe(id object.ID, took time.Duration) {
	n, _ := slices.BinarySearch(d.bounds, took.Seconds())
	d.mu.Lock()
	defer d.mu.Unlock()
	at := unique.Make(id)
	t := d.all[at]
	if t == nil {
		t = new(taken)
		d.all[at] = t
	}
	t.counts[n]++
	t.sum += took.Seconds()
}

func (d *durations) forget(id object.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.all, unique.Make(id))
}

// Describe implements prometheus.Collector.
func (d *durations) Describe(ch chan<- *prometheus.Desc) { ch <- d.desc }

// Collect implements prometheus.Collector.
func (d *durations) Collect(ch chan<- prometheus.Metric) {
	d.mu.Lock()
	all := make(map[object.ID]taken, len(d.all))
	for u, t := range maps.All(d.all) {
		all[u.Value()] = *t
	}
	d.mu.Unlock()
	for u, t := range all {
		buckets := make(map[float64]uint64, len(d.bounds))
		total := uint64(0)
		for i, bound := range d.bounds {
			total += uint64(t.counts[i])
			buckets[bound] = total
		}
		total += uint64(t.counts[len(d.bounds)])
		ch <- prometheus.MustNewConstHistogram(d.desc, total, t.sum, buckets, u.Kind.Name, u.Name, u.Namespace)
	}
}

package bench

import (
	"context"
	"time"
)

// A Usage is what a span of time cost.
type Usage struct {
	Seconds    float64
	Controller float64  // CPU seconds of the controller, its children included
	Server     float64  // CPU seconds of the API server
	Bench      float64  // CPU seconds of this program, which has to share the machine
	Requests   Requests // to the API server by all others than us; watches are counted when they end
	Told       float64  // requests that the controller itself counts, without watches and leases; -1 if it does not tell
	ToldAbout  float64  // those of them that are about managed objects; -1 if it does not tell
	Peak       Memory   // of the controller
	Renders    float64  // that the controller counts; -1 if it does not tell
}

// A span is a Usage that is not over yet.
type span struct {
	s                     *stage
	before                reading
	own                   Requests
	told, toldAbout       float64
	renders               float64
	began                 time.Time
	controller, ourselves time.Duration
}

// begin begins to measure.
func (s *stage) begin(ctx context.Context) (*span, error) {
	b := &span{s: s}
	var err error
	if b.before, err = read(ctx, s.kube); err != nil {
		return nil, err
	}
	b.told, b.toldAbout, b.renders = s.told(ctx, nil), s.told(ctx, managedResource), s.renders(ctx)
	s.sampler.reset()
	b.own = s.ownRequests()
	b.controller, b.ourselves, b.began = s.cpu(), ownCPU(), time.Now()
	return b, nil
}

// end ends the span, of which the time to be measured was over at last.
func (b *span) end(ctx context.Context, last time.Time) (Usage, error) {
	s := b.s
	u := Usage{
		Seconds:    last.Sub(b.began).Seconds(),
		Controller: (s.cpu() - b.controller).Seconds(),
		Bench:      (ownCPU() - b.ourselves).Seconds(),
		Peak:       s.sampler.reset(),
		Told:       since(b.told, s.told(ctx, nil)), ToldAbout: since(b.toldAbout, s.told(ctx, managedResource)),
		Renders: since(b.renders, s.renders(ctx)),
	}
	own := s.ownRequests().Minus(b.own)
	after, err := read(ctx, s.kube)
	u.Server = after.cpu - b.before.cpu
	u.Requests = after.requests.Minus(b.before.requests).Minus(own)
	return u, err
}

func since(a, b float64) float64 {
	if a < 0 || b < 0 {
		return -1
	}
	return b - a
}

// told returns how many requests the controller says that it has made, without
// watches and leases, about some resources or (nil) about any; -1 if it does not say.
func (s *stage) told(ctx context.Context, of func(resource string) bool) float64 {
	n, ok := s.controller.sum(ctx, "sane_api_requests_total", func(m metric) bool {
		resource := m.labels["resource"]
		return m.labels["verb"] != "watch" && resource != "leases.coordination.k8s.io" && (of == nil || of(resource))
	})
	if !ok {
		return -1
	}
	return n
}

// renders returns how many times the controller says that it has rendered a
// unit; -1 if it does not say.
func (s *stage) renders(ctx context.Context) float64 {
	n, ok := s.controller.sum(ctx, "sane_renders_total", nil)
	if !ok {
		return -1
	}
	return n
}

// measure measures what it takes until work is done. Work returns when that
// was.
func (s *stage) measure(ctx context.Context, work func() (last time.Time, err error)) (Usage, error) {
	b, err := s.begin(ctx)
	if err != nil {
		return Usage{}, err
	}
	last, err := work()
	if err != nil {
		return Usage{}, err
	}
	return b.end(ctx, last)
}

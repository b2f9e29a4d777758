package web

import (
	"sync"
	"time"
)

// idle is for how long a client is kept that nobody uses.
const idle = time.Hour

// A Pool holds what talks to servers, one client for each way in. The zero Pool
// is empty; it is safe for use by several goroutines at once.
type Pool[C interface{ CloseIdleConnections() }] struct {
	mu  sync.Mutex
	all map[string]*pooled[C] // guarded by mu
}

type pooled[C any] struct {
	client C
	used   time.Time
}

// Get returns the client for a way in, as [Key] names it, made by open if there
// is none yet. It lets go of those that nobody has used for an hour.
func (p *Pool[C]) Get(key string, now time.Time, open func() (C, error)) (C, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.all[key]
	if c == nil {
		made, err := open()
		if err != nil {
			return made, err
		}
		if p.all == nil {
			p.all = make(map[string]*pooled[C])
		}
		c = &pooled[C]{client: made}
		p.all[key] = c
	}
	c.used = now
	for key, c := range p.all {
		if now.Sub(c.used) > idle {
			c.client.CloseIdleConnections()
			delete(p.all, key)
		}
	}
	return c.client, nil
}

// Close closes the connections that nobody uses at the moment.
func (p *Pool[C]) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.all {
		c.client.CloseIdleConnections()
	}
}

package cli

import (
	"fmt"
	"hash/fnv"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
)

// pages are the HTTP servers of a daemon.
type pages struct {
	servers map[string]*http.Server // by name; their Addr is where they listen
	serving sync.WaitGroup
}

// open begins to serve what the flags ask for.
func (r *daemon) open() (*pages, error) {
	p := &pages{servers: make(map[string]*http.Server)}
	err := p.add("metrics", r.metrics, r.metricsPages())
	if err == nil {
		err = p.add("health", r.health, r.healthPages())
	}
	if err == nil {
		err = p.add("storage", r.offer.address(), &r.offer)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *pages) add(name, addr string, h http.Handler) error {
	if addr == "" || addr == "0" {
		return nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("serve %s at %s: %w; choose another address with --%s-addr", name, addr, err, name)
	}
	s := webServer(h)
	s.Addr = l.Addr().String()
	p.servers[name] = s
	p.serving.Go(func() { _ = s.Serve(l) }) // it ends by close
	return nil
}

// at returns where something is served, or "".
func (p *pages) at(name string) string {
	if s := p.servers[name]; s != nil {
		return s.Addr
	}
	return ""
}

func (p *pages) close() {
	var closing sync.WaitGroup
	for _, s := range p.servers {
		closing.Go(func() { hangUp(s) })
	}
	closing.Wait()
	p.serving.Wait()
}

func (r *daemon) metricsPages() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", r.counts.page())
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

func (r *daemon) healthPages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if why := r.unready(); why != "" {
			http.Error(w, "not ready: "+why, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}

// shortSum names a text in a few characters.
func shortSum(s string) string {
	h := fnv.New32a()
	h.Write([]byte(s))
	return fmt.Sprintf("%08x", h.Sum32())
}

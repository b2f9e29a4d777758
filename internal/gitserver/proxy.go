package gitserver

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
)

// A Proxy is an HTTP proxy on loopback that wants to know who asks.
type Proxy struct {
	Username, Password string
	Look               func() // called whenever something passes; nil means nothing

	http *httptest.Server
	seen atomic.Int64
}

// StartProxy serves a proxy until it is closed.
func StartProxy(username, password string) *Proxy {
	p := &Proxy{Username: username, Password: password}
	p.http = httptest.NewServer(p)
	return p
}

// Address returns the proxy's URL, without who asks.
func (p *Proxy) Address() string { return p.http.URL }

// URL returns the proxy's URL for somebody.
func (p *Proxy) URL(username, password string) string {
	u, err := url.Parse(p.http.URL)
	if err != nil {
		panic(err)
	}
	u.User = url.UserPassword(username, password)
	return u.String()
}

// Passed returns how many requests it has let through.
func (p *Proxy) Passed() int { return int(p.seen.Load()) }

// Close breaks off what passes through and ends the proxy.
func (p *Proxy) Close() {
	p.http.CloseClientConnections()
	p.http.Close()
}

// ServeHTTP implements [http.Handler].
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r2 := &http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	user, password, _ := r2.BasicAuth()
	if !same(user, p.Username) || !same(password, p.Password) {
		w.Header().Set("Proxy-Authenticate", `Basic realm="proxy"`)
		http.Error(w, "who are you?", http.StatusProxyAuthRequired)
		return
	}
	p.seen.Add(1)
	if p.Look != nil {
		p.Look()
	}
	if r.Method == http.MethodConnect {
		p.tunnel(w, r)
		return
	}
	(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.Header.Del("Proxy-Authorization") }}).ServeHTTP(w, r)
}

// tunnel passes bytes both ways until either side ends.
func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	to, err := net.Dial("tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer to.Close()
	from, rest, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer from.Close()
	fmt.Fprint(from, "HTTP/1.1 200 Connection established\r\n\r\n")
	done := make(chan struct{}, 2)
	pass := func(w io.Writer, r io.Reader) {
		io.Copy(w, r)
		done <- struct{}{}
	}
	go pass(to, rest)
	go pass(from, to)
	<-done
}

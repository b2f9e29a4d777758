package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"k8s.io/client-go/rest"
)

// A Way is how to reach a cluster of which not all is known beforehand. Its
// functions are called for each request and must be quick when they know the
// answer.
type Way struct {
	Find  func(ctx context.Context) (Spot, error)   // where the cluster is
	Token func(ctx context.Context) (string, error) // by which it lets us in

	// Refused is told that the cluster did not let us in by the token.
	Refused func()
}

// A Spot is where an API server is.
type Spot struct {
	Address string // an https URL
	CA      string // PEM certificates of those who may vouch for it; "" means everybody's
}

// Reach returns a configuration by which to connect to a cluster that is found,
// and gets to know us, when it is first asked something.
func Reach(w Way) *rest.Config {
	return &rest.Config{Host: "https://" + elsewhere, Transport: &reaching{way: w}}
}

// elsewhere stands for the server in requests that are yet to be sent on.
const elsewhere = "cluster.invalid"

// A reaching transport sends requests on to where they belong.
type reaching struct {
	way Way

	mu   sync.Mutex
	spot Spot              // guarded by mu
	by   http.RoundTripper // guarded by mu; to spot; nil at first
}

// RoundTrip implements [http.RoundTripper].
func (r *reaching) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != elsewhere { // it would be shown the token there
		return nil, fmt.Errorf("the server redirects to %s, where it is not followed", req.URL.Host)
	}
	spot, err := r.way.Find(req.Context())
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	base, by, err := r.to(spot)
	if err != nil {
		return nil, err
	}
	token, err := r.way.Token(req.Context())
	if err != nil {
		return nil, fmt.Errorf("get a token for the cluster: %w", err)
	}
	out := req.Clone(req.Context())
	out.URL, out.Host = base.JoinPath(req.URL.EscapedPath()), base.Host
	out.URL.RawQuery = req.URL.RawQuery
	out.Header.Set("Authorization", "Bearer "+token)
	resp, err := by.RoundTrip(out)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		r.way.Refused()
	}
	return resp, err
}

// to returns the base of all URLs at a spot, and what goes there.
func (r *reaching) to(spot Spot) (*url.URL, http.RoundTripper, error) {
	base, err := url.Parse(spot.Address)
	if err != nil || base.Scheme != "https" || base.Host == "" || base.User != nil {
		return nil, nil, errors.New("the cluster's address is no https URL")
	}
	if base.Path == "" {
		base.Path = "/"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil || r.spot != spot {
		r.close()
		by, err := rest.TransportFor(&rest.Config{Host: spot.Address, TLSClientConfig: rest.TLSClientConfig{CAData: []byte(spot.CA)}})
		if err != nil {
			return nil, nil, errors.New("the cluster's ca.crt holds no certificate")
		}
		r.spot, r.by = spot, by
	}
	return base, r.by, nil
}

// CloseIdleConnections closes what nobody uses at the moment.
func (r *reaching) CloseIdleConnections() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.close()
}

// close closes the connections to where the cluster was. r.mu is held.
func (r *reaching) close() {
	if c, ok := r.by.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// A discovery knows how kinds are served. Of what the server tells it keeps a
// few words per kind.
type discovery struct {
	wire *wire

	mu     sync.Mutex
	kinds  map[object.Kind]resource
	stale  map[string]bool // groups whose server does not answer
	asked  time.Time       // when the server was asked last
	pause  time.Duration   // until it may be asked again
	err    error           // what came of asking it
	flight chan struct{}   // closed when who is asking has the answer; nil if nobody is

	learned map[object.Kind]resource // from definitions, and not yet told by the server
}

// The pause between two questions grows from the first to the second, as long
// as nothing new is found.
const minPause, maxPause = 250 * time.Millisecond, 5 * time.Second

// find returns how a kind is served that has the given version, or any
// version if that is "".
func (d *discovery) find(ctx context.Context, k object.Kind, version string) (resource, error) {
	for {
		r, wait, err := d.look(k, version)
		switch {
		case err != nil || r.plural != "":
			return r, err
		case wait == nil:
			if err := d.ask(ctx); err != nil {
				return resource{}, err
			}
		default:
			select {
			case <-ctx.Done():
				return resource{}, ctx.Err()
			case <-wait:
			}
		}
	}
}

// look returns what is known of a kind: the resource, an error, a channel to
// wait for, or nothing of that if the caller is to ask.
func (d *discovery) look(k object.Kind, version string) (resource, chan struct{}, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, known := d.kinds[k]
	switch {
	case known && (version == "" || slices.Contains(r.versions, version)):
		return r, nil, nil
	case d.flight != nil:
		return resource{}, d.flight, nil
	case time.Since(d.asked) >= d.pause:
		d.flight = make(chan struct{})
		return resource{}, nil, nil
	case d.err != nil:
		return resource{}, nil, d.err
	case d.stale[k.Group]:
		return resource{}, nil, fmt.Errorf("%w: the server of API group %s does not answer", cluster.ErrUnavailable, k.Group)
	case known:
		return resource{}, nil, fmt.Errorf("%w: no version %q of kind %s (there is %q)", cluster.ErrNoKind, version, k, r.versions)
	}
	return resource{}, nil, fmt.Errorf("%w: the server does not know kind %s", cluster.ErrNoKind, k)
}

// ask asks the server for all kinds. Whoever calls it has the flight.
func (d *discovery) ask(ctx context.Context) error {
	kinds, stale, err := d.fetch(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.flight)
	d.flight = nil
	if ctx.Err() != nil {
		return ctx.Err()
	}
	d.asked, d.err = time.Now(), err
	if d.pause = min(maxPause, max(minPause, 2*d.pause)); err != nil {
		return nil // the next look tells
	}
	if len(kinds) != len(d.kinds) {
		d.pause = minPause
	}
	for g := range stale { // what was there is not gone because its server is slow
		for k, r := range d.kinds {
			if _, ok := kinds[k]; !ok && k.Group == g {
				kinds[k] = r
			}
		}
	}
	for k, r := range d.learned {
		if told, ok := kinds[k]; ok && len(told.versions) >= len(r.versions) {
			delete(d.learned, k)
		} else {
			kinds[k] = r
		}
	}
	d.kinds, d.stale = kinds, stale
	return nil
}

// forget allows the server to be asked again at once.
func (d *discovery) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pause = 0
}

// drop forgets a kind that the server says it does not serve.
func (d *discovery) drop(k object.Kind) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.kinds[k]; ok {
		delete(d.kinds, k)
		delete(d.learned, k)
		d.pause = 0
	}
}

// groups is what is read of an aggregated discovery document.
type groups struct {
	Kind  string `json:"kind"`
	Items []struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Versions []struct {
			Version   string `json:"version"`
			Freshness string `json:"freshness"`
			Resources []struct {
				Resource     string   `json:"resource"`
				Singular     string   `json:"singularResource"`
				Short        []string `json:"shortNames"`
				Scope        string   `json:"scope"`
				ResponseKind struct {
					Kind string `json:"kind"`
				} `json:"responseKind"`
			} `json:"resources"`
		} `json:"versions"`
	} `json:"items"`
}

const aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList," +
	"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"

// fetch reads all kinds from the server, and which groups are stale.
func (d *discovery) fetch(ctx context.Context) (map[object.Kind]resource, map[string]bool, error) {
	kinds, stale := map[object.Kind]resource{}, map[string]bool{}
	for _, path := range []string{"/api", "/apis"} {
		g, err := d.read(ctx, path)
		if err != nil {
			return nil, nil, unknowing(d.wire.base+path, err)
		}
		g.add(kinds, stale)
	}
	return kinds, stale, nil
}

func (d *discovery) read(ctx context.Context, path string) (g groups, err error) {
	data := buffers.Get()
	defer buffers.Put(data)
	err = d.wire.do(ctx, request{verb: "discover", method: http.MethodGet, path: path, accept: aggregated}, data)
	if err != nil {
		return g, err
	}
	if err = json.Unmarshal(data.Bytes(), &g); err == nil && g.Kind != "APIGroupDiscoveryList" {
		err = fmt.Errorf("the server answers with %q; aggregated discovery came with Kubernetes 1.27", g.Kind)
	}
	return g, err
}

// unknowing returns why discovery failed at a URL. It is never ErrNoKind: which
// kinds there are is just what is not known.
func unknowing(at string, err error) error {
	if u, err := url.Parse(at); err == nil {
		at = u.Host + u.Path // without a password, which a kubeconfig may have there
	}
	refused := cluster.Refused("discover", object.ID{}, err)
	switch refused.Err {
	case cluster.ErrNoKind, cluster.ErrNotFound, cluster.ErrInvalid, cluster.ErrConflict:
		refused.Err = cluster.ErrUnavailable
	}
	return fmt.Errorf("%w: discovery at %s: %s", refused.Err, at, refused.Why)
}

// add adds the kinds of g. The server lists the preferred version first.
func (g groups) add(kinds map[object.Kind]resource, stale map[string]bool) {
	for _, group := range g.Items {
		name := group.Metadata.Name
		for _, v := range group.Versions {
			if v.Freshness == "Stale" {
				stale[name] = true
			}
			for _, r := range v.Resources {
				k := object.Kind{Group: name, Name: r.ResponseKind.Kind}
				known, ok := kinds[k]
				if !ok {
					known = resource{group: name, plural: r.Resource, short: r.Short, singular: r.Singular, namespaced: r.Scope == "Namespaced"}
				}
				if !slices.Contains(known.versions, v.Version) {
					known.versions = append(known.versions, v.Version)
				}
				kinds[k] = known
			}
		}
	}
}

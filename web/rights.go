package web

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// rights are what one viewer was said to be allowed, for a short while.
type rights struct {
	mu    sync.Mutex
	known map[cluster.Deed]right // guarded by mu
}

type right struct {
	ok   bool
	asof time.Time
}

const (
	rightLasts  = 30 * time.Second
	rightStands = 10 * time.Minute // while the server can't be asked
	maxRights   = 1 << 14          // of one viewer
	maxViewers  = 1 << 10
	asks        = 16 // at a time, for one page
)

// may reports whether the viewer may do d, as the server said lately.
func (s *Server) may(ctx context.Context, v *viewer, d cluster.Deed) (bool, error) {
	now := s.now()
	v.rights.mu.Lock()
	known, ok := v.rights.known[d]
	v.rights.mu.Unlock()
	if ok && now.Sub(known.asof) < rightLasts {
		return known.ok, nil
	}
	allowed, err := v.cluster.May(ctx, d)
	if ok && now.Sub(known.asof) < rightStands && err != nil && silent(ctx, err) {
		return known.ok, nil
	}
	if err != nil {
		return false, err
	}
	v.rights.mu.Lock()
	defer v.rights.mu.Unlock()
	if len(v.rights.known) >= maxRights || v.rights.known == nil {
		v.rights.known = make(map[cluster.Deed]right)
	}
	v.rights.known[d] = right{allowed, now}
	return allowed, nil
}

// in returns in which of some namespaces the viewer may list objects of a kind.
func (s *Server) in(ctx context.Context, v *viewer, k object.Kind, namespaces []string) (map[string]bool, error) {
	may := make(map[string]bool, len(namespaces))
	list := func(namespace string) cluster.Deed {
		return cluster.Deed{Verb: "list", Object: object.ID{Kind: k, Namespace: namespace}}
	}
	all, err := s.may(ctx, v, list(""))
	if err != nil || all {
		for _, ns := range namespaces {
			may[ns] = all
		}
		return may, err
	}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(asks)
	for _, ns := range namespaces {
		g.Go(func() error {
			ok, err := s.may(ctx, v, list(ns))
			mu.Lock()
			defer mu.Unlock()
			may[ns] = ok
			return err
		})
	}
	return may, g.Wait()
}

// viewers are the rights of all who looked lately.
type viewers struct {
	mu sync.Mutex
	by map[[sha256.Size]byte]*rights // guarded by mu
}

// of returns the rights of an identity.
func (a *viewers) of(who cluster.Identity) *rights {
	data, err := json.Marshal(who)
	if err != nil {
		panic(err) // strings can always be marshalled
	}
	key := sha256.Sum256(data)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.by == nil || len(a.by) >= maxViewers && a.by[key] == nil {
		a.by = make(map[[sha256.Size]byte]*rights)
	}
	if a.by[key] == nil {
		a.by[key] = new(rights)
	}
	return a.by[key]
}

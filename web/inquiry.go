package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/unit"
)

// What bounds questions that take a repository, or the dry run of a plan.
const (
	slowAtATime = 4
	slowOfOne   = 2 // viewer, where there are several
	slowLasts   = 45 * time.Second
)

// An errand lends what it takes to answer slow questions, to a few at a time.
type errand struct {
	places chan struct{}

	mu   sync.Mutex
	of   map[string]*allotment // guarded by mu; of those who have, or wait for, one
	gear *ask.Gear             // guarded by mu; nil until somebody has needed it
}

// An allotment are the places that one viewer may take.
type allotment struct {
	places chan struct{}
	users  int // guarded by errand.mu
}

func newErrand() *errand {
	return &errand{places: make(chan struct{}, slowAtATime), of: make(map[string]*allotment)}
}

// enter waits for a place for a viewer until ctx is done. leave gives it back.
func (e *errand) enter(ctx context.Context, v *viewer) (leave func(), err error) {
	e.mu.Lock()
	own := e.of[v.Name]
	if own == nil {
		n := slowOfOne
		if v.Name == "" {
			n = slowAtATime // there are no others
		}
		own = &allotment{places: make(chan struct{}, n)}
		e.of[v.Name] = own
	}
	own.users++
	e.mu.Unlock()
	leave = func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if own.users--; own.users == 0 {
			delete(e.of, v.Name)
		}
	}
	for _, places := range []chan struct{}{own.places, e.places} {
		select {
		case places <- struct{}{}:
			before := leave
			leave = func() { <-places; before() }
		case <-ctx.Done():
			leave()
			return nil, context.Cause(ctx)
		}
	}
	return leave, nil
}

// errLater is why a page that is made at once does not know what is in a
// repository: a part of it that comes later does.
var errLater = errors.New("it is read later")

// quick returns where a viewer's questions are asked that the API server can
// answer by itself.
func (s *Server) quick(v *viewer) *ask.Desk {
	d := s.desk(v)
	d.Equip = func() (*ask.Gear, error) { return nil, errLater }
	return d
}

// slowly answers a question that takes longer than anybody wants to wait for a
// page. The desk asks the cluster as the viewer; repositories are read with the
// credentials that their sources name, whoever may read those.
func (s *Server) slowly(ctx context.Context, v *viewer, answer func(context.Context, *ask.Desk) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, slowLasts, fmt.Errorf("it took longer than %v", slowLasts))
	defer cancel()
	leave, err := s.errand.enter(ctx, v)
	if err != nil {
		return err
	}
	defer leave()
	err = answer(ctx, s.desk(v))
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// equip lends what it takes to read repositories. It is got once, and given back
// when the server stops.
func (s *Server) equip() (*ask.Gear, error) {
	if s.c.Equip == nil {
		return nil, errors.New("this server reads no repositories")
	}
	s.errand.mu.Lock()
	defer s.errand.mu.Unlock()
	if s.errand.gear == nil {
		g, err := s.c.Equip()
		if err != nil {
			return nil, err
		}
		s.errand.gear = g
	}
	g := s.errand.gear
	return &ask.Gear{Sources: g.Sources, Renderer: g.Renderer, Close: func() error { return nil }}, nil
}

// close gives back what was lent.
func (e *errand) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gear != nil {
		_ = e.gear.Close() // all it held is a cache
		e.gear = nil
	}
}

// An aboutPage answers a request about an object that the viewer may see.
type aboutPage func(w http.ResponseWriter, r *http.Request, v *viewer, o object.Object) error

// ofUnit has a page see the unit that its URL names.
func (s *Server) ofUnit(p aboutPage) page { return s.of(s.c.Language.Units(), "unit", p) }

// ofSource has a page see the source that its URL names.
func (s *Server) ofSource(p aboutPage) page { return s.of(s.c.Language.Feeds(), "source", p) }

func (s *Server) of(nouns []ask.Noun, what string, p aboutPage) page {
	return func(w http.ResponseWriter, r *http.Request, v *viewer) error {
		n, err := s.c.Language.Named(r.PathValue("kind"))
		if err != nil || !slices.ContainsFunc(nouns, func(x ask.Noun) bool { return x.Kind == n.Kind }) {
			return absent("A kind of " + what + " called " + r.PathValue("kind"))
		}
		v.about = n.ID(r.PathValue("namespace"), r.PathValue("name"))
		o, err := s.seen(r.Context(), v, v.about)
		if err != nil {
			return err
		}
		return p(w, r, v, o)
	}
}

// seen returns an object that has to be there, as the viewer may see it.
func (s *Server) seen(ctx context.Context, v *viewer, id object.ID) (object.Object, error) {
	o, there, err := v.cluster.Get(ctx, id)
	if err == nil && !there {
		err = absent(id.String())
	}
	return o, err
}

// unitOf returns what the object of a unit asks for.
func (s *Server) unitOf(o object.Object) (unit.Unit, error) {
	asked, err := s.c.Dialect.Read(o, dialect.Nothing{})
	switch {
	case err != nil:
		return unit.Unit{}, err
	case len(asked.Units) == 0:
		return unit.Unit{}, fmt.Errorf("%s is no unit", o.ID())
	}
	return asked.Units[0], nil
}

// sourceID returns the object of a unit's source.
func (s *Server) sourceID(u unit.Unit) object.ID {
	return object.ID{Kind: s.kindNamed(u.Source.Kind), Namespace: u.Source.Namespace, Name: u.Source.Name}
}

// maySource is an error if the viewer may not see the source of a unit: then
// they are shown nothing that is made of it.
func (s *Server) maySource(ctx context.Context, v *viewer, u unit.Unit) error {
	_, err := s.seen(ctx, v, s.sourceID(u))
	if err != nil {
		return fmt.Errorf("what its source holds is not shown: %w", err)
	}
	return nil
}

// A sieve holds which of some objects a viewer may get.
type sieve map[object.ID]bool

// sift asks which of some objects a viewer may get. What is of a kind that the
// server does not know, nobody can.
func (s *Server) sift(ctx context.Context, v *viewer, ids []object.ID) (sieve, error) {
	type place struct {
		kind      object.Kind
		namespace string
	}
	places := make(map[place][]object.ID)
	for _, id := range ids {
		at := place{id.Kind, id.Namespace}
		places[at] = append(places[at], id)
	}
	out := make(sieve, len(ids))
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(asks)
	may := func(id object.ID) (bool, error) {
		ok, err := s.may(ctx, v, cluster.Deed{Verb: "get", Object: id})
		if errors.Is(err, cluster.ErrNoKind) {
			return false, nil
		}
		return ok, err
	}
	for at, ids := range places {
		g.Go(func() error {
			all, err := may(object.ID{Kind: at.kind, Namespace: at.namespace})
			for _, id := range ids {
				ok := all
				if err == nil && !all {
					ok, err = may(id)
				}
				mu.Lock()
				out[id] = ok
				mu.Unlock()
			}
			return err
		})
	}
	return out, g.Wait()
}

// left says how many of some objects were left out.
func (w sieve) left(ids []object.ID) int {
	return len(slices.DeleteFunc(slices.Clone(ids), func(id object.ID) bool { return w[id] }))
}

// A thing is an object with a page of its own.
type thing struct {
	Kind, Namespace, Name string
	URL                   string // "" if it can't be told
}

func (s *Server) thing(id object.ID) thing {
	return thing{id.Kind.Name, id.Namespace, id.Name, s.address(id)}
}

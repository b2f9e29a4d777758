// Package engine keeps units as they should be.
package engine

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	"github.com/klauspost/compress/s2"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/report"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// A Config says what an engine works with. Fields without a comment about
// their zero value must be set.
type Config struct {
	Cluster   cluster.Cluster                           // that we run in; it holds the dialect's objects
	Remote    func(unit.Place) (cluster.Cluster, error) // connects to another; nil means that there are none
	Sources   map[string]source.Source                  // by source.Remote.Type
	Renderer  Renderer
	Dialect   dialect.Dialect
	Sinks     []report.Sink // none: nobody is told
	Publisher Publisher     // nil: nobody else is to have what feeds hold
	Dir       string        // for what helps after a restart; "" means that nothing is kept

	Units   int // kept at a time; 0 means 8
	Feeds   int // followed at a time; 0 means 16
	Applies int // requests at a time for one unit; 0 means 4

	// Jitter is by how much intervals are made longer or shorter at random, in
	// percent, so that what began together does not go on together.
	// 0 means 5; less than 0 means not at all.
	Jitter int

	// RetryMin and RetryMax bound how long to wait after a failure that may pass
	// by itself. 0 means 750 ms and 15 minutes.
	RetryMin, RetryMax time.Duration

	// Over are field managers whose fields become ours, beside those that
	// kubectl and others leave behind. nil means none.
	Over []string

	// Selected reports by its labels whether a custom resource is kept here. Of
	// the others only that is read which those refer to: sources, units that come
	// before them, and units that objects come from or go to. Labels may change:
	// whoever keeps an object hands it over then. nil means that all are.
	Selected func(labels map[string]string) bool

	Namespace string // of the dialect's objects; "" means all

	// Took is told how long it took to see to what a custom resource asks for, or
	// to find out that nothing was to be done, and whether that failed. nil means
	// that nobody wants to know.
	Took func(id object.ID, took time.Duration, failed bool)

	// Left is told that a custom resource is not there any more. nil means that
	// nobody wants to know.
	Left func(id object.ID)

	// Rendered is told of each unit that had to be rendered anew. nil means
	// that nobody wants to know.
	Rendered func(unit.Name)

	Now func() time.Time // nil means time.Now
	Log *slog.Logger     // nil means slog.Default()
}

// A Renderer renders and keeps what it rendered until a read would differ, as
// [render.Keeper] does.
type Renderer interface {
	Render(ctx context.Context, key string, in render.Input) (res render.Result, fresh bool, err error)
	Touched(names map[string]bool) (keys map[string]bool)
	Kept(key string) bool
	Objects(ctx context.Context, res render.Result) ([]object.Object, error)
	Forget(key string)
}

// An Engine keeps units as they should be.
type Engine struct {
	c     Config
	log   *slog.Logger
	now   func() time.Time
	feedQ *queue[source.FeedName]
	unitQ *queue[unit.Name]
	ready chan struct{} // closed when all kinds of the dialect have been listed

	common *s2.Dict // of what custom resources have in common

	here  *place // set by Run before anything else
	refs  *references
	turns turns
	ctx   context.Context // of Run, for what outlives a turn

	closing sync.WaitGroup // of places that nobody uses any more

	mu       sync.Mutex
	feeds    map[source.FeedName]*feed // guarded by mu
	units    map[unit.Name]*keeping    // guarded by mu
	others   map[unit.Name]*standing   // guarded by mu; units that others keep
	theirs   index[source.FeedName]    // guarded by mu; those by the feed that they use
	asked    map[object.ID]asking      // guarded by mu; what each custom resource asks for
	users    index[source.FeedName]    // guarded by mu; units by the feed that they use
	after    index[unit.Name]          // guarded by mu; units by the unit that they come after
	checked  index[object.ID]          // guarded by mu; units by the object whose health they check
	heirless index[source.FeedName]    // guarded by mu; units that wait until others of a feed can be rendered
	ruled    index[object.Kind]        // guarded by mu; units by what they have rules of health for
	unserved index[string]             // guarded by mu; units by the API groups of kinds that they have and the server does not serve
	places   map[unit.Place]*place     // guarded by mu; other clusters by how they are reached
	in       index[unit.Place]         // guarded by mu; units by the other cluster that they are kept in
}

// An index names units by something that they refer to.
type index[K comparable] map[K]map[unique.Handle[unit.Name]]struct{}

func (x index[K]) add(k K, u unit.Name) {
	if x[k] == nil {
		x[k] = make(map[unique.Handle[unit.Name]]struct{})
	}
	x[k][unique.Make(u)] = struct{}{}
}

func (x index[K]) remove(k K, u unit.Name) {
	if delete(x[k], unique.Make(u)); len(x[k]) == 0 {
		delete(x, k)
	}
}

func (x index[K]) has(k K, u unit.Name) bool {
	_, ok := x[k][unique.Make(u)]
	return ok
}

// of returns the units that refer to k, in order of name.
func (x index[K]) of(k K) []unit.Name { return inOrder(x.all(k)) }

// all returns the units that refer to k, in no order.
func (x index[K]) all(k K) []unit.Name {
	if len(x[k]) == 0 {
		return nil
	}
	all := make([]unit.Name, 0, len(x[k]))
	for u := range x[k] {
		all = append(all, u.Value())
	}
	return all
}

func inOrder(all []unit.Name) []unit.Name {
	slices.SortFunc(all, func(a, b unit.Name) int { return object.Compare(a.ID(), b.ID()) })
	return all
}

// New returns an engine.
func New(c Config) (*Engine, error) {
	switch {
	case c.Cluster == nil:
		return nil, errors.New("engine: no cluster")
	case c.Renderer == nil:
		return nil, errors.New("engine: no renderer")
	case c.Dialect == nil:
		return nil, errors.New("engine: no dialect")
	}
	c.defaults()
	e := &Engine{
		c: c, log: c.Log, now: c.Now,
		feedQ:    newQueue[source.FeedName](c.Now),
		unitQ:    newQueue[unit.Name](c.Now),
		ready:    make(chan struct{}),
		common:   s2.MakeDict(c.Dialect.Sample().JSON(), nil),
		feeds:    make(map[source.FeedName]*feed),
		units:    make(map[unit.Name]*keeping),
		others:   make(map[unit.Name]*standing),
		theirs:   make(index[source.FeedName]),
		asked:    make(map[object.ID]asking),
		users:    make(index[source.FeedName]),
		after:    make(index[unit.Name]),
		checked:  make(index[object.ID]),
		heirless: make(index[source.FeedName]),
		ruled:    make(index[object.Kind]),
		unserved: make(index[string]),
		places:   make(map[unit.Place]*place),
		in:       make(index[unit.Place]),
	}
	return e, nil
}

// defaults puts in place of zero values what they mean.
func (c *Config) defaults() {
	c.Units = cmp.Or(c.Units, 8)
	c.Feeds = cmp.Or(c.Feeds, 16)
	c.Applies = cmp.Or(c.Applies, 4)
	c.RetryMin = cmp.Or(c.RetryMin, 750*time.Millisecond)
	c.RetryMax = max(cmp.Or(c.RetryMax, 15*time.Minute), c.RetryMin)
	c.Jitter = max(cmp.Or(c.Jitter, 5), 0)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
}

// Run keeps every unit that the dialect's objects ask for as it should be,
// until ctx is done. It returns when all that it has begun has ended.
func (e *Engine) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	e.ctx = ctx
	e.here = e.newPlace(ctx, e.c.Cluster)
	defer e.closePlaces()
	e.refs = newReferences(ctx, e)
	defer e.refs.close()
	// Whoever watches and refers ends before what it watches and refers with.
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	e.intake(ctx, &all)
	select {
	case <-e.ready:
	case <-ctx.Done():
		return nil
	}
	for range e.c.Feeds {
		all.Go(func() { e.followFeeds(ctx) })
	}
	for range e.c.Units {
		all.Go(func() { e.keepUnits(ctx) })
	}
	<-ctx.Done()
	return nil
}

// Ready reports whether all that the dialect's objects ask for is known.
func (e *Engine) Ready() bool {
	select {
	case <-e.ready:
		return true
	default:
		return false
	}
}

// Busy returns how many feeds and units are being seen to, or wait for a turn.
func (e *Engine) Busy() int { return e.feedQ.Len() + e.unitQ.Len() }

// sighted is told by the observer that an object does not stand as it did.
func (e *Engine) sighted(owner unit.Name, id object.ID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.units[owner] != nil {
		e.unitQ.Add(owner, drifted)
	}
	for _, u := range e.checked.of(id) {
		e.unitQ.Add(u, changed)
	}
	if id.Kind == definitions {
		_, group, _ := strings.Cut(id.Name, ".") // as definitions are named
		for _, u := range e.unserved.of(group) {
			e.unitQ.Add(u, changed)
		}
	}
}

var definitions = object.Kind{Group: "apiextensions.k8s.io", Name: "CustomResourceDefinition"}

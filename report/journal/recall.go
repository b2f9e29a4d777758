package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
)

// A Memory is where it is still told what happened, in the words of a dialect.
type Memory struct {
	Cluster   cluster.Cluster
	Dialect   dialect.Dialect
	Namespace string // to look in where not all may be looked in; "" means none
}

// events returns Events about objects of a kind.
func events(about object.Kind) cluster.Selection {
	return cluster.Selection{Kind: object.Kind{Name: "Event"}, Fields: "involvedObject.kind=" + about.Name}
}

// selections are of all that is told: first by Events, and then by the resources
// themselves, which tell less.
func (m Memory) selections() []cluster.Selection {
	var all []cluster.Selection
	for _, k := range m.Dialect.Kinds() {
		all = append(all, events(k))
	}
	for _, k := range m.Dialect.Kinds() {
		all = append(all, cluster.Selection{Kind: k})
	}
	return all
}

// Keep is Recall of what happened up to now if others may have been told of it, or
// if the file is empty, and each time that a new file had to be begun, until ctx is
// done. To go on where one has stopped costs no request.
func (j *Journal) Keep(ctx context.Context, m Memory, others bool) {
	if !others {
		known, err := j.Read(ctx, Query{Limit: 1})
		others = err == nil && len(known.Entries) == 0
	}
	for ; ; others = true {
		if others {
			if err := j.Recall(ctx, m, j.c.Now()); err != nil && ctx.Err() == nil {
				j.c.Log.Warn("journal: not all that happened is known", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-j.renewed:
		}
	}
}

// Recall writes what is still told of what happened before a time: by Events, and
// by the resources where nothing tells more. What may not be listed tells nothing;
// the error says so. What is known is not written again.
func (j *Journal) Recall(ctx context.Context, m Memory, before time.Time) error {
	var failed []error
	for _, sel := range m.selections() {
		err := j.recall(ctx, m, sel, before)
		if errors.Is(err, cluster.ErrForbidden) && m.Namespace != "" {
			sel.Namespace = m.Namespace
			err = j.recall(ctx, m, sel, before)
		}
		if err != nil && !errors.Is(err, cluster.ErrNoKind) {
			failed = append(failed, fmt.Errorf("recall: %w", err))
		}
	}
	return errors.Join(failed...)
}

func (j *Journal) recall(ctx context.Context, m Memory, sel cluster.Selection, before time.Time) error {
	var all []Entry
	for o, err := range m.Cluster.List(ctx, sel) {
		if err != nil {
			return errors.Join(err, j.write(all))
		}
		for _, x := range recalled(m.Dialect, o) {
			if x.At.Before(before) {
				all = append(all, x)
			}
		}
		if len(all) >= batch {
			if err := j.write(all); err != nil {
				return err
			}
			all = nil
		}
	}
	return j.write(all)
}

// Follow is for a journal that is told nothing: it is Recall, and goes on with
// what is told from then on, until ctx is done. What may not be watched tells
// nothing.
func (j *Journal) Follow(ctx context.Context, m Memory) {
	var g errgroup.Group
	follow := func(sel cluster.Selection, listed func()) {
		f := &following{j: j, m: m, pauses: make(map[object.ID]dialect.Pause)}
		g.Go(func() error {
			defer listed()
			err := f.follow(ctx, sel, listed)
			if errors.Is(err, cluster.ErrForbidden) && m.Namespace != "" {
				sel.Namespace = m.Namespace
				err = f.follow(ctx, sel, listed)
			}
			if err != nil && ctx.Err() == nil && !errors.Is(err, cluster.ErrNoKind) {
				j.c.Log.Warn("journal: not all that happens is known", "error", err)
			}
			return nil
		})
	}
	var first sync.WaitGroup // Events before what tells less
	for _, k := range m.Dialect.Kinds() {
		first.Add(1)
		follow(events(k), sync.OnceFunc(first.Done))
	}
	first.Wait()
	for _, k := range m.Dialect.Kinds() {
		follow(cluster.Selection{Kind: k}, func() {})
	}
	_ = g.Wait() // none of them fails
}

// A following is what one watch tells.
type following struct {
	j       *Journal
	m       Memory
	pauses  map[object.ID]dialect.Pause // of what is, or was, left alone
	listing bool
	waits   []Entry // to be written
}

// follow calls listed when all has been written that is told already.
func (f *following) follow(ctx context.Context, sel cluster.Selection, listed func()) (last error) {
	for ch, err := range f.m.Cluster.Watch(ctx, sel) {
		switch last = err; {
		case err != nil:
			listed() // there is no use in waiting
			continue
		case ch.Type == cluster.Listing:
			f.listing = true
		case ch.Type == cluster.Listed:
			f.listing = false
		case ch.Type == cluster.Put:
			f.take(ch.Object)
		}
		if !f.listing || len(f.waits) >= batch {
			if err := f.j.write(f.waits); err != nil {
				f.j.c.Log.Warn("journal: events are dropped", "error", err)
			}
			f.waits = nil
		}
		if !f.listing {
			listed()
		}
	}
	return last
}

// take takes in what an object tells: of its being left alone, what is new.
func (f *following) take(o object.Object) {
	id := o.ID()
	if id.Kind != (object.Kind{Name: "Event"}) {
		was, known := f.pauses[id]
		is := f.m.Dialect.Pause(o)
		if known {
			for _, e := range f.m.Dialect.TellPause(o, was, is, f.j.c.Now()) {
				f.waits = append(f.waits, entriesOf(e)...)
			}
		}
		if f.pauses[id] = is; known {
			return // Events tell the rest
		}
	}
	f.waits = append(f.waits, recalled(f.m.Dialect, o)...)
}

// recalled returns what o tells.
func recalled(d dialect.Dialect, o object.Object) []Entry {
	var all []Entry
	event := o.ID().Kind == object.Kind{Name: "Event"}
	for _, e := range d.Recount(o) {
		if e.At.IsZero() {
			continue
		}
		for i, x := range entriesOf(e) {
			x.key = keyOf(i, e.At.Unix(), x.About, x.Kind, x.Reason, x.Revision, e.Message)
			if event {
				x.Times = max(int(o.Number("count")), 1)
				if last := o.Time("lastTimestamp"); last.After(x.At) {
					x.Last = last
				}
			}
			x.bare = !event && (x.Kind == report.Settled || x.Kind == report.Failed || x.Kind == report.Held)
			all = append(all, x)
		}
	}
	return all
}

// keyOf returns a short name of something that is these facts.
func keyOf(facts ...any) string {
	_, sum, _ := strings.Cut(string(digest.Of(fmt.Appendf(nil, "%q", facts))), ":")
	return sum[:20]
}

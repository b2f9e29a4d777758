// Package journal remembers what happened: to which unit or source, what was done
// to which objects, and whose change was undone. It is an embedded SQLite that
// nothing depends on but who reads it: what is lost of it is made up again from
// what the cluster still tells.
package journal

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
)

// A Config says where a journal is kept, and how much of it.
type Config struct {
	Path string           // of its file; "" means that it is in memory
	Age  time.Duration    // for how long something is remembered; 0 means 30 days
	Size int64            // bytes that it may have, about; 0 means 128 MiB. In memory it has 32 MiB at most
	Now  func() time.Time // nil means time.Now
	Log  *slog.Logger     // nil means none

	Queue int // events that may wait to be written; 0 means 8192
}

// A Journal is a [report.Sink] that remembers. It is safe for use by several
// goroutines at once.
type Journal struct {
	c       Config
	queue   chan *report.Event
	dropped atomic.Int64
	missed  int64         // of those, since the last that was written; of Run's goroutine
	broken  chan *store   // has the one that a reader has found damaged
	renewed chan struct{} // has one if a new file was begun

	mu     sync.Mutex
	store  *store        // guarded by mu, but not what it does
	turns  int64         // guarded by mu; how often something has been written
	turned chan struct{} // guarded by mu; closed when that grows
}

// An Entry is one thing that happened.
type Entry struct {
	ID       int64
	At       time.Time
	Last     time.Time // when it was told last
	Times    int       // that it was told in a row
	About    object.ID // the unit or source
	Kind     report.Kind
	Severity report.Severity
	Reason   string
	Message  string
	Revision string
	Who      string // is behind it; "" if that is not known
	Until    time.Time
	Cluster  string          // "" is the one that we run in
	Changes  []report.Change // to objects, or the first of them
	More     int             // changes that are not in Changes

	key  string // names what was not told to us but recalled; "" if it was told
	bare bool   // it tells less than all else that tells of the same revision
}

const (
	mostChanges = 50
	longest     = 4096 // bytes of a message
	batch       = 500
)

// Open returns a journal, which is to be closed. A file that is damaged, or none
// of ours, is set aside, and a new one begun. If that can't be, the journal is in
// memory.
func Open(c Config) (*Journal, error) {
	c.Age = cmp.Or(c.Age, 30*24*time.Hour)
	c.Size = cmp.Or(c.Size, 128<<20)
	c.Queue = cmp.Or(c.Queue, 8192)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s, err := openStore(c)
	if err != nil {
		return nil, err
	}
	return &Journal{
		c: c, store: s, queue: make(chan *report.Event, c.Queue),
		broken: make(chan *store, 1), renewed: make(chan struct{}, 1), turned: make(chan struct{}),
	}, nil
}

// Close closes the file. Run must have ended.
func (j *Journal) Close() error { return j.now().close() }

func (j *Journal) now() *store {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.store
}

// Report implements [report.Sink]. An event that comes while the queue is full is
// dropped, and so is one that is nothing to be remembered.
func (j *Journal) Report(e report.Event) {
	if e.Facts.Kind == "" {
		return
	}
	select {
	case j.queue <- &e:
	default:
		j.dropped.Add(1)
	}
}

// Dropped returns how many events were not remembered.
func (j *Journal) Dropped() int64 { return j.dropped.Load() }

// Run writes what it is told, many at a time, and forgets what is too old or too
// much, until ctx is done. What waits then is written, if that is soon.
func (j *Journal) Run(ctx context.Context) error {
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case e := <-j.queue:
			j.take(*e)
		case <-due.C:
			due.Reset(j.trim())
		case bad := <-j.broken:
			j.renew(bad)
		case <-ctx.Done():
			for late := time.Now().Add(grace); len(j.queue) > 0 && time.Now().Before(late); {
				j.take(*<-j.queue)
			}
			return nil
		}
	}
}

// grace is how long what waits is written when the program ends.
const grace = 5 * time.Second

// take writes e, and what waits behind it.
func (j *Journal) take(e report.Event) {
	events := []report.Event{e}
	for len(events) < batch && len(j.queue) > 0 {
		events = append(events, *<-j.queue)
	}
	var all []Entry
	for _, e := range events {
		all = append(all, entriesOf(e)...)
	}
	switch err := j.write(all); {
	case err != nil:
		if j.missed == 0 { // or else it has been said
			j.c.Log.Warn("journal: events are dropped", "error", err)
		}
		j.missed += int64(len(events))
		j.dropped.Add(int64(len(events)))
	case j.missed > 0:
		j.c.Log.Info("journal: events are written again", "dropped", j.missed)
		j.missed = 0
	}
}

// write writes entries, all or none. If the file turns out to be damaged it is
// set aside, and they are written into a new one.
func (j *Journal) write(all []Entry) error {
	if len(all) == 0 {
		return nil
	}
	s := j.now()
	n, err := s.write(all)
	if damaged(err) && j.renew(s) {
		n, err = j.now().write(all)
	}
	if err != nil || n == 0 {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.turns++
	close(j.turned)
	j.turned = make(chan struct{})
	return nil
}

// renew begins a new file in place of a damaged one, and reports whether that
// went well.
func (j *Journal) renew(bad *store) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.store != bad {
		return true // it is not used any more
	}
	_ = bad.close() // it is damaged
	setAside(j.c, "it is damaged")
	s, err := openStore(j.c)
	if err != nil {
		j.c.Log.Error("journal: can't begin a new file", "error", err)
		return false
	}
	j.store = s
	select {
	case j.renewed <- struct{}{}:
	default:
	}
	return true
}

// trim forgets some of what is too old or too much, and returns when to do so
// again.
func (j *Journal) trim() time.Duration {
	more, err := j.now().trim(j.c.Now().Add(-j.c.Age))
	if err != nil {
		j.c.Log.Warn("journal: can't forget what is old", "error", err)
	}
	if more {
		return time.Millisecond // after what waits
	}
	return time.Minute
}

// Turn returns a number that is another one whenever something has been written.
func (j *Journal) Turn() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.turns
}

// Changes calls changed each time that something has been written after a turn,
// until ctx is done.
func (j *Journal) Changes(ctx context.Context, turn int64, changed func()) {
	for {
		j.mu.Lock()
		turns, turned := j.turns, j.turned
		j.mu.Unlock()
		if turns != turn {
			turn = turns
			changed()
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-turned:
		}
	}
}

// entriesOf returns what is to be remembered of an event: changes of the source's
// and changes that were undone are two things.
func entriesOf(e report.Event) []Entry {
	if e.Facts.Kind == "" {
		return nil
	}
	x := Entry{
		At: e.At, Last: e.At, Times: 1, About: about(e.About), Kind: e.Facts.Kind, Severity: e.Severity, Reason: e.Reason,
		Message: shorten(e.Message), Revision: e.Facts.Revision, Who: e.Facts.Who, Until: e.Facts.Until, Cluster: e.Facts.Cluster,
	}
	if x.Severity == report.Trace {
		x.Severity = report.Info
	}
	if x.Kind != report.Applied {
		return []Entry{x.with(e.Facts.Changes)}
	}
	var made, undone []report.Change
	for _, c := range e.Facts.Changes {
		if c.Undid {
			undone = append(undone, c)
		} else {
			made = append(made, c)
		}
	}
	var all []Entry
	if len(made) > 0 || len(undone) == 0 {
		all = append(all, x.with(made))
	}
	if len(undone) > 0 {
		x.Kind, x.Who = report.Undone, culprit(undone)
		all = append(all, x.with(undone))
	}
	return all
}

// with returns x with changes, which say all that its message said.
func (x Entry) with(changes []report.Change) Entry {
	if len(changes) == 0 {
		return x
	}
	if x.Kind == report.Applied || x.Kind == report.Undone || x.Kind == report.Pruned {
		x.Message = ""
	}
	n := min(len(changes), mostChanges)
	x.Changes, x.More = changes[:n], len(changes)-n
	return x
}

// culprit returns the manager whose changes were undone; "" if there were several,
// or if it is not known.
func culprit(undone []report.Change) string {
	for _, c := range undone[1:] {
		if c.By != undone[0].By {
			return ""
		}
	}
	return undone[0].By
}

func about(o report.Object) object.ID {
	return object.Of(map[string]any{"apiVersion": o.APIVersion, "kind": o.Kind, "metadata": map[string]any{"namespace": o.Namespace, "name": o.Name}}).ID()
}

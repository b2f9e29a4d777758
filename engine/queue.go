package engine

import (
	"container/heap"
	"context"
	"sync"
	"time"
	"unique"
)

// A priority says what goes first. Lower is sooner.
type priority uint8

const (
	asked     priority = iota // somebody waits for it
	drifted                   // the cluster is not as it should be
	changed                   // what is wanted has changed
	retried                   // it failed before
	unchanged                 // there is most likely nothing to do
)

// A queue hands out keys, the most urgent first and each to one worker at a
// time. A key that is added while a worker has it is handed out again when the
// worker is done. It is safe for use by several goroutines at once.
type queue[K comparable] struct {
	now func() time.Time

	mu    sync.Mutex
	ready order[K]                      // guarded by mu
	later order[K]                      // guarded by mu; by time
	items map[unique.Handle[K]]*item[K] // guarded by mu
	seq   uint64                        // guarded by mu
	busy  [2]int                        // guarded by mu; keys with workers: urgent ones, and the unchanged
	alarm *time.Timer                   // guarded by mu; for the first of later
	wake  chan struct{}                 // has room for one
}

type item[K comparable] struct {
	key   unique.Handle[K]
	seq   uint64
	due   time.Time // zero in ready
	in    *order[K]
	index int32 // in the heap that it is in; -1 in none
	prio  priority
	busy  bool // a worker has it
	calm  bool // and it was handed out as unchanged
	again bool // it was added meanwhile, at prio
}

func newQueue[K comparable](now func() time.Time) *queue[K] {
	q := &queue[K]{now: now, items: make(map[unique.Handle[K]]*item[K]), wake: make(chan struct{}, 1)}
	q.later.byTime = true
	return q
}

// Add asks for key to be handed out now. If it is to be already, the more
// urgent priority counts.
func (q *queue[K]) Add(key K, prio priority) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.item(key)
	switch {
	case it.busy:
		if !it.again || prio < it.prio {
			it.prio = prio
		}
		it.again = true
	case it.in == &q.ready:
		if prio < it.prio {
			it.prio = prio
			heap.Fix(&q.ready, int(it.index))
		}
	default:
		q.remove(it)
		q.push(it, prio)
	}
}

func (q *queue[K]) item(key K) *item[K] {
	at := unique.Make(key)
	it := q.items[at]
	if it == nil {
		it = &item[K]{key: at, index: -1}
		q.items[at] = it
	}
	return it
}

func (q *queue[K]) push(it *item[K], prio priority) {
	q.seq++
	it.prio, it.seq, it.due, it.in = prio, q.seq, time.Time{}, &q.ready
	heap.Push(&q.ready, it)
	q.signal()
}

func (q *queue[K]) remove(it *item[K]) {
	if it.in != nil {
		heap.Remove(it.in, int(it.index))
		it.in = nil
	}
}

// signal wakes one waiting worker, who wakes the next if there is more.
func (q *queue[K]) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Next returns the most urgent key, waiting for one if need be, and false when
// ctx is done. The caller has the key until it calls Done.
func (q *queue[K]) Next(ctx context.Context) (K, bool) {
	for {
		if key, ok := q.take(); ok {
			return key, true
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
			var none K
			return none, false
		}
	}
}

func (q *queue[K]) take() (K, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ripen()
	if q.ready.Len() == 0 || !q.mayHandOut(q.ready.items[0].prio) {
		var none K
		return none, false
	}
	it := heap.Pop(&q.ready).(*item[K])
	it.in, it.busy, it.again, it.calm = nil, true, false, it.prio == unchanged
	q.busy[b2i(it.calm)]++
	if q.ready.Len() > 0 {
		q.signal()
	}
	return it.key.Value(), true
}

// mayHandOut reports whether a key of that priority may be handed out now. While
// something urgent is under way, what is unchanged goes one by one, so as not to
// compete for the API server.
func (q *queue[K]) mayHandOut(p priority) bool {
	return p != unchanged || q.busy[0] == 0 || q.busy[1] == 0
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// ripen moves what is due from later to ready and sets the alarm for the rest.
func (q *queue[K]) ripen() {
	now := q.now()
	for q.later.Len() > 0 {
		it := q.later.items[0]
		if wait := it.due.Sub(now); wait > 0 {
			if q.alarm != nil {
				q.alarm.Stop()
			}
			q.alarm = time.AfterFunc(wait, q.signal)
			return
		}
		prio := it.prio
		q.remove(it)
		q.push(it, prio)
	}
}

// Done gives key back. It is handed out again at due, at the given priority,
// unless due is zero or it is added sooner.
func (q *queue[K]) Done(key K, due time.Time, prio priority) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.items[unique.Make(key)]
	it.busy = false
	if q.busy[b2i(it.calm)]--; q.ready.Len() > 0 {
		q.signal()
	}
	switch {
	case it.again:
		it.again = false
		q.push(it, it.prio)
	case due.IsZero():
		delete(q.items, it.key)
	default:
		q.seq++
		it.due, it.prio, it.seq, it.in = due, prio, q.seq, &q.later
		heap.Push(&q.later, it)
		q.signal()
	}
}

// Len returns how many keys are ready or with a worker.
func (q *queue[K]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items) - q.later.Len()
}

// An order is a heap of items.
type order[K comparable] struct {
	items  []*item[K]
	byTime bool
}

func (o *order[K]) Len() int { return len(o.items) }

func (o *order[K]) Less(i, j int) bool {
	a, b := o.items[i], o.items[j]
	if o.byTime && !a.due.Equal(b.due) {
		return a.due.Before(b.due)
	}
	if a.prio != b.prio {
		return a.prio < b.prio
	}
	return a.seq < b.seq
}

func (o *order[K]) Swap(i, j int) {
	o.items[i], o.items[j] = o.items[j], o.items[i]
	o.items[i].index, o.items[j].index = int32(i), int32(j)
}

func (o *order[K]) Push(x any) {
	it := x.(*item[K])
	it.index = int32(len(o.items))
	o.items = append(o.items, it)
}

func (o *order[K]) Pop() any {
	n := len(o.items) - 1
	it := o.items[n]
	o.items[n] = nil
	o.items = o.items[:n]
	it.index = -1
	return it
}

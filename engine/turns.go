package engine

import (
	"sync"

	"github.com/sane-gitops/sane/object"
)

// turns are had by one goroutine at a time for each custom resource: its watch,
// the watches of what it refers to, and whoever finds that it has changed may
// all want to read it at once. The zero turns are ready for use.
type turns struct {
	mu  sync.Mutex
	all map[object.ID]*turn // guarded by mu; those that somebody has or waits for
}

type turn struct {
	free  chan struct{} // holds a token if nobody has it
	users int           // who have it or wait for it; guarded by turns.mu
}

// of waits for the turn of a custom resource and returns what gives it back.
func (t *turns) of(id object.ID) (done func()) {
	t.mu.Lock()
	mine := t.all[id]
	if mine == nil {
		mine = &turn{free: make(chan struct{}, 1)}
		mine.free <- struct{}{}
		if t.all == nil {
			t.all = make(map[object.ID]*turn)
		}
		t.all[id] = mine
	}
	mine.users++
	t.mu.Unlock()
	<-mine.free
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		mine.free <- struct{}{}
		if mine.users--; mine.users == 0 {
			delete(t.all, id)
		}
	}
}

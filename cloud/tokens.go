package cloud

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// Tokens remembers what lets somebody in until shortly before it ends. It is
// nowhere but in memory. It is safe for use by several goroutines at once.
type Tokens[T any] struct {
	Max  int              // how many to remember; 0 means a hundred, less means none
	Most time.Duration    // for how long to remember one; 0 means an hour
	Now  func() time.Time // nil means time.Now

	// Heard is told of each Get whether what it wants was known. nil means that
	// nobody wants to know.
	Heard func(known bool)

	mu  sync.Mutex
	all map[string]*kept[T] // guarded by mu
}

// A kept token is the last one that was given out.
type kept[T any] struct {
	turn chan struct{} // holds a value while somebody asks for the next
	used time.Time     // guarded by Tokens.mu

	value T
	has   bool
	from  time.Time
	until time.Time
}

func (t *Tokens[T]) now() time.Time {
	if t.Now == nil {
		return time.Now()
	}
	return t.Now()
}

// Get returns what is known by key, which ask is called for if there is none,
// or if less than a fifth of its time is left. That is done by one caller at a
// time. If there is no new one, an old one is good until it ends.
func (t *Tokens[T]) Get(ctx context.Context, key string, ask func(context.Context) (T, time.Time, error)) (T, error) {
	k := t.of(key)
	var none T
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	now := t.now()
	known := k.has && now.Before(k.until.Add(-k.until.Sub(k.from)/5))
	if t.Heard != nil {
		t.Heard(known)
	}
	if known {
		return k.value, nil
	}
	value, until, err := ask(ctx)
	if err != nil && k.has && now.Before(k.until) {
		return k.value, nil
	}
	if err != nil {
		return none, err
	}
	if last := now.Add(cmp.Or(t.Most, time.Hour)); until.After(last) {
		until = last
	}
	k.value, k.has, k.from, k.until = value, true, now, until
	return value, nil
}

// justNow is for how long a new token is not taken for a bad one.
const justNow = 10 * time.Second

// Forget has the next caller ask for another than what is known by key, which
// did not let in who showed it. What has just come is kept: there would be no
// end of asking.
func (t *Tokens[T]) Forget(key string) {
	t.mu.Lock()
	k := t.all[key]
	t.mu.Unlock()
	if k == nil {
		return
	}
	select {
	case k.turn <- struct{}{}:
		k.has = k.has && t.now().Sub(k.from) < justNow
		<-k.turn
	default: // there will be another
	}
}

// Len returns how many are remembered.
func (t *Tokens[T]) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}

// of returns what is kept by a key. Of too many it lets go of the one that was
// not used for longest.
func (t *Tokens[T]) of(key string) *kept[T] {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.all[key]
	if k == nil {
		k = &kept[T]{turn: make(chan struct{}, 1)}
		if t.Max < 0 {
			return k
		}
		if t.all == nil {
			t.all = make(map[string]*kept[T])
		}
		for len(t.all) >= cmp.Or(t.Max, 100) {
			delete(t.all, t.oldest())
		}
		t.all[key] = k
	}
	k.used = t.now()
	return k
}

// oldest returns the key of what was not used for longest. t.mu is held.
func (t *Tokens[T]) oldest() (key string) {
	var when time.Time
	for k, v := range t.all {
		if when.IsZero() || v.used.Before(when) {
			key, when = k, v.used
		}
	}
	return key
}

package shared

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A server answers with the number of the request, after a second.
type server struct{ asked atomic.Int64 }

func (s *server) ask(ctx context.Context) (int64, error) {
	n := s.asked.Add(1)
	select {
	case <-time.After(time.Second):
		return n, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func TestGet(t *testing.T) {
	type call struct {
		at   time.Duration
		for_ string
		want int64
	}
	const ms = time.Millisecond
	for _, tt := range []struct {
		name  string
		fresh time.Duration
		calls []call
	}{
		{"at once", 2 * time.Second, []call{{0, "a", 1}, {0, "a", 1}, {500 * ms, "a", 1}}},
		{"soon after", 2 * time.Second, []call{{0, "a", 1}, {1900 * ms, "a", 1}, {2100 * ms, "a", 2}}},
		{"another question", 2 * time.Second, []call{{0, "a", 1}, {1 * ms, "b", 2}}},
		{"too late to share", 500 * ms, []call{{0, "a", 1}, {600 * ms, "a", 2}, {700 * ms, "a", 2}}},
		{"never shared", -1, []call{{0, "a", 1}, {1 * ms, "a", 2}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			a, s := New[int64](tt.fresh, time.Now), &server{}
			var wg sync.WaitGroup
			for _, c := range tt.calls {
				wg.Go(func() {
					<-time.After(c.at) // of the test's own time
					if got, err := a.Get(t.Context(), c.for_, s.ask); err != nil || got != c.want {
						t.Errorf("%s: after %s %s = %d, %v; want %d", tt.name, c.at, c.for_, got, err, c.want)
					}
				})
			}
			wg.Wait()
			a.Close()
			<-time.After(time.Minute)
			a.mu.Lock()
			defer a.mu.Unlock()
			if len(a.all) > 0 {
				t.Errorf("%s: remembered: %v", tt.name, a.all)
			}
		})
	}
}

func TestExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, s := New[int64](time.Hour, time.Now), &server{}
		for want := range int64(2) {
			if got, err := a.Get(t.Context(), "a", s.ask); err != nil || got != want+1 {
				t.Errorf("Get = %d, %v", got, err)
			}
			a.Expire(func(q string) bool { return q == "a" })
		}
		a.Close()
		<-time.After(2 * time.Hour)
	})
}

// What nobody waits for is stopped, and is nobody's answer.
func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, s := New[int64](time.Hour, time.Now), &server{}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := a.Get(ctx, "a", s.ask); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Get = %v", err)
		}
		if got, err := a.Get(t.Context(), "a", s.ask); err != nil || got != 2 {
			t.Errorf("Get = %d, %v", got, err)
		}
		a.Close()
		if _, err := a.Get(t.Context(), "b", s.ask); !errors.Is(err, ErrClosed) {
			t.Errorf("Get after Close: %v", err)
		}
		<-time.After(2 * time.Hour)
	})
}

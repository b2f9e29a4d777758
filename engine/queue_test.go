package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue[string](time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		next := func(want string) {
			t.Helper()
			if got, ok := q.Next(ctx); !ok || got != want {
				t.Fatalf("Next = %q, %v; want %q", got, ok, want)
			}
		}
		q.Add("slow", unchanged)
		q.Add("b", changed)
		q.Add("c", changed)
		q.Add("slow2", unchanged)
		q.Add("slow2", asked) // overtakes
		next("slow2")
		next("b")
		q.Add("b", changed) // while somebody has it
		next("c")
		next("slow")
		q.Done("b", time.Time{}, unchanged)
		next("b")
		start := time.Now()
		q.Done("b", start.Add(time.Minute), unchanged)
		q.Done("c", start.Add(time.Second), retried)
		q.Done("slow", start.Add(time.Hour), retried)
		next("c")
		if d := time.Since(start); d != time.Second {
			t.Errorf("c came after %s", d)
		}
		next("b")
		if d := time.Since(start); d != time.Minute {
			t.Errorf("b came after %s", d)
		}
		q.Add("slow", drifted) // sooner than due
		next("slow")
		for _, k := range []string{"b", "c", "slow", "slow2"} {
			q.Done(k, time.Time{}, unchanged)
		}
		if len(q.items) != 0 || q.Len() != 0 {
			t.Errorf("%d items are left", len(q.items))
		}
		cancel()
		if _, ok := q.Next(ctx); ok {
			t.Error("Next gives something out when there is nothing, and all is over")
		}
	})
}

// While something urgent is under way, one at most of the unchanged is.
func TestQueueIsPolite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue[string](time.Now)
		for _, k := range []string{"u1", "u2", "u3"} {
			q.Add(k, unchanged)
		}
		q.Add("urgent", changed)
		got := make(chan string)
		for range 4 {
			go func() {
				k, _ := q.Next(t.Context())
				got <- k
			}()
		}
		if a, b := <-got, <-got; a != "urgent" && b != "urgent" {
			t.Errorf("first came %s and %s", a, b)
		}
		synctest.Wait()
		select {
		case k := <-got:
			t.Errorf("%s was handed out beside another and the urgent one", k)
		default:
		}
		q.Done("urgent", time.Time{}, unchanged)
		<-got
		<-got
	})
}

package cloud

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestTokens(t *testing.T) {
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	tokens := Tokens[string]{Max: 2, Now: func() time.Time { return at }}
	n := 0
	var refused error
	ask := func(context.Context) (string, time.Time, error) {
		if refused != nil {
			return "", time.Time{}, refused
		}
		n++
		return fmt.Sprint(n), at.Add(10 * time.Minute), nil
	}
	get := func(when, key, want string) {
		t.Helper()
		got, err := tokens.Get(t.Context(), key, ask)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q; want %q", when, got, want)
		}
	}
	get("at first", "a", "1")
	get("another", "b", "2")
	at = at.Add(7 * time.Minute)
	get("in its time", "a", "1")
	at = at.Add(2 * time.Minute)
	refused = errors.New("no")
	get("when there is no new one and the old one is good", "a", "1")
	at = at.Add(time.Minute)
	get("when there is no new one and the old one has ended", "a", "no")
	refused = nil
	get("later", "a", "3")
	at = at.Add(time.Second)
	get("a third, so that one must go", "c", "4")
	get("which is the one that was not used for longest", "a", "3")
	get("as can be seen", "b", "5")
	tokens.Forget("b")
	get("not forgotten so soon", "b", "5")
	at = at.Add(justNow)
	tokens.Forget("b")
	get("forgotten", "b", "6")
	if len(tokens.all) != 2 {
		t.Errorf("%d are kept", len(tokens.all))
	}
	tokens.Most = time.Minute
	get("a short one", "d", "7")
	at = at.Add(50 * time.Second)
	get("when its minute is nearly over", "d", "8")
	tokens.Max = -1
	get("when nothing is kept", "e", "9")
	get("when nothing is kept, again", "e", "10")
	if tokens.all["e"] != nil {
		t.Error("it is kept")
	}
}

// TestTokensTogether has many ask for one: it is asked for once, and who gives
// up is not held.
func TestTokensTogether(t *testing.T) {
	var tokens Tokens[string]
	asked := 0
	begun, end := make(chan struct{}), make(chan struct{})
	ask := func(context.Context) (string, time.Time, error) {
		asked++
		close(begun)
		<-end
		return "token", time.Now().Add(time.Hour), nil
	}
	var all sync.WaitGroup
	all.Go(func() { tokens.Get(t.Context(), "key", ask) })
	<-begun
	tired, giveUp := context.WithCancelCause(t.Context())
	giveUp(errors.New("tired"))
	if _, err := tokens.Get(tired, "key", ask); err == nil || err.Error() != "tired" {
		t.Errorf("who gives up is told %v", err)
	}
	for range 10 {
		all.Go(func() {
			if got, err := tokens.Get(t.Context(), "key", ask); got != "token" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	close(end)
	all.Wait()
	if asked != 1 {
		t.Errorf("it was asked for %d times", asked)
	}
}

package web

import (
	"errors"
	"testing"
	"time"
)

type fakeClient struct{ closed *int }

func (c fakeClient) CloseIdleConnections() { *c.closed++ }

func TestPool(t *testing.T) {
	var p Pool[fakeClient]
	closed, opened := 0, 0
	open := func() (fakeClient, error) { opened++; return fakeClient{&closed}, nil }
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	get := func(key string) {
		t.Helper()
		if _, err := p.Get(key, at, open); err != nil {
			t.Fatal(err)
		}
	}
	is := func(when string, wantOpened, wantClosed int) {
		t.Helper()
		if opened != wantOpened || closed != wantClosed {
			t.Errorf("%s: %d opened and %d closed; want %d and %d", when, opened, closed, wantOpened, wantClosed)
		}
	}
	get("a")
	get("a")
	get("b")
	is("two ways in", 2, 0)
	at = at.Add(idle)
	get("a")
	is("within the hour", 2, 0)
	at = at.Add(time.Second)
	get("a")
	is("b was not used for more", 2, 1)
	get("b")
	is("b again", 3, 1)
	bad := errors.New("no")
	if _, err := p.Get("c", at, func() (fakeClient, error) { return fakeClient{}, bad }); err != bad {
		t.Errorf("%v; want %v", err, bad)
	}
	get("c")
	is("c after a failure", 4, 1)
	p.Close()
	is("closed", 4, 4)
}

package git

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/source"
)

// What is here costs no request.
func TestNoRequest(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{})
	one := b.put(map[string]string{"a": "1"})
	pin := source.Ref{Commit: one}
	b.get(pin)
	before := b.Requests()
	b.reads(b.get(pin), "a", "1")
	if n := b.Requests() - before; n != 0 {
		t.Errorf("a pinned commit that is here costs %d requests", n)
	}
	b.src.Close()
	b.src = open(t, Config{Dir: b.src.Dir})
	b.reads(b.get(pin), "a", "1")
	if n := b.Requests() - before; n != 0 {
		t.Errorf("after a restart it costs %d requests", n)
	}
}

// Callers share requests, and answers, but never an answer from before Expire.
func TestShared(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Unix(1e9, 0)
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	b := setup(t, gitserver.Options{}, Config{Dir: t.TempDir(), Fresh: 2 * time.Second, Now: clock})
	one := b.put(map[string]string{"a": "1"})
	b.must(b.Set("app.git", "refs/heads/master", one))
	b.must(b.Set("app.git", "refs/tags/v1", one))
	resolve := func(ref source.Ref) string {
		rev, err := b.src.Resolve(t.Context(), b.at, ref)
		if err != nil {
			t.Error(err)
		}
		return string(rev.Digest)
	}
	later := func() {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(3 * time.Second)
	}
	resolve(source.Ref{Tag: "v1"}) // now all ask for tags
	later()
	before := b.Requests()
	resolve(source.Ref{Tag: "v1"})
	one2 := b.Requests() - before // of one listing
	later()
	before = b.Requests()
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() { resolve([]source.Ref{{Branch: "main"}, {Branch: "master"}, {Tag: "v1"}}[i%3]) })
	}
	wg.Wait()
	if n := b.Requests() - before; n != one2 {
		t.Errorf("30 callers made %d requests, one makes %d", n, one2)
	}
	two := b.put(map[string]string{"a": "2"})
	if got := resolve(mainRef); got != "sha1:"+one {
		t.Errorf("a fresh answer is not reused: %s", got)
	}
	b.src.Expire(b.at.URL)
	if got := resolve(mainRef); got != "sha1:"+two {
		t.Errorf("after Expire main is %s", got)
	}
	three := b.put(map[string]string{"a": "3"})
	mu.Lock()
	now = now.Add(2 * time.Second)
	mu.Unlock()
	if got := resolve(mainRef); got != "sha1:"+three {
		t.Errorf("after a while main is %s", got)
	}
}

// Who comes while a request hangs gets the next one; who gives up first does
// not take the others with him.
func TestSharedHang(t *testing.T) {
	t.Parallel()
	var hang atomic.Bool
	arrived := make(chan struct{}, 10)
	b := setup(t, gitserver.Options{Hook: func(w http.ResponseWriter, r *http.Request) bool {
		if hang.Load() {
			arrived <- struct{}{}
			<-r.Context().Done()
		}
		return hang.Load()
	}})
	b.put(map[string]string{"a": "1"})
	hang.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := b.src.Resolve(ctx, b.at, mainRef)
		first <- err
	}()
	<-arrived
	second := make(chan error)
	go func() {
		_, err := b.src.Resolve(t.Context(), b.at, mainRef)
		second <- err
	}()
	hang.Store(false)
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("first: %v", err)
	}
	if err := <-second; err != nil {
		t.Errorf("second: %v", err)
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + l.Addr().String() + "/app.git"
	l.Close()
	var mode atomic.Value
	mode.Store("")
	b := setup(t, gitserver.Options{Hook: func(w http.ResponseWriter, r *http.Request) bool {
		switch mode.Load() {
		case "hang":
			<-r.Context().Done()
		case "hang in fetch":
			if r.Method == "GET" {
				return false
			}
			<-r.Context().Done()
		case "500":
			w.WriteHeader(500)
		case "nonsense":
			io.WriteString(w, "<html>hello</html>")
		default:
			return false
		}
		return true
	}})
	b.put(map[string]string{"a": "1"})
	rev, err := b.src.Resolve(t.Context(), b.at, mainRef)
	b.must(err)

	_, err = b.src.Resolve(t.Context(), source.Remote{URL: nobody}, mainRef)
	b.fails(err, source.ErrNetwork, nobody)
	_, err = b.src.Resolve(t.Context(), source.Remote{URL: "https://no-such-host.invalid/x"}, mainRef)
	b.fails(err, source.ErrNetwork, "no-such-host.invalid")

	for _, m := range []string{"hang", "hang in fetch", "500"} {
		mode.Store(m)
		at := b.at
		if m != "500" {
			at.Timeout = 300 * time.Millisecond
		}
		if m != "hang in fetch" {
			_, err = b.src.Resolve(t.Context(), at, mainRef)
			b.fails(err, source.ErrNetwork)
		}
		start := time.Now()
		_, err = b.src.Fetch(t.Context(), at, mainRef, rev)
		b.fails(err, source.ErrNetwork)
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s takes %v", m, d)
		}
	}
	b.fails(err, source.ErrNetwork, "500")
	mode.Store("nonsense")
	if _, err = b.src.Resolve(t.Context(), b.at, mainRef); err == nil {
		t.Error("nonsense resolves")
	}
	mode.Store("")
	b.reads(b.get(mainRef), "a", "1")
}

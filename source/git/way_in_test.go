package git

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/source"
)

// guests are who a server lets in, by password, and what each gets to see where
// the others see app.git.
type guests struct {
	mu   sync.Mutex
	sees map[string]string
}

func (g *guests) let(password, see string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sees == nil {
		g.sees = make(map[string]string)
	}
	g.sees[password] = see
}

func (g *guests) hook(w http.ResponseWriter, r *http.Request) bool {
	_, password, _ := r.BasicAuth()
	g.mu.Lock()
	see := g.sees[password]
	g.mu.Unlock()
	if see == "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	r.URL.Path = strings.Replace(r.URL.Path, "app.git", see, 1)
	return false
}

func as(password string) source.Access { return source.Access{Username: "ada", Password: password} }

// bulk is more than fits into what is said beside content.
var bulk = func() string {
	text := make([]byte, 1<<20)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range text {
		text[i] = byte(rng.Uint32())
	}
	return string(text)
}()

// A password that has changed costs no clone, neither at once nor after a
// restart, and neither for a branch nor for a commit in its past.
func TestRotation(t *testing.T) {
	t.Parallel()
	for _, old := range []bool{false, true} {
		var who guests
		who.let("pw1", "app.git")
		b := setup(t, gitserver.Options{Hook: who.hook, Old: old})
		past := source.Ref{Branch: "main", Commit: b.put(map[string]string{"a": "1", "bulk": bulk})}
		b.at.Access = as("pw1")
		b.reads(b.get(past), "a", "1")
		b.get(mainRef)
		b.put(map[string]string{"a": "2"})
		b.reads(b.get(mainRef), "a", "2")

		who.let("pw1", "")
		who.let("pw2", "app.git")
		_, err := b.try(mainRef)
		b.fails(err, source.ErrAuth)
		b.at.Access = as("pw2")
		before := b.Sent()
		b.reads(b.get(mainRef), "a", "2")
		b.put(map[string]string{"a": "3"})
		b.reads(b.get(mainRef), "a", "3")
		if !old { // it can't be asked for a commit in the past without the way there
			b.reads(b.get(past), "a", "1")
		}
		who.let("pw3", "app.git")
		b.at.Access = as("pw3")
		b.src.Close()
		b.src = open(t, Config{Dir: b.src.Dir, Fresh: -1})
		b.reads(b.get(mainRef), "a", "3")
		b.reads(b.get(mainRef), "bulk", bulk)
		if n := b.Sent() - before; n > len(bulk)/2 {
			t.Errorf("changed passwords cost %d bytes (old server: %v)", n, old)
		}
		b.reads(b.get(past), "a", "1")
		b.dir() // there is one mirror
	}
}

// What is here is only for those whom the server has let in.
func TestStrangers(t *testing.T) {
	t.Parallel()
	var who guests
	who.let("ada", "app.git")
	who.let("bob", "bob.git") // who may see another part of the same repository
	b := setup(t, gitserver.Options{Hook: who.hook})
	b.must(b.Create("bob.git"))
	_, err := b.Commit("bob.git", "main", "x", map[string]string{"b": "1"})
	b.must(err)
	secret := b.put(map[string]string{"a": "1"})
	b.at.Access = as("ada")
	snap := b.get(mainRef)
	for _, restart := range []bool{false, true} {
		if restart {
			b.src.Close()
			b.src = open(t, Config{Dir: b.src.Dir, Fresh: -1})
		}
		for _, c := range []struct {
			name   string
			access source.Access
			kind   error
		}{
			{"nobody", source.Access{}, source.ErrAuth},
			{"a wrong password", as("eve"), source.ErrAuth},
			{"who may not see it", as("bob"), source.ErrNotFound},
		} {
			b.at.Access = c.access
			for _, ref := range []source.Ref{mainRef, {Commit: secret}, {Commit: secret, Branch: "main"}} {
				for range 2 {
					if _, err := b.src.Fetch(t.Context(), b.at, ref, snap.Revision); !errors.Is(err, c.kind) {
						t.Errorf("%s gets %+v (restart: %v): %v; want %v", c.name, ref, restart, err, c.kind)
					}
				}
			}
		}
		b.at.Access = as("bob")
		b.reads(b.get(mainRef), "b", "1")
		b.at.Access = as("ada")
		before := b.Requests()
		again, err := b.src.Fetch(t.Context(), b.at, mainRef, snap.Revision)
		b.must(err)
		b.reads(again, "a", "1")
		if n := b.Requests() - before; n != 0 {
			t.Errorf("who was let in before costs %d requests (restart: %v)", n, restart)
		}
	}
	if list, _ := filepath.Glob(filepath.Join(b.src.Dir, trash+"*")); len(list) > 0 {
		t.Errorf("left behind: %v", list)
	}
}

// A server of one's own, by way of a proxy of one's own, may say that it has a
// commit; that is not enough to read it.
func TestOwnServer(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{Username: "ada", Password: "pw"})
	secret := b.put(map[string]string{"a": "1"})
	b.at.Access = as("pw")
	snap := b.get(mainRef)
	var asked atomic.Bool
	liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/info/refs") {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		asked.Store(true)
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		line := secret + " refs/heads/main\x00side-band-64k shallow allow-reachable-sha1-in-want allow-tip-sha1-in-want\n"
		fmt.Fprintf(w, "001e# service=git-upload-pack\n0000%04x%s0000", len(line)+4, line)
	}))
	t.Cleanup(liar.Close)
	b.at.Access.Proxy = liar.URL
	if rev, err := b.src.Resolve(t.Context(), b.at, mainRef); err != nil || rev != snap.Revision || !asked.Load() {
		t.Errorf("the liar says %v, %v; want %v", rev, err, snap.Revision)
	}
	if _, err := b.try(mainRef); err == nil {
		t.Error("a commit is given to who has a server say that it has it")
	}
}

// Many come at once, some of whom are not let in.
func TestCrowd(t *testing.T) {
	t.Parallel()
	var who guests
	b := setup(t, gitserver.Options{Hook: who.hook})
	rev := revision("main", b.put(map[string]string{"a": "1"}))
	var wg sync.WaitGroup
	for i := range 12 {
		at := b.at
		at.Access = as(fmt.Sprint("pw", i/2))
		good := i/2%3 > 0
		if good {
			who.let(at.Access.Password, "app.git")
		}
		wg.Go(func() {
			snap, err := b.src.Fetch(t.Context(), at, mainRef, rev)
			if good && err == nil {
				b.reads(snap, "a", "1")
			}
			if good != (err == nil) || !good && !errors.Is(err, source.ErrAuth) {
				t.Errorf("%s: %v", at.Access.Password, err)
			}
		})
	}
	wg.Wait()
	b.dir()
}

// A clock that tests put forward.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.at }
func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// collected waits until the snapshots are gone that nobody has any more.
func (m *mirror) collected(t *testing.T, left int) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for n := left + 1; n != left && time.Now().Before(deadline); runtime.GC() {
		m.mu.Lock()
		n = len(m.live)
		m.mu.Unlock()
	}
}

// What nobody uses goes away, while the source is in use.
func TestSweep(t *testing.T) {
	t.Parallel()
	clock := &clock{at: time.Now()}
	var who guests
	who.let("pw1", "app.git")
	who.let("pw2", "app.git")
	b := setup(t, gitserver.Options{Hook: who.hook}, Config{Dir: t.TempDir(), Fresh: -1, Now: clock.now})
	b.put(map[string]string{"a": "1"})
	b.must(b.Create("other.git"))
	id, err := b.Commit("other.git", "main", "x", map[string]string{"o": "1"})
	b.must(err)
	other := source.Remote{URL: b.URL("other.git"), Access: as("pw1")}
	_, err = b.src.Fetch(t.Context(), other, mainRef, revision("main", id))
	b.must(err)
	b.at.Access = as("pw1")
	m := b.get(mainRef).Tree.(*snapshot).mirror
	b.at.Access = as("pw2")
	kept := b.get(mainRef)
	m.collected(t, 1)
	dirs := func() int {
		list, _ := filepath.Glob(filepath.Join(b.src.Dir, "*-sha1"))
		return len(list)
	}
	refs := func() int {
		list, _ := filepath.Glob(filepath.Join(m.dir, refDir, "*", "*"))
		return len(list)
	}
	if dirs() != 2 || refs() != 2 {
		t.Fatalf("there are %d mirrors, and %d refs in one", dirs(), refs())
	}
	later := func(d time.Duration) {
		clock.pass(d)
		_, err := b.src.Resolve(t.Context(), b.at, mainRef)
		b.must(err)
		m.sweep() // as has begun, beside us
	}
	later(23 * time.Hour)
	if dirs() != 2 || refs() != 2 || len(b.src.remotes) != 3 {
		t.Errorf("before a day has passed there are %d mirrors, %d refs and %d ways in", dirs(), refs(), len(b.src.remotes))
	}
	later(2 * time.Hour)
	if dirs() != 1 || refs() != 1 || len(b.src.remotes) != 1 {
		t.Errorf("after a day there are %d mirrors, %d refs and %d ways in", dirs(), refs(), len(b.src.remotes))
	}
	later(100 * time.Hour)
	b.reads(kept, "a", "1")
	b.src.Close()
	b.src = open(t, Config{Dir: b.src.Dir, Fresh: -1, Now: clock.now})
	before := b.Sent()
	again, err := b.src.Fetch(t.Context(), b.at, mainRef, kept.Revision)
	b.must(err)
	b.reads(again, "a", "1")
	if b.Sent() != before {
		t.Error("what was in use before a restart is fetched again")
	}
	b.src.Close()
	clock.pass(25 * time.Hour)
	open(t, Config{Dir: b.src.Dir, Now: clock.now}).Close()
	if dirs() != 0 {
		t.Error("an old mirror is kept by the next process")
	}
	if left, _ := os.ReadDir(b.src.Dir); len(left) != 1 { // the lock
		t.Errorf("left behind: %v", left)
	}
	runtime.KeepAlive(kept)
}

package git

import (
	"errors"
	"io/fs"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/source"
)

// Readers end when there is nothing to read, and when the source is closed.
func TestIdle(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{}, Config{Dir: t.TempDir(), Fresh: -1, Idle: 10 * time.Millisecond})
	b.put(map[string]string{"a": "1"})
	snap := b.get(mainRef)
	c := snap.Tree.(*snapshot).mirror.objects
	deadline := time.Now().Add(5 * time.Second)
	for running := true; running && time.Now().Before(deadline); runtime.Gosched() {
		c.mu.Lock()
		running = c.cmd != nil
		c.mu.Unlock()
	}
	if c.cmd != nil {
		t.Error("the reader does not end")
	}
	b.reads(snap, "a", "1")
	b.src.Close()
	if _, err := fs.ReadFile(snap.Tree, "a"); !errors.Is(err, source.ErrStorage) {
		t.Errorf("after Close: %v", err)
	}
	_, err := b.try(mainRef)
	b.fails(err, source.ErrStorage, "closed")
}

// Tidying keeps what Refs and snapshots need, and drops the rest.
func TestTidy(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	b := setup(t, gitserver.Options{}, Config{Dir: t.TempDir(), Fresh: -1, Now: clock})
	b.put(map[string]string{"a": "1"})
	kept := b.get(mainRef)
	b.put(map[string]string{"a": "2"})
	dropped := b.get(mainRef).Revision
	b.put(map[string]string{"a": "3"})
	b.get(mainRef)
	runtime.GC()
	runtime.GC()
	m := kept.Tree.(*snapshot).mirror
	deadline := time.Now().Add(5 * time.Second)
	for n := 9; n > 2 && time.Now().Before(deadline); runtime.GC() {
		m.mu.Lock()
		n = len(m.live)
		m.mu.Unlock()
	}
	m.turn <- struct{}{}
	err := m.tidy(t.Context())
	<-m.turn
	b.must(err)
	b.forget()
	b.reads(kept, "a", "1")
	b.reads(b.get(mainRef), "a", "3")
	_, err = m.objects.read(string(dropped.Digest[5:]), "commit", 1000)
	if !errors.Is(err, source.ErrStorage) {
		t.Errorf("a commit that nobody needs is still here (%v)", err)
	}
	if list, _ := filepath.Glob(filepath.Join(m.dir, "objects/??/*")); len(list) > 0 {
		t.Errorf("loose objects: %v", list)
	}
	again, err := b.src.Fetch(t.Context(), b.at, mainRef, dropped)
	b.must(err)
	b.reads(again, "a", "2")
	runtime.KeepAlive(kept)
}

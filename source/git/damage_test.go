package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/source"
)

// Whatever is wrong with a mirror, the next Fetch mends it.
func TestDamage(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{}, Config{Dir: t.TempDir(), Fresh: -1, AllowFile: true})
	b.at.URL = "file://" + b.Path("app.git")
	files := map[string]string{"a": "1", "d/b": strings.Repeat("long enough ", 1000)}
	for i := range 120 { // enough for a pack
		files[fmt.Sprintf("f/%d", i)] = fmt.Sprint("file ", i)
	}
	b.put(files)
	b.get(mainRef)
	b.put(map[string]string{"a": "2", "d/c": "new"})
	second := b.get(mainRef).Revision
	third := b.put(map[string]string{"a": "3"})
	b.src.Close()
	for _, c := range damages {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/restart=%v", c.name, restart), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(b.src.Dir)); err != nil {
					t.Fatal(err)
				}
				b := &bench{T: t, at: b.at, src: open(t, Config{Dir: dir, AllowFile: true})}
				files := maps.Clone(files)
				files["a"], files["d/c"] = "2", "new"
				if !restart {
					b.mends(second, files)
				}
				c.do(b)
				b.forget()
				b.mends(second, files)
				files["a"] = "3"
				b.mends(revision("main", third), files)
			})
		}
	}
}

// damages are what may happen to a mirror.
var damages = []struct {
	name string
	do   func(b *bench)
}{
	{"loose objects spoilt", func(b *bench) { b.each("objects/??/*", spoil) }},
	{"loose objects empty", func(b *bench) {
		b.each("objects/??/*", func(n string) { os.Chmod(n, 0o600); os.Truncate(n, 0) })
	}},
	{"loose objects gone", func(b *bench) { b.each("objects/??/*", func(n string) { os.Remove(n) }) }},
	{"pack spoilt", func(b *bench) { b.each("objects/pack/*.pack", spoil) }},
	{"pack gone", func(b *bench) { b.each("objects/pack/*.pack", func(n string) { os.Remove(n) }) }},
	{"index spoilt", func(b *bench) { b.each("objects/pack/*.idx", spoil) }},
	{"objects gone", func(b *bench) { b.each("objects", func(n string) { os.RemoveAll(n) }) }},
	{"locks left", func(b *bench) {
		b.write("shallow.lock", "")
		b.each("refs/sane/*/*", func(n string) { os.WriteFile(n+".lock", nil, 0o600) })
		b.write("config.lock", "")
		b.write("objects/pack/tmp_pack_x", "half")
	}},
	{"refs spoilt", func(b *bench) { b.each("refs/sane/*/*", func(n string) { os.WriteFile(n, []byte("x\n"), 0o600) }) }},
	{"refs to nothing", func(b *bench) {
		b.each("refs/sane/*/*", func(n string) { os.WriteFile(n, []byte(strings.Repeat("ab", 20)+"\n"), 0o600) })
	}},
	{"shallow spoilt", func(b *bench) { b.write("shallow", "nonsense\n") }},
	{"HEAD gone", func(b *bench) { os.Remove(filepath.Join(b.dir(), "HEAD")) }},
	{"config spoilt", func(b *bench) { b.write("config", "[core\n") }},
	{"all gone", func(b *bench) { os.RemoveAll(b.dir()) }},
}

// each calls f with the mirror's files whose names match.
func (b *bench) each(pattern string, f func(name string)) {
	list, _ := filepath.Glob(filepath.Join(b.dir(), pattern))
	if len(list) == 0 {
		b.Errorf("nothing matches %s", pattern)
	}
	for _, name := range list {
		f(name)
	}
}

func (b *bench) write(name, text string) {
	b.must(os.WriteFile(filepath.Join(b.dir(), name), []byte(text), 0o600))
}

func spoil(name string) {
	os.Chmod(name, 0o600)
	data, _ := os.ReadFile(name)
	for i := len(data) / 3; i < len(data); i++ {
		data[i] = 'x'
	}
	os.WriteFile(name, data, 0o600)
}

// forget drops what is cached of the mirror.
func (b *bench) forget() {
	b.src.trees = newCache(b.src.CacheBytes)
	for _, m := range b.src.mirrors {
		m.objects.close()
	}
}

// mends checks that a revision can be read after at most a few errors of storage.
func (b *bench) mends(rev source.Revision, files map[string]string) {
	b.Helper()
	var err error
	for try := range 3 {
		var snap *source.Snapshot
		if snap, err = b.src.Fetch(b.Context(), b.at, mainRef, rev); err != nil {
			b.Fatalf("Fetch, try %d: %v", try, err)
		}
		if err = readAll(snap.Tree, files); err == nil {
			return
		}
		if !errors.Is(err, source.ErrStorage) {
			break
		}
	}
	b.Errorf("the mirror is not mended: %v", err)
}

func readAll(tree fs.FS, files map[string]string) error {
	for name, want := range files {
		got, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		if string(got) != want {
			return fmt.Errorf("%s = %.20q, want %.20q", name, got, want)
		}
	}
	return nil
}

// A git that is killed in the middle of a fetch does no harm.
func TestKilled(t *testing.T) {
	t.Parallel()
	var half atomic.Bool
	cut := make(chan struct{}, 1)
	b := setup(t, gitserver.Options{Hook: func(w http.ResponseWriter, r *http.Request) bool {
		if !half.Load() || r.Method != "POST" || r.ContentLength > 0 && r.ContentLength < 200 {
			return false
		}
		select {
		case cut <- struct{}{}:
		default:
		}
		<-r.Context().Done()
		return true
	}})
	b.put(map[string]string{"a": "1"})
	b.get(mainRef)
	b.put(map[string]string{"a": "2"})
	rev, err := b.src.Resolve(t.Context(), b.at, mainRef)
	b.must(err)
	half.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-cut; cancel() }()
	_, err = b.src.Fetch(ctx, b.at, mainRef, rev)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Fetch: %v", err)
	}
	half.Store(false)
	b.reads(b.get(mainRef), "a", "2")
	if strings.Contains(b.log.String(), "damaged") {
		t.Errorf("log: %s", b.log)
	}
}

// Reading goes on when git cat-file is killed.
func TestReaderKilled(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{})
	b.put(map[string]string{"a": "1", "b": "2"})
	snap := b.get(mainRef)
	b.reads(snap, "a", "1")
	for _, m := range b.src.mirrors {
		m.objects.cmd.Process.Kill()
	}
	b.reads(snap, "b", "2")
}

func TestNewFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, Config{Dir: dir})
	if _, err := New(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("two sources in one directory: %v", err)
	}
	if _, err := New(Config{Dir: t.TempDir(), Git: "no-such-git"}); err == nil {
		t.Error("a git that is not there is no error")
	}
}

package unpack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/trace"
)

func open(t testing.TB, c Config) *Store {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// archive returns a gzipped tar archive.
func archive(members ...tar.Header) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range members {
		content := h.Uname // for want of a better place
		h.Uname, h.Size = "", int64(len(content))
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := errors.Join(w.WriteHeader(&h), copyTo(w, content)); err != nil {
			panic(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func copyTo(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}

func file(name, content string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Uname: content}
}

func special(kind byte, name, to string) tar.Header {
	return tar.Header{Typeflag: kind, Name: name, Linkname: to}
}

func unpack(s *Store, data []byte) (*Tree, error) {
	return s.Tree(context.Background(), digest.Of(data), func(w *Writer) error { return w.TarGz(bytes.NewReader(data)) })
}

// holds returns all files of a tree with their content.
func holds(t testing.TB, tree fs.FS) map[string]string {
	t.Helper()
	got := make(map[string]string)
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			got[name+"/"] = ""
			return nil
		}
		data, err := fs.ReadFile(tree, name)
		got[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(got, "./")
	return got
}

func TestTarGz(t *testing.T) {
	small := Config{MaxBytes: 8 << 10, MaxFiles: 4}
	whole := archive(file("a", strings.Repeat("content", 100)))
	for _, tt := range []struct {
		name   string
		config Config
		data   []byte
		want   map[string]string
		err    string
	}{
		{"nothing", Config{}, archive(), map[string]string{}, ""},
		{"files", Config{}, archive(file("a", "1"), file("d/e/f", "2"), file("empty", "")), map[string]string{"a": "1", "d/": "", "d/e/": "", "d/e/f": "2", "empty": ""}, ""},
		{"with dots", Config{}, archive(special(tar.TypeDir, "./", ""), file("./a", "1"), special(tar.TypeDir, "./d/", ""), file("d//b", "2")), map[string]string{"a": "1", "d/": "", "d/b": "2"}, ""},
		{"an empty directory", Config{}, archive(special(tar.TypeDir, "d/", "")), map[string]string{"d/": ""}, ""},
		{"the last one counts", Config{}, archive(file("a", "1"), file("a", "2")), map[string]string{"a": "2"}, ""},
		{"a directory told twice", Config{}, archive(file("d/a", "1"), special(tar.TypeDir, "d", "")), map[string]string{"d/": "", "d/a": "1"}, ""},
		{"links are left out", Config{}, archive(file("a", "1"), special(tar.TypeSymlink, "b", "a"), special(tar.TypeSymlink, "c", "/etc")), map[string]string{"a": "1"}, ""},
		{"devices are left out", Config{}, archive(special(tar.TypeChar, "b", ""), special(tar.TypeBlock, "c", ""), special(tar.TypeFifo, "d", "")), map[string]string{}, ""},
		{"hard links", Config{}, archive(file("a", "1"), special(tar.TypeLink, "d/b", "a")), map[string]string{"a": "1", "d/": "", "d/b": "1"}, ""},
		{"odd names", Config{}, archive(file(`a\b`, "1"), file("ü", "2"), file(" ", "3"), file("a:b", "4")), map[string]string{`a\b`: "1", "ü": "2", " ": "3", "a:b": "4"}, ""},

		{"up", Config{}, archive(file("../a", "1")), nil, `"../a" leads out of it`},
		{"up within", Config{}, archive(file("d/../../a", "1")), nil, "leads out of it"},
		{"absolute", Config{}, archive(file("/etc/passwd", "1")), nil, "leads out of it"},
		{"hard link out", Config{}, archive(special(tar.TypeLink, "a", "/etc/passwd")), nil, "leads out of it"},
		{"hard link to nothing", Config{}, archive(special(tar.TypeLink, "a", "b")), nil, "no file before it"},
		{"through a link", Config{}, archive(special(tar.TypeSymlink, "d", "/etc"), file("d/passwd", "1")), nil, "both a file and a directory"},
		{"through a file", Config{}, archive(file("d", ""), file("d/a", "1")), nil, "both a file and a directory"},
		{"a directory for a file", Config{}, archive(file("d/a", "1"), file("d", "")), nil, "both a file and a directory"},
		{"no text", Config{}, archive(file("a\xff", "1")), nil, "no name for a file"},
		{"a long name", Config{}, archive(file(strings.Repeat("x", maxName+1), "1")), nil, "no name for a file"},
		{"a bomb", small, archive(file("a", strings.Repeat("\x00", 1<<20))), nil, "more than 8192 bytes"},
		{"small bombs", small, archive(file("a", strings.Repeat("a", 4<<10)), file("b", strings.Repeat("b", 4<<10)), file("c", "")), nil, "more than 8192 bytes"},
		{"too many", small, archive(file("a", ""), file("b", ""), file("c/d", ""), file("e", "")), nil, "more than 4 files"},
		{"too deep", small, archive(file("a/b/c/d/e", "")), nil, "more than 4 files"},
		{"no archive", Config{}, []byte("kind: ConfigMap"), nil, "no whole tar archive"},
		{"empty", Config{}, nil, nil, "no whole tar archive"},
		{"cut short", Config{}, whole[:len(whole)/2], nil, "no whole tar archive"},
		{"a damaged checksum", Config{}, damaged(whole), nil, "no whole tar archive"},
	} {
		s := open(t, tt.config)
		tree, err := unpack(s, tt.data)
		if tt.err == "" && err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || !errors.Is(err, source.ErrContent) || !fault.IsInput(err) {
				t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.err)
			}
			if left, _ := os.ReadDir(s.Dir); len(left) != 1 { // the lock
				t.Errorf("%s: left behind: %v", tt.name, left)
			}
			continue
		}
		if got := holds(t, tree); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: holds %q, want %q", tt.name, got, tt.want)
		}
	}
}

// damaged changes the checksum of a gzipped archive.
func damaged(data []byte) []byte {
	data = bytes.Clone(data)
	data[len(data)-6] ^= 1
	return data
}

func TestTreeIsFileSystem(t *testing.T) {
	s := open(t, Config{})
	tree, err := unpack(s, archive(file("a", "1"), file("b/c.txt", "2"), file("b/d/e", "3"), file("b.txt", "4"), tar.Header{Typeflag: tar.TypeReg, Name: "run", Mode: 0o755}))
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(tree, "a", "b/c.txt", "b/d/e", "b.txt", "run"); err != nil {
		t.Error(err)
	}
	list, _ := fs.ReadDir(tree, "b")
	if got, _ := trace.Ask(tree, trace.Dir, "b"); got != trace.Listing(list) {
		t.Errorf("a directory answers %s, its listing is %s", got, trace.Listing(list))
	}
	if got, _ := trace.Ask(tree, trace.File, "a"); got != digest.Of([]byte("1")) {
		t.Errorf("a file answers %s", got)
	}
	if got := tree.Names(); !reflect.DeepEqual(got, []string{"a", "b.txt", "b/c.txt", "b/d/e", "run"}) {
		t.Errorf("Names = %q", got)
	}
}

// What is left out is said to whoever asks for it.
func TestLeftOut(t *testing.T) {
	s := open(t, Config{})
	tree, err := unpack(s, archive(special(tar.TypeSymlink, "base", "../base")))
	if err != nil {
		t.Fatal(err)
	}
	_, err = fs.ReadFile(tree, "base/kustomization.yaml")
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "base is a symbolic link") {
		t.Errorf("ReadFile: %v", err)
	}
}

func TestDiff(t *testing.T) {
	s := open(t, Config{})
	base := []tar.Header{file("same", "1"), file("d/a", "1"), file("d/b", "1"), file("e/f/g", "1")}
	for _, tt := range []struct {
		name string
		next []tar.Header
		want []string
	}{
		{"the same", base, nil},
		{"changed", []tar.Header{file("same", "1"), file("d/a", "2"), file("d/b", "1"), file("e/f/g", "1")}, []string{"d/a"}},
		{"added", append(base[:4:4], file("d/c", "")), []string{"d", "d/c"}},
		{"added deep", append(base[:4:4], file("x/y", "")), []string{".", "x", "x/y"}},
		{"removed with its directories", base[:3], []string{".", "e", "e/f", "e/f/g"}},
		{"a file for a directory", append(base[:3:3], file("e/f", "")), []string{"e", "e/f", "e/f/g"}},
		{"a link for a file", append(base[1:4:4], special(tar.TypeSymlink, "same", "d/a")), []string{".", "same"}},
	} {
		was, err := unpack(s, archive(base...))
		if err != nil {
			t.Fatal(err)
		}
		now, err := unpack(s, archive(tt.next...))
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		want := make(map[string]bool)
		for _, n := range tt.want {
			want[n] = true
		}
		got, ok := trace.Diff(was, now, 100)
		if !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: Diff = %v, %v; want %v", tt.name, got, ok, want)
		}
		back, _ := trace.Diff(now, was, 100)
		if !reflect.DeepEqual(back, want) {
			t.Errorf("%s: backwards Diff = %v; want %v", tt.name, back, want)
		}
	}
	was, _ := unpack(s, archive())
	now, _ := unpack(s, archive(file("a", ""), file("b", "")))
	if _, ok := trace.Diff(was, now, 2); ok {
		t.Error("Diff returns more than it may")
	}
}

// A tree is made once, by one of all who want it, and survives the store.
func TestOnce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	data := archive(file("a", "1"))
	var made atomic.Int64
	get := func(s *Store) *Tree {
		tree, err := s.Tree(t.Context(), digest.Of(data), func(w *Writer) error {
			made.Add(1)
			return w.TarGz(bytes.NewReader(data))
		})
		if err != nil {
			t.Error(err)
		}
		return tree
	}
	var wg sync.WaitGroup
	trees := make([]*Tree, 8)
	for i := range trees {
		wg.Go(func() { trees[i] = get(s) })
	}
	wg.Wait()
	for _, tree := range trees {
		if tree != trees[0] {
			t.Error("two trees of one content")
		}
	}
	s.Close()
	holds(t, get(open(t, Config{Dir: dir})))
	if made.Load() != 1 {
		t.Errorf("made %d times", made.Load())
	}
}

func TestFailureIsNotKept(t *testing.T) {
	s := open(t, Config{})
	name, boom := digest.Of(nil), errors.New("boom")
	_, err := s.Tree(t.Context(), name, func(w *Writer) error {
		return errors.Join(w.File("a", strings.NewReader("half")), boom)
	})
	if !errors.Is(err, boom) {
		t.Errorf("Tree: %v", err)
	}
	broken := io.MultiReader(bytes.NewReader(archive(file("a", "1"))[:10]), failing{boom})
	if _, err = s.Tree(t.Context(), name, func(w *Writer) error { return w.TarGz(broken) }); !errors.Is(err, boom) || errors.Is(err, source.ErrContent) {
		t.Errorf("of a reader that fails: %v", err)
	}
	tree, err := s.Tree(t.Context(), name, func(w *Writer) error { return w.File("a", strings.NewReader("whole")) })
	if err != nil || holds(t, tree)["a"] != "whole" {
		t.Errorf("after a failure: %v", err)
	}
	if _, err := s.Tree(t.Context(), "sha256:../../../../../../../../../../x", nil); err == nil {
		t.Error("a path is taken for a digest")
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// What is damaged on disk is found out, and made anew.
func TestDamage(t *testing.T) {
	data := archive(file("a", "content"))
	for _, tt := range []struct {
		name string
		do   func(file string) error
	}{
		{"content", func(f string) error { return poke(f, 2) }},
		{"cut short", func(f string) error { return os.Truncate(f, 3) }},
		{"gone", os.Remove},
	} {
		s := open(t, Config{})
		tree, err := unpack(s, data)
		if err != nil {
			t.Fatal(err)
		}
		if err := tt.do(tree.file); err != nil {
			t.Fatal(err)
		}
		if _, err := tree.ReadFile("a"); !errors.Is(err, source.ErrStorage) || fault.IsInput(err) {
			t.Errorf("%s: ReadFile: %v", tt.name, err)
		}
		if _, err := unpack(s, data); err != nil {
			t.Errorf("%s: again: %v", tt.name, err)
		}
		if got, err := tree.ReadFile("a"); err != nil || string(got) != "content" {
			t.Errorf("%s: the old tree after that: %q, %v", tt.name, got, err)
		}
	}
	s := open(t, Config{})
	tree, _ := unpack(s, data)
	if err := poke(tree.file, int64(len("content"))+4); err != nil { // the index
		t.Fatal(err)
	}
	s.Close()
	again, err := unpack(open(t, Config{Dir: s.Dir}), data)
	if err != nil || holds(t, again)["a"] != "content" {
		t.Errorf("a damaged index: %v", err)
	}
}

// poke changes a byte of a file.
func poke(name string, at int64) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return err
	}
	b[0] ^= 1
	_, err = f.WriteAt(b[:], at)
	return err
}

// What nobody has used for long goes; what somebody has stays.
func TestSweep(t *testing.T) {
	now := time.Now()
	s := open(t, Config{Now: func() time.Time { return now }, Keep: 24 * time.Hour})
	used, err := unpack(s, archive(file("used", "1")))
	if err != nil {
		t.Fatal(err)
	}
	idle := archive(file("idle", "1"))
	if _, err := unpack(s, idle); err != nil {
		t.Fatal(err)
	}
	runtime.GC() // nobody has it any more
	now = now.Add(25 * time.Hour)
	fresh, err := unpack(s, archive(file("fresh", "1")))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.Dir, strings.Replace(string(digest.Of(idle)), ":", "-", 1))
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is idle: %v", err)
	}
	for _, tree := range []*Tree{used, fresh} {
		if _, err := tree.ReadFile(tree.Names()[0]); err != nil {
			t.Error(err)
		}
	}
	s.Close()
	again := open(t, Config{Dir: s.Dir, Now: s.Now, Keep: s.Keep})
	if _, err := again.Tree(t.Context(), digest.Of(archive(file("used", "1"))), func(*Writer) error { return errors.New("gone") }); err != nil {
		t.Errorf("what was in use before a restart: %v", err)
	}
	runtime.KeepAlive(used)
}

func TestOneStoreOnly(t *testing.T) {
	s := open(t, Config{})
	if _, err := Open(Config{Dir: s.Dir}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("Open of a directory in use: %v", err)
	}
}

func TestLargeFile(t *testing.T) {
	s := open(t, Config{MaxFile: 4})
	tree, err := unpack(s, archive(file("large", "12345"), file("small", "1234")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.ReadFile("large"); !fault.IsInput(err) {
		t.Errorf("ReadFile of a large file: %v", err)
	}
	if _, err := tree.ReadFile("small"); err != nil {
		t.Error(err)
	}
}

// Whatever bytes come, there is a whole tree or an error.
func FuzzTarGz(f *testing.F) {
	f.Add(archive(file("a", "1"), file("d/b", "2"), special(tar.TypeSymlink, "c", "a"), special(tar.TypeLink, "l", "a")))
	f.Add(archive(file("../a", "1")))
	f.Add([]byte{})
	s := open(f, Config{MaxBytes: 1 << 20, MaxFiles: 100})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, fill := range []func(*Writer) error{
			func(w *Writer) error { return w.TarGz(bytes.NewReader(data)) },
			func(w *Writer) error { return w.Tar(bytes.NewReader(data)) },
		} {
			tree, err := s.Tree(t.Context(), digest.Of(data), fill)
			if err != nil {
				if !errors.Is(err, source.ErrContent) {
					t.Error(err)
				}
				continue
			}
			holds(t, tree)
			if err := os.Remove(tree.file); err != nil {
				t.Error(err)
			}
		}
	})
}

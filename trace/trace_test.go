package trace

import (
	"errors"
	"io"
	"io/fs"
	"reflect"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/sane-gitops/sane/digest"
)

func tree(files ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		m[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return m
}

// render reads the way a chart does: a listing, each file in it, one optional
// file that need not be there, and a look at whether there is a directory.
func render(fsys fs.FS) {
	list, _ := fs.ReadDir(fsys, "templates")
	for _, e := range list {
		fs.ReadFile(fsys, "templates/"+e.Name())
	}
	fs.ReadFile(fsys, "values.schema.json")
	fs.Stat(fsys, "crds")
	fs.Stat(fsys, "templates")
}

var cases = []struct {
	name string
	tree fstest.MapFS
	want bool
}{
	{"same", tree("templates/a.yaml", "a", "README.md", "hello"), true},
	{"unread file changed", tree("templates/a.yaml", "a", "README.md", "bye"), true},
	{"unread file removed", tree("templates/a.yaml", "a"), true},
	{"read file changed", tree("templates/a.yaml", "b"), false},
	{"read file removed", tree("templates/b.yaml", "a"), false},
	{"sibling added", tree("templates/a.yaml", "a", "templates/b.yaml", "b"), false},
	{"missing file appeared", tree("templates/a.yaml", "a", "values.schema.json", "{}"), false},
	{"missing file appeared as directory", tree("templates/a.yaml", "a", "values.schema.json/x", "{}"), true},
	{"file became directory", tree("templates/a.yaml/x", "a"), false},
	{"stat of a missing name finds a file", tree("templates/a.yaml", "a", "crds", ""), false},
	{"stat of a missing name finds a directory", tree("templates/a.yaml", "a", "crds/x", ""), false},
	{"directory became file", tree("templates", "a"), false},
	{"empty tree", tree(), false},
}

func TestHolds(t *testing.T) {
	for _, wrap := range []struct {
		name string
		tree func(fstest.MapFS) fs.FS
	}{
		{"reading content", func(m fstest.MapFS) fs.FS { return m }},
		{"asking an Answerer", func(m fstest.MapFS) fs.FS { return answerer{m} }},
	} {
		fsys := New(wrap.tree(cases[0].tree))
		render(fsys)
		log := fsys.Log()
		for _, tt := range cases {
			if got := log.Holds(wrap.tree(tt.tree)); got != tt.want {
				t.Errorf("%s: %s: Holds = %v, want %v (log %v)", wrap.name, tt.name, got, tt.want, log)
			}
		}
	}
}

func TestLog(t *testing.T) {
	base := tree("d/a", "1", "b", "2")
	sum := digest.Of
	list := func(dir string) digest.Digest {
		l, _ := base.ReadDir(dir)
		return Listing(l)
	}
	for _, tt := range []struct {
		name string
		read func(fs.FS)
		want Log
	}{
		{"nothing", func(fs.FS) {}, Log{}},
		{"order and repetition", func(f fs.FS) {
			fs.ReadFile(f, "d/a")
			fs.Stat(f, "b")
			fs.ReadFile(f, "b")
			fs.ReadFile(f, "b")
			fs.ReadDir(f, "d")
		}, Log{{File, "b", sum([]byte("2"))}, {Dir, "d", list("d")}, {File, "d/a", sum([]byte("1"))}}},
		{"stats", func(f fs.FS) {
			fs.Stat(f, "b")
			fs.Stat(f, "d")
			fs.Stat(f, ".")
		}, Log{{Stat, ".", "dir"}, {Stat, "b", "file"}, {Stat, "d", "dir"}}},
		{"misses", func(f fs.FS) {
			fs.ReadFile(f, "no")
			fs.Stat(f, "no")
			fs.ReadDir(f, "no")
		}, Log{{Dir, "no", ""}, {File, "no", ""}, {Stat, "no", ""}}},
		{"the wrong question", func(f fs.FS) {
			fs.ReadFile(f, "d")
			fs.ReadDir(f, "b")
		}, Log{{Dir, "b", ""}, {File, "d", ""}}},
		{"open", func(f fs.FS) {
			f.Open("b")
			f.Open("d")
			f.Open("no")
		}, Log{{File, "b", sum([]byte("2"))}, {Dir, "d", list("d")}, {Stat, "no", ""}}},
	} {
		for _, under := range []fs.FS{base, answerer{base}} {
			f := New(under)
			tt.read(f)
			if got := f.Log(); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s: %T: Log = %v, want %v", tt.name, under, got, tt.want)
			}
		}
	}
}

func TestReadsPassThrough(t *testing.T) {
	if err := fstest.TestFS(New(tree("d/a", "1", "b", "2")), "d/a", "b"); err != nil {
		t.Error(err)
	}
}

// An unread answer must cost no read of content.
func TestAnswererIsNotRead(t *testing.T) {
	f := New(answerer{broken{tree("a", "1")}})
	if _, err := f.Stat("a"); err != nil {
		t.Error(err)
	}
	if !(Log{{File, "a", "answer:1"}}).Holds(answererOf{"answer:1"}) {
		t.Error("Holds did not ask the Answerer")
	}
}

func TestFailedReadIsNotRemembered(t *testing.T) {
	f := New(broken{tree("a", "1")})
	if _, err := f.ReadFile("a"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("ReadFile = %v", err)
	}
	if l := f.Log(); len(l) != 0 {
		t.Errorf("Log = %v, want none", l)
	}
	if (Log{{File, "a", digest.Of([]byte("1"))}}).Holds(broken{tree("a", "1")}) {
		t.Error("a log holds on a tree that can't be read")
	}
}

func TestConcurrentReads(t *testing.T) {
	f := New(tree("templates/a.yaml", "a"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { render(f); f.Log() })
	}
	wg.Wait()
	one := New(tree("templates/a.yaml", "a"))
	render(one)
	if !reflect.DeepEqual(f.Log(), one.Log()) {
		t.Errorf("Log = %v, want %v", f.Log(), one.Log())
	}
}

// answerer answers from content.
type answerer struct{ fs.FS }

func (a answerer) Answer(op Op, name string) (digest.Digest, error) { return Ask(a.FS, op, name) }

type answererOf struct{ d digest.Digest }

func (a answererOf) Open(string) (fs.File, error)             { panic("read") }
func (a answererOf) Answer(Op, string) (digest.Digest, error) { return a.d, nil }

// broken has files whose content can't be read.
type broken struct{ fstest.MapFS }

func (b broken) ReadFile(string) ([]byte, error) { return nil, io.ErrUnexpectedEOF }

// Package trace records what a computation read, so that its result can be
// kept until one of those reads would come out differently.
//
// A missing file is a read too: a chart that looked for values.schema.json and
// did not find it must run again when that file appears.
package trace

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/sane-gitops/sane/digest"
)

// An Op is a kind of question that can be asked of a tree.
type Op string

const (
	Stat Op = "stat" // is there a file or a directory of this name?
	File Op = "file" // what is in this file?
	Dir  Op = "dir"  // what are the names and types in this directory?

	// Fact asks for a value that is beside the tree: trees have no answer to it.
	// Such a read is put into a log by [FS.Note].
	Fact Op = "fact"
)

// A Read is one question asked of a tree and a digest of the answer.
type Read struct {
	Op     Op
	Name   string
	Answer digest.Digest // zero if the name was not there
}

// A Log is a set of reads in order of name, then op.
type Log []Read

// Holds reports whether every read in the log gets the same answer from tree.
// Facts do not, unless they were missing.
func (l Log) Holds(tree fs.FS) bool {
	return !slices.ContainsFunc(l, func(r Read) bool {
		got, err := Ask(tree, r.Op, r.Name)
		return err != nil || got != r.Answer
	})
}

// A Tree that can say by what digest it knows an answer, without reading
// content, implements Answerer. Git trees do: the digests are object ids.
//
// Answer returns the zero Digest if there is nothing of that name, or nothing
// of which op can be asked, such as the content of a directory. It must give
// the same digest exactly for the same answer, and all trees between which a
// log is compared must give digests in the same way.
type Answerer interface {
	Answer(op Op, name string) (digest.Digest, error)
}

// Ask returns the digest of what tree says of name.
func Ask(tree fs.FS, op Op, name string) (digest.Digest, error) {
	if op == Fact {
		return "", nil
	}
	if a, ok := tree.(Answerer); ok {
		return a.Answer(op, name)
	}
	info, err := fs.Stat(tree, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	switch {
	case op == Stat && info.IsDir():
		return "dir", nil
	case op == Stat:
		return "file", nil
	case op == File && !info.IsDir():
		data, err := fs.ReadFile(tree, name)
		if err != nil {
			return "", err
		}
		return digest.Of(data), nil
	case op == Dir && info.IsDir():
		list, err := fs.ReadDir(tree, name)
		if err != nil {
			return "", err
		}
		return Listing(list), nil
	}
	return "", nil
}

// Listing returns the digest of the names and types in a directory, whose
// entries are in order of name.
func Listing(list []fs.DirEntry) digest.Digest {
	var b []byte
	for _, e := range list {
		b = fmt.Appendf(b, "%s\x00%v\n", e.Name(), e.IsDir())
	}
	return digest.Of(b)
}

// An FS passes reads through to a tree and remembers them.
// It is safe for use by several goroutines at once.
type FS struct {
	tree fs.FS

	mu    sync.Mutex
	reads map[question]digest.Digest // guarded by mu
}

type question struct {
	op   Op
	name string
}

var (
	_ fs.StatFS     = (*FS)(nil)
	_ fs.ReadFileFS = (*FS)(nil)
	_ fs.ReadDirFS  = (*FS)(nil)
)

// New returns an FS that reads from tree, which must not change.
func New(tree fs.FS) *FS {
	return &FS{tree: tree, reads: make(map[question]digest.Digest)}
}

func (t *FS) known(op Op, name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.reads[question{op, name}]
	return ok
}

func (t *FS) set(op Op, name string, answer digest.Digest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reads[question{op, name}] = answer
}

func (t *FS) note(op Op, name string) error {
	if t.known(op, name) {
		return nil
	}
	answer, err := Ask(t.tree, op, name)
	if err != nil {
		return err
	}
	t.set(op, name, answer)
	return nil
}

// Note records a read of something that is not in the tree.
func (t *FS) Note(op Op, name string, answer digest.Digest) { t.set(op, name, answer) }

// Open implements [fs.FS]. What is opened counts as read whole.
func (t *FS) Open(name string) (fs.File, error) {
	op := File
	info, err := fs.Stat(t.tree, name)
	switch {
	case err != nil:
		op = Stat
	case info.IsDir():
		op = Dir
	}
	if err := t.note(op, name); err != nil {
		return nil, err
	}
	return t.tree.Open(name)
}

// Stat implements [fs.StatFS]. What it records is only whether there is a file
// or a directory of that name: its caller must not depend on size or mode.
func (t *FS) Stat(name string) (fs.FileInfo, error) {
	if err := t.note(Stat, name); err != nil {
		return nil, err
	}
	return fs.Stat(t.tree, name)
}

// ReadFile implements [fs.ReadFileFS].
func (t *FS) ReadFile(name string) ([]byte, error) {
	if _, ok := t.tree.(Answerer); !ok && !t.known(File, name) {
		if data, err := fs.ReadFile(t.tree, name); err == nil { // one read does for both
			t.set(File, name, digest.Of(data))
			return data, nil
		}
	}
	if err := t.note(File, name); err != nil {
		return nil, err
	}
	return fs.ReadFile(t.tree, name)
}

// ReadDir implements [fs.ReadDirFS].
func (t *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := t.note(Dir, name); err != nil {
		return nil, err
	}
	return fs.ReadDir(t.tree, name)
}

// Log returns the reads so far. A Stat that is implied by what was read of the
// same file or directory is left out.
func (t *FS) Log() Log {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := make(Log, 0, len(t.reads))
	for q, answer := range t.reads {
		if q.op == Stat && (t.reads[question{File, q.name}] != "" || t.reads[question{Dir, q.name}] != "") {
			continue
		}
		l = append(l, Read{q.op, q.name, answer})
	}
	slices.SortFunc(l, func(a, b Read) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(string(a.Op), string(b.Op))
	})
	return l
}

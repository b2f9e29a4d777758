package unpack

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/trace"
)

// A Tree is what a source.Snapshot has for a tree. Its answers are the digests
// of content.
type Tree struct {
	file    string // on disk
	maxFile int64
	entries map[string]entry
	dirs    map[string]*listing // of all directories, "." among them
}

// A listing is what is in a directory.
type listing struct {
	list []fs.DirEntry // in order of name
	sum  digest.Digest
}

var (
	_ fs.StatFS      = (*Tree)(nil)
	_ fs.ReadFileFS  = (*Tree)(nil)
	_ fs.ReadDirFS   = (*Tree)(nil)
	_ trace.Answerer = (*Tree)(nil)
	_ trace.Differ   = (*Tree)(nil)
)

// load reads the index of a tree.
func load(file string, maxFile int64) (*Tree, error) {
	list, err := readIndex(file)
	if err != nil {
		return nil, err
	}
	t := &Tree{file: file, maxFile: maxFile, entries: make(map[string]entry, len(list)), dirs: map[string]*listing{".": {}}}
	for _, e := range list {
		t.entries[e.Name] = e
		if e.isDir() {
			t.dirs[e.Name] = &listing{}
		}
	}
	for _, e := range list { // which are in order of name, so all of one directory are too
		if e.Out != "" {
			continue
		}
		in, ok := t.dirs[path.Dir(e.Name)]
		if !ok {
			return nil, fmt.Errorf("%q is in no directory", e.Name)
		}
		in.list = append(in.list, info{e})
	}
	for _, l := range t.dirs {
		l.sum = trace.Listing(l.list)
	}
	return t, nil
}

// readIndex returns the entries of a tree's file in order of name.
func readIndex(file string) ([]entry, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	tail := make([]byte, 8+sha256.Size+len(magic))
	end := st.Size() - int64(len(tail))
	if end < 0 {
		return nil, errors.New("it is cut short")
	}
	if _, err := f.ReadAt(tail, end); err != nil {
		return nil, err
	}
	size := int64(binary.BigEndian.Uint64(tail))
	if !bytes.HasSuffix(tail, []byte(magic)) || size < 0 || size > end {
		return nil, errors.New("it has no index")
	}
	index := make([]byte, size)
	if _, err := f.ReadAt(index, end-size); err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(index); !bytes.Equal(sum[:], tail[8:8+sha256.Size]) {
		return nil, errors.New("its index is damaged")
	}
	var list []entry
	err = json.Unmarshal(index, &list)
	return list, err
}

// A leftOut is why a name that an archive has is not in the tree. To a program
// it is a file that does not exist.
type leftOut struct{ name, what string }

func (e *leftOut) Error() string {
	return fmt.Sprintf("%s is a %s, which sources leave out", e.name, e.what)
}
func (e *leftOut) Is(target error) bool { return target == fs.ErrNotExist }

func (t *Tree) find(name string) (entry, error) {
	if !fs.ValidPath(name) {
		return entry{}, fs.ErrInvalid
	}
	if name == "." {
		return entry{Name: "."}, nil
	}
	e, ok := t.entries[name]
	switch {
	case ok && e.Out == "":
		return e, nil
	case ok:
		return entry{}, &leftOut{name, e.Out}
	}
	for up := path.Dir(name); up != "."; up = path.Dir(up) {
		if e := t.entries[up]; e.Out != "" {
			return entry{}, &leftOut{up, e.Out}
		}
	}
	return entry{}, fs.ErrNotExist
}

// Answer implements [trace.Answerer].
func (t *Tree) Answer(op trace.Op, name string) (digest.Digest, error) {
	e, err := t.find(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", &fs.PathError{Op: string(op), Path: name, Err: err}
	case op == trace.Stat && e.isDir():
		return "dir", nil
	case op == trace.Stat:
		return "file", nil
	case op == trace.File && !e.isDir():
		return e.Sum, nil
	case op == trace.Dir && e.isDir():
		return t.dirs[name].sum, nil
	}
	return "", nil
}

// Stat implements [fs.StatFS].
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	e, err := t.find(name)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return info{e}, nil
}

// ReadFile implements [fs.ReadFileFS]. An error that wraps source.ErrStorage
// says that our copy is damaged; it is made anew when the tree is next asked
// for.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	e, err := t.find(name)
	if err == nil && e.isDir() {
		err = errors.New("is a directory")
	}
	var data []byte
	if err == nil {
		data, err = t.content(e)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return data, nil
}

func (t *Tree) content(e entry) ([]byte, error) {
	if e.Size > t.maxFile {
		return nil, fault.Input(fmt.Errorf("has %d bytes, more than the %d that are read", e.Size, t.maxFile))
	}
	f, err := os.Open(t.file)
	if err != nil {
		return nil, stored("read", err)
	}
	defer f.Close()
	data := make([]byte, e.Size)
	if _, err = f.ReadAt(data, e.At); err == nil && digest.Of(data) != e.Sum {
		err = errors.New("it is damaged")
	}
	if err != nil {
		os.Remove(t.file) // and if that fails it is found damaged again
		return nil, stored("read", err)
	}
	return data, nil
}

// ReadDir implements [fs.ReadDirFS].
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	e, err := t.find(name)
	if err == nil && !e.isDir() {
		err = errors.New("is not a directory")
	}
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	return slices.Clone(t.dirs[name].list), nil
}

// Open implements [fs.FS].
func (t *Tree) Open(name string) (fs.File, error) {
	e, err := t.find(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	if e.isDir() {
		return source.OpenDir(info{e}, t.dirs[name].list), nil
	}
	data, err := t.content(e)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return source.OpenFile(info{e}, data), nil
}

// Diff implements [trace.Differ].
func (t *Tree) Diff(old fs.FS, most int) (map[string]bool, bool) {
	was, ok := old.(*Tree)
	if !ok {
		return nil, false
	}
	names := make(map[string]bool)
	compare := func(a, b *Tree) {
		for name, e := range a.entries {
			if len(names) > most {
				return
			}
			o, there := b.entries[name]
			if e.Sum == o.Sum && e.Out == o.Out && there {
				continue
			}
			names[name] = true
			if !there || e.isDir() != o.isDir() || e.Out != o.Out {
				names[path.Dir(name)] = true
			}
		}
	}
	compare(t, was)
	compare(was, t)
	return names, len(names) <= most
}

// Names returns the names of all files, in order.
func (t *Tree) Names() []string {
	return slices.Sorted(func(yield func(string) bool) {
		for e := range maps.Values(t.entries) {
			if e.Sum != "" && !yield(e.Name) {
				return
			}
		}
	})
}

// An info is both a FileInfo and a DirEntry.
type info struct{ entry }

func (i info) Name() string               { return i.entry.Name[strings.LastIndexByte(i.entry.Name, '/')+1:] }
func (i info) Size() int64                { return i.entry.Size }
func (i info) Type() fs.FileMode          { return i.Mode().Type() }
func (i info) IsDir() bool                { return i.isDir() }
func (i info) ModTime() time.Time         { return time.Time{} }
func (i info) Sys() any                   { return nil }
func (i info) Info() (fs.FileInfo, error) { return i, nil }
func (i info) String() string             { return fs.FormatFileInfo(i) }

// Mode implements [fs.FileInfo].
func (i info) Mode() fs.FileMode {
	switch {
	case i.isDir():
		return fs.ModeDir | 0o555
	case i.Exec:
		return 0o555
	}
	return 0o444
}

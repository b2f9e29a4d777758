package git

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/trace"
)

// maxTree is the size of the largest directory that is read: some 300,000
// files. It bounds commits too.
const maxTree = 16 << 20

// A snapshot is the tree of a commit, read from a mirror as it is needed.
type snapshot struct {
	mirror *mirror
	commit commit
}

var (
	_ fs.StatFS      = (*snapshot)(nil)
	_ fs.ReadFileFS  = (*snapshot)(nil)
	_ fs.ReadDirFS   = (*snapshot)(nil)
	_ trace.Answerer = (*snapshot)(nil)
)

// A leftOut is why a name that Git has is not in the tree. To a program it is
// a file that does not exist.
type leftOut struct{ name, what string }

func (e *leftOut) Error() string {
	return fmt.Sprintf("%s is a %s, which sources leave out", e.name, e.what)
}
func (e *leftOut) Is(target error) bool { return target == fs.ErrNotExist }

// tree returns a tree object.
func (s *snapshot) tree(id []byte) (*tree, error) {
	trees := s.mirror.src.trees
	if t := trees.get(id); t != nil {
		return t, nil
	}
	raw, err := s.mirror.objects.read(hex.EncodeToString(id), "tree", maxTree)
	if err != nil {
		return nil, s.failed(err)
	}
	t, err := parseTree(string(id), raw)
	if err != nil {
		return nil, fault.Input(err)
	}
	trees.put(t)
	return t, nil
}

// failed remembers and marks what is wrong with an object.
func (s *snapshot) failed(err error) error {
	s.mirror.note(err)
	var size *sizeError
	if errors.As(err, &size) {
		return fault.Input(err)
	}
	return err
}

// find walks to name.
func (s *snapshot) find(name string) (entry, error) {
	if !fs.ValidPath(name) {
		return entry{}, fs.ErrInvalid
	}
	e := entry{mode: []byte("40000"), name: []byte("."), id: s.commit.tree}
	for rest, more := name, name != "."; more; {
		if e.kind() != directory {
			return entry{}, fs.ErrNotExist
		}
		t, err := s.tree(e.id)
		if err != nil {
			return entry{}, err
		}
		var part string
		part, rest, more = strings.Cut(rest, "/")
		var ok bool
		if e, ok = t.find(part); !ok {
			return entry{}, fs.ErrNotExist
		}
		switch e.kind() {
		case link:
			return entry{}, &leftOut{strings.TrimSuffix(name, "/"+rest), "symbolic link"}
		case submodule:
			return entry{}, &leftOut{strings.TrimSuffix(name, "/"+rest), "submodule"}
		case odd:
			return entry{}, fs.ErrNotExist
		}
	}
	return e, nil
}

// Answer implements [trace.Answerer] by object ids.
func (s *snapshot) Answer(op trace.Op, name string) (digest.Digest, error) {
	e, err := s.find(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", &fs.PathError{Op: string(op), Path: name, Err: err}
	}
	switch dir := e.kind() == directory; {
	case op == trace.Stat && dir:
		return "dir", nil
	case op == trace.Stat:
		return "file", nil
	case op == trace.File && !dir:
		return idDigest(hex.EncodeToString(e.id)), nil
	case op == trace.Dir && dir:
		t, err := s.tree(e.id)
		if err != nil {
			return "", &fs.PathError{Op: string(op), Path: name, Err: err}
		}
		return t.digest(), nil
	}
	return "", nil
}

// Stat implements [fs.StatFS].
func (s *snapshot) Stat(name string) (fs.FileInfo, error) {
	e, err := s.find(name)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return s.info(e, name[strings.LastIndexByte(name, '/')+1:]), nil
}

// ReadFile implements [fs.ReadFileFS].
func (s *snapshot) ReadFile(name string) ([]byte, error) {
	e, err := s.find(name)
	if err == nil && e.kind() == directory {
		err = errors.New("is a directory")
	}
	var data []byte
	if err == nil {
		data, err = s.blob(e)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return data, nil
}

func (s *snapshot) blob(e entry) ([]byte, error) {
	data, err := s.mirror.objects.read(hex.EncodeToString(e.id), "blob", s.mirror.src.MaxFile)
	if err != nil {
		return nil, s.failed(err)
	}
	return data, nil
}

// ReadDir implements [fs.ReadDirFS].
func (s *snapshot) ReadDir(name string) ([]fs.DirEntry, error) {
	e, err := s.find(name)
	if err == nil && e.kind() != directory {
		err = errors.New("is not a directory")
	}
	var t *tree
	if err == nil {
		t, err = s.tree(e.id)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	return s.list(t), nil
}

func (s *snapshot) list(t *tree) []fs.DirEntry {
	infos := make([]info, 0, len(t.at))
	for i := range t.at {
		if e := t.entry(i); e.listed() {
			infos = append(infos, *s.info(e, string(e.name)))
		}
	}
	list := make([]fs.DirEntry, len(infos))
	for i := range infos {
		list[i] = &infos[i]
	}
	return list
}

// Open implements [fs.FS].
func (s *snapshot) Open(name string) (fs.File, error) {
	e, err := s.find(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	info := s.info(e, name[strings.LastIndexByte(name, '/')+1:])
	if e.kind() == directory {
		list, err := s.ReadDir(name)
		if err != nil {
			return nil, err
		}
		return source.OpenDir(info, list), nil
	}
	data, err := s.blob(e)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return source.OpenFile(info, data), nil
}

func (s *snapshot) info(e entry, name string) *info {
	return &info{snapshot: s, name: name, kind: e.kind(), id: e.id}
}

// An info is both a FileInfo and a DirEntry. The size, which a tree does not
// tell, is read when it is asked for.
type info struct {
	snapshot *snapshot
	name     string
	kind     kind
	id       []byte
}

func (i *info) Name() string               { return i.name }
func (i *info) Mode() fs.FileMode          { return i.kind.fsMode() }
func (i *info) Type() fs.FileMode          { return i.Mode().Type() }
func (i *info) IsDir() bool                { return i.kind == directory }
func (i *info) ModTime() time.Time         { return i.snapshot.commit.When }
func (i *info) Sys() any                   { return nil }
func (i *info) Info() (fs.FileInfo, error) { return i, nil }
func (i *info) String() string             { return fs.FormatFileInfo(i) }

// Size returns 0 for what can't be read: reading it says why.
func (i *info) Size() int64 {
	if i.kind == directory {
		return 0
	}
	n, err := i.snapshot.mirror.objects.length(hex.EncodeToString(i.id))
	if err != nil {
		i.snapshot.mirror.note(err)
		return 0
	}
	return n
}

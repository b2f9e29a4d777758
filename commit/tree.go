package commit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/trace"
)

// maxFile is how large a file may be that is read, in bytes.
const maxFile = 32 << 20

// A Tree is what is in a commit, or in a draft: regular files and directories, as
// sources hold them. It implements the interfaces of a [source.Snapshot]'s, and may
// be read by several goroutines at once until it is closed, or its Repo.
type Tree struct {
	at  map[string]entry // all that there is, by path; links and submodules, too
	dir map[string][]fs.DirEntry

	mu   sync.Mutex
	repo *Repo
	cmd  *exec.Cmd // reads objects; nil until it is needed
	in   io.WriteCloser
	out  *bufio.Reader
	shut bool
}

var (
	_ fs.StatFS      = (*Tree)(nil)
	_ fs.ReadFileFS  = (*Tree)(nil)
	_ fs.ReadDirFS   = (*Tree)(nil)
	_ trace.Answerer = (*Tree)(nil)
)

// Tree returns a tree that is here, by its id or that of its commit.
func (r *Repo) Tree(ctx context.Context, id string) (*Tree, error) {
	all, err := r.list(ctx, id, "-r", "-t")
	if err != nil {
		return nil, err
	}
	t := &Tree{repo: r, at: map[string]entry{".": {mode: "040000", kind: "tree", id: id}}, dir: map[string][]fs.DirEntry{".": nil}}
	for _, e := range all {
		t.at[e.name] = e
		if e.kind == "tree" {
			t.dir[e.name] = nil
		}
		if fs.ValidPath(e.name) && e.read() {
			d := path.Dir(e.name)
			t.dir[d] = append(t.dir[d], info{t, e})
		}
	}
	for _, list := range t.dir {
		slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
	return t, nil
}

// read reports whether sources hold such an entry.
func (e entry) read() bool { return e.kind == "tree" || strings.HasPrefix(e.mode, "100") }

// Same reports whether two trees have the same at a path, whatever it is: also if
// neither has anything.
func (t *Tree) Same(u *Tree, name string) bool { return t.at[name].same(u.at[name]) }

// Close ends all reading.
func (t *Tree) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stop()
	t.shut = true
}

// stop ends the process. It holds mu.
func (t *Tree) stop() {
	if t.cmd != nil {
		t.in.Close()
		_ = t.cmd.Process.Kill()
		_ = t.cmd.Wait() // it was killed
		t.cmd = nil
	}
}

func (t *Tree) find(op, name string) (entry, error) {
	if !fs.ValidPath(name) {
		return entry{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	e, ok := t.at[name]
	if !ok || !e.read() {
		return entry{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return e, nil
}

// Answer implements [trace.Answerer].
func (t *Tree) Answer(op trace.Op, name string) (digest.Digest, error) {
	e, err := t.find(string(op), name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	switch dir := e.kind == "tree"; {
	case err != nil:
		return "", err
	case op == trace.Stat && dir:
		return "dir", nil
	case op == trace.Stat:
		return "file", nil
	case op == trace.File && !dir:
		return digest.Digest("git:" + e.id), nil
	case op == trace.Dir && dir:
		return trace.Listing(t.dir[name]), nil
	}
	return "", nil
}

// Stat implements [fs.StatFS].
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	e, err := t.find("stat", name)
	if err != nil {
		return nil, err
	}
	return info{t, e}, nil
}

// ReadDir implements [fs.ReadDirFS].
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	e, err := t.find("readdir", name)
	if err == nil && e.kind != "tree" {
		err = &fs.PathError{Op: "readdir", Path: name, Err: errors.New("is not a directory")}
	}
	return slices.Clone(t.dir[name]), err
}

// ReadFile implements [fs.ReadFileFS].
func (t *Tree) ReadFile(name string) ([]byte, error) {
	e, err := t.find("read", name)
	if err != nil {
		return nil, err
	}
	var data []byte
	if err = errors.New("is a directory"); e.kind != "tree" {
		_, data, err = t.blob("contents", e.id)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return data, nil
}

// blob reads an object's size and, if it is asked for, its contents.
func (t *Tree) blob(verb, id string) (int64, []byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.begin(); err != nil {
		return 0, nil, err
	}
	size, data, err := t.ask(verb, id)
	if err != nil {
		t.stop() // whatever it says next is not read
	}
	return size, data, err
}

func (t *Tree) ask(verb, id string) (int64, []byte, error) {
	if _, err := io.WriteString(t.in, verb+" "+id+"\n"); err != nil {
		return 0, nil, err
	}
	line, err := t.out.ReadString('\n')
	if err != nil {
		return 0, nil, err
	}
	f := strings.Fields(line)
	if len(f) != 3 {
		return 0, nil, fmt.Errorf("object %s can't be read", id)
	}
	size, err := strconv.ParseInt(f[2], 10, 64)
	if err != nil || verb == "info" {
		return size, nil, err
	}
	if size > maxFile {
		return 0, nil, fmt.Errorf("its %d bytes are more than the limit of %d", size, maxFile)
	}
	data := make([]byte, size+1)
	_, err = io.ReadFull(t.out, data)
	return size, data[:size:size], err
}

func (t *Tree) begin() error {
	if t.shut {
		return fs.ErrClosed
	}
	if t.cmd != nil {
		return nil
	}
	cmd := t.repo.command(context.Background(), "cat-file", "--batch-command")
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	t.cmd, t.in, t.out = cmd, in, bufio.NewReader(out)
	return nil
}

// Open implements [fs.FS].
func (t *Tree) Open(name string) (fs.File, error) {
	e, err := t.find("open", name)
	if err != nil {
		return nil, err
	}
	if e.kind == "tree" {
		return source.OpenDir(info{t, e}, t.dir[name]), nil
	}
	data, err := t.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return source.OpenFile(info{t, e}, data), nil
}

// An info is both a FileInfo and a DirEntry.
type info struct {
	tree *Tree
	entry
}

func (i info) Name() string { return path.Base(i.name) }
func (i info) Mode() fs.FileMode {
	switch i.mode {
	case "040000":
		return fs.ModeDir | 0o755
	case "100755":
		return 0o755
	}
	return 0o644
}
func (i info) Type() fs.FileMode          { return i.Mode().Type() }
func (i info) IsDir() bool                { return i.kind == "tree" }
func (i info) ModTime() time.Time         { return time.Time{} }
func (i info) Sys() any                   { return nil }
func (i info) Info() (fs.FileInfo, error) { return i, nil }
func (i info) String() string             { return fs.FormatFileInfo(i) }

// Size returns 0 for what can't be read: reading it says why.
func (i info) Size() int64 {
	if i.IsDir() {
		return 0
	}
	n, _, _ := i.tree.blob("info", i.id)
	return n
}

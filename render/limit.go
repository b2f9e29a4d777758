package render

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/sane-gitops/sane/fault"
)

// MaxBytes is how much a rendering may read where nothing else is said. It
// is an order of magnitude above what clusters are made of.
const MaxBytes = 32 << 20

// Limit returns tree with a bound on the bytes that can be read of its files,
// all together; 0 means [MaxBytes]. To read more is an input error that names
// the file.
func Limit(tree fs.FS, bytes int64) fs.FS {
	if bytes == 0 {
		bytes = MaxBytes
	}
	return &limited{tree: tree, max: bytes, left: bytes}
}

type limited struct {
	tree fs.FS
	max  int64

	mu   sync.Mutex
	left int64 // guarded by mu
}

func (l *limited) Stat(name string) (fs.FileInfo, error)      { return fs.Stat(l.tree, name) }
func (l *limited) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(l.tree, name) }

// Open counts a file as read whole.
func (l *limited) Open(name string) (fs.File, error) {
	f, err := l.tree.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.IsDir() {
		err = l.take(name, info.Size())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (l *limited) ReadFile(name string) ([]byte, error) {
	f, err := l.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errIsDir}
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

var errIsDir = errors.New("is a directory")

func (l *limited) take(name string, size int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if size > l.left {
		return fault.Input(fmt.Errorf("%s: too large: all that is read must not exceed %s", name, inMiB(l.max)))
	}
	l.left -= size
	return nil
}

func inMiB(bytes int64) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%d bytes", bytes)
	}
	return fmt.Sprintf("%d MiB", bytes>>20)
}

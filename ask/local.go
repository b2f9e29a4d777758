package ask

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// A local is a directory that stands for a source's tree. As there, symbolic
// links are left out, and nothing outside can be read.
type local struct{ root *os.Root }

var (
	_ fs.StatFS     = local{}
	_ fs.ReadFileFS = local{}
	_ fs.ReadDirFS  = local{}
)

// localTree returns the tree at a directory.
func localTree(dir string) (fs.FS, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("read --path: %w", err)
	}
	root, err := os.OpenRoot(real)
	if err != nil {
		return nil, fmt.Errorf("read --path: %w", err)
	}
	return local{root}, nil
}

// plain reports why name is not a file or a directory reached without links.
func (l local) plain(op, name string) error {
	if !fs.ValidPath(name) {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		info, err := l.root.Lstat(name[:i])
		if err != nil {
			return err
		}
		if !whole(info.Mode()) || i < len(name) && !info.IsDir() {
			return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
	}
	return nil
}

func whole(m fs.FileMode) bool { return m.IsRegular() || m.IsDir() }

func (l local) Open(name string) (fs.File, error) {
	if err := l.plain("open", name); err != nil {
		return nil, err
	}
	return l.root.FS().Open(name)
}

func (l local) Stat(name string) (fs.FileInfo, error) {
	if err := l.plain("stat", name); err != nil {
		return nil, err
	}
	return l.root.Stat(name)
}

func (l local) ReadFile(name string) ([]byte, error) {
	if err := l.plain("open", name); err != nil {
		return nil, err
	}
	return l.root.ReadFile(name)
}

func (l local) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := l.plain("open", name); err != nil {
		return nil, err
	}
	list, err := fs.ReadDir(l.root.FS(), name)
	return slices.DeleteFunc(list, func(e fs.DirEntry) bool { return !whole(e.Type()) }), err
}

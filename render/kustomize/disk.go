package kustomize

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/sane-gitops/sane/fault"
)

// mount is where kustomize sees the tree. It is not "/", so that a path that
// climbs out of the tree leads nowhere instead of back to its root.
const mount = "/sane-source"

// path returns where kustomize sees a name of the tree.
func path(name string) string { return filepath.Join(mount, name) }

// inTree returns the name in the tree of what kustomize calls p.
func inTree(p string) (string, error) {
	p = filepath.Clean(p)
	if p == mount {
		return ".", nil
	}
	name, ok := strings.CutPrefix(p, mount+"/")
	if !ok {
		return "", errOutside
	}
	if !fs.ValidPath(name) {
		return "", fs.ErrNotExist
	}
	return name, nil
}

var (
	errOutside  = errors.New("is outside of the source")
	errReadOnly = errors.New("the source can't be written to")
	errIsDir    = errors.New("is a directory")
)

// A disk is a tree as kustomize wants to see it. It serves one build.
type disk struct {
	ctx  context.Context // of the build
	tree fs.FS
	over map[string][]byte // files that lie over those of the tree

	sorts bool // whether the root kustomization says how to sort

	err    error // why the build can't be what it should; outranks what kustomize says
	schema bool  // whether a kustomization changes kustomize's global schema
}

func newDisk(ctx context.Context, tree fs.FS) *disk {
	return &disk{ctx: ctx, tree: tree, over: make(map[string][]byte)}
}

// fail remembers err as the reason of all that goes wrong from here on.
func (d *disk) fail(err error) error {
	if d.err == nil {
		d.err = err
	}
	return d.err
}

// read returns the content of a file of the tree. The error is one that
// kustomize may see and go on with, unless it is d.err.
func (d *disk) read(name string) ([]byte, error) {
	if err := d.ctx.Err(); err != nil {
		return nil, d.fail(err)
	}
	data, err := fs.ReadFile(d.tree, name)
	switch {
	case err == nil:
		if err := d.inspect(name, data); err != nil {
			return nil, d.fail(fault.Input(fmt.Errorf("%s: %w", name, err)))
		}
		return data, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	info, e := fs.Stat(d.tree, name)
	switch {
	case errors.Is(e, fs.ErrNotExist):
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case e == nil && info.IsDir():
		return nil, &fs.PathError{Op: "read", Path: name, Err: errIsDir}
	}
	return nil, d.fail(err)
}

// stat reports whether there is something in the tree, and a directory.
func (d *disk) stat(name string) (isDir, ok bool) {
	if _, ok := d.over[name]; ok {
		return false, true
	}
	info, err := fs.Stat(d.tree, name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			d.fail(err)
		}
		return false, false
	}
	return info.IsDir(), true
}

// ReadFile implements [filesys.FileSystem].
func (d *disk) ReadFile(p string) ([]byte, error) {
	name, err := inTree(p)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: p, Err: err}
	}
	if data, ok := d.over[name]; ok {
		if err := d.inspect(name, data); err != nil {
			return nil, d.fail(fault.Input(fmt.Errorf("%s: %w", name, err)))
		}
		return data, nil
	}
	return d.read(name)
}

// CleanedAbs implements [filesys.FileSystem].
func (d *disk) CleanedAbs(p string) (filesys.ConfirmedDir, string, error) {
	name, err := inTree(p)
	if err != nil {
		return "", "", &fs.PathError{Op: "open", Path: p, Err: err}
	}
	isDir, ok := d.stat(name)
	switch {
	case !ok:
		return "", "", &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case isDir:
		return filesys.ConfirmedDir(path(name)), "", nil
	}
	dir, file := filepath.Split(path(name))
	return filesys.ConfirmedDir(filepath.Clean(dir)), file, nil
}

// IsDir implements [filesys.FileSystem].
func (d *disk) IsDir(p string) bool {
	name, err := inTree(p)
	if err != nil {
		return false
	}
	isDir, _ := d.stat(name)
	return isDir
}

// Exists implements [filesys.FileSystem].
func (d *disk) Exists(p string) bool {
	name, err := inTree(p)
	if err != nil {
		return false
	}
	_, ok := d.stat(name)
	return ok
}

// ReadDir implements [filesys.FileSystem].
func (d *disk) ReadDir(p string) ([]string, error) {
	name, err := inTree(p)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: p, Err: err}
	}
	list, err := fs.ReadDir(d.tree, name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			d.fail(err)
		}
		return nil, err
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names, nil
}

// Glob implements [filesys.FileSystem]. No build asks for it.
func (d *disk) Glob(string) ([]string, error) { return nil, errors.ErrUnsupported }

// Walk implements [filesys.FileSystem]. No build asks for it.
func (d *disk) Walk(string, filepath.WalkFunc) error { return errors.ErrUnsupported }

// Open implements [filesys.FileSystem]. No build asks for it.
func (d *disk) Open(string) (filesys.File, error) { return nil, errors.ErrUnsupported }

// Create implements [filesys.FileSystem].
func (d *disk) Create(string) (filesys.File, error) { return nil, errReadOnly }

// Mkdir implements [filesys.FileSystem].
func (d *disk) Mkdir(string) error { return errReadOnly }

// MkdirAll implements [filesys.FileSystem].
func (d *disk) MkdirAll(string) error { return errReadOnly }

// RemoveAll implements [filesys.FileSystem].
func (d *disk) RemoveAll(string) error { return errReadOnly }

// WriteFile implements [filesys.FileSystem].
func (d *disk) WriteFile(string, []byte) error { return errReadOnly }

var _ filesys.FileSystem = (*disk)(nil)

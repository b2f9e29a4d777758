package render

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/sane-gitops/sane/fault"
)

// ErrNoPath is wrapped by the error of a recipe whose directory is not there.
var ErrNoPath = errors.New("kustomization path not found")

// KustomizationFiles are the names by which kustomize knows its file.
var KustomizationFiles = []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}

// A Layout is what there is to render in a directory.
type Layout struct {
	Kustomization string // the file that says what to render; "" if there is none, and then:
	Files         []string
	Dirs          []string // below which a kustomization file says what to render
	Walk          []string // Files and Dirs in lexical order, as a walk comes by them
}

// Scan looks what there is to render in dir as Flux does: if it has no
// kustomization file, all *.yaml and *.yml files in and below it, and whole
// those directories below it that have a kustomization file. All names are
// relative to the root of tree. It reads no content.
func Scan(tree fs.FS, dir string) (Layout, error) {
	if !fs.ValidPath(dir) {
		return Layout{}, fault.Input(fmt.Errorf("invalid path %q: it must lie in the source", dir))
	}
	switch info, err := fs.Stat(tree, dir); {
	case errors.Is(err, fs.ErrNotExist):
		return Layout{}, fault.Input(fmt.Errorf("%w: stat %s: no such file or directory", ErrNoPath, dir))
	case err != nil:
		return Layout{}, fmt.Errorf("stat %s: %w", dir, err)
	case !info.IsDir():
		return Layout{}, fault.Input(fmt.Errorf("%w: %s is not a directory", ErrNoPath, dir))
	}
	for _, name := range KustomizationFiles {
		name = path.Join(dir, name)
		info, err := fs.Stat(tree, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Layout{}, fmt.Errorf("stat %s: %w", name, err)
		}
		if err == nil && !info.IsDir() {
			return Layout{Kustomization: name}, nil
		}
	}
	var l Layout
	return l, l.walk(tree, dir)
}

func (l *Layout) walk(tree fs.FS, dir string) error {
	list, err := fs.ReadDir(tree, dir)
	if err != nil {
		return fmt.Errorf("read %s: %w", dir, err)
	}
	for _, e := range list {
		name := path.Join(dir, e.Name())
		if e.IsDir() {
			err = l.enter(tree, name)
		} else if ext := path.Ext(name); ext == ".yaml" || ext == ".yml" {
			l.Files, l.Walk = append(l.Files, name), append(l.Walk, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// enter adds a directory below the first one, or what is in it.
func (l *Layout) enter(tree fs.FS, dir string) error {
	list, err := fs.ReadDir(tree, dir)
	if err != nil {
		return fmt.Errorf("read %s: %w", dir, err)
	}
	for _, e := range list {
		if !e.IsDir() && isKustomization(e.Name()) {
			l.Dirs, l.Walk = append(l.Dirs, dir), append(l.Walk, dir)
			return nil
		}
	}
	return l.walk(tree, dir)
}

func isKustomization(name string) bool {
	for _, k := range KustomizationFiles {
		if name == k {
			return true
		}
	}
	return false
}

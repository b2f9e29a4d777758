package source

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/trace"
)

// A Mount is a directory or a file of one tree that is to be seen in another.
type Mount struct {
	At   string // where it is to be seen; a valid path other than "."
	Tree fs.FS
	From string // what of Tree; "." for all of it
}

// Compose returns base with mounts in it. What base has of a mount's name is
// hidden, and directories that lead to one are there although base may have
// none. Where one mount is below another, it is seen in it. A nil base is empty.
//
// The tree it returns implements the same interfaces as a Snapshot's. It reads
// nothing but what it is asked for, so that a part costs as little as in a tree
// of its own, and has the same digests.
func Compose(base fs.FS, mounts ...Mount) fs.FS {
	c := &composed{base: base, mounts: slices.Clone(mounts), above: map[string]bool{".": true}}
	slices.SortFunc(c.mounts, func(a, b Mount) int { return strings.Compare(a.At, b.At) })
	for _, m := range mounts {
		for dir := path.Dir(m.At); !c.above[dir]; dir = path.Dir(dir) {
			c.above[dir] = true
		}
	}
	return c
}

// Sparse returns only those directories of tree, and what is in them. It fails
// if one of them is not there.
func Sparse(tree fs.FS, dirs []string) (fs.FS, error) {
	var mounts []Mount
	for _, dir := range dirs {
		name := Local(dir)
		switch is, err := trace.Ask(tree, trace.Stat, name); {
		case err != nil:
			return nil, err
		case is == "":
			return nil, fmt.Errorf("sparse checkout: '%s' is not in the repository: %w", dir, fs.ErrNotExist)
		case name == ".":
			return tree, nil
		}
		mounts = append(mounts, Mount{At: name, Tree: tree, From: name})
	}
	return Compose(nil, mounts...), nil
}

// Local returns the valid path that a person means by name, which may begin
// with a slash or "./". What leads out of the tree ends at its root.
func Local(name string) string {
	if name = strings.TrimPrefix(path.Clean("/"+name), "/"); name == "" {
		return "."
	}
	return name
}

// A composed is a tree made of parts of trees.
type composed struct {
	base   fs.FS // nil: none
	mounts []Mount
	above  map[string]bool // directories that lead to mounts
}

var (
	_ fs.StatFS      = (*composed)(nil)
	_ fs.ReadFileFS  = (*composed)(nil)
	_ fs.ReadDirFS   = (*composed)(nil)
	_ trace.Answerer = (*composed)(nil)
	_ trace.Differ   = (*composed)(nil)
)

// empty is a tree with nothing in it.
type empty struct{}

func (empty) Open(name string) (fs.File, error) {
	err := fs.ErrNotExist
	if !fs.ValidPath(name) {
		err = fs.ErrInvalid
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: err}
}

// at returns the tree that has what is seen by that name, and its name there.
// A directory that leads to mounts is in no one tree.
func (c *composed) at(name string) (tree fs.FS, inner string) {
	best := -1
	for i, m := range c.mounts {
		if within(m.At, name) && (best < 0 || len(m.At) > len(c.mounts[best].At)) {
			best = i
		}
	}
	switch {
	case best >= 0 && fs.ValidPath(name): // or else it could lead out of the mount
		m := c.mounts[best]
		return m.Tree, path.Join(m.From, strings.TrimPrefix(name[len(m.At):], "/"))
	case c.base == nil:
		return empty{}, name
	}
	return c.base, name
}

// within reports whether a name is dir, or below it.
func within(dir, name string) bool {
	return name == dir || dir == "." || strings.HasPrefix(name, dir+"/")
}

// Answer implements [trace.Answerer].
func (c *composed) Answer(op trace.Op, name string) (digest.Digest, error) {
	if !c.above[name] {
		tree, inner := c.at(name)
		return trace.Ask(tree, op, inner)
	}
	switch op {
	case trace.Stat:
		return "dir", nil
	case trace.Dir:
		list, err := c.ReadDir(name)
		return trace.Listing(list), err
	}
	return "", nil
}

// Stat implements [fs.StatFS].
func (c *composed) Stat(name string) (fs.FileInfo, error) {
	if c.above[name] {
		return plainDir(path.Base(name)), nil
	}
	tree, inner := c.at(name)
	info, err := fs.Stat(tree, inner)
	if err != nil {
		return nil, seenAs(name, err)
	}
	return renamed{info, path.Base(name)}, nil
}

// ReadFile implements [fs.ReadFileFS].
func (c *composed) ReadFile(name string) ([]byte, error) {
	if c.above[name] {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("is a directory")}
	}
	tree, inner := c.at(name)
	data, err := fs.ReadFile(tree, inner)
	return data, seenAs(name, err)
}

// ReadDir implements [fs.ReadDirFS].
func (c *composed) ReadDir(name string) ([]fs.DirEntry, error) {
	tree, inner := c.at(name)
	list, err := fs.ReadDir(tree, inner)
	if !c.above[name] {
		return list, seenAs(name, err)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, seenAs(name, err)
	}
	for _, child := range c.below(name) {
		i, there := slices.BinarySearchFunc(list, child, func(e fs.DirEntry, n string) int { return strings.Compare(e.Name(), n) })
		if there {
			list = slices.Delete(slices.Clone(list), i, i+1)
		}
		info, err := c.Stat(path.Join(name, child))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = slices.Insert(list, i, fs.FileInfoToDirEntry(info))
	}
	return list, nil
}

// below returns the names in a directory that are mounts, or lead to them.
func (c *composed) below(dir string) []string {
	var names []string
	for _, m := range c.mounts {
		if !within(dir, m.At) || m.At == dir {
			continue
		}
		rest := m.At
		if dir != "." {
			rest = rest[len(dir)+1:]
		}
		name, _, _ := strings.Cut(rest, "/")
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Open implements [fs.FS].
func (c *composed) Open(name string) (fs.File, error) {
	info, err := c.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		list, err := c.ReadDir(name)
		if err != nil {
			return nil, err
		}
		return OpenDir(info, list), nil
	}
	data, err := c.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return OpenFile(info, data), nil
}

// seenAs returns err with the name by which it was asked.
func seenAs(name string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return &fs.PathError{Op: p.Op, Path: name, Err: p.Err}
	}
	return err
}

// Diff implements [trace.Differ]: what differs in the parts. Where other parts
// are mounted than before it can't tell.
func (c *composed) Diff(old fs.FS, most int) (map[string]bool, bool) {
	was, ok := old.(*composed)
	if !ok || (c.base == nil) != (was.base == nil) || !slices.EqualFunc(c.mounts, was.mounts, samePlace) {
		return nil, false
	}
	names := make(map[string]bool)
	if c.base != nil {
		if names, ok = trace.Diff(was.base, c.base, most); !ok {
			return nil, false
		}
	}
	for i, m := range c.mounts {
		diff, ok := trace.Diff(was.mounts[i].Tree, m.Tree, most)
		if !ok {
			return nil, false
		}
		m.see(diff, names)
	}
	return names, len(names) <= most
}

func samePlace(a, b Mount) bool { return a.At == b.At && a.From == b.From }

// see adds what differs in m's tree by the names by which it is seen.
func (m Mount) see(diff, names map[string]bool) {
	for name := range diff {
		if !within(m.From, name) {
			continue
		}
		if name == m.From { // perhaps it is a file now, or a directory
			names[path.Dir(m.At)] = true
		}
		if m.From != "." {
			name = strings.TrimPrefix(name[len(m.From):], "/")
		}
		names[path.Join(m.At, name)] = true
	}
}

// A renamed is a FileInfo by another name.
type renamed struct {
	fs.FileInfo
	name string
}

func (r renamed) Name() string { return r.name }

// A plainDir is a directory that is there since something is in it.
type plainDir string

func (d plainDir) Name() string     { return string(d) }
func (plainDir) Size() int64        { return 0 }
func (plainDir) Mode() fs.FileMode  { return fs.ModeDir | 0o755 }
func (plainDir) ModTime() time.Time { return time.Time{} }
func (plainDir) IsDir() bool        { return true }
func (plainDir) Sys() any           { return nil }

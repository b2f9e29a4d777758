package git

import (
	"bytes"
	"io/fs"
	"iter"
	"path"

	"github.com/sane-gitops/sane/trace"
)

var _ trace.Differ = (*snapshot)(nil)

// Diff implements [trace.Differ] by comparing object ids: it reads only the
// directories that lead to a difference.
func (s *snapshot) Diff(old fs.FS, most int) (map[string]bool, bool) {
	was, ok := old.(*snapshot)
	if !ok || was.mirror != s.mirror {
		return nil, false
	}
	d := &difference{was: was, now: s, most: most, names: make(map[string]bool)}
	d.dir(".", was.commit.tree, s.commit.tree)
	return d.names, !d.failed
}

// A difference is being found between two trees.
type difference struct {
	was, now *snapshot
	most     int
	names    map[string]bool
	failed   bool
}

func (d *difference) add(name string) {
	d.names[name] = true
	d.failed = d.failed || len(d.names) > d.most
}

// dir compares two directories of the same name; an id is nil where there is
// none.
func (d *difference) dir(name string, was, now []byte) {
	if d.failed || bytes.Equal(was, now) {
		return
	}
	a, errA := d.read(d.was, was)
	b, errB := d.read(d.now, now)
	if errA != nil || errB != nil {
		d.failed = true
		return
	}
	if a.digest() != b.digest() {
		d.add(name)
	}
	for was, now := range pairs(a, b) {
		d.entry(name, was, now)
	}
}

// pairs yields the entries of two trees in order of name, those of the same name
// together. An entry without a name stands for none.
func pairs(a, b *tree) iter.Seq2[entry, entry] {
	return func(yield func(entry, entry) bool) {
		for i, j := 0, 0; i < len(a.at) || j < len(b.at); {
			var was, now entry
			c := order(a, i, b, j)
			if c <= 0 {
				was = a.entry(i)
				i++
			}
			if c >= 0 {
				now = b.entry(j)
				j++
			}
			if !yield(was, now) {
				return
			}
		}
	}
}

// order compares the names of the next entries of two trees; that of a tree at
// its end comes last.
func order(a *tree, i int, b *tree, j int) int {
	switch {
	case i == len(a.at):
		return 1
	case j == len(b.at):
		return -1
	}
	return bytes.Compare(a.entry(i).name, b.entry(j).name)
}

// read returns a tree object, or an empty one for no id.
func (d *difference) read(s *snapshot, id []byte) (*tree, error) {
	if id == nil {
		return &tree{}, nil
	}
	return s.tree(id)
}

// entry compares two entries of the same name in a directory; an entry without
// a name stands for none.
func (d *difference) entry(dir string, was, now entry) {
	if bytes.Equal(was.id, now.id) && bytes.Equal(was.mode, now.mode) {
		return
	}
	elem := was.name
	if elem == nil {
		elem = now.name
	}
	name := path.Join(dir, string(elem))
	wasDir, nowDir := was.name != nil && was.kind() == directory, now.name != nil && now.kind() == directory
	if !wasDir || !nowDir {
		d.add(name)
	}
	if wasDir || nowDir {
		d.dir(name, idIf(wasDir, was), idIf(nowDir, now))
	}
}

func idIf(is bool, e entry) []byte {
	if !is {
		return nil
	}
	return e.id
}

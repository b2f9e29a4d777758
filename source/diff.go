package source

import (
	"io/fs"
	"path"
	"reflect"

	"github.com/sane-gitops/sane/trace"
)

var _ trace.Differ = (*filtered)(nil)

// Diff implements [trace.Differ]. Where rules have changed it can't tell.
func (f *filtered) Diff(old fs.FS, most int) (map[string]bool, bool) {
	was, ok := old.(*filtered)
	if !ok || !reflect.DeepEqual(f.last, was.last) {
		return nil, false
	}
	names, ok := trace.Diff(was.tree, f.tree, most)
	for n := range names {
		if path.Base(n) == ignoreFile {
			return nil, false
		}
	}
	return names, ok
}

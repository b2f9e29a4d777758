package trace

import "io/fs"

// A Differ is a tree that can say quickly where another one differs.
type Differ interface {
	// Diff returns the names of which a question may get another answer from
	// this tree than from old: of files and directories that were added,
	// removed or changed, and of directories whose listing is another. It may
	// return more, and never fewer. It returns false if it can't tell, or if
	// there are more than most.
	Diff(old fs.FS, most int) (names map[string]bool, ok bool)
}

// Diff asks tree where it differs from old; see [Differ].
func Diff(old, tree fs.FS, most int) (names map[string]bool, ok bool) {
	d, ok := tree.(Differ)
	if !ok {
		return nil, false
	}
	return d.Diff(old, most)
}

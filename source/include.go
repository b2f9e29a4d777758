package source

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/trace"
)

// An Include is a part of another feed's tree that is to be seen in a feed's
// own.
type Include struct {
	Feed FeedName
	From string // what of its tree, as [Local] reads it; "" for all of it
	To   string // where it is to be seen; "" for the name of the feed
}

// At returns where the part is to be seen.
func (i Include) At() string {
	if i.To == "" {
		return Local(i.Feed.Name)
	}
	return Local(i.To)
}

// An Included is what was included of another feed.
type Included struct {
	Feed     FeedName
	Revision Revision
	Since    time.Time // when that feed's snapshot came
}

// ErrInclude is what an [IncludeError] is.
var ErrInclude = errors.New("what is to be included is not available")

// What an include may lack.
const (
	LacksFeed = "feed" // nobody asks for it
	LacksTree = "tree" // it has not been fetched yet
	LacksPath = "path" // of its tree, or in the tree that includes it
)

// An IncludeError says which feed can't be included, and why not.
type IncludeError struct {
	Feed  FeedName
	Lacks string // one of the constants
	Why   string // for people
}

func (e *IncludeError) Error() string { return "include '" + e.Feed.Name + "': " + e.Why }
func (e *IncludeError) Unwrap() error { return ErrInclude }

// Shape returns a tree that came for f as f asks for it: only the directories
// of a sparse checkout, with the included parts, without what the ignore rules
// leave out. There is a part's tree for each of f.Include. What is to be left as it
// is, is.
func (f Feed) Shape(tree fs.FS, parts []fs.FS) (fs.FS, error) {
	if f.Ref.Copy {
		return tree, nil
	}
	if len(f.Sparse) > 0 {
		var err error
		tree, err = Sparse(tree, f.Sparse)
		if errors.Is(err, fs.ErrNotExist) {
			err = fault.Input(err)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(f.Include) > 0 {
		var err error
		if tree, err = f.include(tree, parts); err != nil {
			return nil, err
		}
	}
	return Filter(tree, f.Ignore), nil
}

// include mounts the parts, where nothing is yet.
func (f Feed) include(tree fs.FS, parts []fs.FS) (fs.FS, error) {
	var mounts []Mount
	for i, inc := range f.Include {
		m := Mount{At: inc.At(), Tree: parts[i], From: Local(inc.From)}
		lacks := func(format string, args ...any) error {
			return fault.Input(&IncludeError{Feed: inc.Feed, Lacks: LacksPath, Why: fmt.Sprintf(format, args...)})
		}
		if is, err := trace.Ask(m.Tree, trace.Stat, m.From); err != nil {
			return nil, err
		} else if is == "" {
			return nil, lacks("'%s' is not in it", inc.From)
		}
		there, err := takes(Compose(tree, mounts...), m.At)
		if err != nil {
			return nil, err
		}
		if there != "" {
			return nil, lacks("it can't be put at '%s', since '%s' is there already", m.At, there)
		}
		mounts = append(mounts, m)
	}
	return Compose(tree, mounts...), nil
}

// takes returns what of tree is in the way of something new of that name, or "".
func takes(tree fs.FS, name string) (string, error) {
	is, err := trace.Ask(tree, trace.Stat, name)
	if err != nil || is != "" {
		return name, err
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if is, err := trace.Ask(tree, trace.Stat, dir); err != nil || is == "file" {
			return dir, err
		}
	}
	return "", nil
}

// Composite returns the revision of a tree of f's that is own with what it
// includes. It is called as own is, and is another one if any of them is.
func (f Feed) Composite(own Revision, parts []Included) Revision {
	if len(parts) == 0 {
		return own
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", own.Digest)
	for i, p := range parts {
		fmt.Fprintf(&b, "%q %q %s\n", f.Include[i].At(), Local(f.Include[i].From), p.Revision.Digest)
	}
	return Revision{Name: own.Name, Digest: digest.Of([]byte(b.String()))}
}

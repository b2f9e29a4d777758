package source

import (
	"context"
	"time"

	"github.com/sane-gitops/sane/digest"
)

// A Historian is a Source that can tell how a revision came to be.
type Historian interface {
	// History returns what led to rev, which came from an earlier Resolve of ref, the
	// newest first. It fetches what is not here, within the bounds of q.
	History(ctx context.Context, at Remote, ref Ref, rev Revision, q Query) (Log, error)
}

// A Query says how much of a history is wanted. The zero Query is its newest part.
type Query struct {
	Path  string    // only entries that changed something at or below it, and of these only that; "" means everything
	Most  int       // entries; 0 means 50
	Since time.Time // only entries of this time or later, up to the first that is older; zero means all
}

// A Log is a part of a history, the newest entry first.
type Log struct {
	Entries []Entry
	Looked  int  // how many revisions were looked at
	More    bool // older ones were not
}

// An Entry is a revision and what it changed. What is in it was written by whoever
// could push: it is valid UTF-8, and may hold any character.
type Entry struct {
	ID digest.Digest // "sha1:1f0c3d…"; of an image, that of its manifest
	Commit
	Committer string
	Authored  time.Time
	Merge     bool     // it joins others to the first before it, and Changes are what they brought
	Changes   []Change // in order of Path
	Cut       bool     // there are more changes than these

	// Metadata is what a publisher said of it, where that is no commit.
	Metadata map[string]string
}

// A Change is what became of a file, a link or a submodule.
type Change struct {
	Verb Verb
	Path string
	From string // where it was before, if it was Renamed
}

// A Verb says what became of something.
type Verb byte

const (
	Added    Verb = 'A'
	Modified Verb = 'M'
	Deleted  Verb = 'D'
	Renamed  Verb = 'R' // and not modified
)

// String returns git's letter.
func (v Verb) String() string { return string(rune(v)) }

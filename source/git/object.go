package git

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/source"
)

// A commit is what we need of a commit object.
type commit struct {
	source.Commit
	committer string
	authored  time.Time
	tree      []byte   // id
	parents   []string // hexadecimal ids
}

var errMalformed = errors.New("malformed object")

// parseCommit reads a commit object.
func parseCommit(data []byte) (c commit, err error) {
	head, message, _ := bytes.Cut(data, []byte("\n\n"))
	for line := range bytes.SplitSeq(head, []byte("\n")) {
		key, value, _ := bytes.Cut(line, []byte(" "))
		switch string(key) {
		case "tree":
			if c.tree, err = hex.DecodeString(string(value)); err != nil {
				return commit{}, errMalformed
			}
		case "parent":
			if !isID(string(value)) {
				return commit{}, errMalformed
			}
			c.parents = append(c.parents, string(value))
		case "author":
			c.Author, c.authored = parsePerson(value)
		case "committer":
			c.committer, c.When = parsePerson(value)
		}
	}
	subject, _, _ := strings.Cut(strings.TrimSpace(string(message)), "\n")
	c.Subject = strings.ToValidUTF8(strings.TrimSpace(subject), "\uFFFD")
	if c.tree == nil {
		return commit{}, errMalformed
	}
	return c, nil
}

// parsePerson reads "Name <address> seconds zone".
func parsePerson(b []byte) (who string, when time.Time) {
	i := bytes.LastIndexByte(b, '>')
	if i < 0 {
		return "", time.Time{}
	}
	who = strings.ToValidUTF8(string(b[:i+1]), "\uFFFD")
	seconds, zone, _ := strings.Cut(strings.TrimSpace(string(b[i+1:])), " ")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return who, time.Time{}
	}
	when = time.Unix(n, 0).UTC()
	if z, err := time.Parse("-0700", zone); err == nil {
		when = when.In(z.Location())
	}
	return who, when
}

// A tree is a tree object as git writes it, and where its entries begin.
// It has no pointers per entry, since there are a great many of them.
type tree struct {
	id      string // not hexadecimal
	raw     []byte
	at      []uint32 // in order of name, which is not git's order
	listing atomic.Pointer[digest.Digest]
}

// An entry is one thing in a tree. Its slices are the tree's.
type entry struct {
	mode, name, id []byte
}

// A kind is what an entry is.
type kind byte

const (
	file kind = iota
	program
	directory
	link
	submodule
	odd // what git does not write
)

func (e entry) kind() kind {
	switch string(e.mode) {
	case "100644", "100664", "100600":
		return file
	case "100755":
		return program
	case "40000", "040000":
		return directory
	case "120000":
		return link
	case "160000":
		return submodule
	}
	return odd
}

// listed reports whether sources hold such an entry.
func (e entry) listed() bool {
	k := e.kind()
	return (k == file || k == program || k == directory) && utf8.Valid(e.name)
}

// fsMode returns the mode that goes with a kind.
func (k kind) fsMode() fs.FileMode {
	switch k {
	case directory:
		return fs.ModeDir | 0o755
	case program:
		return 0o755
	}
	return 0o644
}

// parseTree reads a tree object, which it keeps.
func parseTree(id string, raw []byte) (*tree, error) {
	t := &tree{id: id, raw: raw}
	for i := 0; i < len(raw); {
		nul := bytes.IndexByte(raw[i:], 0)
		if nul < 0 || i+nul+1+len(id) > len(raw) {
			return nil, errMalformed
		}
		t.at = append(t.at, uint32(i))
		if e := t.entry(len(t.at) - 1); !validElement(e.name) {
			return nil, fmt.Errorf("a tree holds the name %q: %w", e.name, errMalformed)
		}
		i += nul + 1 + len(id)
	}
	slices.SortFunc(t.at, func(a, b uint32) int { return bytes.Compare(t.entryAt(a).name, t.entryAt(b).name) })
	for i := 1; i < len(t.at); i++ {
		if bytes.Equal(t.entry(i-1).name, t.entry(i).name) {
			return nil, fmt.Errorf("a tree holds two %q: %w", t.entry(i).name, errMalformed)
		}
	}
	t.at = slices.Clip(t.at)
	return t, nil
}

func validElement(name []byte) bool {
	return len(name) > 0 && string(name) != "." && string(name) != ".." && bytes.IndexByte(name, '/') < 0
}

func (t *tree) entry(i int) entry { return t.entryAt(t.at[i]) }

func (t *tree) entryAt(at uint32) entry {
	head, rest, _ := bytes.Cut(t.raw[at:], []byte{0})
	mode, name, _ := bytes.Cut(head, []byte{' '})
	return entry{mode, name, rest[:len(t.id)]}
}

// find returns the entry of that name.
func (t *tree) find(name string) (entry, bool) {
	lo, hi := 0, len(t.at)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		e := t.entry(mid)
		switch {
		case string(e.name) == name:
			return e, true
		case string(e.name) < name:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return entry{}, false
}

// size returns about how many bytes of memory t takes.
func (t *tree) size() int64 { return int64(len(t.raw) + 4*len(t.at) + 300) }

// digest returns what trace.Listing would say of the tree.
func (t *tree) digest() digest.Digest {
	if d := t.listing.Load(); d != nil {
		return *d
	}
	b := make([]byte, 0, len(t.raw))
	for i := range t.at {
		e := t.entry(i)
		if !e.listed() {
			continue
		}
		b = append(append(b, e.name...), 0)
		b = strconv.AppendBool(b, e.kind() == directory)
		b = append(b, '\n')
	}
	d := digest.Of(b)
	t.listing.Store(&d)
	return d
}

package render

import (
	"slices"
	"strings"

	"github.com/sane-gitops/sane/trace"
)

// A where knows who has read in which part of the tree: keys by the lowest
// directory that holds all that a rendering read under one of the tree's first
// directories. So a change is held against the reads of those only that have
// read around it, rather than of all.
type where map[string][]string

func (w where) add(key string, q questions) {
	for _, root := range q.roots() {
		w[root] = append(w[root], key)
	}
}

func (w where) remove(key string, q questions) {
	for _, root := range q.roots() {
		rest := slices.DeleteFunc(w[root], func(k string) bool { return k == key })
		if w[root] = rest; len(rest) == 0 {
			delete(w, root)
		}
	}
}

// around yields the keys that may have read name, some more than once.
func (w where) around(name string, yield func(key string)) {
	for {
		for _, key := range w[name] {
			yield(key)
		}
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return
		}
		name = name[:i]
	}
}

// roots returns where the questions lie: for each of the tree's first
// directories and files that they are about, the lowest directory or the file
// that holds all of them. The tree itself, as ".", stands for itself only.
func (q questions) roots() []string {
	at := make(map[string]string)
	q.each(func(op trace.Op, name []byte) bool {
		if op != trace.Fact {
			first, _, _ := strings.Cut(string(name), "/")
			at[first] = above(at[first], string(name))
		}
		return true
	})
	roots := make([]string, 0, len(at))
	for _, root := range at {
		roots = append(roots, root)
	}
	slices.Sort(roots)
	return roots
}

// above returns the lowest name that is, or holds, both a and b; "" stands for
// none.
func above(a, b string) string {
	if a == "" {
		return b
	}
	for !holds(a, b) {
		a = a[:strings.LastIndexByte(a, '/')]
	}
	return a
}

// holds reports whether the directory a is, or holds, b.
func holds(a, b string) bool {
	return strings.HasPrefix(b, a) && (len(a) == len(b) || b[len(a)] == '/')
}

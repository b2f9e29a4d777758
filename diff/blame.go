package diff

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sane-gitops/sane/object"
)

// An Owned is a line of an object as YAML writes it, and who owns the field that
// it is of, or begins.
type Owned struct {
	Text  string
	By    string // "" if nobody does, or if there are fields below it
	Since time.Time
}

// Blame returns an object line by line, each with who owns it in owned, which is
// the object with its managedFields.
func Blame(o, owned object.Object) []Owned {
	b := blamer{stewards: stewards(owned)}
	b.keys(o.Body())
	return b.lines
}

// A blamer writes an object line by line.
type blamer struct {
	stewards []steward
	path     []fieldStep
	lines    []Owned
}

// in writes what is in a field or in an item, moved in by indent.
func (b *blamer) in(st fieldStep, indent string, write func()) {
	n, from := len(b.path), len(b.lines)
	b.path = append(b.path, st)
	write()
	b.path = b.path[:n]
	for i := from; i < len(b.lines); i++ {
		b.lines[i].Text = indent + b.lines[i].Text
	}
}

func (b *blamer) keys(m map[string]any) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		st := fieldStep{name: k}
		switch v := m[k].(type) {
		case map[string]any:
			if len(v) > 0 {
				b.lines = append(b.lines, Owned{Text: scalar(k) + ":"})
				b.in(st, "  ", func() { b.keys(v) })
				continue
			}
		case []any:
			if len(v) > 0 {
				b.lines = append(b.lines, Owned{Text: scalar(k) + ":"})
				b.in(st, "", func() { b.items(v) })
				continue
			}
		}
		b.in(st, "", func() { b.whole(map[string]any{k: m[k]}) })
	}
}

func (b *blamer) items(list []any) {
	for _, item := range list {
		b.in(fieldStep{item: item, inList: true}, "", func() {
			m, ok := item.(map[string]any)
			if !ok || len(m) == 0 {
				b.whole([]any{item})
				return
			}
			from := len(b.lines)
			b.keys(m)
			for i := from; i < len(b.lines); i++ {
				mark := "  "
				if i == from {
					mark = "- "
				}
				b.lines[i].Text = mark + b.lines[i].Text
			}
		})
	}
}

// whole writes a value that has one owner, that of where b looks.
func (b *blamer) whole(v any) {
	by, since := ownerOf(b.stewards, b.path)
	for _, l := range yamlLines(v) {
		b.lines = append(b.lines, Owned{l, by, since})
	}
}

// YAML returns an object as people read it.
func YAML(o object.Object) string {
	if o.IsZero() {
		return ""
	}
	return strings.Join(yamlLines(o.Body()), "\n")
}

package cli

import (
	"io"
	"strings"
	"unicode/utf8"
)

// A table lays out rows under a head, as kubectl does. Rows can be added after
// others have been written: columns only grow.
type table struct {
	head   []string
	rows   [][]string
	widths []int
	begun  bool
	bare   bool                             // without a head
	paint  func(column, cell string) colour // nil means none
}

func (t *table) add(cells ...string) {
	for i, c := range cells {
		cells[i] = oneLine(c)
	}
	t.rows = append(t.rows, cells)
}

// put adds cells as they are: a line of text each.
func (t *table) put(cells ...string) { t.rows = append(t.rows, cells) }

// write writes the rows that have not been written yet.
func (t *table) write(s screen) error {
	rows := t.rows
	t.rows = nil
	if !t.begun && !t.bare {
		t.grow(t.head)
	}
	for _, r := range rows {
		t.grow(r)
	}
	var b strings.Builder
	if !t.begun && !t.bare {
		t.line(&b, s, t.head, false)
	}
	t.begun = true
	for _, r := range rows {
		t.line(&b, s, r, true)
	}
	_, err := io.WriteString(s, b.String())
	return err
}

func (t *table) grow(cells []string) {
	for i, c := range cells {
		if i == len(t.widths) {
			t.widths = append(t.widths, 0)
		}
		t.widths[i] = max(t.widths[i], utf8.RuneCountInString(c))
	}
}

const gap = 3

func (t *table) line(b *strings.Builder, s screen, cells []string, paint bool) {
	pad := 0
	for i, c := range cells {
		if c == "" {
			pad += t.widths[i] + gap
			continue
		}
		b.WriteString(strings.Repeat(" ", pad))
		pad = t.widths[i] - utf8.RuneCountInString(c) + gap
		if paint && t.paint != nil {
			c = s.paint(t.paint(t.head[i], c), c)
		}
		b.WriteString(c)
	}
	b.WriteByte('\n')
}

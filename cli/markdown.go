package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/diff"
	"github.com/sane-gitops/sane/engine"
	"github.com/sane-gitops/sane/plan"
)

// How long a comment may be: GitHub takes 65,536 letters, and no other takes less.
const (
	maxMarkdown  = 60000 // bytes of all
	maxRows      = 20000 // of them for tables
	maxDiffLines = 200   // of one object
	maxDiffWidth = 400   // letters of a line
	maxTries     = 20    // of objects whose fields do not fit, before no more are looked at
)

// A markdown is a comment on a pull request. Whatever it tells is shown as text: in
// code, of which neither Markdown nor HTML nor a forge makes anything else.
type markdown struct {
	b strings.Builder
}

// A told is how an object differs.
type told struct {
	verb, object, why string
	lines             []diff.Line
}

// begin begins with what a program knows the comment by, to write it anew.
func (m *markdown) begin(what string) { fmt.Fprintf(&m.b, "<!-- sane %s -->\n", what) }

// section tells of a unit.
func (m *markdown) section(title, sum string, all []told) {
	fmt.Fprintf(&m.b, "### %s\n\n%s\n", title, sum)
	m.rows(all)
	m.details(all)
	m.b.WriteByte('\n')
}

func (m *markdown) rows(all []told) {
	if len(all) == 0 {
		return
	}
	m.b.WriteString("\n| | Object | Why |\n|---|---|---|\n")
	end := m.b.Len() + maxRows
	for i, t := range all {
		row := fmt.Sprintf("| %s | %s | %s |\n", t.verb, coded(t.object), coded(t.why))
		if m.b.Len()+len(row) > min(end, maxMarkdown-1000) {
			fmt.Fprintf(&m.b, "| … | %d more | |\n", len(all)-i)
			return
		}
		m.b.WriteString(row)
	}
}

func (m *markdown) details(all []told) {
	left := 0
	for _, t := range all {
		if len(t.lines) == 0 {
			continue
		}
		room := maxMarkdown - 200 - m.b.Len()
		if left > maxTries || room < 200 {
			left++
		} else if text := detail(t); len(text) > room {
			left++
		} else {
			m.b.WriteString(text)
		}
	}
	if left > 0 {
		fmt.Fprintf(&m.b, "\nThe fields of %d more are too many to be shown here.\n", left)
	}
}

// detail tells which fields of an object differ, folded.
func detail(t told) string {
	var body strings.Builder
	for i, l := range t.lines {
		if i == maxDiffLines {
			fmt.Fprintf(&body, "  … and %d more lines\n", len(t.lines)-i)
			break
		}
		body.WriteString(string(l.Mark) + " " + clip(shown(l.Text), maxDiffWidth) + "\n")
	}
	fence := "```"
	for strings.Contains(body.String(), fence) {
		fence += "`"
	}
	return fmt.Sprintf("\n<details><summary>%s %s</summary>\n\n%sdiff\n%s%s\n\n</details>\n", t.verb, coded(t.object), fence, body.String(), fence)
}

// coded returns text as code that means nothing but itself.
func coded(text string) string {
	if text = safe(text); text == "" {
		return ""
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r > 0x7f, strings.ContainsRune(" ./,-", r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "&#%d;", r)
		}
	}
	return "<code>" + b.String() + "</code>"
}

// write ends the comment.
func (m *markdown) write(w io.Writer) error {
	text := m.b.String()
	if len(text) > maxMarkdown { // of so many units that not even their names fit
		text = text[:strings.LastIndexByte(text[:maxMarkdown], '\n')+1] + "\nThere is more than fits here.\n"
	}
	_, err := io.WriteString(w, text)
	return err
}

// planned tells of a plan.
func (m *markdown) planned(title string, v engine.Preview) {
	var all []told
	changes, held := 0, 0
	for _, l := range linesOf(v) {
		t := told{verb: string(l.Verb), object: l.ID.String(), why: l.why()}
		if l.Verb == plan.Hold {
			held++
		} else {
			changes++
			t.lines = l.Lines
		}
		all = append(all, t)
	}
	sum := "Nothing would change."
	if changes > 0 {
		sum = counted(changes, "object") + " would change."
	}
	if held > 0 {
		sum += fmt.Sprintf(" **%s would be held until somebody approves.**", counted(held, "deletion"))
	}
	m.section(title, sum, all)
}

// compared tells how objects differ.
func (m *markdown) compared(title string, found []ask.Comparison) {
	var all []told
	for _, c := range found {
		t := told{verb: c.Verb, object: c.ID.String(), lines: c.Lines}
		if c.Verb == "update" {
			t.why = fewFields(c.Fields)
		}
		all = append(all, t)
	}
	sum := "Nothing differs."
	switch len(all) {
	case 0:
	case 1:
		sum = "1 object differs."
	default:
		sum = fmt.Sprintf("%d objects differ.", len(all))
	}
	m.section(title, sum, all)
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

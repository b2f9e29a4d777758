package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/diff"
)

// tell prints the answer.
func (w *asking) tell() error {
	if w.output == "json" {
		return w.printJSON(w.answer)
	}
	a := w.answer
	w.headline(a.State)
	w.reasons(a.State)
	w.facts()
	w.mismatches(a.Differs)
	w.strayFields(a.Strays)
	w.list("Used by:", a.UsedBy, maxUsers)
	w.list("What could not be learnt:", a.Unknown, maxLines)
	return nil
}

// printJSON prints a value as JSON, in which all that a terminal might take for
// more than text is escaped.
func (d *desk) printJSON(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "    ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	var out strings.Builder
	for _, r := range b.String() {
		if r == '\n' || unicode.IsPrint(r) {
			out.WriteRune(r)
			continue
		}
		for _, u := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&out, `\u%04x`, u)
		}
	}
	_, err := io.WriteString(d.out, out.String())
	return err
}

// line prints a line, of which what comes from elsewhere has been made safe.
func (w *asking) line(indent int, c colour, text string) {
	io.WriteString(w.out, strings.Repeat(" ", indent)+w.out.paint(c, text)+"\n")
}

func (w *asking) headline(r *ask.Reason) {
	w.line(0, bold, w.sentence(r))
	w.details(2, r)
}

// sentence returns what a reason says, and since when.
func (w *asking) sentence(r *ask.Reason) string {
	s := safe(r.Says)
	if r.About != "" {
		s = safe(r.About) + ": " + s
	}
	if !r.Since.IsZero() {
		s += " (for " + w.age(r.Since) + ")"
	}
	return s
}

// details prints what else is known of a reason.
func (w *asking) details(indent int, r *ask.Reason) {
	for _, m := range r.More {
		w.line(indent, plain, safe(m))
	}
	for _, e := range r.Events {
		s := "event " + e.Reason
		if e.Count > 1 {
			s += ", " + times(e.Count)
		}
		if !e.Last.IsZero() {
			s += ", " + w.ago(e.Last)
		}
		w.line(indent, faint, safe(s+": "+e.Message))
	}
	if r.Do != "" {
		w.line(indent, yellow, "→ "+safe(r.Do))
	}
}

// reasons prints what led to r, the first cause first.
func (w *asking) reasons(r *ask.Reason) {
	if len(r.Because) == 0 {
		return
	}
	title := "Why, the first cause first:"
	if r.Well {
		title = "Not all is well, the first cause first:"
	}
	fmt.Fprintf(w.out, "\n%s\n", title)
	for _, b := range r.Because {
		w.chain(b)
	}
}

// chain prints what led to r, and r after it. It returns how many steps there
// are before r.
func (w *asking) chain(r *ask.Reason) int {
	steps := 0
	for _, b := range r.Because {
		steps = max(steps, w.chain(b)+1)
	}
	indent := 2 + 2*steps
	if steps == 0 {
		w.line(indent, red, w.sentence(r))
	} else {
		w.line(indent, plain, "so "+w.sentence(r))
	}
	w.details(indent+4, r)
	return steps
}

// facts prints what is known of where an object comes from.
func (w *asking) facts() {
	a := w.answer
	t := table{bare: true}
	if k := a.Keeper; k != nil {
		t.fact("kept by", unitCell(k))
		t.fact("but", k.Doubt)
	}
	t.fact("made by", strings.Join(a.MadeBy, ", made by "))
	if o := a.Origin; o != nil {
		t.fact("file", fileCell(o))
		t.fact("revision", w.revisionLine(o))
		t.fact("made of", o.MadeOf)
		if a.Tries != nil {
			t.fact("tries", w.revisionLine(a.Tries))
		}
		t.fact("source", strings.TrimSuffix(o.Source+", "+o.URL, ", "))
	}
	for _, x := range a.Asks {
		t.fact("asks", x.Means+" ("+x.Key+": "+x.Value+w.by(x.By, x.Since)+")")
	}
	if len(t.rows) > 0 {
		fmt.Fprintln(w.out)
		_ = t.write(w.out)
	}
}

// fact adds a row, if there is anything to say.
func (t *table) fact(name, text string) {
	if text != "" {
		t.add(name, safe(text))
	}
}

func unitCell(k *ask.Keeper) string {
	switch {
	case k.Unit == "":
		return "nobody"
	case k.State == "":
		return k.Unit
	}
	return k.Unit + ": " + k.State
}

func fileCell(o *ask.Origin) string {
	if o.Line == 0 {
		return o.File
	}
	return o.File + ":" + strconv.Itoa(o.Line)
}

// revisionLine returns a revision, who made it and when, and what they called it.
func (w *asking) revisionLine(o *ask.Origin) string {
	if o.Revision == "" {
		return ""
	}
	s := ask.ShortRevision(o.Revision)
	if o.Author != "" {
		s += ", by " + o.Author
	}
	if !o.When.IsZero() {
		s += ", " + w.ago(o.When)
	}
	if o.Subject != "" {
		s += ": " + strconv.Quote(o.Subject)
	}
	return s
}

func (w *asking) by(who string, since time.Time) string {
	switch {
	case who == "":
		return ""
	case since.IsZero():
		return ", by " + who
	}
	return ", by " + who + ", " + w.ago(since)
}

func (w *asking) mismatches(all []diff.Mismatch) {
	if len(all) == 0 {
		return
	}
	fmt.Fprint(w.out, "\nIt differs from what is wanted:\n")
	t := table{head: []string{"FIELD", "IS", "WANTED", "OWNED BY", "FOR"}}
	for _, g := range all[:min(len(all), maxFields)] {
		t.add(safe(g.Field), orNone(g.Is), orNone(g.Want), safe(g.By), w.age(g.Since))
	}
	_ = t.write(w.out)
	w.andMore(len(all) - maxFields)
}

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return safe(s)
}

func (w *asking) strayFields(all []diff.Stray) {
	if len(all) == 0 {
		return
	}
	fmt.Fprint(w.out, "\nFields of others, of which nothing is wanted:\n")
	t := table{head: []string{"FIELD", "OWNED BY", "FOR"}}
	for _, s := range all[:min(len(all), maxFields)] {
		t.add(safe(s.Field), safe(s.By), w.age(s.Since))
	}
	_ = t.write(w.out)
	w.andMore(len(all) - maxFields)
}

func (w *asking) list(title string, all []string, most int) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(w.out, "\n%s\n", title)
	for _, s := range all[:min(len(all), most)] {
		w.line(2, plain, safe(s))
	}
	w.andMore(len(all) - most)
}

func (w *asking) andMore(n int) {
	if n > 0 {
		w.line(2, faint, fmt.Sprintf("and %d more; -o json has them all", n))
	}
}

// age returns how long ago something was; "" if it was never.
func (d *desk) age(since time.Time) string {
	if since.IsZero() {
		return ""
	}
	return duration.HumanDuration(d.now().Sub(since))
}

func (d *desk) ago(t time.Time) string { return d.age(t) + " ago" }

// safe returns text that comes from elsewhere on one short line, with all that a
// terminal might take for more than text escaped.
func safe(s string) string {
	const most = 1000
	return shown(clip(oneLine(s), most))
}

// shown returns a line with all that a terminal might take for more than text
// escaped.
func shown(line string) string {
	var b strings.Builder
	for _, r := range line {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}

func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

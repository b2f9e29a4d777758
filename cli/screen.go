package cli

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// A screen is a stream that people may be looking at.
type screen struct {
	io.Writer
	live   bool // it is a terminal, on which a line can be written over
	colour bool
	width  func() int // of the terminal
	height func() int
}

func screenOf(w io.Writer) screen {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return screen{Writer: w}
	}
	dumb := os.Getenv("TERM") == "dumb"
	size := func() (int, int) {
		w, h, err := term.GetSize(int(f.Fd()))
		if err != nil || w <= 0 || h <= 0 {
			return 80, 24
		}
		return w, h
	}
	return screen{
		Writer: w, live: !dumb, colour: !dumb && !env("NO_COLOR"),
		width:  func() int { w, _ := size(); return w },
		height: func() int { _, h := size(); return h },
	}
}

// A colour is a terminal's colour.
type colour string

const (
	plain  colour = ""
	red    colour = "\x1b[31m"
	green  colour = "\x1b[32m"
	yellow colour = "\x1b[33m"
	bold   colour = "\x1b[1m"
	faint  colour = "\x1b[2m"
	reset         = "\x1b[0m"
)

// paint returns text in a colour, if the screen has colours.
func (s screen) paint(c colour, text string) string {
	if !s.colour || c == plain || text == "" {
		return text
	}
	return string(c) + text + reset
}

// A progress is a line that says what is going on. On a terminal it is written
// over and over; elsewhere each new state is a line.
type progress struct {
	to   screen
	last string
}

// show shows the present state.
func (p *progress) show(text string) {
	text = oneLine(text)
	if text == p.last {
		return
	}
	p.last = text
	if !p.to.live {
		io.WriteString(p.to, text+"\n")
		return
	}
	io.WriteString(p.to, "\r\x1b[K"+p.to.paint(faint, clip(text, p.to.width()-1)))
}

// done clears the line, so that what is next begins at its beginning.
func (p *progress) done() {
	if p.to.live && p.last != "" {
		io.WriteString(p.to, "\r\x1b[K")
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n || n < 2 {
		return s
	}
	return string(r[:n-1]) + "…"
}

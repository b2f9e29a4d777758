package cli

import (
	"strings"
	"testing"
)

func TestSafe(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 世":          "plain é 世",
		"two\nlines\t":       "two lines",
		"\x1b[31mred\x07":    `\x1b[31mred\a`,
		"bidi \u202e\u200b":  `bidi \u202e\u200b`,
		"c1 \u009b31m":       `c1 \u009b31m`,
		"not \xff UTF-8":     "not \ufffd UTF-8",
		"a\u0000b":           `a\x00b`,
		"quotes \" and ' \\": "quotes \" and ' \\",
	} {
		if got := safe(in); got != want {
			t.Errorf("safe(%q) = %q, want %q", in, got, want)
		}
	}
	if n := len([]rune(safe(strings.Repeat("x", 5000)))); n != 1000 {
		t.Errorf("%d characters are left of 5000", n)
	}
}

package render

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// A hushed error does not tell what is secret.
type hushed struct {
	text string
	err  error
}

func (h hushed) Error() string { return h.text }
func (h hushed) Unwrap() error { return h.err }

// Hush returns err without secrets in its text, nor lines of them: a server may
// say what is wrong with a field by showing it. Secrets that are shorter than
// four bytes are not looked for: they are everywhere.
func Hush(secrets []string, err error) error {
	if err == nil || len(secrets) == 0 {
		return err
	}
	text := err.Error()
	for _, s := range spellings(secrets) {
		text = strings.ReplaceAll(text, s, "***")
	}
	if text == err.Error() {
		return err
	}
	return hushed{text, err}
}

// spellings returns secrets as they may be in a text, the longest first.
func spellings(secrets []string) []string {
	var all []string
	add := func(s string) {
		if len(s) < 4 {
			return
		}
		all = append(all, s)
		if quoted, err := json.Marshal(s); err == nil {
			all = append(all, string(quoted[1:len(quoted)-1]))
		}
	}
	for _, s := range secrets {
		add(s)
		if strings.Contains(s, "\n") {
			for line := range strings.Lines(s) {
				add(strings.TrimSpace(line))
			}
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return slices.Compact(all)
}

package engine

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

// minSecret is how long a secret is that may be looked for in a text. Shorter
// ones are everywhere.
const minSecret = 4

// hush returns err without secrets in its text: a server may say what is wrong
// with a field by showing it.
func hush(secrets []string, err error) error {
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
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		all = append(all, s)
		if quoted, err := json.Marshal(s); err == nil {
			all = append(all, string(quoted[1:len(quoted)-1]))
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return slices.Compact(all)
}

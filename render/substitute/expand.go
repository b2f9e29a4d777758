package substitute

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/fluxcd/pkg/envsubst"

	"github.com/sane-gitops/sane/render"
)

// Bounds of what one object may ask for. They are far above what the API
// server takes.
const (
	maxGiven   = 16 << 20 // bytes of values
	maxDollars = 20_000   // in one line: the parser goes deeper with each
	maxLines   = 100      // that one expression may span
)

// values are the variables that one object asks for.
type values struct {
	facts render.Facts
	lax   bool
	hide  bool // what is not a variable must not be shown either

	given  int
	secret bool   // a secret one was given
	unset  string // the last that is not set
	err    error  // why one could not be had
}

var errTooMuch = fmt.Errorf("the values of its variables come to more than %d MiB", maxGiven>>20)

// get returns the value of a variable, and whether it may be used.
func (v *values) get(name string) (string, bool) {
	f, ok, err := known(v.facts, name)
	v.unset = ""
	switch {
	case err != nil:
		v.err = err
		return "", false
	case !ok:
		v.unset = name
	}
	if v.given += len(f.Value); v.given > maxGiven {
		return "", false
	}
	v.secret = v.secret || f.Secret
	return f.Value, ok || v.lax
}

func known(facts render.Facts, name string) (render.Fact, bool, error) {
	if facts == nil {
		return render.Fact{}, false, nil
	}
	return facts.Fact(render.Var(name))
}

// hasVariables reports whether expand could change text.
func hasVariables(text string) bool {
	return strings.Contains(text, "${") || strings.Contains(text, "$$")
}

// expand returns text with the values of its variables. It works through
// expressions of few lines each: the parser's cost grows faster than its input.
func expand(ctx context.Context, text string, v *values) (string, error) {
	var out strings.Builder
	for rest := text; rest != ""; {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		end := lineEnd(rest)
		if !hasVariables(rest[:end]) {
			out.WriteString(rest[:end])
			rest = rest[end:]
			continue
		}
		piece, size, err := expandFirst(rest, v)
		if err != nil {
			return "", err
		}
		out.WriteString(piece)
		rest = rest[size:]
	}
	return out.String(), nil
}

// expandFirst expands as few lines of text as make sense alone, and returns
// how many bytes those are. What is cut in an expression never makes sense.
func expandFirst(text string, v *values) (piece string, size int, err error) {
	for n, end := 0, 0; n < maxLines && end < len(text); n++ {
		end += lineEnd(text[end:])
		if strings.Count(text[:end], "$") > maxDollars {
			return "", 0, fmt.Errorf("more than %d times $ in one line", maxDollars)
		}
		t, bad := parse(text[:end])
		if bad == nil {
			piece, err = execute(t, v)
			return piece, end, err
		}
		err = bad
	}
	if v.hide {
		return "", 0, fmt.Errorf("%w: write $$ for a $ that is none of a variable", err)
	}
	first, _, _ := strings.Cut(text, "\n")
	return "", 0, fmt.Errorf("%w in %q: write $$ for a $ that is none of a variable", err, shorten(strings.TrimSpace(first)))
}

func lineEnd(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i + 1
	}
	return len(s)
}

func shorten(s string) string {
	const most = 80
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// parse and execute are the library's, which panics if an offset is out of any
// bounds.
func parse(text string) (t *envsubst.Template, err error) {
	defer func() {
		if recover() != nil {
			err = errBad
		}
	}()
	return envsubst.Parse(text)
}

var errBad = errors.New("bad substitution")

func execute(t *envsubst.Template, v *values) (s string, err error) {
	defer func() {
		if recover() != nil {
			s, err = "", errBad
		}
	}()
	s, err = t.Execute(v.get)
	switch {
	case v.given > maxGiven:
		return "", errTooMuch
	case err != nil && v.unset != "":
		return "", fmt.Errorf("variable %q is not set, and has no default: set it in spec.postBuild, write ${%[1]s:=default}, or $${%[1]s} if it is none", v.unset)
	}
	return s, err
}

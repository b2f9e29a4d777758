package lazy

import "testing"

func TestRegexp(t *testing.T) {
	r := Compile(`^(a+)b`)
	if m := r.FindStringSubmatch("aab"); len(m) != 2 || m[1] != "aa" || !r.MatchString("ab") || r.MatchString("b") {
		t.Errorf("finds %q", m)
	}
	if got := r.ReplaceAllString("aabc", "$1"); got != "aac" {
		t.Errorf("replaces to %q", got)
	}
	Compile(`(`) // is not compiled
}

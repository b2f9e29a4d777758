package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/diff"
)

func TestMarkdownIsText(t *testing.T) {
	var m markdown
	m.begin("plan")
	m.section("Plan of "+coded("a|b `c` <img src=x> @ada #12 *d* _e_ [f](http://g) &lt; :smile: \x1b[31m\n| h"), "1 object would change.", []told{{
		verb: "update", object: "ConfigMap/apps/</code><script>`|", why: "data.a|b",
		lines: []diff.Line{{Mark: '+', Text: "```"}, {Mark: '-', Text: "</details>\x1b[2J````x"}, {Mark: '+', Text: strings.Repeat("x", 2*maxDiffWidth)}},
	}})
	var b strings.Builder
	if err := m.write(&b); err != nil {
		t.Fatal(err)
	}
	want := "<!-- sane plan -->\n" +
		"### Plan of <code>a&#124;b &#96;c&#96; &#60;img src&#61;x&#62; &#64;ada &#35;12 &#42;d&#42; &#95;e&#95; &#91;f&#93;&#40;http&#58;//g&#41; &#38;lt&#59; &#58;smile&#58; &#92;x1b&#91;31m &#124; h</code>\n\n" +
		"1 object would change.\n\n| | Object | Why |\n|---|---|---|\n" +
		"| update | <code>ConfigMap/apps/&#60;/code&#62;&#60;script&#62;&#96;&#124;</code> | <code>data.a&#124;b</code> |\n\n" +
		"<details><summary>update <code>ConfigMap/apps/&#60;/code&#62;&#60;script&#62;&#96;&#124;</code></summary>\n\n" +
		"`````diff\n+ ```\n- </details>\\x1b[2J````x\n+ " + strings.Repeat("x", maxDiffWidth-1) + "…\n`````\n\n</details>\n\n"
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestMarkdownIsBounded(t *testing.T) {
	long := make([]diff.Line, 3*maxDiffLines)
	for i := range long {
		long[i] = diff.Line{Mark: '+', Text: strings.Repeat("é", 300)}
	}
	var many []told
	for i := range 3000 {
		many = append(many, told{verb: "create", object: fmt.Sprintf("ConfigMap/apps/name-%d", i), why: "not there yet", lines: long})
	}
	for _, units := range []int{1, 3, 500} {
		var m markdown
		m.begin("plan")
		for range units {
			m.section("Plan of "+coded(strings.Repeat("x", 100)), "3000 objects would change.", many)
		}
		var b strings.Builder
		if err := m.write(&b); err != nil {
			t.Fatal(err)
		}
		got := b.String()
		if len(got) > 65000 || strings.Count(got, "<details>") != strings.Count(got, "</details>") || !strings.Contains(got, " more | |") {
			t.Errorf("%d units make %d bytes", units, len(got))
		}
	}
}

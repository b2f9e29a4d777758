package substitute_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/render/kustomize"
	"github.com/sane-gitops/sane/render/plain"
	"github.com/sane-gitops/sane/render/rendertest"
	"github.com/sane-gitops/sane/render/substitute"
)

var renderer = substitute.Renderer{Next: render.First(plain.Renderer{}, kustomize.Renderer{})}

func TestCases(t *testing.T) { rendertest.Run(t, renderer, "testdata") }

// Without a step it is as if it were not there.
func TestBuildsOnly(t *testing.T) { rendertest.Run(t, renderer, "../rendertest/testdata") }

func objects(data string) render.Input {
	return render.Input{
		Tree:   fstest.MapFS{"a.yaml": {Data: []byte(data)}},
		Recipe: render.Recipe{Dir: ".", Substitute: &render.Step{}},
	}
}

func configMap(value string) render.Input {
	o := object.Of(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a"}, "data": map[string]any{"k": value}})
	return objects(string(o.JSON()))
}

// What is asked for is bounded.
func TestBounds(t *testing.T) {
	long := render.Known{render.Var("a"): {Value: strings.Repeat("x", 1<<20)}}
	for _, tt := range []struct {
		name, value, err string
	}{
		{"values", strings.Repeat("${a}\n", 17), "the values of its variables come to more than 16 MiB"},
		{"one line", strings.Repeat("$$", 10_001), "more than 20000 times $ in one line"},
		{"many lines", strings.Repeat("$$\n", 100_000), ""},
		{"an expression without end", "${a:=" + strings.Repeat("\n", 100_000), "unable to parse substitution within function"},
		{"deep", strings.Repeat("${b:=", 19_000) + strings.Repeat("}", 19_000), ""},
	} {
		in := configMap(tt.value)
		in.Facts = long
		began := time.Now()
		_, err := renderer.Render(t.Context(), in)
		if tt.err == "" && err != nil || tt.err != "" && (!fault.IsInput(err) || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: error is %v, want %q", tt.name, err, tt.err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: took %v", tt.name, took)
		}
	}
}

type broken struct{}

func (broken) Fact(string) (render.Fact, bool, error) {
	return render.Fact{}, false, errors.New("pipe is gone")
}

// What could not be asked for is no fault of the input.
func TestBrokenFacts(t *testing.T) {
	in := configMap("${a:=x}")
	in.Facts = broken{}
	if _, err := renderer.Render(t.Context(), in); err == nil || fault.IsInput(err) {
		t.Errorf("error is %v", err)
	}
}

// A secret value is in no error, whatever it is and wherever it is put.
func TestSecretsAreNotTold(t *testing.T) {
	const secret = "hunter2"
	for _, value := range []string{
		secret, "{" + secret, "*" + secret, "!" + secret + " x", secret + ": " + secret + ": x", "- " + secret, "\"" + secret, "&" + secret + " *x",
		"{" + secret + ": 1, " + secret + ": 2}", "[" + secret, "@" + secret, "%" + secret, "`" + secret, "\t" + secret, "| " + secret, "> " + secret,
		"!!int " + secret, "!!float " + secret, "!!bool " + secret, "!!binary " + secret, "!!timestamp " + secret, "<<: " + secret, "{<<: " + secret + "}",
	} {
		for _, text := range []string{
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  a: %s\n",
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  b%s: a\n",
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {a: 'x %s y'}}\n",
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: '${s:999999999999999999:9} ${s%%%%*} %s ${missing}'}\n",
		} {
			in := objects(fmt.Sprintf(text, "${s}"))
			in.Facts = render.Known{render.Var("s"): {Value: value, Secret: true}}
			if _, err := renderer.Render(t.Context(), in); err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%q in %q: %v", value, text, err)
			}
		}
	}
}

// FuzzSubstitute looks for panics, and for errors that nobody can cure.
func FuzzSubstitute(f *testing.F) {
	for _, s := range []string{
		"${a}", "${a:=b}", "${a:0:9223372036854775807}", "${a:-1:-1}", "${a/b/c}", "${a//b}", "${a##*[a-", "$${a}", "$$$$", "${", "${}", "${a${b}}",
		"${a:=${b:=${c}}}", "${#a}", "${#}", "${a^^}", "${a:=\nb}", "${é}", "${a%%?*[!b]\\", "\x00${a}\xff", "${a/\\//x}",
	} {
		f.Add(s, "value")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		if len(text) > 2000 || len(value) > 500 {
			return
		}
		in := configMap(text)
		in.Facts = render.Known{render.Var("a"): {Value: value}, render.Var("b"): {Value: "x", Secret: true}}
		out, err := renderer.Render(t.Context(), in)
		switch {
		case err != nil && !fault.IsInput(err):
			t.Errorf("not marked as a fault of the input: %v", err)
		case err == nil && len(out) != 1:
			t.Errorf("%d objects", len(out))
		}
	})
}

func BenchmarkSubstitute(b *testing.B) {
	in := configMap(strings.Repeat("a line without any\n", 50) + "${a}\n")
	in.Facts = render.Known{render.Var("a"): {Value: "x"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := renderer.Render(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}

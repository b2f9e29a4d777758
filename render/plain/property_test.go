package plain_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/render/kustomize"
	"github.com/sane-gitops/sane/render/plain"
	"github.com/sane-gitops/sane/render/rendertest"
)

// values are what fields can have, in YAML.
var values = []string{
	"1", "-7", "1.0", "1.50", "1e3", "1e40", "0x1F", "0o17", "017", "0b11", "1_000", "123456789012345678901", "-0", "+1", ".5", "1.",
	"yes", "no", "on", "off", "y", "n", "Yes", "true", "True", "FALSE", "null", "~", "Null", "''", `""`, "null ", "-", ".inf", "12:30:45",
	"2020-01-02", "2020-01-02T03:04:05Z", "2020-01-02 03:04:05", "text", "'quoted: text'", `"esc \n \u00e9 \x41"`, "é", "a#b", "a #b",
	"|\n    line 1\n    --- not a separator\n    line 2\n", ">-\n    folded\n    text\n", "[]", "{}", "[1, a, [b]]", "{a: 1, b: {c: null}}",
	"!!str 1", "!!int '3'", "!!binary aGVsbG8=", "&a {x: 1}", "&b [1]", "<<", "=", "*no", "{<<: {a: 1}}", "{1: a}", "{true: a}", "{? [x] : y}",
	"{a: 1, a: 2}", "\"\ttab\"", "'don''t'", "!custom x", "0.1", "9223372036854775807", "9223372036854775808", "18446744073709551616", "1e400",
}

var kinds = []string{
	"v1 ConfigMap", "v1 Secret", "apps/v1 Deployment", "v1 Namespace", "example.com/v1 Odd", "example.com/v1beta1 Odd",
	"apiextensions.k8s.io/v1 CustomResourceDefinition", "rbac.authorization.k8s.io/v1 ClusterRole", "rbac.authorization.k8s.io/v1 Role",
	"example.com/v1 AllowList", "networking.k8s.io/v1 Ingress", "v1 ServiceAccount", "batch/v1 Job",
}

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

func chance(r *rand.Rand, in int, yes, no string) string {
	if r.IntN(in) == 0 {
		return yes
	}
	return no
}

// body returns an object, indented.
func body(r *rand.Rand, indent string) string {
	version, kind, _ := strings.Cut(pick(r, kinds), " ")
	name := chance(r, 40, pick(r, values), fmt.Sprint("name-", r.IntN(40)))
	b := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata:\n  name: %s\n", version, kind, name)
	b += chance(r, 3, fmt.Sprintf("  namespace: %s\n", chance(r, 20, pick(r, values), pick(r, []string{"a", "b", "default"}))), "")
	b += chance(r, 5, "  labels: {l: "+chance(r, 5, "1", "x")+"}\n", "")
	b += chance(r, 5, "  annotations: "+pick(r, []string{"{}", "{a: b}", "{a: '1', c/d: e}", "{a: 1}", "{config.kubernetes.io/local-config: 'true'}",
		"{config.kubernetes.io/index: '1'}", "{internal.config.kubernetes.io/path: x}", "~"})+"\n", "")
	for i := range r.IntN(4) {
		b += fmt.Sprintf("f%d: %s\n", i, strings.ReplaceAll(pick(r, values), "\n    ", "\n  "))
	}
	b += chance(r, 6, "copied: &c {k: v}\ncopy: *c\n", "")
	b += chance(r, 30, "merged: {<<: {k: v}}\n", "")
	return indent + strings.ReplaceAll(strings.TrimSuffix(b, "\n"), "\n", "\n"+indent) + "\n"
}

func document(r *rand.Rand) string {
	switch r.IntN(24) {
	case 0:
		return "# only a comment\n"
	case 1:
		return chance(r, 2, "", "\n\n")
	case 2:
		return "null\n"
	case 3:
		return fmt.Sprintf(`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "json-%d"}, "data": {"a": "1"}, "n": 1.5e2}`+"\n", r.IntN(30))
	case 4, 5:
		list := "apiVersion: v1\nkind: " + pick(r, []string{"List", "ConfigMapList", "ResourceList"}) + "\nitems:\n"
		for range r.IntN(3) {
			list += "-" + body(r, "  ")[1:]
		}
		return list + chance(r, 6, "- \n", "")
	case 6:
		return "kind: List\napiVersion: v1\nitems: " + pick(r, []string{"[]", "~", "{}", "3"}) + "\n"
	case 7:
		return chance(r, 8, "a: b: c\n", chance(r, 4, "- a\n", "# c\n"+body(r, "")+"# end\n"))
	case 8:
		return chance(r, 10, "kind: X\n", chance(r, 10, "metadata: {name: x}\n", "{}\n"))
	}
	return body(r, "")
}

func file(r *rand.Rand) string {
	var b strings.Builder
	b.WriteString(chance(r, 6, "---\n", chance(r, 12, "# header\n---\n", "")))
	for i := range 1 + r.IntN(3) {
		if i > 0 {
			b.WriteString(pick(r, []string{"---\n", "---\n", "---\n", "--- # next\n", "---   \n", "---\n---\n", "----\n", "...\n---\n"}))
		}
		b.WriteString(document(r))
	}
	s := b.String()
	s = chance(r, 20, strings.ReplaceAll(s, "\n", "\r\n"), s)
	return chance(r, 20, strings.TrimSuffix(s, "\n"), s)
}

func tree(r *rand.Rand) fstest.MapFS {
	t := fstest.MapFS{"apps/README.md": {Data: []byte("x")}}
	for range r.IntN(4) {
		name := pick(r, []string{"apps/", "apps/sub/", "apps/sub/deep/", "apps/.hidden/", "apps/a.yaml/"}) +
			pick(r, []string{"a", "b", "c", ".d"}) + pick(r, []string{".yaml", ".yml", ".yaml", ".json", ".YAML"})
		t[name] = &fstest.MapFile{Data: []byte(file(r))}
	}
	return t
}

// What plain renders, kustomize renders to the same; what plain refuses,
// kustomize does too.
func TestEqualsKustomize(t *testing.T) {
	trees := uint64(3000)
	if testing.Short() {
		trees = 300
	}
	same, refused, left := 0, 0, 0
	for seed := range trees {
		in := render.Input{Tree: tree(rand.New(rand.NewPCG(seed, 7))), Recipe: render.Recipe{Dir: "apps"}}
		got, err := plain.Renderer{}.Render(t.Context(), in)
		if errors.Is(err, render.ErrElsewhere) {
			left++
			continue
		}
		want, err2 := kustomize.Renderer{}.Render(t.Context(), in)
		switch {
		case err == nil && err2 == nil:
			same++
		case err != nil && err2 != nil && fault.IsInput(err) && fault.IsInput(err2):
			refused++
			continue
		}
		if (err == nil) != (err2 == nil) || rendertest.Text(got) != rendertest.Text(want) {
			for name, f := range in.Tree.(fstest.MapFS) {
				t.Logf("-- %s --\n%s", name, f.Data)
			}
			t.Fatalf("seed %d: plain gives\n%s%v\nkustomize gives\n%s%v", seed, rendertest.Text(got), err, rendertest.Text(want), err2)
		}
	}
	t.Logf("%d same, %d refused, %d left to kustomize", same, refused, left)
	if same < int(trees)/4 || refused < int(trees)/50 {
		t.Errorf("%d same, %d refused, %d left to kustomize: this proves little", same, refused, left)
	}
}

func BenchmarkRender(b *testing.B) {
	t := fstest.MapFS{}
	for i := range 4 {
		t[fmt.Sprintf("apps/a%d.yaml", i)] = &fstest.MapFile{Data: fmt.Appendf(nil,
			"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web%d}\nspec:\n  replicas: 1\n  template:\n    spec:\n      containers: [{name: a, image: b}]\n", i)}
	}
	for _, r := range []render.Renderer{plain.Renderer{}, kustomize.Renderer{}} {
		b.Run(fmt.Sprintf("%T", r), func(b *testing.B) {
			for b.Loop() {
				if _, err := r.Render(b.Context(), render.Input{Tree: t, Recipe: render.Recipe{Dir: "apps"}}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

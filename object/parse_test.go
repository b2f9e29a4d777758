package object

import (
	"strings"
	"testing"
)

func names(objects []Object) string {
	var out []string
	for _, o := range objects {
		out = append(out, o.String())
	}
	return strings.Join(out, " ")
}

func TestParse(t *testing.T) {
	const cm = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %}\n"
	doc := func(name string) string { return strings.ReplaceAll(cm, "%", name) }
	for _, tt := range []struct {
		name, in string
		want     string // names, or the error
	}{
		{"nothing", "", ""},
		{"comments only", "# nothing\n---\n# here\n---\n", ""},
		{"one", doc("a"), "ConfigMap/a"},
		{"several", doc("a") + "---\n" + doc("b") + "--- # third\n" + doc("c"), "ConfigMap/a ConfigMap/b ConfigMap/c"},
		{"leading separators", "---\n---\n" + doc("a"), "ConfigMap/a"},
		{"windows lines", strings.ReplaceAll(doc("a")+"---\n"+doc("b"), "\n", "\r\n"), "ConfigMap/a ConfigMap/b"},
		{"document on the separator's line", `--- {apiVersion: v1, kind: X, metadata: {name: a}}`, "X/a"},
		{"document end", doc("a") + "...\n" + doc("b"), "ConfigMap/a ConfigMap/b"},
		{"separator in text", doc("a") + "data:\n  k: |\n    a\n    ---\n    b\n", "ConfigMap/a"},
		{"null", "null\n---\n{}\n---\n~\n", ""},
		{"json", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"n"}}`, "ConfigMap/n/a"},
		{"list", "kind: List\nitems:\n- {apiVersion: v1, kind: A, metadata: {name: a}}\n- kind: BList\n  items: [{apiVersion: v1, kind: B, metadata: {name: b}}]\n", "A/a B/b"},
		{"empty list", "kind: List\napiVersion: v1\nitems: []\n", ""},
		{"a List without items", "kind: AllowList\napiVersion: x/v1\nmetadata: {name: a}\n", "AllowList/a"},
		{"no kind", doc("a") + "---\nmetadata: {name: b}\n", `document at line 4: object "b" has no kind`},
		{"no version", "kind: A\nmetadata: {name: b}\n", `document at line 1: A "b" has no apiVersion`},
		{"no name", "\n---\n---\nkind: A\napiVersion: v1\n", "document at line 3: A has no metadata.name"},
		{"not a map", doc("a") + "---\n- a\n", "document at line 4: not a Kubernetes object: expected a map of fields"},
		{"bad item", "kind: List\nitems: [1]\n", "document at line 1: List: item 0 is not an object"},
		{"bad yaml", doc("a") + "---\na: b: c\n", "document at line 4: invalid YAML: line 2: mapping values are not allowed in this context"},
		{"duplicate key", "a: 1\na: 2\n", "document at line 1: invalid YAML: unmarshal errors:\n  line 2: key \"a\" already set in map"},
	} {
		got, err := Parse([]byte(tt.in))
		s := names(got)
		if err != nil {
			s = err.Error()
		}
		if s != tt.want {
			t.Errorf("%s: Parse = %q, want %q", tt.name, s, tt.want)
		}
	}
}

func TestNumbers(t *testing.T) {
	got, err := Parse([]byte("apiVersion: v1\nkind: A\nmetadata: {name: a}\nnums: [1, 1.0, 1.5, 9223372036854775807, 1e3, -1]\n"))
	if err != nil {
		t.Fatal(err)
	}
	n, _ := got[0].Get("nums")
	for i, v := range n.([]any) {
		switch v.(type) {
		case int64, float64:
		default:
			t.Errorf("%d: %v is a %T", i, v, v)
		}
	}
	if want := `[1,1,1.5,9223372036854775807,1000,-1]`; !strings.Contains(string(got[0].JSON()), want) {
		t.Errorf("JSON = %s, want %s", got[0].JSON(), want)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "---\n", "a: b", "{}", "[", "kind: List\nitems: [{}]",
		"apiVersion: v1\nkind: A\nmetadata: {name: a}\nn: [1, 1.5, 1e99, yes, ~, 2020-01-01, !!binary aGk=, .nan]\n",
		"apiVersion: v1\nkind: A\nmetadata: &m {name: a}\nspec: {<<: *m}\n---\nkind: BList\nitems:\n- {apiVersion: v1, kind: B, metadata: {name: \"\\x01\"}}\n",
		"apiVersion: v1\nkind: A\nmetadata: {name: a}\n? [x]\n: y\n...\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, err := Parse(data)
		if err != nil {
			return
		}
		var again []byte
		for _, o := range objects {
			if err := o.Check(); err != nil {
				t.Fatalf("Parse gave what Check refuses: %v", err)
			}
			again = append(append(again, o.JSON()...), "\n---\n"...)
		}
		twice, err := Parse(again)
		if err != nil {
			t.Fatalf("%v in\n%s", err, again)
		}
		if len(twice) != len(objects) {
			t.Fatalf("%d objects became %d in\n%s", len(objects), len(twice), again)
		}
		for i, o := range objects {
			if string(o.JSON()) != string(twice[i].JSON()) {
				t.Fatalf("%s became\n%s", o.JSON(), twice[i].JSON())
			}
		}
	})
}

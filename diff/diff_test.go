package diff

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/sane-gitops/sane/object"
)

// TestDiff reads testdata/*.txtar: "old" and "new" are objects, of which
// an empty one is not there; "diff" is what is shown of them, and "fields" the
// names of what differs. "secrets" are words that must not be shown.
func TestDiff(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			old, now := Masked(parse(t, a, "old"), parse(t, a, "new"))
			old, now = Discreet(old, now, secretsIn(a))
			d := Of(old, now)
			var b strings.Builder
			for _, l := range d.Lines {
				b.WriteString(string(l.Mark) + " " + l.Text + "\n")
			}
			check(t, file, a, "diff", b.String())
			check(t, file, a, "fields", strings.Join(append(d.Fields, ""), "\n"))
		})
	}
}

func secretsIn(a *txtar.Archive) []string {
	for _, f := range a.Files {
		if f.Name == "secrets" {
			return strings.Fields(string(f.Data))
		}
	}
	return nil
}

func parse(t *testing.T, a *txtar.Archive, name string) object.Object {
	i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == name })
	var m map[string]any
	if err := yaml.Unmarshal(a.Files[i].Data, &m); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if m == nil {
		return object.Object{}
	}
	return object.Of(m)
}

// check compares what there is with what the archive says, or, with UPDATE set,
// writes it there.
func check(t *testing.T, file string, a *txtar.Archive, name, got string) {
	t.Helper()
	i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == name })
	if i < 0 {
		a.Files = append(a.Files, txtar.File{Name: name})
		i = len(a.Files) - 1
	}
	if os.Getenv("UPDATE") != "" {
		a.Files[i].Data = []byte(got)
		if err := os.WriteFile(file, txtar.Format(a), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := string(a.Files[i].Data); got != want {
		t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
	}
}

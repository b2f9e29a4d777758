package render_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/trace"
)

type always struct{ err error }

func (a always) Render(context.Context, render.Input) ([]object.Object, error) { return nil, a.err }

func TestFirst(t *testing.T) {
	bad, other := errors.New("bad"), fmt.Errorf("x: %w", render.ErrElsewhere)
	for _, tt := range []struct {
		name string
		list []render.Renderer
		want string
	}{
		{"the first", []render.Renderer{always{nil}, always{bad}}, "<nil>"},
		{"the next", []render.Renderer{always{other}, always{bad}, always{nil}}, "bad"},
		{"none", []render.Renderer{always{other}}, "d: nothing here knows how to render it"},
	} {
		_, err := render.First(tt.list...).Render(t.Context(), render.Input{Recipe: render.Recipe{Dir: "d"}})
		if fmt.Sprint(err) != tt.want {
			t.Errorf("%s: error is %v, want %s", tt.name, err, tt.want)
		}
	}
}

func names(list ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for _, n := range list {
		m[n] = &fstest.MapFile{}
	}
	return m
}

func TestScan(t *testing.T) {
	for _, tt := range []struct {
		name string
		tree fstest.MapFS
		dir  string
		want string // or the error
	}{
		{"lexical order", names("d/b.yaml", "d/a/z.yml", "d/a.yaml", "d/c.json", "d/.h/x.yaml", "e/x.yaml"), "d", "[d/.h/x.yaml d/a/z.yml d/a.yaml d/b.yaml] []"},
		{"root", names("a.yaml", "b/c.yaml"), ".", "[a.yaml b/c.yaml] []"},
		{"kustomization", names("d/Kustomization", "d/a.yaml"), "d", "d/Kustomization [] []"},
		{"kustomization below", names("d/a.yaml", "d/b/kustomization.yml", "d/b/x.yaml", "d/c/d/kustomization.yaml", "d/c/y.yaml"), "d", "[d/a.yaml d/c/y.yaml] [d/b d/c/d]"},
		{"kustomization is a directory", names("d/kustomization.yaml/a.yaml"), "d", "[d/kustomization.yaml/a.yaml] []"},
		{"empty", names("d/README"), "d", "[] []"},
		{"missing", names("a"), "d", "kustomization path not found: stat d: no such file or directory"},
		{"a file", names("d"), "d", "kustomization path not found: d is not a directory"},
		{"outside", names("d"), "../d", `invalid path "../d": it must lie in the source`},
		{"absolute", names("d"), "/d", `invalid path "/d": it must lie in the source`},
	} {
		l, err := render.Scan(tt.tree, tt.dir)
		got := strings.TrimSpace(fmt.Sprint(l.Kustomization, " ", l.Files, " ", l.Dirs))
		if err != nil {
			got = err.Error()
		}
		if got != tt.want || err != nil && !fault.IsInput(err) {
			t.Errorf("%s: Scan = %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestLimit(t *testing.T) {
	tree := fstest.MapFS{"a": {Data: make([]byte, 60)}, "b": {Data: make([]byte, 60)}}
	for _, tt := range []struct {
		name string
		max  int64
		read []string
		want string
	}{
		{"enough", 120, []string{"a", "b"}, ""},
		{"a sum that is too much", 119, []string{"a", "b"}, "b: too large: all that is read must not exceed 119 bytes"},
		{"the same file counts again", 119, []string{"a", "a"}, "a: too large"},
		{"the usual", 0, []string{"a", "b"}, ""},
		{"missing", 1, []string{"c"}, "open c: file does not exist"},
		{"a directory", 1, []string{"."}, "is a directory"},
	} {
		l := render.Limit(tree, tt.max)
		var err error
		for _, name := range tt.read {
			if _, e := fs.ReadFile(l, name); e != nil {
				err = e
			}
		}
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: error is %v, want %q", tt.name, err, tt.want)
		}
	}
	if err := fstest.TestFS(render.Limit(tree, 0), "a", "b"); err != nil {
		t.Error(err)
	}
}

// What is too large is recorded as read: it is another answer once it fits.
func TestLimitIsTraced(t *testing.T) {
	log := trace.New(fstest.MapFS{"a": {Data: make([]byte, 60)}})
	fs.ReadFile(render.Limit(log, 10), "a")
	if l := log.Log(); len(l) != 1 || l[0].Op != trace.File || l[0].Answer == "" {
		t.Errorf("Log = %v", l)
	}
}

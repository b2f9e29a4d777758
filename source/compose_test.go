package source

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sane-gitops/sane/trace"
)

func TestCompose(t *testing.T) {
	base := mapFS("a.yaml=1", "dir/b.yaml=2", "dir/hidden/old=3")
	other := mapFS("x.yaml=4", "deep/y.yaml=5", "deep/er/z.yaml=6")
	for _, c := range []struct {
		name   string
		base   fs.FS
		mounts []Mount
		want   string
	}{
		{"nothing", base, nil, "a.yaml dir/b.yaml dir/hidden/old"},
		{"nothing in nothing", nil, nil, ""},
		{"a whole tree", base, []Mount{{"lib", other, "."}}, "a.yaml dir/b.yaml dir/hidden/old lib/deep/er/z.yaml lib/deep/y.yaml lib/x.yaml"},
		{"a part", base, []Mount{{"lib", other, "deep/er"}}, "a.yaml dir/b.yaml dir/hidden/old lib/z.yaml"},
		{"a file by another name", base, []Mount{{"c.yaml", other, "x.yaml"}}, "a.yaml c.yaml dir/b.yaml dir/hidden/old"},
		{"far down", base, []Mount{{"dir/new/lib", other, "deep/er"}}, "a.yaml dir/b.yaml dir/hidden/old dir/new/lib/z.yaml"},
		{"in place of something", base, []Mount{{"dir/hidden", other, "deep/er"}}, "a.yaml dir/b.yaml dir/hidden/z.yaml"},
		{"one in another", base, []Mount{{"lib", other, "."}, {"lib/deep/er", base, "dir"}}, "a.yaml dir/b.yaml dir/hidden/old lib/deep/er/b.yaml lib/deep/er/hidden/old lib/deep/y.yaml lib/x.yaml"},
		{"two side by side", nil, []Mount{{"b", other, "deep/er"}, {"a", other, "deep/er"}}, "a/z.yaml b/z.yaml"},
		{"names that begin alike", mapFS("lib2/a", "lib/b"), []Mount{{"lib", other, "deep/er"}}, "lib/z.yaml lib2/a"},
	} {
		tree := Compose(c.base, c.mounts...)
		if got := names(t, tree); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		if err := fstest.TestFS(tree, strings.Fields(c.want)...); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestComposeStaysInside(t *testing.T) {
	tree := Compose(nil, Mount{"lib", mapFS("secret=1", "public/a=2"), "public"})
	for _, name := range []string{"lib/../secret", "lib/../../secret", "lib/a/../../secret", "/lib/a", "lib/"} {
		if data, err := fs.ReadFile(tree, name); err == nil {
			t.Errorf("%s is %q", name, data)
		}
		if got, _ := trace.Ask(tree, trace.File, name); got != "" {
			t.Errorf("%s is %q", name, got)
		}
	}
	_, err := fs.ReadFile(tree, "lib/none")
	var p *fs.PathError
	if !errors.As(err, &p) || p.Path != "lib/none" {
		t.Errorf("error is %v", err)
	}
}

func TestSparse(t *testing.T) {
	tree := mapFS("README=1", "apps/a=2", "apps/b/c=3", "apps2/d=4", "infra/e=5")
	for _, c := range []struct {
		dirs []string
		want string
	}{
		{[]string{"apps"}, "apps/a apps/b/c"},
		{[]string{"apps/b", "./infra/"}, "apps/b/c infra/e"},
		{[]string{"apps", "apps/b"}, "apps/a apps/b/c"},
		{[]string{"/apps2"}, "apps2/d"},
		{[]string{"README"}, "README"},
		{[]string{"."}, "README apps/a apps/b/c apps2/d infra/e"},
	} {
		got, err := Sparse(tree, c.dirs)
		if err != nil {
			t.Errorf("%q: %v", c.dirs, err)
		} else if got := names(t, got); got != c.want {
			t.Errorf("%q: got %s, want %s", c.dirs, got, c.want)
		}
	}
	if _, err := Sparse(tree, []string{"apps", "app"}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "'app'") {
		t.Errorf("error is %v", err)
	}
}

// A differing is a tree that tells its differences, as Git trees do.
type differing struct{ fstest.MapFS }

func (d differing) Diff(old fs.FS, most int) (map[string]bool, bool) {
	diff := make(map[string]bool)
	was := old.(differing).MapFS
	all := maps.Clone(was)
	maps.Copy(all, d.MapFS)
	for name := range all {
		for ; ; name = path.Dir(name) {
			for _, op := range []trace.Op{trace.Stat, trace.File, trace.Dir} {
				a, _ := trace.Ask(was, op, name)
				if b, _ := trace.Ask(d.MapFS, op, name); a != b {
					diff[name] = true
				}
			}
			if name == "." {
				break
			}
		}
	}
	return diff, len(diff) <= most
}

// Whatever gets another answer is in the difference.
func TestComposeDiff(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	all := []string{"a", "d/a", "d/b", "d/e/a", "d/e/b", "f/a", "f/g/a"}
	random := func() differing {
		m := make(fstest.MapFS)
		for _, name := range all {
			if rnd.IntN(3) > 0 {
				m[name] = &fstest.MapFile{Data: []byte{byte('0' + rnd.IntN(2))}}
			}
		}
		return differing{m}
	}
	compose := func() fs.FS {
		return Compose(random(), Mount{"m", random(), "."}, Mount{"d/n", random(), "d"}, Mount{"x/y", random(), "d/e/a"})
	}
	var questions []string
	for _, dir := range []string{"", "m/", "d/n/", "x/y/"} {
		for _, name := range append(all, ".", "d", "d/e", "e", "e/a", "f", "f/g") {
			questions = append(questions, path.Clean(dir+name))
		}
	}
	questions = append(questions, "x", "x/y")
	for range 2000 {
		was, now := compose(), compose()
		diff, ok := trace.Diff(was, now, 1000)
		if !ok {
			t.Fatal("no answer")
		}
		for _, name := range questions {
			for _, op := range []trace.Op{trace.Stat, trace.File, trace.Dir} {
				a, errA := trace.Ask(was, op, name)
				b, errB := trace.Ask(now, op, name)
				if (a != b || errA != nil || errB != nil) && !diff[name] {
					t.Fatalf("%s %s: was %q, %v, is %q, %v, and the difference is %v", op, name, a, errA, b, errB, diff)
				}
			}
		}
	}
	if _, ok := trace.Diff(Compose(random()), compose(), 1000); ok {
		t.Error("other mounts: it can't tell")
	}
}

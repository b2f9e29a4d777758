package source

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/trace"
)

func mapFS(files ...string) fstest.MapFS {
	m := make(fstest.MapFS)
	for _, f := range files {
		name, data, _ := strings.Cut(f, "=")
		m[name] = &fstest.MapFile{Data: []byte(data)}
	}
	return m
}

// names returns the files of a tree, and the directories that hold nothing.
func names(t testing.TB, tree fs.FS) string {
	t.Helper()
	var list []string
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			list = append(list, name)
		} else if l, err := fs.ReadDir(tree, name); err != nil || len(l) == 0 && name != "." {
			list = append(list, name+"/")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, " ")
}

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		name   string
		tree   fstest.MapFS
		ignore string // "-" means nil
		want   string
	}{
		{"nothing to leave out", mapFS("a.yaml", "b/c.yaml"), "-", "a.yaml b/c.yaml"},
		{"the usual", mapFS(".git/config", ".gitignore", "x/.gitattributes", ".github/w.yml", "a.jpg", "x/b.zip", "c.tar.gz", "c.gz",
			".sops.yaml", "x/.sops.yaml", ".flux.yaml", "x/cloudbuild.yaml", "x/y.yaml"), "-", "c.gz x/y.yaml"},
		{"the usual is kept with an ignore", mapFS("a.jpg", "b.md", "c"), "*.md", "c"},
		{"the usual taken in again", mapFS("a.jpg", ".sops.yaml", "c"), "!*.jpg\n!.sops.yaml", ".sops.yaml a.jpg c"},
		{"a file of rules", mapFS(".sourceignore=*.md\n# no\n\n/x", "a.md", "b", "x/c", "y/x/d"), "-", ".sourceignore b y/x/d"},
		{"rules hold below their directory", mapFS("a/.sourceignore=*.txt\n/b", "a/x.txt", "a/c/y.txt", "a/b/z", "x.txt", "b/z"), "-",
			"a/.sourceignore a/c/ b/z x.txt"},
		{"deeper rules count more", mapFS(".sourceignore=*.txt", "a/.sourceignore=!*.txt", "a/x.txt", "x.txt"), "-", ".sourceignore a/.sourceignore a/x.txt"},
		{"the argument counts most", mapFS("a/.sourceignore=!*.txt", "a/x.txt", "x.txt"), "*.txt", "a/.sourceignore"},
		{"only some directories", mapFS("a/x", "deploy/x", "deploy/r.md", "deploy/d/r.md", "y"), "/*\n!/deploy\n/deploy/**/*.md", "deploy/d/ deploy/x"},
		{"a directory below one that is left out", mapFS("a/b/x", "a/c/y", "d/e"), "/*\n!/a/b", "a/b/x"},
		{"a file below one that is left out", mapFS("a/b/x", "a/b/y", "d/x/e"), "/*\n!x", "a/b/x d/x/e"},
		{"rules in what is left out", mapFS("a/.sourceignore=!/x", "a/x", "a/y"), "/a", ""},
		{"rules in what is left out, by a file", mapFS(".sourceignore=/a\n!/a/z", "a/.sourceignore=!/x", "a/x", "a/y"), "-", ".sourceignore a/x"},
		{"everything", mapFS("a", "b/c"), "*", ""},
		{"directories only", mapFS("x/a", "y/x"), "x/", "y/x"},
		{"windows", mapFS("a.md", "b"), "*.md\r\n", "b"},
	} {
		var ignore *string
		if c.ignore != "-" {
			ignore = &c.ignore
		}
		tree := Filter(c.tree, ignore)
		if got := names(t, tree); got != c.want {
			t.Errorf("%s: holds %q, want %q", c.name, got, c.want)
		}
		if err := fstest.TestFS(tree, strings.Fields(strings.ReplaceAll(c.want, "/ ", " "))...); c.want != "" && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestFilterAnswers(t *testing.T) {
	ignore := "*.md\n/out\n!/out/in"
	tree := Filter(mapFS("a=1", "r.md=2", "d/x=3", "d/r.md=4", "out/x=5", "out/in/y=6", "gone/z.md=7"), &ignore)
	for _, c := range []struct {
		op   trace.Op
		name string
		zero bool
	}{
		{trace.File, "a", false}, {trace.Stat, "a", false}, {trace.Dir, "a", true},
		{trace.File, "r.md", true}, {trace.Stat, "r.md", true}, {trace.File, "d/r.md", true},
		{trace.Stat, "out", false}, {trace.Dir, "out", false}, {trace.Stat, "out/x", true}, {trace.File, "out/in/y", false},
		{trace.Stat, "gone", false}, {trace.Dir, ".", false}, {trace.Stat, "none/at/all", true}, {trace.Stat, "out/none", true},
	} {
		got, err := trace.Ask(tree, c.op, c.name)
		if err != nil || (got == "") != c.zero {
			t.Errorf("%s %s: %q, %v", c.op, c.name, got, err)
		}
		if c.op == trace.Dir && !c.zero {
			if list, _ := fs.ReadDir(tree, c.name); got != trace.Listing(list) {
				t.Errorf("%s: answer is not that of its listing %v", c.name, list)
			}
		}
	}
	_, err := fs.ReadFile(tree, "r.md")
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(fmt.Sprint(err), "left out by the source's ignore rules") {
		t.Errorf("r.md: %v", err)
	}
}

// A log holds while the rules leave what was read alone.
func TestFilterTrace(t *testing.T) {
	one := trace.New(Filter(mapFS("a=1", "d/b=2", ".sourceignore="), nil))
	fs.ReadFile(one, "a")
	fs.ReadDir(one, "d")
	log := one.Log()
	for _, c := range []struct {
		tree fstest.MapFS
		want bool
	}{
		{mapFS("a=1", "d/b=3", "e=1", ".sourceignore=e"), true},
		{mapFS("a=1", "d/b=2", "d/c.jpg", ".sourceignore="), true},
		{mapFS("a=1", "d/b=2", "d/c", ".sourceignore="), false},
		{mapFS("a=1", "d/b=2", ".sourceignore=a"), false},
	} {
		if got := log.Holds(Filter(c.tree, nil)); got != c.want {
			t.Errorf("Holds = %v, want %v, for %v", got, c.want, c.tree)
		}
	}
}

func TestFilterAtOnce(t *testing.T) {
	ignore := "/*\n!/a/b\n!x"
	tree := Filter(mapFS("a/b/1", "a/c/2", "d/x/3", "e/.sourceignore=*"), &ignore)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got := names(t, tree); got != "a/b/1 d/x/3" {
				t.Errorf("holds %q", got)
			}
		})
	}
	wg.Wait()
}

// flux is what Flux does: it reads all rules, then walks and matches.
func flux(tree fstest.MapFS, ignore string) string {
	ps := parse(nil, strings.Split(strings.Join(usual, "\n"), "\n")...)
	ps = append(ps, fluxRules(tree, ".", nil)...)
	ps = append(ps, parse(nil, strings.Split(ignore, "\n")...)...)
	m := gitignore.NewMatcher(ps)
	var list []string
	fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if !d.IsDir() && !m.Match(strings.Split(name, "/"), false) {
			list = append(list, name)
		}
		return nil
	})
	return strings.Join(list, " ")
}

var usual = strings.Split(".git/,.gitignore,.gitmodules,.gitattributes,*.jpg,*.jpeg,*.gif,*.png,*.wmv,*.flv,*.tar.gz,*.zip,"+
	".github/,.circleci/,.travis.yml,.gitlab-ci.yml,appveyor.yml,.drone.yml,cloudbuild.yaml,codeship-services.yml,codeship-steps.yml,"+
	"**/.goreleaser.yml,**/.sops.yaml,**/.flux.yaml", ",")

func parse(domain []string, lines ...string) (ps []gitignore.Pattern) {
	for _, s := range lines {
		s = strings.TrimSuffix(s, "\r")
		if !strings.HasPrefix(s, "#") && len(strings.TrimSpace(s)) > 0 {
			ps = append(ps, gitignore.ParsePattern(s, domain))
		}
	}
	return ps
}

func fluxRules(tree fstest.MapFS, dir string, domain []string) []gitignore.Pattern {
	var ps []gitignore.Pattern
	if data, err := fs.ReadFile(tree, path.Join(dir, ignoreFile)); err == nil {
		ps = parse(domain, strings.Split(string(data), "\n")...)
	}
	list, _ := fs.ReadDir(tree, dir)
	for _, e := range list {
		if e.IsDir() {
			ps = append(ps, fluxRules(tree, path.Join(dir, e.Name()), append(slices.Clone(domain), e.Name()))...)
		}
	}
	return ps
}

// FuzzFilter compares with a dumb implementation.
func FuzzFilter(f *testing.F) {
	f.Add("*.md\n!x", "/b\n*.txt", "/*\n!/a/b\n!**/d/")
	f.Add("a/**/b\n**/x/**", "!a//b/\n[a-z]*\n\\!x\n", "a**\n[]a]\n/**\n**/\n")
	f.Add("/a/\n!/a/b", "b", "\\ \n[\n*/*\n?/b/")
	f.Fuzz(func(t *testing.T, top, deep, ignore string) {
		if len(top)+len(deep)+len(ignore) > 10_000 {
			t.Skip("a line may be too long for Flux")
		}
		files := []string{"a", "x", "x.md", "d.jpg/x.txt", ".git/a", "b/a/b/x", "b/x/b/a.md", "dir/a/b/c", "dir/b.txt", "dir/b/b", "dir/x", ".github/x/a"}
		tree := mapFS(files...)
		tree[ignoreFile] = &fstest.MapFile{Data: []byte(top)}
		if without := flux(tree, ignore); strings.Contains(without, "dir/x") { // so that dir's own rules count
			tree["dir/"+ignoreFile] = &fstest.MapFile{Data: []byte(deep)}
			if f := Filter(tree, &ignore).(*filtered); !must(f.scope("dir")).in() {
				t.Skip("rules in what is left out")
			}
		}
		var got []string
		filtered := Filter(tree, &ignore)
		fs.WalkDir(filtered, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				t.Fatal(err)
			}
			if !d.IsDir() {
				got = append(got, name)
			}
			return nil
		})
		if want := flux(tree, ignore); strings.Join(got, " ") != want {
			t.Errorf("rules %q, %q, %q leave %q, want %q", top, deep, ignore, got, want)
		}
		for name := range tree {
			answer, err := trace.Ask(filtered, trace.File, name)
			if err != nil || (answer != "") != slices.Contains(got, name) {
				t.Errorf("%s answers %q, %v", name, answer, err)
			}
		}
	})
}

func (s *scope) in() bool { return !s.out }

func must(s *scope, err error) *scope {
	if err != nil {
		panic(err)
	}
	return s
}

func BenchmarkFilterAnswer(b *testing.B) {
	files := make([]string, 0, 1000)
	for i := range 1000 {
		files = append(files, fmt.Sprintf("clusters/prod/team-%d/app-%d/deploy.yaml", i%30, i))
	}
	tree := Filter(answerer{mapFS(files...)}, nil)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := trace.Ask(tree, trace.File, files[i%len(files)]); err != nil {
			b.Fatal(err)
		}
	}
}

// An answerer answers quickly, as a Git tree does.
type answerer struct{ fstest.MapFS }

func (a answerer) Answer(op trace.Op, name string) (digest.Digest, error) {
	if _, ok := a.MapFS[name]; ok {
		return "file", nil
	}
	return "", nil
}

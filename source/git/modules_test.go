package git

import (
	"fmt"
	"io/fs"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/trace"
)

// nestling puts a commit on a repository's main with submodules: path, URL and
// commit of each.
func (b *bench) nestling(repo string, files map[string]string, modules ...[3]string) string {
	b.Helper()
	c := gitserver.Commit{Files: map[string]string{}, Modules: map[string]string{}, Only: true}
	for name, text := range files {
		c.Files[name] = text
	}
	var config strings.Builder
	for _, m := range modules {
		fmt.Fprintf(&config, "[submodule \"the.%s\"]\n\tpath = %s\n\turl = %s\n", m[0], m[0], m[1])
		c.Modules[m[0]] = m[2]
	}
	if len(modules) > 0 {
		c.Files[".gitmodules"] = config.String()
	}
	ids, err := b.Write(repo, "main", slices.Values([]gitserver.Commit{c}))
	b.must(err)
	return ids[0]
}

// files returns the files of a tree and what is in them.
func files(t *testing.T, tree fs.FS) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != ".gitmodules" {
			var data []byte
			data, err = fs.ReadFile(tree, name)
			found[name] = string(data)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return found
}

func TestSubmodules(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{Username: "ada", Password: "pw"})
	b.at.Access = source.Access{Username: "ada", Password: "pw"}
	b.must(b.Create("lib.git"))
	b.must(b.Create("deep.git"))
	deep := b.nestling("deep.git", map[string]string{"c": "3"})
	lib := b.nestling("lib.git", map[string]string{"b": "2"}, [3]string{"sub/deep", "./../deep.git", deep})
	b.nestling("app.git", map[string]string{"a": "1"}, [3]string{"libs/one", "../lib.git", lib}, [3]string{"two", b.URL("lib.git"), lib})
	if got := files(t, b.get(mainRef).Tree); !reflect.DeepEqual(got, map[string]string{"a": "1"}) {
		t.Errorf("without submodules: %v", got)
	}
	b.at.Submodules = true
	snap := b.get(mainRef)
	want := map[string]string{"a": "1", "libs/one/b": "2", "libs/one/sub/deep/c": "3", "two/b": "2", "two/sub/deep/c": "3"}
	if got := files(t, snap.Tree); !reflect.DeepEqual(got, want) {
		t.Errorf("with submodules: %v", got)
	}
	before := b.Requests()
	again := b.get(mainRef)
	if n := b.Requests() - before; n > 3 {
		t.Errorf("%d requests for what is here", n)
	}
	if diff, ok := trace.Diff(snap.Tree, again.Tree, 10); !ok || len(diff) > 0 {
		t.Errorf("nothing has changed, and the difference is %v, %v", diff, ok)
	}
	newer := b.nestling("lib.git", map[string]string{"b": "4"}, [3]string{"sub/deep", "./../deep.git", deep})
	b.nestling("app.git", map[string]string{"a": "1"}, [3]string{"libs/one", "../lib.git", newer}, [3]string{"two", b.URL("lib.git"), lib})
	next := b.get(mainRef)
	if diff, ok := trace.Diff(again.Tree, next.Tree, 10); !ok || !reflect.DeepEqual(diff, map[string]bool{".gitmodules": true, "libs/one": true, "libs/one/b": true}) && !diff["libs/one/b"] {
		t.Errorf("the difference is %v, %v", diff, ok)
	}
}

// A submodule from elsewhere is fetched without the credentials.
func TestSubmoduleElsewhere(t *testing.T) {
	t.Parallel()
	var told atomic.Bool
	other := setup(t, gitserver.Options{Hook: func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") != "" {
			told.Store(true)
		}
		return false
	}})
	id := other.put(map[string]string{"b": "2"})
	b := setup(t, gitserver.Options{Username: "ada", Password: "pw"})
	b.at.Access = source.Access{Username: "ada", Password: "pw"}
	b.at.Submodules = true
	b.nestling("app.git", map[string]string{"a": "1"}, [3]string{"lib", other.at.URL, id})
	if got := files(t, b.get(mainRef).Tree); !reflect.DeepEqual(got, map[string]string{"a": "1", "lib/b": "2"}) {
		t.Errorf("tree is %v", got)
	}
	if told.Load() {
		t.Error("another server was told the credentials")
	}
}

func TestSubmoduleFailures(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{})
	b.at.Submodules = true
	b.must(b.Create("lib.git"))
	lib := b.nestling("lib.git", map[string]string{"b": "2"})
	locked := setup(t, gitserver.Options{Username: "x", Password: "y"})
	none := strings.Repeat("1", 40)
	for _, c := range []struct {
		name   string
		module [3]string
		kind   error
		words  string
	}{
		{"no such commit", [3]string{"lib", "../lib.git", none}, source.ErrNotFound, "submodule lib from " + b.URL("lib.git") + ": there is no commit " + none},
		{"no such repository", [3]string{"lib", "../none.git", lib}, source.ErrNotFound, "none.git: repository not found"},
		{"another server wants a password", [3]string{"lib", locked.at.URL, lib}, source.ErrAuth, "authentication required"},
		{"a password in the URL", [3]string{"lib", strings.Replace(locked.at.URL, "://", "://x:hunter2@", 1), lib}, source.ErrAuth, "does not accept"},
		{"a local file", [3]string{"lib", "file:///etc", lib}, source.ErrNotFound, "not allowed"},
		{"a path", [3]string{"lib", "/etc", lib}, source.ErrNotFound, "scheme"},
		{"a program", [3]string{"lib", "ext::sh -c true", lib}, source.ErrNotFound, "invalid URL"},
		{"an option", [3]string{"lib", "--upload-pack=true", lib}, source.ErrNotFound, "scheme"},
		{"SSH without an identity", [3]string{"lib", "git@example.com:lib.git", lib}, source.ErrAuth, "submodule lib from ssh://git@example.com/lib.git: an SSH identity is required"},
	} {
		b.nestling("app.git", map[string]string{"a": "1"}, c.module)
		_, err := b.try(mainRef)
		b.fails(err, c.kind, c.words)
		if strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%s: %v tells the password", c.name, err)
		}
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		want  map[string]string
	}{
		{"not updated", map[string]string{".gitmodules": "[submodule \"x\"]\npath=lib\nurl=../lib.git\nupdate=none\n"}, map[string]string{}},
		{"another path", map[string]string{".gitmodules": "[submodule \"x\"]\npath=other\nurl=../lib.git\n"}, map[string]string{}},
		{"out of the tree", map[string]string{".gitmodules": "[submodule \"x\"]\npath=../lib\nurl=../lib.git\n"}, map[string]string{}},
		{"no .gitmodules", nil, map[string]string{}},
		{"relative to itself", map[string]string{".gitmodules": "[submodule \"x\"]\npath=lib\nurl=./../lib.git/\n"}, map[string]string{"lib/b": "2"}},
	} {
		ids := gitserver.Commit{Files: c.files, Modules: map[string]string{"lib": lib}, Only: true}
		_, err := b.Write("app.git", "main", slices.Values([]gitserver.Commit{ids}))
		b.must(err)
		if got := files(t, b.get(mainRef).Tree); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: tree is %v", c.name, got)
		}
	}
	_, err := b.Write("app.git", "main", slices.Values([]gitserver.Commit{{Files: map[string]string{".gitmodules": "[what"}, Only: true}}))
	b.must(err)
	_, err = b.try(mainRef)
	b.fails(err, source.ErrNotFound, ".gitmodules does not parse")
}

// Repositories in each other without end have one.
func TestSubmodulesBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{})
	b.at.Submodules = true
	id := b.nestling("app.git", map[string]string{"a": "1"})
	for range maxNested {
		id = b.nestling("app.git", map[string]string{"a": "1"}, [3]string{"n", b.at.URL, id})
	}
	if _, err := b.try(mainRef); err != nil {
		t.Error(err)
	}
	b.nestling("app.git", map[string]string{"a": "1"}, [3]string{"n", b.at.URL, id})
	_, err := b.try(mainRef)
	b.fails(err, source.ErrNotFound, "more than 10 deep")
	var many [][3]string
	leaf := b.nestling("app.git", map[string]string{"a": "1"})
	for i := range maxModules + 1 {
		many = append(many, [3]string{fmt.Sprint("n", i), b.at.URL, leaf})
	}
	b.nestling("app.git", nil, many[1:]...)
	if _, err := b.try(mainRef); err != nil {
		t.Error(err)
	}
	b.nestling("app.git", nil, many...)
	_, err = b.try(mainRef)
	b.fails(err, source.ErrNotFound, "more than 256 submodules")
}

func TestModuleRemote(t *testing.T) {
	secret := source.Access{Username: "ada", Password: "pw", CA: []byte("ca"), Proxy: "http://proxy", Cert: []byte("c")}
	elsewhere := source.Access{CA: []byte("ca"), Proxy: "http://proxy"}
	for _, c := range []struct {
		above, module string
		url           string
		access        source.Access
	}{
		{"https://h/org/app.git", "../lib.git", "https://h/org/lib.git", secret},
		{"https://h/org/app", "./sub", "https://h/org/app/sub", secret},
		{"https://h/org/app", "../../other/lib", "https://h/other/lib", secret},
		{"https://h/org/app", "../../../../lib", "https://h/lib", secret},
		{"https://h/org/app", "https://h:443/lib", "https://h:443/lib", secret},
		{"https://h/org/app", "https://H/lib", "https://H/lib", secret},
		{"https://h/org/app", "http://h/lib", "http://h/lib", elsewhere},
		{"https://h/org/app", "https://h:8443/lib", "https://h:8443/lib", elsewhere},
		{"https://h/org/app", "https://h.evil/lib", "https://h.evil/lib", elsewhere},
		{"https://h/org/app", "git@h:org/lib.git", "ssh://git@h/org/lib.git", source.Access{CA: []byte("ca")}},
		{"ssh://git@h/org/app", "../lib", "ssh://git@h/org/lib", secret},
		{"ssh://git@h/org/app", "git@h:org/lib.git", "ssh://git@h/org/lib.git", secret},
		{"ssh://git@h:2222/org/app", "git@h:org/lib.git", "ssh://git@h/org/lib.git", source.Access{CA: []byte("ca")}},
	} {
		s := &Source{}
		above, err := s.place(source.Remote{URL: c.above, Access: secret})
		if err != nil {
			t.Fatal(err)
		}
		at, err := module{url: c.module}.remote(above)
		if err != nil || at.URL != c.url || !reflect.DeepEqual(at.Access, c.access) {
			t.Errorf("%s in %s is %s, %v; want %s; access is right: %v", c.module, c.above, at.URL, err, c.url, reflect.DeepEqual(at.Access, c.access))
		}
	}
}

func FuzzModuleRemote(f *testing.F) {
	f.Add("../lib.git")
	f.Add("git@h:x")
	f.Fuzz(func(t *testing.T, to string) {
		secret := source.Access{Username: "ada", Password: "pw"}
		s := &Source{}
		above, err := s.place(source.Remote{URL: "https://h/org/app", Access: secret})
		if err != nil {
			t.Fatal(err)
		}
		at, err := module{url: to}.remote(above)
		if err != nil || at.Access.Password == "" {
			return
		}
		p, err := s.place(at)
		if err == nil && (p.scheme != "https" || hostPort(p.scheme, p.host) != "h:443") {
			t.Errorf("%q is %s, and gets the password", to, p.url)
		}
	})
}

func FuzzParseModules(f *testing.F) {
	f.Add([]byte("submodule.a.path\nlib\x00submodule.a.url\n../lib\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, m := range parseModules(data) {
			if m.path == "" || m.url == "" {
				t.Errorf("%q holds %+v", data, m)
			}
		}
	})
}

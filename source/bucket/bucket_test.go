package bucket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/internal/s3server"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/sourcetest"
	"github.com/sane-gitops/sane/source/unpack"
)

func open(t testing.TB, dir string, fresh time.Duration) *Source {
	t.Helper()
	store, err := unpack.Open(unpack.Config{Dir: dir, MaxBytes: 16 << 20})
	must(t, err)
	s := New(Config{Store: store, Fresh: fresh})
	t.Cleanup(func() {
		s.Close()
		store.Close()
	})
	return s
}

func serve(t testing.TB, opts s3server.Options) *s3server.Server {
	t.Helper()
	s, err := s3server.Start(opts)
	must(t, err)
	t.Cleanup(s.Close)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func remoteOf(s *s3server.Server) source.Remote {
	return source.Remote{Type: "bucket", URL: s.URL(), Timeout: 10 * time.Second, Region: "us-east-1"}
}

func get(t testing.TB, s *Source, at source.Remote, ref source.Ref) (*source.Snapshot, error) {
	t.Helper()
	rev, err := s.Resolve(t.Context(), at, ref)
	if err != nil {
		return nil, err
	}
	return s.Fetch(t.Context(), at, ref, rev)
}

// names returns the names of all files in a tree.
func names(t testing.TB, tree fs.FS) []string {
	t.Helper()
	var all []string
	must(t, fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, name)
		}
		return err
	}))
	return all
}

// branches takes branches for buckets.
type branches struct{ *Source }

func named(ref source.Ref) source.Ref {
	return source.Ref{Name: strings.ReplaceAll(ref.Branch, "/", "-")}
}

func (b branches) Resolve(ctx context.Context, at source.Remote, ref source.Ref) (source.Revision, error) {
	return b.Source.Resolve(ctx, at, named(ref))
}

func (b branches) Fetch(ctx context.Context, at source.Remote, ref source.Ref, rev source.Revision) (*source.Snapshot, error) {
	return b.Source.Fetch(ctx, at, named(ref), rev)
}

func TestSource(t *testing.T) {
	server := serve(t, s3server.Options{})
	sourcetest.Run(t, branches{open(t, t.TempDir(), -1)}, remoteOf(server), func(branch string, files map[string]string) {
		bucket := named(source.Ref{Branch: branch}).Name
		_ = server.Create(bucket) // it may be there
		must(t, server.Replace(bucket, files))
	})
}

func TestWhatCounts(t *testing.T) {
	server := serve(t, s3server.Options{})
	s := open(t, t.TempDir(), -1)
	for i, tt := range []struct {
		name    string
		objects map[string]string
		ref     source.Ref
		want    []string
		err     string
	}{
		{"nothing", nil, source.Ref{}, nil, ""},
		{"all", map[string]string{"a.yaml": "", "d/b.yaml": "", "d/e/c.yaml": ""}, source.Ref{}, []string{"a.yaml", "d/b.yaml", "d/e/c.yaml"}, ""},
		{"directories", map[string]string{"d/": "", "d/a": ""}, source.Ref{}, []string{"d/a"}, ""},
		{"a prefix", map[string]string{"apps/a": "", "infra/b": ""}, source.Ref{Prefix: "apps/"}, []string{"apps/a"}, ""},
		{"usual rules", map[string]string{"a.yaml": "", "b.png": "", ".github/c.yaml": ""}, source.Ref{}, []string{"a.yaml"}, ""},
		{"its user's rules", map[string]string{"a.yaml": "", "b.md": ""}, source.Ref{Ignore: "*.md"}, []string{"a.yaml"}, ""},
		{"its own rules", map[string]string{".sourceignore": "b.*\n", "b.yaml": "", "d/.sourceignore": "c*", "d/c": "", "d/e": "", "c": ""}, source.Ref{}, []string{".sourceignore", "c", "d/.sourceignore", "d/e"}, ""},
		{"a key that climbs", map[string]string{"d/../../a": ""}, source.Ref{}, nil, "leads out of the bucket"},
		{"a file and a directory", map[string]string{"a": "", "a/b": ""}, source.Ref{}, nil, "both a file and a directory"},
		{"too large", map[string]string{"a": strings.Repeat("0", 17<<20)}, source.Ref{}, nil, "more than 16777216 bytes"},
		{"large", map[string]string{"a": strings.Repeat("0", 5<<20), "b": ""}, source.Ref{}, []string{"a", "b"}, ""},
	} {
		tt.ref.Name = fmt.Sprintf("bucket-%d", i)
		must(t, server.Create(tt.ref.Name))
		must(t, server.Replace(tt.ref.Name, tt.objects))
		snap, err := get(t, s, remoteOf(server), tt.ref)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || !errors.Is(err, source.ErrContent) {
				t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := names(t, snap.Tree); !slices.Equal(got, tt.want) {
			t.Errorf("%s: holds %q, want %q", tt.name, got, tt.want)
		}
		for name, want := range tt.objects {
			if data, err := fs.ReadFile(snap.Tree, name); err == nil && string(data) != want {
				t.Errorf("%s: %s holds %d bytes, want %d", tt.name, name, len(data), len(want))
			}
		}
	}
}

// What is left out does not make a new revision; what is not does.
func TestRevision(t *testing.T) {
	server := serve(t, s3server.Options{})
	must(t, server.Create("apps"))
	s := open(t, t.TempDir(), -1)
	var seen []source.Revision
	for _, tt := range []struct {
		name    string
		objects map[string]string
		changed bool
	}{
		{"first", map[string]string{"a": "1", "x.png": "1"}, true},
		{"the same", map[string]string{"a": "1", "x.png": "1"}, false},
		{"what is left out has changed", map[string]string{"a": "1", "x.png": "2"}, false},
		{"changed", map[string]string{"a": "2", "x.png": "2"}, true},
		{"added", map[string]string{"a": "2", "b": "2"}, true},
		{"removed", map[string]string{"b": "2"}, true},
		{"left out by its own rules", map[string]string{".sourceignore": "b", "b": "2"}, true},
	} {
		must(t, server.Replace("apps", tt.objects))
		rev, err := s.Resolve(t.Context(), remoteOf(server), source.Ref{Name: "apps"})
		must(t, err)
		if is := len(seen) == 0 || seen[len(seen)-1] != rev; is != tt.changed {
			t.Errorf("%s: a new revision: %v, want %v", tt.name, is, tt.changed)
		}
		seen = append(seen, rev)
	}
}

// Objects that are here are not fetched again.
func TestFetchOnlyChanges(t *testing.T) {
	server := serve(t, s3server.Options{})
	must(t, server.Create("apps"))
	objects := make(map[string]string)
	for i := range 40 {
		objects[fmt.Sprintf("d%d/f%d", i%7, i)] = fmt.Sprint(i)
	}
	must(t, server.Replace("apps", objects))
	dir := t.TempDir()
	s := open(t, dir, -1)
	at, ref := remoteOf(server), source.Ref{Name: "apps"}
	for _, step := range []struct {
		name string
		key  string
		want int // objects that are asked for in all
	}{
		{"the first time", "", 40},
		{"nothing has changed", "", 40},
		{"one has changed", "d3/f3", 41},
		{"one is new", "new", 42},
	} {
		if step.key != "" {
			objects[step.key] = "changed"
			must(t, server.Put("apps", step.key, "changed"))
		}
		snap, err := get(t, s, at, ref)
		must(t, err)
		got := make(map[string]string)
		for _, name := range names(t, snap.Tree) {
			data, _ := fs.ReadFile(snap.Tree, name)
			got[name] = string(data)
		}
		if !reflect.DeepEqual(got, objects) {
			t.Errorf("%s: holds %v", step.name, got)
		}
		if n := server.Objects(); n != step.want {
			t.Errorf("%s: asked for %d objects, want %d", step.name, n, step.want)
		}
	}
	rev, err := s.Resolve(t.Context(), at, ref)
	must(t, err)
	s.Close()
	s.Store.Close()
	server.Close()
	again := open(t, dir, -1)
	if _, err := again.Fetch(t.Context(), at, ref, rev); err != nil {
		t.Errorf("after a restart, without the server: %v", err)
	}
	at.Access.Username, at.Access.Password = "mallory", "guessed"
	if _, err := again.Fetch(t.Context(), at, ref, rev); err == nil {
		t.Error("what is kept is given to whoever has another way in")
	}
}

// Who comes with another key, as after it was changed, does not fetch again what is
// here: it is asked whether it could.
func TestAnotherKey(t *testing.T) {
	var checks atomic.Int64
	var hidden atomic.Bool
	server := serve(t, s3server.Options{Hook: func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			checks.Add(1)
		}
		if hide := hidden.Load() && strings.HasSuffix(r.URL.Path, "/f9"); !hide {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		return true
	}})
	must(t, server.Create("apps"))
	objects := make(map[string]string)
	for i := range 40 {
		objects[fmt.Sprint("f", i)] = fmt.Sprint(i)
	}
	must(t, server.Replace("apps", objects))
	s := open(t, t.TempDir(), -1)
	at, ref := remoteOf(server), source.Ref{Name: "apps"}
	for _, step := range []struct {
		name, user   string
		change       bool
		got, checked int // in all
	}{
		{"the first", "ada", false, 40, 0},
		{"another key", "bob", false, 40, 40},
		{"that again", "bob", false, 40, 40},
		{"the first again", "ada", false, 40, 40},
		{"another key, and a change", "eve", true, 41, 79},
	} {
		at.Access.Username, at.Access.Password = step.user, "secret"
		if step.change {
			must(t, server.Put("apps", "f7", "changed"))
		}
		_, err := get(t, s, at, ref)
		must(t, err)
		if got, checked := server.Objects(), int(checks.Load()); got != step.got || checked != step.checked {
			t.Errorf("%s: %d objects were had and %d asked about, want %d and %d", step.name, got, checked, step.got, step.checked)
		}
	}
	hidden.Store(true)
	at.Access.Username = "mallory"
	if _, err := get(t, s, at, ref); !errors.Is(err, source.ErrAuth) {
		t.Errorf("what is kept is given to whoever may not have all of it: %v", err)
	}
}

// What was fetched last is forgotten when nobody asks for it any more.
func TestForgets(t *testing.T) {
	server := serve(t, s3server.Options{})
	s := open(t, t.TempDir(), -1)
	now := time.Now()
	s.Now = func() time.Time { return now }
	for i := range 4 {
		name := fmt.Sprint("apps-", i)
		must(t, server.Create(name))
		must(t, server.Put(name, "a", "1"))
		_, err := get(t, s, remoteOf(server), source.Ref{Name: name})
		must(t, err)
		now = now.Add(10 * time.Hour)
	}
	if len(s.last) != 3 {
		t.Errorf("%d buckets are remembered", len(s.last))
	}
}

// A bucket that changes while it is fetched is no mixture.
func TestChangesMeanwhile(t *testing.T) {
	var before atomic.Pointer[func()]
	server := serve(t, s3server.Options{Hook: func(_ http.ResponseWriter, r *http.Request) bool {
		if f := before.Load(); f != nil && strings.HasSuffix(r.URL.Path, "/a") {
			(*f)()
		}
		return false
	}})
	must(t, server.Create("apps"))
	must(t, server.Replace("apps", map[string]string{"a": "1", "b": "1"}))
	s := open(t, t.TempDir(), time.Hour)
	change := func() { _ = server.Put("apps", "a", "22") }
	before.Store(&change)
	if _, err := get(t, s, remoteOf(server), source.Ref{Name: "apps"}); err == nil || !strings.Contains(err.Error(), "changed meanwhile") || fault.IsInput(err) {
		t.Errorf("fetched while it changed: %v", err)
	}
	before.Store(nil)
	s.Expire(server.URL())
	snap, err := get(t, s, remoteOf(server), source.Ref{Name: "apps"})
	must(t, err)
	if data, _ := fs.ReadFile(snap.Tree, "a"); string(data) != "22" {
		t.Errorf("holds %q", data)
	}
}

func TestAccess(t *testing.T) {
	plain := serve(t, s3server.Options{Key: "alice"})
	secure := serve(t, s3server.Options{TLS: true})
	gone := serve(t, s3server.Options{})
	gone.Close()
	sts := serve(t, s3server.Options{Hook: func(w http.ResponseWriter, r *http.Request) bool {
		if r.FormValue("Action") != "AssumeRoleWithLDAPIdentity" || r.FormValue("LDAPUsername") != "bob" || r.FormValue("LDAPPassword") != "hunter2" {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Code>AccessDenied</Code><Message>not with %s</Message></Error></ErrorResponse>`, r.FormValue("LDAPPassword"))
			return true
		}
		fmt.Fprintf(w, `<AssumeRoleWithLDAPIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithLDAPIdentityResult>
<Credentials><AccessKeyId>alice</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration></Credentials>
</AssumeRoleWithLDAPIdentityResult></AssumeRoleWithLDAPIdentityResponse>`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		return true
	}})
	for _, server := range []*s3server.Server{plain, secure} {
		must(t, server.Create("apps"))
		must(t, server.Put("apps", "a", "1"))
	}
	ldap := func(password string) *source.Issuer {
		return &source.Issuer{Type: "ldap", Endpoint: sts.URL(), Access: source.Access{Username: "bob", Password: password}}
	}
	for _, tt := range []struct {
		name   string
		server *s3server.Server
		access source.Access
		bucket string
		err    error
		words  string
	}{
		{"keys", plain, source.Access{Username: "alice", Password: "hunter2"}, "apps", nil, ""},
		{"other keys", plain, source.Access{Username: "mallory", Password: "hunter2"}, "apps", source.ErrAuth, "InvalidAccessKeyId"},
		{"no keys", plain, source.Access{}, "apps", source.ErrAuth, "InvalidAccessKeyId"},
		{"ldap", plain, source.Access{Issuer: ldap("hunter2")}, "apps", nil, ""},
		{"ldap, wrong", plain, source.Access{Issuer: ldap("wrongwrong")}, "apps", source.ErrAuth, "not with ***"},
		{"trusted", secure, source.Access{CA: secure.CA()}, "apps", nil, ""},
		{"not trusted", secure, source.Access{}, "apps", source.ErrAuth, "certificate"},
		{"no certificate", secure, source.Access{CA: []byte("none")}, "apps", source.ErrAuth, "ca.crt"},
		{"no such bucket", secure, source.Access{CA: secure.CA()}, "none", source.ErrNotFound, "NoSuchBucket"},
		{"no name of a bucket", plain, source.Access{}, "x", source.ErrURL, "shorter than 3"},
		{"nobody there", gone, source.Access{}, "apps", source.ErrNetwork, "refused"},
	} {
		at := remoteOf(tt.server)
		at.Access = tt.access
		_, err := get(t, open(t, t.TempDir(), -1), at, source.Ref{Name: tt.bucket})
		if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || !strings.Contains(fmt.Sprint(err), tt.words) {
			t.Errorf("%s: error %v, want %v with %q", tt.name, err, tt.err, tt.words)
		}
		if strings.Contains(fmt.Sprint(err), "hunter2") || strings.Contains(fmt.Sprint(err), "wrongwrong") {
			t.Errorf("%s: the error tells a secret: %v", tt.name, err)
		}
	}
}

package git

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/sourcetest"
)

func TestPromisesHTTP(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{TLS: true, Username: "ada", Password: "p w'\""})
	b.at.Access = source.Access{Username: "ada", Password: "p w'\"", CA: b.CA()}
	sourcetest.Run(t, b.src, b.at, publisher(t, b.Repos))
}

func publisher(t *testing.T, r gitserver.Repos) func(string, map[string]string) {
	return func(branch string, files map[string]string) {
		one := func(yield func(gitserver.Commit) bool) { yield(gitserver.Commit{Files: files, Only: true}) }
		if _, err := r.Write("app.git", branch, one); err != nil {
			t.Fatal(err)
		}
	}
}

func sshd(t *testing.T) *gitserver.SSH {
	t.Helper()
	s, err := gitserver.StartSSH(t.TempDir())
	if errors.Is(err, gitserver.ErrNoSSHD) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Create("app.git"); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPromisesSSH(t *testing.T) {
	t.Parallel()
	s := sshd(t)
	src := open(t, Config{Dir: t.TempDir(), Fresh: -1})
	at := source.Remote{URL: s.URL("app.git"), Access: source.Access{Identity: s.Identity, KnownHosts: s.KnownHosts}}
	sourcetest.Run(t, src, at, publisher(t, s.Repos))
}

// Only algorithms that are allowed are used, where somebody says which.
func TestCiphers(t *testing.T) {
	t.Parallel()
	s := sshd(t)
	if _, err := s.Commit("app.git", "main", "x", map[string]string{"a": "1"}); err != nil {
		t.Fatal(err)
	}
	at := source.Remote{URL: s.URL("app.git"), Access: source.Access{Identity: s.Identity, KnownHosts: s.KnownHosts}}
	for _, tt := range []struct {
		may Ciphers
		ok  bool
	}{
		{Ciphers{KeyExchange: []string{"curve25519-sha256", "ecdh-sha2-nistp256"}, HostKey: []string{"ssh-ed25519"}}, true},
		{Ciphers{HostKey: []string{"ssh-rsa-cert-v01@openssh.com"}}, false},
		{Ciphers{KeyExchange: []string{"diffie-hellman-group1-sha1"}}, false},
		{Ciphers{KeyExchange: []string{"no-such-thing"}}, false},
	} {
		src := open(t, Config{Dir: t.TempDir(), Fresh: -1, Ciphers: tt.may})
		if _, err := src.Resolve(t.Context(), at, source.Ref{Branch: "main"}); (err == nil) != tt.ok {
			t.Errorf("%v: %v", tt.may, err)
		}
	}
}

func TestSSHAccess(t *testing.T) {
	t.Parallel()
	s := sshd(t)
	if _, err := s.Commit("app.git", "main", "x", map[string]string{"a": "1"}); err != nil {
		t.Fatal(err)
	}
	src := open(t, Config{Dir: t.TempDir(), Fresh: -1})
	b := &bench{T: t}
	for _, c := range []struct {
		name   string
		access source.Access
		kind   error
		words  string
	}{
		{"key", source.Access{Identity: s.Identity, KnownHosts: s.KnownHosts}, nil, ""},
		{"passphrase", source.Access{Identity: s.Locked, Password: s.Passphrase, KnownHosts: s.KnownHosts}, nil, ""},
		{"wrong passphrase", source.Access{Identity: s.Locked, Password: "wrong", KnownHosts: s.KnownHosts}, source.ErrAuth, "identity"},
		{"no passphrase", source.Access{Identity: s.Locked, KnownHosts: s.KnownHosts}, source.ErrAuth, "identity"},
		{"stranger", source.Access{Identity: s.Stranger, KnownHosts: s.KnownHosts}, source.ErrAuth, "does not accept the SSH identity"},
		{"other host", source.Access{Identity: s.Identity, KnownHosts: s.OtherHost}, source.ErrAuth, "host key is not in known_hosts"},
		{"unknown host", source.Access{Identity: s.Identity, KnownHosts: []byte("example.com ssh-ed25519 AAAA\n")}, source.ErrAuth, "host key"},
		{"no hosts", source.Access{Identity: s.Identity}, source.ErrAuth, "known_hosts is required"},
		{"no key", source.Access{KnownHosts: s.KnownHosts}, source.ErrAuth, "identity is required"},
	} {
		_, err := src.Resolve(t.Context(), source.Remote{URL: s.URL("app.git"), Access: c.access}, mainRef)
		switch {
		case c.kind == nil && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.kind != nil:
			b.fails(err, c.kind, c.words)
		}
	}
	at := source.Remote{URL: s.URL("none.git"), Access: source.Access{Identity: s.Identity, KnownHosts: s.KnownHosts}}
	_, err := src.Resolve(t.Context(), at, mainRef)
	b.fails(err, source.ErrNotFound, "repository not found")
	if left, _ := os.ReadDir(src.temp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestHTTPAccess(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{Username: "ada", Password: "secret-pw", TLS: true})
	b.put(map[string]string{"a": "1"})
	good := source.Access{Username: "ada", Password: "secret-pw", CA: b.CA()}
	withUser := strings.Replace(b.at.URL, "https://", "https://ada:secret-pw@", 1)
	for _, c := range []struct {
		name   string
		url    string
		access source.Access
		kind   error
		words  string
	}{
		{"good", b.at.URL, good, nil, ""},
		{"in the URL", withUser, source.Access{CA: b.CA()}, nil, ""},
		{"none", b.at.URL, source.Access{CA: b.CA()}, source.ErrAuth, "authentication required"},
		{"wrong", b.at.URL, source.Access{Username: "ada", Password: "wrong-pw", CA: b.CA()}, source.ErrAuth, "does not accept the credentials"},
		{"line break", b.at.URL, source.Access{Username: "ada", Password: "secret-pw\n", CA: b.CA()}, source.ErrAuth, "line break"},
		{"no CA", b.at.URL, source.Access{Username: "ada", Password: "secret-pw"}, source.ErrAuth, "certificate is not trusted"},
		{"no CA, in the URL", withUser, source.Access{}, source.ErrAuth, "certificate is not trusted"},
		{"no repository", b.URL("none.git"), good, source.ErrNotFound, "repository not found"},
	} {
		_, err := b.src.Resolve(t.Context(), source.Remote{URL: c.url, Access: c.access}, mainRef)
		switch {
		case c.kind == nil && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.kind != nil:
			b.fails(err, c.kind, c.words)
		}
		if err != nil && strings.Contains(err.Error(), "-pw") {
			t.Errorf("%s: %v tells the password", c.name, err)
		}
	}
}

func TestBearer(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{Bearer: "token-1"})
	b.put(map[string]string{"a": "1"})
	b.at.Access.Bearer = "token-1"
	b.reads(b.get(mainRef), "a", "1")
	b.at.Access.Bearer = "token-2"
	_, err := b.try(mainRef)
	b.fails(err, source.ErrAuth)
}

// Credentials are nowhere on disk, and no command line tells them.
func TestSecrets(t *testing.T) {
	t.Parallel()
	var seen atomic.Bool
	b := setup(t, gitserver.Options{Username: "ada", Password: "hunter2hunter2", Hook: func(http.ResponseWriter, *http.Request) bool {
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range lines {
			line, _ := os.ReadFile(file)
			if bytes.Contains(line, []byte("hunter2")) || bytes.Contains(line, []byte("YWRhOmh1bnRlcjJ")) {
				seen.Store(true)
			}
		}
		return false
	}})
	b.put(map[string]string{"a": "1"})
	b.at.URL = strings.Replace(b.at.URL, "://", "://ada:hunter2hunter2@", 1)
	b.reads(b.get(mainRef), "a", "1")
	if seen.Load() {
		t.Error("a command line tells the password")
	}
	for _, root := range []string{b.src.Dir, b.src.temp} {
		filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if data, _ := os.ReadFile(name); bytes.Contains(data, []byte("hunter2")) || strings.Contains(name, "hunter2") {
				t.Errorf("%s tells the password", name)
			}
			return nil
		})
	}
	b.at.URL = strings.Replace(b.at.URL, "app.git", "none.git", 1)
	_, err := b.try(mainRef)
	b.fails(err, source.ErrNotFound)
	if text := fmt.Sprint(err) + b.log.String(); strings.Contains(text, "hunter2") {
		t.Errorf("%s tells the password", text)
	}
}

// A server that has moved is followed, but is not told the password unless it
// is the same.
func TestRedirect(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{Username: "ada", Password: "pw"})
	b.put(map[string]string{"a": "1"})
	var told atomic.Value
	told.Store("")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	b.must(err)
	old := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, b.URL("")+strings.TrimPrefix(r.URL.RequestURI(), "/old/"), http.StatusMovedPermanently)
	})}
	go old.Serve(l)
	t.Cleanup(func() { old.Close() })

	at := source.Remote{URL: "http://" + l.Addr().String() + "/old/app.git"}
	at.Access = source.Access{Username: "ada", Password: "pw"}
	_, err = b.src.Resolve(t.Context(), at, mainRef)
	b.fails(err, source.ErrAuth) // another host: it isn't told the password

	same := setup(t, gitserver.Options{})
	same.put(map[string]string{"a": "2"})
	mux := setupMoved(t, same)
	same.at = source.Remote{URL: mux + "/moved.git", Access: source.Access{Username: "x", Password: "y"}}
	same.reads(same.get(mainRef), "a", "2")
	same.at.Access = source.Access{Bearer: "t"}
	_, err = same.try(mainRef)
	same.fails(err, source.ErrURL, "redirects")
}

// setupMoved returns the URL of a server that calls b's repository moved.git.
func setupMoved(t *testing.T, b *bench) string {
	t.Helper()
	var self *gitserver.Server
	self, err := gitserver.Start(string(b.Repos), gitserver.Options{Hook: func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "moved.git") {
			return false
		}
		http.Redirect(w, r, strings.Replace(r.URL.RequestURI(), "moved.git", "app.git", 1), http.StatusMovedPermanently)
		return true
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(self.Close)
	return strings.TrimSuffix(self.URL(""), "/")
}

func TestURLs(t *testing.T) {
	t.Parallel()
	src := open(t, Config{Dir: t.TempDir()})
	b := &bench{T: t}
	for _, url := range []string{
		"", "app", "/srv/app.git", "file:///srv/app.git", "git://example.com/app", "ext::sh -c id", "http://",
		"git@example.com:app.git", "ssh://-oProxyCommand=id/x", "https://ada:hunter2@exa mple.com/x", "https://h/%00", "http://h/%0aa",
	} {
		at := source.Remote{URL: url}
		_, err := src.Resolve(t.Context(), at, mainRef)
		b.fails(err, source.ErrURL)
		if strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%v tells the password", err)
		}
	}
}

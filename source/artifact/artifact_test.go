package artifact_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/zeebo/blake3"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/artifact"
	"github.com/sane-gitops/sane/source/sourcetest"
	"github.com/sane-gitops/sane/source/unpack"
)

// A keeper serves tarballs, and says of each branch what the artifact is, as
// the status of its object would.
type keeper struct {
	*artifact.Source
	server *httptest.Server
	asked  atomic.Int64 // over HTTP

	mu    sync.Mutex
	files map[string][]byte     // guarded by mu; by path
	heads map[string]source.Ref // guarded by mu; by branch
}

func newKeeper(t *testing.T, c artifact.Config) *keeper {
	k := &keeper{files: make(map[string][]byte), heads: make(map[string]source.Ref)}
	k.server = httptest.NewServer(k)
	t.Cleanup(k.server.Close)
	store, err := unpack.Open(unpack.Config{Dir: t.TempDir(), MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	c.Store = store
	k.Source = artifact.New(c)
	t.Cleanup(func() {
		k.Source.Close()
		store.Close()
	})
	return k
}

func (k *keeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.asked.Add(1)
	k.mu.Lock()
	data, ok := k.files[r.URL.Path]
	k.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(data) // who has asked may have gone
}

func (k *keeper) at(path string) source.Remote {
	return source.Remote{Type: "artifact", URL: k.server.URL + path}
}

func (k *keeper) put(path string, data []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.files[path] = data
}

func (k *keeper) publish(branch string, files map[string]string) {
	data := tarball(files)
	d := digest.Of(data)
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.files, "/"+string(k.heads[branch].Digest)) // what was there before has gone
	k.files["/"+string(d)] = data
	k.heads[branch] = source.Ref{Name: branch + "@" + string(d), Digest: d}
}

// Resolve is the part of an artifact's user that reads the object's status.
func (k *keeper) Resolve(ctx context.Context, at source.Remote, ref source.Ref) (source.Revision, error) {
	k.mu.Lock()
	head, ok := k.heads[ref.Branch]
	k.mu.Unlock()
	if !ok {
		return source.Revision{}, fmt.Errorf("branch %s: %w", ref.Branch, source.ErrNotFound)
	}
	return k.Source.Resolve(ctx, at, head)
}

func (k *keeper) Fetch(ctx context.Context, at source.Remote, ref source.Ref, rev source.Revision) (*source.Snapshot, error) {
	at.URL += "/" + string(rev.Digest)
	return k.Source.Fetch(ctx, at, ref, rev)
}

func tarball(files map[string]string) []byte {
	tree := make(fstest.MapFS)
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	var b bytes.Buffer
	if err := artifact.Pack(context.Background(), &b, tree); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func TestSource(t *testing.T) {
	k := newKeeper(t, artifact.Config{})
	sourcetest.Run(t, k, k.at(""), k.publish)
}

// What is here is not asked for again by who names the same URL; who names no
// more than its digest does not get it.
func TestOnce(t *testing.T) {
	k := newKeeper(t, artifact.Config{})
	data := tarball(map[string]string{"a": "1"})
	k.put("/one", data)
	k.put("/two", data)
	for _, c := range []struct {
		path  string
		is    error
		asked int64 // times in all
	}{{"/one", nil, 1}, {"/one", nil, 1}, {"/two", nil, 2}, {"/gone", source.ErrNotFound, 3}} {
		_, err := k.Source.Fetch(t.Context(), k.at(c.path), source.Ref{}, source.Revision{Name: c.path, Digest: digest.Of(data)})
		if n := k.asked.Load(); !errors.Is(err, c.is) || int64(n) != c.asked {
			t.Errorf("%s: %v after asking %d times, want %v after %d", c.path, err, n, c.is, c.asked)
		}
	}
}

// The host to ask may be another than the one in URLs.
func TestHost(t *testing.T) {
	k := newKeeper(t, artifact.Config{})
	host := strings.TrimPrefix(k.server.URL, "http://")
	k.Source = artifact.New(artifact.Config{Store: k.Store, Host: host})
	data := tarball(map[string]string{"a": "1"})
	k.put("/a.tar.gz", data)
	at := source.Remote{URL: "http://source-controller.flux-system.svc.cluster.local./a.tar.gz"}
	if _, err := k.Source.Fetch(t.Context(), at, source.Ref{}, source.Revision{Name: "x", Digest: digest.Of(data)}); err != nil {
		t.Error(err)
	}
}

func sum512(data []byte) digest.Digest {
	sum := sha512.Sum512(data)
	return digest.Digest("sha512:" + hex.EncodeToString(sum[:]))
}

func sum384(data []byte) digest.Digest {
	sum := sha512.Sum384(data)
	return digest.Digest("sha384:" + hex.EncodeToString(sum[:]))
}

func blake(data []byte) digest.Digest {
	sum := blake3.Sum256(data)
	return digest.Digest("blake3:" + hex.EncodeToString(sum[:]))
}

func TestFetch(t *testing.T) {
	good := tarball(map[string]string{"a.yaml": "a: 1\n"})
	other := tarball(map[string]string{"a.yaml": "a: 2\n"})
	cut := good[:len(good)/2]
	climbs := odd(tar.Header{Name: "../up", Typeflag: tar.TypeReg, Size: 1})
	large := tarball(map[string]string{"zeros": strings.Repeat("\x00", 2<<20)})
	sha := sha256.Sum256(good)
	for _, tt := range []struct {
		name  string
		data  []byte // nil means that there is none
		as    digest.Digest
		is    error // nil means success
		input bool
		says  string
	}{
		{"sha256", good, digest.Of(good), nil, false, ""},
		{"sha384", good, sum384(good), nil, false, ""},
		{"sha512", good, sum512(good), nil, false, ""},
		{"blake3", good, blake(good), nil, false, ""},
		{"it is not there", nil, digest.Of([]byte("none")), source.ErrNotFound, false, "404"},
		{"it is another", other, digest.Of([]byte("x")), source.ErrContent, false, "its digest is " + string(digest.Of(other))},
		{"it is no tarball, and another", []byte("<html>"), digest.Of([]byte("x")), source.ErrContent, false, "its digest is"},
		{"it is cut short, as said", cut, digest.Of(cut), source.ErrContent, true, "no whole tar archive"},
		{"it leads out", climbs, digest.Of(climbs), source.ErrContent, true, "../up"},
		{"it is a bomb", large, digest.Of(large), source.ErrContent, true, "more than"},
		{"md5", good, "md5:d41d8cd98f00b204e9800998ecf8427e", source.ErrRef, false, "none of sha256"},
		{"no digest", good, "", source.ErrRef, false, "none of sha256"},
		{"half a digest", good, "sha256:12", source.ErrRef, false, "64 hexadecimal"},
		{"a digest that shouts", good, digest.Digest("sha256:" + strings.ToUpper(hex.EncodeToString(sha[:]))), source.ErrRef, false, "lower case"},
	} {
		k := newKeeper(t, artifact.Config{})
		if tt.data != nil {
			k.put("/x.tar.gz", tt.data)
		}
		ref := source.Ref{Name: "main@sha1:aaaa", Digest: tt.as}
		rev, err := k.Source.Resolve(t.Context(), k.at("/x.tar.gz"), ref)
		if err == nil {
			_, err = k.Source.Fetch(t.Context(), k.at("/x.tar.gz"), ref, rev)
		}
		if !errors.Is(err, tt.is) || fault.IsInput(err) != tt.input || tt.is != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v (input: %v), want %v with %q", tt.name, err, fault.IsInput(err), tt.is, tt.says)
		}
	}
}

// What was the wrong content is asked for again, and then right.
func TestHeals(t *testing.T) {
	k := newKeeper(t, artifact.Config{})
	data := tarball(map[string]string{"a": "1"})
	rev := source.Revision{Name: "x", Digest: digest.Of(data)}
	for n, served := range [][]byte{nil, []byte("wrong"), data[:len(data)-3], data} {
		if served != nil {
			k.put("/x", served)
		}
		_, err := k.Source.Fetch(t.Context(), k.at("/x"), source.Ref{}, rev)
		if (err == nil) != (n == 3) {
			t.Errorf("try %d: %v", n, err)
		}
	}
}

func TestServerErrors(t *testing.T) {
	for _, tt := range []struct {
		answer http.HandlerFunc
		is     error
		says   string
	}{
		{func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, source.ErrNetwork, "503"},
		{func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) }, source.ErrNotFound, "410"},
		{func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, source.ErrAuth, "403"},
		{func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, source.ErrNetwork, "EOF"},
		{func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write(tarball(map[string]string{"a": "1"})[:20])
		}, source.ErrNetwork, "EOF"},
	} {
		k := newKeeper(t, artifact.Config{})
		server := httptest.NewServer(tt.answer)
		defer server.Close()
		at := source.Remote{URL: strings.Replace(server.URL, "http://", "http://user:secret@", 1) + "/x"}
		_, err := k.Source.Fetch(t.Context(), at, source.Ref{}, source.Revision{Name: "main@sha1:a", Digest: digest.Of(nil)})
		if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "main@sha1:a") {
			t.Errorf("%v, want %v with %q", err, tt.is, tt.says)
		}
		if strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("a password is told: %v", err)
		}
	}
}

// What happens again is told in the same words.
func TestSteadyErrors(t *testing.T) {
	k := newKeeper(t, artifact.Config{})
	reset := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0) // so that closing resets
			conn.Close()
		}
	}))
	defer reset.Close()
	nobody := httptest.NewServer(nil)
	nobody.Close()
	for _, at := range []string{reset.URL, nobody.URL} {
		var said [3]string
		for i := range said {
			_, err := k.Source.Fetch(t.Context(), source.Remote{URL: at + "/x"}, source.Ref{}, source.Revision{Name: "x", Digest: digest.Of(nil)})
			if !errors.Is(err, source.ErrNetwork) {
				t.Errorf("%v is of another kind", err)
			}
			said[i] = fmt.Sprint(err)
		}
		if said[0] != said[1] || said[1] != said[2] {
			t.Errorf("it says %q", said)
		}
	}
}

func TestURLs(t *testing.T) {
	k := newKeeper(t, artifact.Config{})
	for _, u := range []string{"", "x.tar.gz", "ftp://host/x", "file:///etc/passwd", "http:///x", "http://a:pass word@b/x", "http://%zz"} {
		_, err := k.Source.Resolve(t.Context(), source.Remote{URL: u}, source.Ref{Name: "x", Digest: digest.Of(nil)})
		if !errors.Is(err, source.ErrURL) || strings.Contains(fmt.Sprint(err), "pass") {
			t.Errorf("%q: %v", u, err)
		}
	}
}

// A tarball that is too large is not read to its end.
func TestTooManyBytes(t *testing.T) {
	k := newKeeper(t, artifact.Config{MaxBytes: 64})
	data := tarball(map[string]string{"a": "1", "b": "2", "c/d": "3"})
	k.put("/x", data)
	_, err := k.Source.Fetch(t.Context(), k.at("/x"), source.Ref{}, source.Revision{Name: "x", Digest: digest.Of(data)})
	if !errors.Is(err, source.ErrContent) || !strings.Contains(err.Error(), "more than 64 bytes") {
		t.Error(err)
	}
}

// odd returns a tarball of one entry as it is.
func odd(h tar.Header) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&h); err != nil {
		panic(err)
	}
	_, _ = w.Write(bytes.Repeat([]byte("x"), int(h.Size))) // of a buffer
	_, _ = w.Close(), z.Close()
	return b.Bytes()
}

// FuzzFetch serves any bytes for a tarball: they are refused, or they are a tree
// that does as trees do.
func FuzzFetch(f *testing.F) {
	f.Add(tarball(map[string]string{"a.yaml": "a: 1\n", "b/c": "d"}))
	for _, h := range []tar.Header{
		{Name: "../up", Typeflag: tar.TypeReg, Size: 1},
		{Name: "/abs", Typeflag: tar.TypeReg, Size: 1},
		{Name: "link", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink},
		{Name: "hard", Linkname: "../x", Typeflag: tar.TypeLink},
		{Name: "dev", Typeflag: tar.TypeChar, Devmajor: 1},
		{Name: strings.Repeat("d/", 300) + "f", Typeflag: tar.TypeReg, Size: 1},
		{Name: "a\x00b", Typeflag: tar.TypeDir, Format: tar.FormatUSTAR},
	} {
		func() {
			defer func() { _ = recover() }() // what can't be written is no seed
			f.Add(odd(h))
		}()
	}
	store, err := unpack.Open(unpack.Config{Dir: f.TempDir(), MaxBytes: 1 << 20, MaxFiles: 1000})
	if err != nil {
		f.Fatal(err)
	}
	defer store.Close()
	f.Fuzz(func(t *testing.T, data []byte) {
		// Without a network: the client answers itself.
		src := artifact.New(artifact.Config{Store: store, Client: &http.Client{Transport: body(data)}})
		at := source.Remote{URL: "http://here/x"}
		d := digest.Of(data)
		snap, err := src.Fetch(t.Context(), at, source.Ref{}, source.Revision{Name: "x", Digest: d})
		if err != nil {
			return
		}
		var names []string
		if err := fs.WalkDir(snap.Tree, ".", func(name string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				names = append(names, name)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := fstest.TestFS(snap.Tree, names...); err != nil {
			t.Error(err)
		}
	})
}

// A body is what every request is answered with.
type body []byte

func (b body) RoundTrip(*http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	_, _ = w.Write(b)
	return w.Result(), nil
}

// FuzzResolve takes any text for what an artifact says of itself.
func FuzzResolve(f *testing.F) {
	for _, s := range []string{"main@sha1:aaaa", "v1@sha256:" + strings.Repeat("0", 64), "", "@", ":", "sha256:", "\xff"} {
		f.Add("http://host/x.tar.gz", s, "sha256:"+strings.Repeat("0", 64))
		f.Add(s, s, s)
	}
	store, err := unpack.Open(unpack.Config{Dir: f.TempDir()})
	if err != nil {
		f.Fatal(err)
	}
	defer store.Close()
	src := artifact.New(artifact.Config{Store: store, Client: &http.Client{Transport: body(nil)}})
	f.Fuzz(func(t *testing.T, url, name, sum string) {
		ref := source.Ref{Name: name, Digest: digest.Digest(sum)}
		rev, err := src.Resolve(t.Context(), source.Remote{URL: url}, ref)
		if err != nil {
			return
		}
		if rev.Name != name || string(rev.Digest) != sum {
			t.Errorf("Resolve = %v", rev)
		}
		if _, err := src.Fetch(t.Context(), source.Remote{URL: url}, ref, rev); err == nil {
			t.Error("nothing at all is a tarball")
		}
	})
}

func contents(t *testing.T, tree fs.FS) map[string]string {
	t.Helper()
	got := make(map[string]string)
	if err := fs.WalkDir(tree, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := fs.ReadFile(tree, name)
		got[name] = string(data)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func keys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

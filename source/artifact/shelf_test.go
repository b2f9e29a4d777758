package artifact_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/artifact"
)

var apps = source.FeedName{Kind: "GitRepository", Namespace: "flux-system", Name: "apps"}

// A shelf that is served, and the time there.
type shelf struct {
	*artifact.Shelf
	t      *testing.T
	now    time.Time
	server *httptest.Server
}

func openShelf(t *testing.T, dir string) *shelf {
	t.Helper()
	s := &shelf{t: t, now: time.Now()}
	var err error
	s.Shelf, err = artifact.OpenShelf(artifact.ShelfConfig{Dir: dir, Now: func() time.Time { return s.now }})
	if err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewServer(s.Shelf)
	t.Cleanup(func() {
		s.server.Close()
		s.Shelf.Close()
	})
	return s
}

func (s *shelf) put(snap *source.Snapshot) source.Artifact {
	s.t.Helper()
	a, err := s.Publish(s.t.Context(), apps, snap)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// get returns what is served at a path, and the status.
func (s *shelf) get(path string) ([]byte, int) {
	s.t.Helper()
	res, err := http.Get(s.server.URL + "/" + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return data, res.StatusCode
}

func snapshot(files ...string) *source.Snapshot {
	tree := make(fstest.MapFS)
	for i := 0; i < len(files); i += 2 {
		tree[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return &source.Snapshot{Revision: source.Revision{Name: "main@sha1:" + fmt.Sprint(len(files))}, Tree: tree}
}

// What one end offers the other end has.
func TestBothEnds(t *testing.T) {
	s := openShelf(t, t.TempDir())
	k := newKeeper(t, artifact.Config{})
	was := snapshot("a.yaml", "a: 1\n", "deep/er/b", "", "ü/ö", "x", path.Join("long", string(bytes.Repeat([]byte("n"), 200))), "y")
	a := s.put(was)
	if path.Dir(a.Path) != "gitrepository/flux-system/apps" || path.Ext(a.Path) != ".gz" {
		t.Errorf("it is at %s", a.Path)
	}
	data, status := s.get(a.Path)
	if status != 200 || int64(len(data)) != a.Size || digest.Of(data) != a.Digest {
		t.Fatalf("got %d with %d bytes of %s, want %+v", status, len(data), digest.Of(data), a)
	}
	snap, err := k.Source.Fetch(t.Context(), source.Remote{URL: s.server.URL + "/" + a.Path}, source.Ref{}, source.Revision{Name: "x", Digest: a.Digest})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := contents(t, snap.Tree), contents(t, was.Tree); !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", keys(got), keys(want))
	}
}

// Tarballs hold regular files and directories, as Flux's do, and nothing that
// differs from one time to another.
func TestPack(t *testing.T) {
	tree := fstest.MapFS{
		"b/run.sh":  {Data: []byte("#!"), Mode: 0o755, ModTime: time.Now()},
		"b/c":       {Data: []byte("c"), Mode: 0o644, ModTime: time.Now()},
		"a":         {Data: []byte("a"), Mode: 0o444},
		"link":      {Data: []byte("a"), Mode: fs.ModeSymlink | 0o777},
		"pipe":      {Mode: fs.ModeNamedPipe | 0o666},
		"none/.git": {Mode: fs.ModeDir | 0o700},
	}
	pack := func() []byte {
		var b bytes.Buffer
		if err := artifact.Pack(t.Context(), &b, tree); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	data := pack()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var got string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(r)
		got += fmt.Sprintf("%c %o %s %d %d %q %s %d\n", h.Typeflag, h.Mode, h.Name, h.Uid, h.Gid, h.Uname+h.Gname, text, h.ModTime.Unix())
	}
	const want = `0 600 a 0 0 "" a 0
5 750 b/ 0 0 "" ` + ` 0
0 600 b/c 0 0 "" c 0
0 700 b/run.sh 0 0 "" #! 0
5 750 none/ 0 0 "" ` + ` 0
5 750 none/.git/ 0 0 "" ` + ` 0
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	tree["b/c"].ModTime = tree["b/c"].ModTime.Add(time.Hour)
	if !bytes.Equal(data, pack()) {
		t.Error("the same tree makes other bytes")
	}
}

func TestPackStops(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := artifact.Pack(ctx, io.Discard, snapshot("a", "b").Tree); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// What was offered before stays for a while, and of many only the last.
func TestRetention(t *testing.T) {
	s := openShelf(t, t.TempDir())
	there := func(as ...source.Artifact) (n int) {
		for _, a := range as {
			if _, status := s.get(a.Path); status == 200 {
				n++
			}
		}
		return n
	}
	one, two := snapshot("a", "1"), snapshot("a", "2")
	a := s.put(one)
	s.now = s.now.Add(time.Hour)
	b := s.put(two)
	if a == b || there(a, b) != 2 {
		t.Error("the one before is gone at once")
	}
	s.now = s.now.Add(59 * time.Second)
	if s.put(two); there(a, b) != 2 {
		t.Error("the one before is gone too soon")
	}
	s.now = s.now.Add(2 * time.Second)
	if s.put(two); there(a) != 0 || there(b) != 1 {
		t.Error("the one before is still there, or the one in use is gone")
	}
	c, d := s.put(snapshot("a", "3")), s.put(snapshot("a", "4"))
	if there(b) != 0 || there(c, d) != 2 {
		t.Error("more than two are there, or fewer")
	}
	if err := s.Withdraw(apps); err != nil || there(b, c, d) != 0 {
		t.Errorf("what was withdrawn is there: %v", err)
	}
}

// After a restart nothing is made anew but what is damaged or gone.
func TestShelfRestart(t *testing.T) {
	dir := t.TempDir()
	s := openShelf(t, dir)
	a := s.put(snapshot("a", "1"))
	file := filepath.Join(dir, filepath.FromSlash(a.Path))
	made := func() time.Time {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	for _, tt := range []struct {
		name string
		harm func() error
		anew bool
	}{
		{"whole", func() error { return nil }, false},
		{"damaged", func() error { return os.WriteFile(file, []byte("damaged"), 0o600) }, true},
		{"gone", func() error { return os.Remove(file) }, true},
	} {
		if err := errors.Join(tt.harm(), os.WriteFile(filepath.Join(filepath.Dir(file), "new-1"), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		_ = os.Chtimes(file, old, old) // it may be gone
		again := openShelf(t, dir)
		if b := again.put(snapshot("a", "1")); b != a {
			t.Errorf("%s: %+v, was %+v", tt.name, b, a)
		}
		if made().Equal(old) == tt.anew {
			t.Errorf("%s: made anew: %v, want %v", tt.name, !tt.anew, tt.anew)
		}
		if data, _ := again.get(a.Path); digest.Of(data) != a.Digest {
			t.Errorf("%s: it is served otherwise", tt.name)
		}
		if list, _ := os.ReadDir(filepath.Dir(file)); len(list) != 1 {
			t.Errorf("%s: there are %v", tt.name, list)
		}
	}
}

// What was lost while it was served is made again at the next look.
func TestShelfLoss(t *testing.T) {
	dir := t.TempDir()
	s, snap := openShelf(t, dir), snapshot("a", "1")
	a := s.put(snap)
	if err := os.RemoveAll(filepath.Join(dir, "gitrepository")); err != nil {
		t.Fatal(err)
	}
	if b := s.put(snap); a != b {
		t.Errorf("%+v, was %+v", b, a)
	}
	if _, status := s.get(a.Path); status != 200 {
		t.Error("it is not there")
	}
}

// What was damaged while it was served is found out at the next look, and said;
// what was only touched is read once more, and is as good as it was.
func TestShelfDamage(t *testing.T) {
	dir := t.TempDir()
	s, snap := openShelf(t, dir), snapshot("a", "1")
	a := s.put(snap)
	file := filepath.Join(dir, filepath.FromSlash(a.Path))
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(data)
	bad[len(bad)/2] ^= 1
	if err := os.WriteFile(file, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	later := s.now.Add(time.Hour) // whatever the clock of the disk is like
	if err := os.Chtimes(file, later, later); err != nil {
		t.Fatal(err)
	}
	b := s.put(snap)
	if b.Mended == "" || b.Path != a.Path || b.Digest != a.Digest {
		t.Errorf("%+v, was %+v: want it mended", b, a)
	}
	if now, _ := s.get(a.Path); !bytes.Equal(now, data) {
		t.Error("it is served as it was damaged")
	}
	if err := os.Chtimes(file, later, later); err != nil {
		t.Fatal(err)
	}
	if c := s.put(snap); c != a {
		t.Errorf("touched: %+v, was %+v", c, a)
	}
}

// What its publisher has packed is served as it is.
func TestShelfPacked(t *testing.T) {
	dir := t.TempDir()
	s, data, opened := openShelf(t, dir), []byte("not even an archive"), 0
	packed := func(d digest.Digest) *source.Snapshot {
		return &source.Snapshot{Revision: source.Revision{Name: "v1"}, Packed: &source.Packed{Digest: d, Size: int64(len(data)), Open: func(context.Context) (io.ReadCloser, error) {
			opened++
			return io.NopCloser(bytes.NewReader(data)), nil
		}}}
	}
	a := s.put(packed(digest.Of(data)))
	if a.Digest != digest.Of(data) || a.Size != int64(len(data)) || path.Ext(a.Path) != ".tgz" {
		t.Errorf("it is %+v", a)
	}
	if got, status := s.get(a.Path); status != 200 || !bytes.Equal(got, data) {
		t.Errorf("it is served as %q, %d", got, status)
	}
	again := openShelf(t, dir)
	if b := again.put(packed(digest.Of(data))); b != a || opened != 1 {
		t.Errorf("after a restart it is %+v, was %+v; asked for %d times", b, a, opened)
	}
	if _, err := s.Publish(t.Context(), apps, packed(digest.Of([]byte("another")))); !errors.Is(err, source.ErrContent) {
		t.Errorf("what is not what it is said to be: %v", err)
	}
}

// Nothing but tarballs is served, and nobody is told what there is.
func TestServes(t *testing.T) {
	dir := t.TempDir()
	s := openShelf(t, filepath.Join(dir, "shelf"))
	a := s.put(snapshot("a", "1"))
	for _, err := range []error{
		os.WriteFile(filepath.Join(dir, "secret.tar.gz"), []byte("s"), 0o600),
		os.Symlink(filepath.Join(dir, "secret.tar.gz"), filepath.Join(dir, "shelf", "gitrepository", "flux-system", "apps", "out.tar.gz")),
		os.MkdirAll(filepath.Join(dir, "shelf/gitrepository/flux-system/apps/dir.tar.gz"), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{
		"", "gitrepository/", path.Dir(a.Path), path.Dir(a.Path) + "/", "../secret.tar.gz", "gitrepository/flux-system/apps/../../../../secret.tar.gz",
		"gitrepository/flux-system/apps/out.tar.gz", "gitrepository/flux-system/apps/dir.tar.gz", "a/b/c/%2e%2e/x.tar.gz", a.Path + "x",
	} {
		if _, status := s.get(name); status != 404 {
			t.Errorf("%q: %d", name, status)
		}
	}
	res, err := http.Post(s.server.URL+"/"+a.Path, "", nil)
	if err != nil || res.StatusCode != 405 {
		t.Errorf("a POST: %v, %v", res, err)
	}
	res.Body.Close()
}

// A disk that can't be written to is said to be the trouble.
func TestShelfDisk(t *testing.T) {
	dir := t.TempDir()
	s := openShelf(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "gitrepository"), nil, 0o600); err != nil { // in the way
		t.Fatal(err)
	}
	if _, err := s.Publish(t.Context(), apps, snapshot("a", "1")); !errors.Is(err, source.ErrStorage) {
		t.Errorf("Publish = %v", err)
	}
	if _, err := artifact.OpenShelf(artifact.ShelfConfig{Dir: filepath.Join(dir, "gitrepository", "x")}); !errors.Is(err, source.ErrStorage) {
		t.Errorf("OpenShelf = %v", err)
	}
}

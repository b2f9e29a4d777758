package artifact

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/source"
)

// A ShelfConfig says where tarballs are kept, and for how long.
type ShelfConfig struct {
	Dir     string           // made if need be; belongs to one Shelf at a time
	Records int              // how many tarballs of one feed are kept; 0 means 2
	TTL     time.Duration    // how long one is kept after it has been followed by another; 0 means a minute
	Log     *slog.Logger     // nil means no log
	Now     func() time.Time // nil means time.Now
}

// A Shelf is where others get the content of our feeds. Each tarball lies at
// kind/namespace/name/tree.digest.tar.gz, or .tgz if others have packed it: a name
// never gets another content, and the file tells whether it is damaged. Whether it
// is looked at anew when a feed has been looked at and the file is not the one that
// it was.
type Shelf struct {
	ShelfConfig
	root *os.Root

	mu   sync.Mutex
	last map[source.FeedName]offer // guarded by mu
}

// An offer is what is on the shelf for a feed.
type offer struct {
	snap     *source.Snapshot // that it was made of
	artifact source.Artifact
	file     fs.FileInfo // as it was when its content was known
}

// OpenShelf returns a Shelf. It is to be closed after use.
func OpenShelf(c ShelfConfig) (*Shelf, error) {
	c.Records = cmp.Or(c.Records, 2)
	c.TTL = cmp.Or(c.TTL, time.Minute)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, stored("open the shelf", err)
	}
	root, err := os.OpenRoot(c.Dir)
	if err != nil {
		return nil, stored("open the shelf", err)
	}
	return &Shelf{ShelfConfig: c, root: root, last: make(map[source.FeedName]offer)}, nil
}

// Close lets go of the directory.
func (s *Shelf) Close() error { return s.root.Close() }

// Publish makes a tarball of a feed's snapshot available, unless there is one,
// and returns what it is. It takes away those that have been there long enough
// after they were followed by another. It is called for one feed by one
// goroutine at a time.
func (s *Shelf) Publish(ctx context.Context, name source.FeedName, snap *source.Snapshot) (source.Artifact, error) {
	s.mu.Lock()
	last := s.last[name]
	s.mu.Unlock()
	dir := dirOf(name)
	now := last.artifact
	var amiss error
	if last.snap == snap {
		amiss = s.amiss(last)
	}
	if last.snap != snap || amiss != nil {
		var err error
		if now, err = s.put(ctx, dir, snap); err != nil {
			return source.Artifact{}, fmt.Errorf("make an artifact of %s: %w", snap.Revision.Name, err)
		}
	}
	if last.artifact.Path != "" && last.artifact.Path != now.Path {
		t := s.Now() // its time begins now
		_ = s.root.Chtimes(last.artifact.Path, t, t)
	}
	file, err := s.root.Stat(now.Path)
	if err != nil {
		return source.Artifact{}, stored("find it again", err)
	}
	s.mu.Lock()
	s.last[name] = offer{snap, now, file}
	s.mu.Unlock()
	s.tidy(dir, path.Base(now.Path))
	if amiss != nil && !errors.Is(amiss, fs.ErrNotExist) {
		s.Log.Warn("artifact was damaged", "file", now.Path, "error", amiss)
		now.Mended = amiss.Error()
	}
	return now, nil
}

func dirOf(n source.FeedName) string {
	return path.Join(strings.ToLower(n.Kind), n.Namespace, n.Name)
}

// amiss says what is wrong with what is on the shelf. A file that is the one that it
// was is not read again.
func (s *Shelf) amiss(o offer) error {
	file, err := s.root.Stat(o.artifact.Path)
	if err != nil || os.SameFile(file, o.file) && file.Size() == o.file.Size() && file.ModTime().Equal(o.file.ModTime()) {
		return err
	}
	d, _, err := s.sum(o.artifact.Path)
	if err == nil && d != o.artifact.Digest {
		s.remove(o.artifact.Path)
		err = fmt.Errorf("its digest is %s, not %s", d, o.artifact.Digest)
	}
	return err
}

// sum returns the digest and the size of a file.
func (s *Shelf) sum(name string) (digest.Digest, int64, error) {
	f, err := s.root.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return sum256(h), n, err
}

func sum256(h hash.Hash) digest.Digest { return total(h, "sha256") }

// put returns the artifact of a snapshot, which it makes if there is none, or none
// that is whole.
func (s *Shelf) put(ctx context.Context, dir string, snap *source.Snapshot) (source.Artifact, error) {
	if p := snap.Packed; p != nil {
		_, sum, _ := strings.Cut(string(p.Digest), ":")
		return s.make(dir, sum[:min(32, len(sum))], asPacked, func(w io.Writer) error { return copyOf(ctx, w, p) })
	}
	sum, err := sumOf(ctx, snap.Tree)
	if err != nil {
		return source.Artifact{}, err
	}
	return s.make(dir, sum, suffix, func(w io.Writer) error { return Pack(ctx, w, snap.Tree) })
}

// make returns the artifact of what has that sum. If there is none it is what write
// writes.
func (s *Shelf) make(dir, sum, ending string, write func(io.Writer) error) (source.Artifact, error) {
	if a, ok := s.find(dir, sum, ending); ok {
		return a, nil
	}
	if err := s.root.MkdirAll(dir, 0o700); err != nil {
		return source.Artifact{}, stored("write it", err)
	}
	f, err := os.CreateTemp(filepath.Join(s.Dir, filepath.FromSlash(dir)), "new-*")
	if err != nil {
		return source.Artifact{}, stored("write it", err)
	}
	defer os.Remove(f.Name()) // unless it has got its name
	defer f.Close()
	h := sha256.New()
	out := &disk{w: io.MultiWriter(f, h)}
	if err := write(out); err != nil {
		return source.Artifact{}, err
	}
	a := source.Artifact{Digest: sum256(h), Size: out.n}
	a.Path = path.Join(dir, sum+"."+strings.TrimPrefix(string(a.Digest), "sha256:")+ending)
	if err := f.Close(); err != nil {
		return source.Artifact{}, stored("write it", err)
	}
	if err := s.root.Rename(path.Join(dir, filepath.Base(f.Name())), a.Path); err != nil {
		return source.Artifact{}, stored("write it", err)
	}
	return a, nil
}

// copyOf writes what was packed as it is, and checks that it is that.
func copyOf(ctx context.Context, w io.Writer, p *source.Packed) error {
	body, err := p.Open(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	h, err := hasher(p.Digest)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.MultiWriter(w, h), &bounded{body, p.Size, p.Size}); err != nil {
		return err
	}
	if got := total(h, p.Digest); got != p.Digest {
		return fmt.Errorf("%w: its digest is %s, not %s", source.ErrContent, got, p.Digest)
	}
	return nil
}

// What the names of files end with.
const (
	suffix   = ".tar.gz"
	asPacked = ".tgz" // of what is as its publisher has packed it
)

func isArtifact(name string) bool {
	return strings.HasSuffix(name, suffix) || strings.HasSuffix(name, asPacked)
}

// find returns the artifact that was made of what has that sum, if it is there and
// whole.
func (s *Shelf) find(dir, sum, ending string) (source.Artifact, bool) {
	for _, info := range s.list(dir) {
		base, ok := strings.CutSuffix(info.Name(), ending)
		what, d, _ := strings.Cut(base, ".")
		if !ok || what != sum {
			continue
		}
		name := path.Join(dir, info.Name())
		got, n, err := s.sum(name)
		if err == nil && got == digest.Digest("sha256:"+d) {
			return source.Artifact{Path: name, Digest: got, Size: n}, true
		}
		s.remove(name) // it is damaged
	}
	return source.Artifact{}, false
}

// list returns the tarballs in a directory, the newest first. What a crash has
// left half made is removed.
func (s *Shelf) list(dir string) []fs.FileInfo {
	entries, err := fs.ReadDir(s.root.FS(), dir)
	if err != nil {
		return nil
	}
	var infos []fs.FileInfo
	for _, e := range entries {
		info, err := e.Info()
		switch {
		case err != nil || !info.Mode().IsRegular():
		case isArtifact(e.Name()):
			infos = append(infos, info)
		default:
			s.remove(path.Join(dir, e.Name()))
		}
	}
	slices.SortStableFunc(infos, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	return infos
}

// tidy removes what has been in a directory for long enough, but for the file
// that is in use.
func (s *Shelf) tidy(dir, used string) {
	kept := 1
	for _, info := range s.list(dir) {
		switch {
		case info.Name() == used:
		case kept < s.Records && s.Now().Sub(info.ModTime()) < s.TTL:
			kept++
		default:
			s.remove(path.Join(dir, info.Name()))
		}
	}
}

func (s *Shelf) remove(name string) {
	if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.Log.Warn("remove artifact", "file", name, "error", err)
	}
}

// Withdraw takes back all that was published of a feed.
func (s *Shelf) Withdraw(name source.FeedName) error {
	s.mu.Lock()
	delete(s.last, name)
	s.mu.Unlock()
	if err := s.root.RemoveAll(dirOf(name)); err != nil {
		return fmt.Errorf("withdraw the artifacts of %s: %w", name, stored("remove them", err))
	}
	return nil
}

// ServeHTTP serves the tarballs, and nothing that leads to their names.
func (s *Shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	if !fs.ValidPath(name) || strings.Count(name, "/") != 3 || !isArtifact(name) {
		http.NotFound(w, r)
		return
	}
	f, err := s.root.Open(name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/gzip")
	http.ServeContent(w, r, "", info.ModTime(), f)
}

// stored marks an error as one of the disk.
func stored(verb string, err error) error {
	return fmt.Errorf("%s: %w (%w)", verb, err, source.ErrStorage)
}

// A disk writes, and counts what it has written. Its errors are those of the
// disk.
type disk struct {
	w io.Writer
	n int64
}

func (d *disk) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	d.n += int64(n)
	if err != nil {
		err = stored("write it", err)
	}
	return n, err
}

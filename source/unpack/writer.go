package unpack

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/source"
)

// maxName is the length of the longest name, as on most disks.
const maxName = 4096

// An entry is a file or a directory, or what has been left out.
type entry struct {
	Name string        `json:"n"`
	Sum  digest.Digest `json:"d,omitempty"` // of a file's content
	At   int64         `json:"o,omitempty"` // where its content begins
	Size int64         `json:"s,omitempty"`
	Exec bool          `json:"x,omitempty"`
	Out  string        `json:"l,omitempty"` // what it is, if it is left out: "symbolic link"
}

func (e entry) isDir() bool { return e.Sum == "" && e.Out == "" }

// A Writer fills a tree. Its errors, but for those of the disk, say what is
// wrong with the content, and wrap [source.ErrContent].
type Writer struct {
	out      *bufio.Writer
	at       int64
	maxBytes int64
	maxFiles int
	entries  map[string]entry
}

func newWriter(f *os.File, c Config) *Writer {
	return &Writer{out: bufio.NewWriterSize(f, 64<<10), maxBytes: c.MaxBytes, maxFiles: c.MaxFiles, entries: make(map[string]entry)}
}

// bad returns an error about the content.
func bad(format string, args ...any) error {
	return fault.Input(fmt.Errorf("%w: %s", source.ErrContent, fmt.Sprintf(format, args...)))
}

// File adds a file with what r holds. A name that is there already means the
// new one from now on.
func (w *Writer) File(name string, r io.Reader) error { return w.file(name, r, false) }

func (w *Writer) file(name string, r io.Reader, exec bool) error {
	sum := sha256.New()
	begin := w.at
	n, err := io.Copy(&counter{w, sum}, r)
	if err != nil {
		return err
	}
	return w.add(entry{Name: name, Sum: sumOf(sum), At: begin, Size: n, Exec: exec})
}

func sumOf(h hash.Hash) digest.Digest {
	return digest.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
}

// A counter writes content.
type counter struct {
	w   *Writer
	sum hash.Hash
}

func (c *counter) Write(p []byte) (int, error) {
	if c.w.at+int64(len(p)) > c.w.maxBytes {
		return 0, bad("there are more than %d bytes in it", c.w.maxBytes)
	}
	c.sum.Write(p)
	n, err := c.w.out.Write(p)
	c.w.at += int64(n)
	if err != nil {
		err = stored("write", err)
	}
	return n, err
}

// add takes in an entry. Directories above it need not be added.
func (w *Writer) add(e entry) error {
	if !fs.ValidPath(e.Name) || e.Name == "." || len(e.Name) > maxName || strings.ContainsRune(e.Name, 0) {
		return bad("%.100q is no name for a file", e.Name)
	}
	if old, ok := w.entries[e.Name]; ok && old.isDir() != e.isDir() {
		return bad("%q is both a file and a directory", e.Name)
	}
	for dir := path.Dir(e.Name); dir != "."; dir = path.Dir(dir) {
		up, ok := w.entries[dir]
		if ok && !up.isDir() {
			return bad("%q is both a file and a directory", dir)
		}
		if ok {
			break
		}
		if err := w.put(entry{Name: dir}); err != nil {
			return err
		}
	}
	return w.put(e)
}

func (w *Writer) put(e entry) error {
	if _, ok := w.entries[e.Name]; !ok && len(w.entries) >= w.maxFiles {
		return bad("there are more than %d files and directories in it", w.maxFiles)
	}
	w.entries[e.Name] = e
	return nil
}

// TarGz adds what a gzipped tar archive holds; r is read to its end. Links that
// point to files, devices and the like are left out; a hard link is the file
// that it is another name of.
func (w *Writer) TarGz(r io.Reader) error {
	in := &watched{Reader: bufio.NewReaderSize(r, 64<<10)}
	z, err := gzip.NewReader(in)
	if err == nil {
		defer z.Close()
		err = w.tar(&limited{z, w.maxBytes, w.maxBytes})
	}
	if err == nil {
		_, err = io.Copy(io.Discard, in)
	}
	return in.blame(err)
}

// Tar is TarGz of an archive that is not compressed.
func (w *Writer) Tar(r io.Reader) error {
	in := &watched{Reader: r}
	err := w.tar(&limited{in, w.maxBytes, w.maxBytes})
	if err == nil {
		_, err = io.Copy(io.Discard, in)
	}
	return in.blame(err)
}

func (w *Writer) tar(in io.Reader) error {
	archive := tar.NewReader(in)
	for {
		h, err := archive.Next()
		if err == io.EOF {
			_, err = io.Copy(io.Discard, in) // its checksum comes after the padding
			return err
		}
		if err == nil {
			err = w.member(h, archive)
		}
		if err != nil {
			return err
		}
	}
}

func (w *Writer) member(h *tar.Header, content io.Reader) error {
	name, err := within(h.Name)
	if err != nil || name == "." {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		return w.file(name, content, h.Mode&0o111 != 0)
	case tar.TypeDir:
		if old, ok := w.entries[name]; ok && old.isDir() {
			return nil
		}
		return w.add(entry{Name: name})
	case tar.TypeLink:
		return w.link(name, h.Linkname)
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeSymlink:
		return w.add(entry{Name: name, Out: "symbolic link"})
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return w.add(entry{Name: name, Out: "device"})
	}
	return w.add(entry{Name: name, Out: "special file"})
}

// link adds another name of a file.
func (w *Writer) link(name, to string) error {
	target, err := within(to)
	if err != nil {
		return err
	}
	e, ok := w.entries[target]
	if !ok || e.isDir() {
		return bad("%q is a link to %q, which is no file before it", name, to)
	}
	e.Name = name
	return w.add(e)
}

// within returns the name in a tree that an archive means.
func within(name string) (string, error) {
	if strings.HasPrefix(name, "/") || slices.Contains(strings.Split(name, "/"), "..") {
		return "", bad("%.100q leads out of it", name)
	}
	return path.Clean(name), nil
}

// A watched remembers what went wrong below an archive's own readers, whose
// errors are about the archive.
type watched struct {
	io.Reader
	err error
}

func (r *watched) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

func (r *watched) ReadByte() (byte, error) {
	b, err := r.Reader.(io.ByteReader).ReadByte()
	if err != nil && err != io.EOF {
		r.err = err
	}
	return b, err
}

// blame returns err as an error of the content, unless it is another's.
func (r *watched) blame(err error) error {
	switch {
	case err == nil:
		return nil
	case r.err != nil:
		return r.err
	case errors.Is(err, source.ErrContent), errors.Is(err, source.ErrStorage):
		return err
	}
	return bad("it is no whole tar archive: %s", err)
}

// A limited ends with an error after so many bytes.
type limited struct {
	io.Reader
	left, most int64
}

func (r *limited) Read(p []byte) (int, error) {
	if r.left <= 0 {
		var one [1]byte
		if n, err := r.Reader.Read(one[:]); n == 0 {
			return 0, err
		}
		return 0, bad("there are more than %d bytes in it", r.most)
	}
	n, err := r.Reader.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
}

// magic ends a tree's file, after the length of the index and its digest.
const magic = "sanetree1"

// finish writes the index.
func (w *Writer) finish() error {
	list := make([]entry, 0, len(w.entries))
	for _, e := range w.entries {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b entry) int { return strings.Compare(a.Name, b.Name) })
	index, err := json.Marshal(list)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(index)
	tail := binary.BigEndian.AppendUint64(nil, uint64(len(index)))
	tail = append(append(tail, sum[:]...), magic...)
	if _, err := io.Copy(w.out, io.MultiReader(bytes.NewReader(index), bytes.NewReader(tail))); err != nil {
		return err
	}
	return w.out.Flush()
}

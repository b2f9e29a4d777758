package artifact

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"

	"github.com/sane-gitops/sane/trace"
)

// Pack writes a tree as a tarball, as Flux does: regular files and directories
// alone, without times and owners, and with the three modes that there are. The
// same tree makes the same bytes.
func Pack(ctx context.Context, w io.Writer, tree fs.FS) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	err := walk(ctx, tree, func(name string, info fs.FileInfo) error { return pack(t, tree, name, info) })
	if err == nil {
		err = t.Close()
	}
	if err == nil {
		err = z.Close()
	}
	return err
}

// walk calls f for all files and directories that go into a tarball, in an
// order that is always the same.
func walk(ctx context.Context, tree fs.FS, f func(name string, info fs.FileInfo) error) error {
	return fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || name == "." || !d.IsDir() && !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return f(name, info)
	})
}

func pack(t *tar.Writer, tree fs.FS, name string, info fs.FileInfo) error {
	if info.IsDir() {
		return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode(info)})
	}
	data, err := fs.ReadFile(tree, name)
	if err != nil {
		return err
	}
	err = t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode(info), Size: int64(len(data))})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	_, err = t.Write(data)
	return err
}

// mode returns the mode that a file or a directory has in a tarball.
func mode(info fs.FileInfo) int64 {
	switch {
	case info.IsDir():
		return 0o750
	case info.Mode()&0o111 != 0:
		return 0o700
	}
	return 0o600
}

// sumOf returns a sum of all that goes into a tree's tarball. Of trees that
// know their files by digest it reads no content.
func sumOf(ctx context.Context, tree fs.FS) (string, error) {
	h := sha256.New()
	err := walk(ctx, tree, func(name string, info fs.FileInfo) error {
		what, err := trace.Ask(tree, trace.File, name) // "" of a directory
		fmt.Fprintf(h, "%q %o %s\n", name, mode(info), what)
		return err
	})
	return hex.EncodeToString(h.Sum(nil))[:32], err
}

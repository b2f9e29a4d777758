package source

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
)

// OpenFile returns a file of a tree, opened, of which all has been read.
func OpenFile(info fs.FileInfo, data []byte) fs.File {
	return &openFile{info, bytes.NewReader(data)}
}

// OpenDir returns a directory of a tree, opened. It does not change the list.
func OpenDir(info fs.FileInfo, list []fs.DirEntry) fs.ReadDirFile {
	return &openDir{info, list}
}

type openFile struct {
	info fs.FileInfo
	*bytes.Reader
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

type openDir struct {
	info fs.FileInfo
	list []fs.DirEntry // not yet read
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }
func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.Name(), Err: errors.New("is a directory")}
}

// ReadDir implements [fs.ReadDirFile].
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(d.list) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.list) {
		n = len(d.list)
	}
	list := d.list[:n:n]
	d.list = d.list[n:]
	return list, nil
}

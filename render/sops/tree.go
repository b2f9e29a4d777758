package sops

import (
	"bytes"
	"fmt"
	"io/fs"

	"github.com/sane-gitops/sane/fault"
)

// A tree decrypts files as they are read.
type tree struct {
	fs.FS
	vault *vault
}

var (
	_ fs.StatFS     = tree{}
	_ fs.ReadFileFS = tree{}
	_ fs.ReadDirFS  = tree{}
)

// Stat implements [fs.StatFS]. The size is that of what is encrypted.
func (t tree) Stat(name string) (fs.FileInfo, error) { return fs.Stat(t.FS, name) }

// ReadDir implements [fs.ReadDirFS].
func (t tree) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(t.FS, name) }

// ReadFile implements [fs.ReadFileFS].
func (t tree) ReadFile(name string) ([]byte, error) {
	data, err := fs.ReadFile(t.FS, name)
	if err != nil {
		return nil, err
	}
	before := t.vault.broken
	out, err := t.vault.document(name, data)
	if before == nil && t.vault.broken != nil {
		err = fmt.Errorf("%s: decrypt: %w", name, t.vault.broken)
		t.vault.broken = err
	}
	if err != nil && fault.IsInput(err) {
		return nil, fault.Input(fmt.Errorf("%s: decrypt: %w", name, err))
	}
	return out, err
}

// Open implements [fs.FS].
func (t tree) Open(name string) (fs.File, error) {
	info, err := fs.Stat(t.FS, name)
	if err != nil || info.IsDir() {
		return t.FS.Open(name)
	}
	data, err := t.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return file{bytes.NewReader(data), sized{info, int64(len(data))}}, nil
}

// A file has been decrypted.
type file struct {
	*bytes.Reader
	info sized
}

func (f file) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f file) Close() error               { return nil }

type sized struct {
	fs.FileInfo
	size int64
}

func (s sized) Size() int64 { return s.size }

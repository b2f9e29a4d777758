package render

import (
	"bytes"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/object"
)

// A store holds the JSON of objects by its digest. What it gives is not to be
// trusted until its digest is known.
type store interface {
	put(sum, []byte) error
	get(sum) ([]byte, error)
	remove(sum)
	sweep(inUse func(sum) bool)
}

var emptyDigest = digest.Of(nil)

// encode returns the JSON of objects, a line for each.
func encode(objects []object.Object) []byte {
	var b []byte
	for _, o := range objects {
		b = append(append(b, o.JSON()...), '\n')
	}
	return b
}

func decode(data []byte) ([]object.Object, error) {
	objects := make([]object.Object, 0, bytes.Count(data, []byte("\n")))
	for line := range bytes.Lines(data) {
		o, err := object.FromJSON(line)
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return objects, nil
}

func openStore(dir string) (store, error) {
	if dir == "" {
		return &memory{data: make(map[sum][]byte)}, nil
	}
	dir = filepath.Join(dir, "objects")
	return files(dir), os.MkdirAll(dir, 0o700)
}

// files is a store in a directory.
type files string

func (f files) path(s sum) string {
	name := hex.EncodeToString(s[:])
	return filepath.Join(string(f), name[:2], name)
}

func (f files) get(s sum) ([]byte, error) { return os.ReadFile(f.path(s)) }
func (f files) remove(s sum)              { os.Remove(f.path(s)) }

// put writes a file in one go. It may replace one that is broken.
func (f files) put(s sum, data []byte) error {
	path := f.path(s)
	if info, err := os.Stat(path); err == nil && info.Size() == int64(len(data)) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return writeFile(path, data)
}

func (f files) sweep(inUse func(sum) bool) {
	filepath.WalkDir(string(f), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if s, ok := parseSum("sha256:" + digest.Digest(d.Name())); !ok || !inUse(s) {
			os.Remove(path)
		}
		return nil
	})
}

// writeFile writes a file so that it is there whole or not at all.
func writeFile(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}

// memory is a store in memory.
type memory struct {
	mu   sync.Mutex
	data map[sum][]byte // guarded by mu
}

func (m *memory) put(s sum, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.data[s] = data
	return nil
}

func (m *memory) get(s sum) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.data[s]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return data, nil
}

func (m *memory) remove(s sum) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.data, s)
}

func (m *memory) sweep(func(sum) bool) {}

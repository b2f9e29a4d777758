package render

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
)

// An index knows what is kept, by key. On disk it is a file to which records
// are appended, of which the last one for a key counts:
//
//	length of the rest, 4 bytes; CRC-32 of what follows, 4 bytes;
//	length of the key, uvarint; key;
//	recipe, objects, digest, answers, 32 bytes each; questions asked
//
// A record with nothing after the key says that it is forgotten. What was made
// with secrets is in memory only: it is sealed with a key that is not on disk. A record that
// is broken ends the file: it was being written when the program ended.
type index struct {
	entries map[string]kept
	where   where // the entries' reads

	path string   // "" if it is in memory only
	file *os.File // nil likewise
	size int64    // of the file
	live int64    // of the records that count
}

const indexHeader = "sane rendered 2\n"

func openIndex(dir string) (index, error) {
	x := index{entries: make(map[string]kept), where: make(where)}
	if dir == "" {
		return x, nil
	}
	x.path = filepath.Join(dir, "rendered")
	data, err := os.ReadFile(x.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return x, err
	}
	x.load(data)
	for key, e := range x.entries {
		x.where.add(key, e.reads)
	}
	return x, x.rewrite()
}

// load reads records as long as they are whole.
func (x *index) load(data []byte) {
	if len(data) < len(indexHeader) || string(data[:len(indexHeader)]) != indexHeader {
		return
	}
	data = data[len(indexHeader):]
	for len(data) >= 8 {
		n := uint64(binary.LittleEndian.Uint32(data))
		if n < 4 || n > uint64(len(data)-4) {
			return
		}
		record := data[4 : 4+n]
		if crc32.ChecksumIEEE(record[4:]) != binary.LittleEndian.Uint32(record) {
			return
		}
		if !x.apply(record[4:]) {
			return
		}
		data = data[4+n:]
	}
}

// apply takes in the content of a record.
func (x *index) apply(b []byte) bool {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return false
	}
	key, b := string(b[used:used+int(n)]), b[used+int(n):]
	if len(b) == 0 {
		delete(x.entries, key)
		return true
	}
	const sums = 4 * len(sum{})
	if len(b) < sums {
		return false
	}
	x.entries[key] = kept{
		recipe:  sum(b[0:32]),
		objects: sum(b[32:64]),
		digest:  sum(b[64:96]),
		reads:   questions{answers: sum(b[96:128]), asked: string(b[sums:])},
	}
	return true
}

func record(b []byte, key string, e *kept) []byte {
	start := len(b)
	b = append(b, make([]byte, 8)...)
	b = binary.AppendUvarint(b, uint64(len(key)))
	b = append(b, key...)
	if e != nil {
		b = append(b, e.recipe[:]...)
		b = append(b, e.objects[:]...)
		b = append(b, e.digest[:]...)
		b = append(b, e.reads.answers[:]...)
		b = append(b, e.reads.asked...)
	}
	binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	binary.LittleEndian.PutUint32(b[start+4:], crc32.ChecksumIEEE(b[start+8:]))
	return b
}

func (x *index) set(key string, e kept) error {
	old, ok := x.entries[key]
	x.entries[key] = e
	if !ok || old.reads.asked != e.reads.asked {
		x.where.remove(key, old.reads)
		x.where.add(key, e.reads)
	}
	if ok && !old.sealed {
		x.live -= int64(len(record(nil, key, &old)))
	}
	switch {
	case !e.sealed:
		return x.append(record(nil, key, &e), true)
	case ok && !old.sealed:
		return x.append(record(nil, key, nil), false)
	}
	return nil
}

func (x *index) forget(key string) error {
	old := x.entries[key]
	delete(x.entries, key)
	x.where.remove(key, old.reads)
	if old.sealed {
		return nil
	}
	x.live -= int64(len(record(nil, key, &old)))
	return x.append(record(nil, key, nil), false)
}

func (x *index) append(b []byte, counts bool) error {
	if counts {
		x.live += int64(len(b))
	}
	if x.file == nil {
		return nil
	}
	n, err := x.file.Write(b)
	x.size += int64(n)
	if err != nil || x.size > 2*x.live+1<<20 {
		return errors.Join(err, x.rewrite())
	}
	return nil
}

// rewrite writes a new file with what counts.
func (x *index) rewrite() error {
	if x.path == "" {
		return nil
	}
	b := []byte(indexHeader)
	for key, e := range x.entries {
		if !e.sealed {
			b = record(b, key, &e)
		}
	}
	if err := writeFile(x.path, b); err != nil {
		return err
	}
	file, err := os.OpenFile(x.path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open what was just written: %w", err)
	}
	if x.file != nil {
		x.file.Close()
	}
	x.file, x.size, x.live = file, int64(len(b)), int64(len(b))
	return nil
}

func (x *index) close() error {
	if x.file == nil {
		return nil
	}
	err := x.file.Close()
	x.file = nil
	return err
}

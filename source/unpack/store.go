// Package unpack keeps the content of archives on disk, once for all who use
// it, and reads it as trees.
//
// A tree is one file: the content of its files, one after the other, and an
// index of them. So a name in an archive never becomes a name on disk, and
// there is nothing for links, devices or paths that climb to get hold of.
//
// The store is a cache. It is written without fsync, what is read from it is
// checked against its digest, and what turns out to be damaged is thrown away
// and made anew by the next who asks for it.
package unpack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
	"weak"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/source"
)

// A Config says where a Store keeps its trees and how large they may be.
type Config struct {
	Dir      string           // for the trees; made if need be; belongs to one Store at a time
	Keep     time.Duration    // how long a tree is kept that nobody uses; 0 means a day
	MaxBytes int64            // of a whole tree, and of an archive when decompressed; 0 means 1 GiB
	MaxFiles int              // files and directories in a tree; 0 means 200,000
	MaxFile  int64            // bytes of the largest file that is read; 0 means 32 MiB
	Log      *slog.Logger     // nil means no log
	Now      func() time.Time // nil means time.Now
}

func (c Config) withDefaults() Config {
	if c.Keep == 0 {
		c.Keep = 24 * time.Hour
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 1 << 30
	}
	if c.MaxFiles == 0 {
		c.MaxFiles = 200_000
	}
	if c.MaxFile == 0 {
		c.MaxFile = 32 << 20
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// A Store keeps trees by name. It is safe for use by several goroutines at
// once. Close it after use; trees can be read even then.
type Store struct {
	Config
	lock *os.File // held while Dir is ours

	mu    sync.Mutex
	slots map[string]*slot // guarded by mu; by file name
	swept time.Time        // guarded by mu
}

// A slot is the place of one tree.
type slot struct {
	turn chan struct{} // holds one token: whoever has it may make the tree
	used int           // by how many; guarded by the store's mu
	tree weak.Pointer[Tree]
}

// Open returns a Store that keeps its trees in c.Dir. It fails if another
// Store, perhaps of another process, is using that directory.
func Open(c Config) (*Store, error) {
	c = c.withDefaults()
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	lock, err := lockDir(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	s := &Store{Config: c, lock: lock, slots: make(map[string]*slot)}
	half, _ := filepath.Glob(filepath.Join(c.Dir, "new-*")) // the pattern is sound
	for _, name := range half {
		s.remove(name)
	}
	s.sweep()
	return s, nil
}

func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is in use by another process", dir)
	}
	return f, nil
}

// Close lets go of the directory at once, even if a process that is just being
// started still has the file.
func (s *Store) Close() error {
	return errors.Join(syscall.Flock(int(s.lock.Fd()), syscall.LOCK_UN), s.lock.Close())
}

// Tree returns the tree that is kept under a name, and has it filled if there
// is none. Of several who want the same tree at once one fills it, and the
// others wait for that; an error is for the one alone, and the next tries.
//
// What is filled in under a name must always be the same. It is given to whoever
// knows the name, so that must be made of all that gives a right to it: of where
// it comes from, beside its digest, and of the way in unless that was asked for
// otherwise.
//
// An error of fill comes back as it is, and nothing is kept. One that wraps
// [source.ErrStorage] is about the disk.
func (s *Store) Tree(ctx context.Context, name digest.Digest, fill func(*Writer) error) (*Tree, error) {
	file, err := fileName(name)
	if err != nil {
		return nil, err
	}
	sl := s.slot(file)
	defer s.leave(file, sl)
	select {
	case <-sl.turn:
		defer func() { sl.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	path := filepath.Join(s.Dir, file)
	if t := s.known(sl, path); t != nil {
		return t, nil
	}
	if err := s.fill(path, fill); err != nil {
		return nil, err
	}
	t, err := load(path, s.MaxFile)
	if err != nil {
		return nil, stored("read", err)
	}
	s.keep(sl, t)
	return t, nil
}

// fileName returns the name of a tree's file.
func fileName(name digest.Digest) (string, error) {
	alg, sum, ok := strings.Cut(string(name), ":")
	bad := func(set string) func(rune) bool {
		return func(r rune) bool { return !strings.ContainsRune(set, r) }
	}
	if !ok || alg == "" || len(sum) < 32 || len(sum) > 128 || strings.ContainsFunc(alg, bad("abcdefghijklmnopqrstuvwxyz0123456789")) ||
		strings.ContainsFunc(sum, bad("abcdef0123456789")) {
		return "", fmt.Errorf("%q is no digest", name)
	}
	return alg + "-" + sum, nil
}

func (s *Store) slot(file string) *slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Now().Sub(s.swept) > time.Hour {
		s.sweepLocked()
	}
	sl := s.slots[file]
	if sl == nil {
		sl = &slot{turn: make(chan struct{}, 1)}
		sl.turn <- struct{}{}
		s.slots[file] = sl
	}
	sl.used++
	return sl
}

func (s *Store) leave(file string, sl *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sl.used--; sl.used == 0 && sl.tree.Value() == nil {
		delete(s.slots, file)
	}
}

func (s *Store) keep(sl *slot, t *Tree) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sl.tree = weak.Make(t)
}

// known returns the tree that is here, or nil. It is called by whoever has the
// slot's turn.
func (s *Store) known(sl *slot, path string) *Tree {
	now := s.Now()
	if err := os.Chtimes(path, now, now); err != nil { // in use; and not there if that fails
		return nil
	}
	s.mu.Lock()
	t := sl.tree.Value()
	s.mu.Unlock()
	if t != nil {
		return t
	}
	t, err := load(path, s.MaxFile)
	if err != nil {
		s.Log.Warn("damaged tree thrown away", "file", path, "error", err)
		s.remove(path)
		return nil
	}
	s.keep(sl, t)
	return t
}

// fill has a tree written and puts it in its place.
func (s *Store) fill(path string, fill func(*Writer) error) (err error) {
	f, err := os.CreateTemp(s.Dir, "new-*")
	if err != nil {
		return stored("write", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			s.remove(f.Name())
		}
	}()
	w := newWriter(f, s.Config)
	if err := fill(w); err != nil {
		return err
	}
	if err := w.finish(); err != nil {
		return stored("write", err)
	}
	if err := f.Close(); err != nil {
		return stored("write", err)
	}
	return stored("write", os.Rename(f.Name(), path))
}

// sweep removes the trees that nobody has used for long, and remembers for the
// next process which are in use.
func (s *Store) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweepLocked()
}

func (s *Store) sweepLocked() {
	s.swept = s.Now()
	list, err := os.ReadDir(s.Dir)
	if err != nil {
		s.Log.Warn("sweep trees", "error", err)
		return
	}
	for _, e := range list {
		if !strings.Contains(e.Name(), "-") || strings.HasPrefix(e.Name(), "new-") {
			continue
		}
		path := filepath.Join(s.Dir, e.Name())
		if s.busy(e.Name()) {
			_ = os.Chtimes(path, s.swept, s.swept) // it may not be there yet
			continue
		}
		info, err := e.Info()
		if err == nil && s.swept.Sub(info.ModTime()) > s.Keep {
			s.remove(path)
		}
	}
}

// busy reports whether anybody has the tree in a file. s.mu is held.
func (s *Store) busy(file string) bool {
	sl := s.slots[file]
	if sl == nil {
		return false
	}
	if sl.used > 0 || sl.tree.Value() != nil {
		return true
	}
	delete(s.slots, file)
	return false
}

func (s *Store) remove(path string) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.Log.Warn("remove tree", "error", err)
	}
}

// stored marks an error as one of the disk.
func stored(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s unpacked content: %w (%w)", verb, err, source.ErrStorage)
}

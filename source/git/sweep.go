package git

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// sweepEvery is how often what nobody uses is looked for.
const sweepEvery = time.Hour

// sweep removes mirrors that nobody has used for long, and forgets by which ways
// somebody got in long ago. s.mu is held.
func (s *Source) sweep() {
	s.swept = s.Now()
	limit := s.swept.Add(-s.Keep)
	for key, r := range s.remotes {
		if r.used.Before(limit) {
			delete(s.remotes, key)
		}
	}
	s.tokens.sweep(s.swept)
	var out []string
	for name, m := range s.mirrors {
		if m.callers == 0 && m.used.Before(limit) && !m.alive() {
			delete(s.mirrors, name)
			m.close()
			out = append(out, s.discard(m.dir))
		} else {
			s.work.Go(m.sweep)
		}
	}
	for _, dir := range s.unused(limit) {
		out = append(out, s.discard(dir))
	}
	s.work.Go(func() {
		for _, dir := range out {
			os.RemoveAll(dir)
		}
	})
}

// unused returns the mirrors of earlier processes that this one has not used,
// and those nobody for long. s.mu is held.
func (s *Source) unused(limit time.Time) []string {
	var old []string
	list, _ := os.ReadDir(s.Dir)
	for _, e := range list {
		dir := filepath.Join(s.Dir, e.Name())
		info, err := os.Stat(filepath.Join(dir, usedFile))
		if err == nil && s.mirrors[e.Name()] == nil && !strings.HasPrefix(e.Name(), trash) && info.ModTime().Before(limit) {
			old = append(old, dir)
		}
	}
	return old
}

// discard puts a mirror out of the way and returns where it is now, to be
// removed. What is left there is removed when a Source begins.
func (s *Source) discard(dir string) string {
	out, err := os.MkdirTemp(s.Dir, trash)
	if err == nil {
		os.Rename(dir, filepath.Join(out, "mirror"))
	}
	return out
}

// clean removes what is left of mirrors that were being thrown away.
func (s *Source) clean() {
	left, _ := filepath.Glob(filepath.Join(s.Dir, trash+"*")) // the pattern is sound
	for _, dir := range left {
		os.RemoveAll(dir)
	}
}

// alive reports whether there are snapshots that can be read.
func (m *mirror) alive() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.live) > 0
}

// sweep forgets who was let in long ago, and remembers for the next process that
// the mirror is of use, if it is.
func (m *mirror) sweep() {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-m.src.ctx.Done():
		return
	}
	if m.opened.IsZero() {
		return
	}
	if m.alive() {
		m.touch()
	}
	m.drop()
	m.dropPasts()
}

// drop removes the refs that nobody has used for long, and that no snapshot was
// let in by. It holds turn.
func (m *mirror) drop() {
	limit := m.src.Now().Add(-m.src.Keep)
	refs := m.refs()
	m.mu.Lock()
	defer m.mu.Unlock()
	let := make(map[pass]bool)
	for _, r := range refs {
		info, err := os.Stat(r.file)
		if err == nil && m.live[r.pass] == 0 && m.opened.Before(limit) && info.ModTime().Before(limit) {
			os.Remove(r.file)
			os.Remove(filepath.Dir(r.file)) // which only works if it is empty
			continue
		}
		let[r.pass] = true
	}
	for p := range m.live {
		let[p] = let[p] || m.let[p]
	}
	m.let = let
}

package git

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sane-gitops/sane/source"
)

var _ source.Historian = (*Source)(nil)

// pastDir is where a mirror has what led to its commits. To keep a cluster it takes
// a commit by itself, and that is all a mirror has; its past is had when somebody
// asks for it, and kept in a repository of its own: commits and directories, without
// files if the server can do that. Each way in has its own, as whoever can write a
// commit may name any other as its parent.
const pastDir = "past"

// What bounds a log.
const (
	usualLog   = 50   // entries
	maxLog     = 2000 // commits that are looked at
	maxChanges = 1000 // of a commit
	firstDepth = 64   // commits that are fetched at first
	pastKept   = 32   // fetches after which the past is thrown away: it can be had again
)

// History implements [source.Historian]. It goes from each commit to its first
// parent, which is how the branch went: what was merged is one entry.
func (s *Source) History(ctx context.Context, at source.Remote, ref source.Ref, rev source.Revision, q source.Query) (source.Log, error) {
	log, err := s.history(ctx, at, ref, rev, q)
	if err != nil {
		return source.Log{}, told("history of", at, ref, err)
	}
	return log, nil
}

func (s *Source) history(ctx context.Context, at source.Remote, ref source.Ref, rev source.Revision, q source.Query) (source.Log, error) {
	v, err := s.visitOf(at, ref, rev)
	if err != nil {
		return source.Log{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, v.p.timeout, errSlow(v.p.timeout))
	defer cancel()
	m := s.enter(v)
	defer s.leave(m)
	if _, err := m.snapshot(ctx, v); err != nil { // it says who may read it
		return source.Log{}, err
	}
	h := m.enterPast(v)
	defer m.leavePast(h)
	return h.history(ctx, v, q)
}

// A past is where the history of a mirror's commits is, for one way in.
type past struct {
	*mirror
	callers int // who are about to use it; guarded by the mu of the mirror that it belongs to
}

func (m *mirror) enterPast(v visit) *past {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.pasts[v.by.key]
	if h == nil {
		h = &past{mirror: m.src.newMirror(v, filepath.Join(m.dir, pastDir, v.by.key))}
		if m.pasts == nil {
			m.pasts = make(map[string]*past)
		}
		m.pasts[v.by.key] = h
	}
	h.callers++
	return h
}

func (m *mirror) leavePast(h *past) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h.callers--
}

// dropPasts removes pasts that nobody has looked at for long. It holds turn.
func (m *mirror) dropPasts() {
	limit := m.src.Now().Add(-m.src.Keep)
	dirs, _ := filepath.Glob(filepath.Join(m.dir, pastDir, "*"))
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, dir := range dirs {
		way := filepath.Base(dir)
		h := m.pasts[way]
		info, err := os.Stat(filepath.Join(dir, usedFile))
		if err == nil && info.ModTime().After(limit) || h != nil && h.callers > 0 {
			continue
		}
		if h != nil {
			h.objects.close()
			delete(m.pasts, way)
		}
		os.RemoveAll(dir)
	}
}

// history returns what led to a commit, of which it fetches what is missing. What
// is damaged is had anew, once.
func (h *past) history(ctx context.Context, v visit, q source.Query) (source.Log, error) {
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return source.Log{}, stopped(ctx)
	}
	if h.src.ctx.Err() != nil {
		return source.Log{}, errClosed
	}
	log, err := h.lookBack(ctx, v, q)
	if h.broken(ctx, err) {
		h.src.Log.Warn("history is damaged and fetched anew", "url", h.url, "err", err)
		h.wipe()
		log, err = h.lookBack(ctx, v, q)
	}
	return log, err
}

func (h *past) lookBack(ctx context.Context, v visit, q source.Query) (source.Log, error) {
	if h.fetches > pastKept {
		h.wipe()
	}
	if err := h.open(); err != nil {
		return source.Log{}, &failure{text: err.Error(), kind: source.ErrStorage}
	}
	h.touch()
	p := walk{past: h, ctx: ctx, v: v, q: q, trees: &snapshot{mirror: h.mirror}}
	p.q.Path = strings.TrimPrefix(path.Clean("/"+q.Path), "/")
	p.q.Most = min(cmp.Or(q.Most, usualLog), maxLog)
	err := p.run()
	return p.log, err
}

// A walk goes through a past, from a commit backwards.
type walk struct {
	*past
	ctx   context.Context // of the one call that this is for
	v     visit
	q     source.Query
	trees *snapshot
	log   source.Log
}

// run appends entries until there are enough, or no more.
func (p *walk) run() error {
	id := p.v.id
	c, _, err := p.commit(id)
	for err == nil {
		if c.When.Before(p.q.Since) {
			return nil
		}
		if len(p.log.Entries) == p.q.Most || p.log.Looked == maxLog {
			p.log.More = true
			return nil
		}
		p.log.Looked++
		if len(c.parents) == 0 {
			return p.tell(id, c, commit{})
		}
		before, there, err := p.commit(c.parents[0])
		if err != nil {
			return err
		}
		if !there { // the server's own history ends here
			p.log.More = true
			return nil
		}
		if err := p.tell(id, c, before); err != nil {
			return err
		}
		id, c = c.parents[0], before
	}
	return err
}

// commit reads a commit, which it fetches if it is not here. It reports whether
// there is one: a server may have no more than a part of a history itself.
func (p *walk) commit(id string) (c commit, there bool, err error) {
	if !p.holds(id) {
		if err := p.deepen(); err != nil {
			return c, false, err
		}
		if !p.holds(id) && p.shallow() {
			return c, false, nil
		}
	}
	data, err := p.objects.read(id, "commit", maxTree)
	if err != nil {
		p.note(err)
		return c, false, err
	}
	if c, err = parseCommit(data); err != nil {
		return c, false, &failure{text: "commit " + id + ": " + err.Error(), kind: source.ErrRef}
	}
	return c, true, nil
}

// shallow reports whether not all of the past is here.
func (p *walk) shallow() bool {
	_, err := os.Stat(filepath.Join(p.dir, "shallow"))
	return err == nil
}

// deepen fetches more of the past: as much as is asked for or, if nobody knows how
// much that is, several times what was looked at.
func (p *walk) deepen() error {
	depth := max(firstDepth, p.q.Most+1)
	if p.q.Path != "" {
		depth = max(firstDepth, min(4*p.log.Looked, maxLog+1))
	}
	if err := p.bring(p.ctx, p.v, "--depth="+strconv.Itoa(depth), "--filter=blob:none"); err != nil {
		p.unlock()
		return err
	}
	p.fetches++
	p.objects.close() // it may know less
	// Git has noted the server as one that has the rest, and would ask it, as
	// nobody, for each object that it does not find.
	if err := os.WriteFile(filepath.Join(p.dir, "config"), []byte(p.config()), 0o600); err != nil {
		return &failure{text: err.Error(), kind: source.ErrStorage}
	}
	return nil
}

// tell appends an entry, if the commit changed something that is asked for.
func (p *walk) tell(id string, c, before commit) error {
	was, err := p.below(before.tree)
	if err != nil {
		return err
	}
	now, err := p.below(c.tree)
	if err != nil {
		return err
	}
	if same(was, now) && p.q.Path != "" {
		return nil
	}
	d := changing{trees: p.trees}
	if err := d.entry(p.q.Path, was, now); err != nil {
		return err
	}
	e := source.Entry{ID: idDigest(id), Commit: c.Commit, Committer: c.committer, Authored: c.authored, Merge: len(c.parents) > 1, Cut: d.cut}
	e.Changes = d.changes()
	p.log.Entries = append(p.log.Entries, e)
	return nil
}

// below returns the entry of the path that is asked for in a tree; one without a
// name if there is none.
func (p *walk) below(id []byte) (entry, error) {
	if id == nil {
		return entry{}, nil
	}
	at := entry{mode: []byte("40000"), name: []byte("."), id: id}
	if p.q.Path == "" {
		return at, nil
	}
	for elem := range strings.SplitSeq(p.q.Path, "/") {
		if at.kind() != directory {
			return entry{}, nil
		}
		t, err := p.trees.tree(at.id)
		if err != nil {
			return entry{}, err
		}
		var ok bool
		if at, ok = t.find(elem); !ok {
			return entry{}, nil
		}
	}
	return at, nil
}

func same(a, b entry) bool { return bytes.Equal(a.id, b.id) && bytes.Equal(a.mode, b.mode) }

// A changing collects what became of the files between two trees.
type changing struct {
	trees *snapshot
	all   []change
	cut   bool
}

// A change is one with the id of the content, by which it is known again elsewhere.
type change struct {
	source.Change
	id string
}

// entry compares two entries of a name; an entry without a name stands for none.
func (d *changing) entry(name string, was, now entry) error {
	if same(was, now) || d.cut {
		return nil
	}
	wasDir, nowDir := was.name != nil && was.kind() == directory, now.name != nil && now.kind() == directory
	switch {
	case wasDir || nowDir:
		if err := d.dir(name, idIf(wasDir, was), idIf(nowDir, now)); err != nil {
			return err
		}
		if wasDir && now.name != nil && !nowDir {
			d.add(source.Added, name, now.id)
		} else if nowDir && was.name != nil && !wasDir {
			d.add(source.Deleted, name, was.id)
		}
	case was.name == nil:
		d.add(source.Added, name, now.id)
	case now.name == nil:
		d.add(source.Deleted, name, was.id)
	default:
		d.add(source.Modified, name, now.id)
	}
	return nil
}

func (d *changing) dir(name string, was, now []byte) error {
	a, b := &tree{}, &tree{}
	var err error
	if was != nil {
		if a, err = d.trees.tree(was); err != nil {
			return err
		}
	}
	if now != nil {
		if b, err = d.trees.tree(now); err != nil {
			return err
		}
	}
	for was, now := range pairs(a, b) {
		elem := was.name
		if elem == nil {
			elem = now.name
		}
		if err := d.entry(path.Join(name, string(elem)), was, now); err != nil {
			return err
		}
	}
	return nil
}

func (d *changing) add(verb source.Verb, name string, id []byte) {
	if len(d.all) == maxChanges {
		d.cut = true
		return
	}
	d.all = append(d.all, change{source.Change{Verb: verb, Path: strings.ToValidUTF8(name, "\uFFFD")}, hex.EncodeToString(id)})
}

// changes returns what was found, with what was deleted and added elsewhere as one.
// If not all was found, that can't be told.
func (d *changing) changes() []source.Change {
	gone := make(map[string][]int)
	for i, c := range d.all {
		if c.Verb == source.Deleted && !d.cut {
			gone[c.id] = append(gone[c.id], i)
		}
	}
	left := make(map[int]bool)
	for i := range d.all {
		c := &d.all[i]
		if at := gone[c.id]; c.Verb == source.Added && len(at) > 0 {
			c.Verb, c.From = source.Renamed, d.all[at[0]].Path
			left[at[0]], gone[c.id] = true, at[1:]
		}
	}
	var out []source.Change
	for i, c := range d.all {
		if !left[i] {
			out = append(out, c.Change)
		}
	}
	slices.SortStableFunc(out, func(a, b source.Change) int { return strings.Compare(a.Path, b.Path) })
	return out
}

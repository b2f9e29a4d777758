package git

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/sane-gitops/sane/source"
)

// A mirror is a bare repository with what was fetched from one remote. Each
// Ref that was fetched has a ref of its own, under refs/sane, whose commit is
// here with all its files.
type mirror struct {
	src     *Source
	remote  *remote
	dir     string
	idLen   int // of hexadecimal object ids
	objects *catfile
	turn    chan struct{} // holding its one place allows to write

	// Guarded by turn.
	opened  time.Time // when this process first looked at it; zero if it has not
	fetches int       // since the last tidying, or as many as packs

	mu      sync.Mutex
	whole   map[string]bool // commits that are here with all their files
	live    map[string]int  // commits that snapshots can be read of, and how many
	damaged bool            // something that should be here can't be read
}

const (
	refDir   = "refs/sane"
	usedFile = "used"   // its time is when the mirror was last of use
	trash    = "trash-" // begins the name of a mirror that is being removed
	tidyAt   = 64       // fetches after which packs are put together
	keepRef  = 24 * time.Hour
)

// mirror returns the mirror of r for ids of that length.
func (s *Source) mirror(r *remote, idLen int) *mirror {
	format := "sha1"
	if idLen == 64 {
		format = "sha256"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok := r.mirrors[format]
	if !ok {
		dir := filepath.Join(s.Dir, r.key+"-"+format)
		m = &mirror{src: s, remote: r, dir: dir, idLen: idLen, turn: make(chan struct{}, 1),
			objects: &catfile{src: s, dir: dir},
			whole:   make(map[string]bool), live: make(map[string]int)}
		r.mirrors[format] = m
	}
	return m
}

// snapshot returns the tree of a commit, which it fetches if it is not here.
func (m *mirror) snapshot(ctx context.Context, p place, w want, id string) (*snapshot, error) {
	if m.has(id) {
		if t, err := m.read(id); err == nil {
			m.use(w)
			return t, nil
		}
	}
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return nil, stopped(ctx)
	}
	if m.src.ctx.Err() != nil {
		return nil, errClosed
	}
	t, err := m.obtain(ctx, p, w, id)
	if m.broken(ctx, err) {
		m.src.Log.Warn("mirror is damaged and fetched anew", "url", m.remote.place.url, "err", err)
		m.wipe()
		t, err = m.obtain(ctx, p, w, id)
	}
	return t, err
}

// broken reports whether err may be the fault of what is in the mirror.
func (m *mirror) broken(ctx context.Context, err error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return ctx.Err() == nil && (errors.Is(err, source.ErrStorage) || err != nil && m.damaged)
}

// obtain reads the commit, fetching it first if it is not here. It holds turn.
func (m *mirror) obtain(ctx context.Context, p place, w want, id string) (*snapshot, error) {
	if err := m.open(); err != nil {
		return nil, &failure{text: err.Error(), kind: source.ErrStorage}
	}
	if !m.has(id) {
		err := m.pull(ctx, p, w, id)
		m.touch()
		if err != nil {
			m.unlock()
			return nil, err
		}
		m.mu.Lock()
		m.whole[id] = true
		m.mu.Unlock()
		m.count()
	}
	return m.read(id)
}

// has reports whether a commit is here with all its files.
func (m *mirror) has(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.whole[id] && !m.damaged
}

// read returns the tree of a commit that is here.
func (m *mirror) read(id string) (*snapshot, error) {
	data, err := m.objects.read(id, "commit", maxTree)
	if err != nil {
		m.note(err)
		return nil, err
	}
	c, err := parseCommit(data)
	if err != nil {
		return nil, &failure{text: "commit " + id + ": " + err.Error(), kind: source.ErrRef}
	}
	t := &snapshot{mirror: m, commit: c}
	if _, err := t.tree(c.tree); err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.live[id]++
	m.mu.Unlock()
	runtime.AddCleanup(t, m.forget, id)
	return t, nil
}

// forget is called when a snapshot can't be read any more.
func (m *mirror) forget(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live[id]--; m.live[id] <= 0 {
		delete(m.live, id)
	}
}

// note remembers that something can't be read.
func (m *mirror) note(err error) {
	var damage *objectError
	if errors.As(err, &damage) {
		m.mu.Lock()
		m.damaged = true
		m.mu.Unlock()
	}
}

// open makes the mirror, or looks at what an earlier process has left: locks
// and halves of files go, and what refs/sane names is whole. It holds turn.
func (m *mirror) open() error {
	m.mu.Lock()
	damaged := m.damaged
	m.mu.Unlock()
	if damaged {
		m.wipe()
	}
	if !m.opened.IsZero() {
		if _, err := os.Stat(m.dir); err == nil {
			return nil
		}
		m.wipe() // somebody has removed it under us
	}
	if have, err := os.ReadFile(filepath.Join(m.dir, "config")); err != nil || string(have) != m.config() {
		m.wipe()
		if err := m.create(); err != nil {
			return err
		}
	}
	m.unlock()
	m.touch()
	packs, _ := filepath.Glob(filepath.Join(m.dir, "objects/pack/*.pack"))
	loose, _ := os.ReadDir(filepath.Join(m.dir, "objects/17"))
	m.fetches = len(packs) + 8*len(loose)
	m.opened = m.src.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.refs() {
		m.whole[id] = true
	}
	return nil
}

func (m *mirror) config() string {
	if m.idLen == 64 {
		return "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = sha256\n"
	}
	return "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
}

// create makes an empty repository. The config comes last: it says that the
// rest is there.
func (m *mirror) create() error {
	for _, dir := range []string{"objects/pack", refDir} {
		if err := os.MkdirAll(filepath.Join(m.dir, dir), 0o700); err != nil {
			return err
		}
	}
	for _, f := range []struct{ name, text string }{
		{"HEAD", "ref: refs/heads/none\n"}, {usedFile, ""}, {"config", m.config()},
	} {
		if err := os.WriteFile(filepath.Join(m.dir, f.name), []byte(f.text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// wipe throws the mirror away. It holds turn.
func (m *mirror) wipe() {
	m.objects.close()
	m.mu.Lock()
	clear(m.whole)
	m.damaged = false
	m.mu.Unlock()
	m.opened = time.Time{}
	old, err := os.MkdirTemp(m.src.Dir, trash)
	if err == nil {
		os.Rename(m.dir, filepath.Join(old, "mirror"))
		os.RemoveAll(old)
	}
	os.RemoveAll(m.dir)
}

// unlock removes the locks and the halves of files of a git that was killed.
// It holds turn, so no other git is at work.
func (m *mirror) unlock() {
	for _, pattern := range []string{"*.lock", refDir + "/*.lock", "objects/pack/tmp_*", "objects/pack/*.keep", "objects/??/tmp_obj_*"} {
		list, _ := filepath.Glob(filepath.Join(m.dir, pattern))
		for _, file := range list {
			os.Remove(file)
		}
	}
}

// touch says that the mirror is of use.
func (m *mirror) touch() {
	now := m.src.Now()
	os.Chtimes(filepath.Join(m.dir, usedFile), now, now)
}

// use says that the ref of w is of use, if there is one.
func (m *mirror) use(w want) {
	now := m.src.Now()
	os.Chtimes(filepath.Join(m.dir, w.own()), now, now)
}

// refs returns the commits under refs/sane and the files that name them.
func (m *mirror) refs() map[string][]string {
	refs := make(map[string][]string)
	list, _ := os.ReadDir(filepath.Join(m.dir, refDir))
	for _, e := range list {
		file := filepath.Join(m.dir, refDir, e.Name())
		data, _ := os.ReadFile(file)
		if id := strings.TrimSpace(string(data)); isID(id) && len(id) == m.idLen {
			refs[id] = append(refs[id], file)
		} else {
			os.Remove(file)
		}
	}
	return refs
}

// own returns the name of the ref that keeps what w asks for.
func (w want) own() string {
	sum := sha256.Sum256([]byte(w.ref + "\x00" + w.shown))
	return refDir + "/" + hex.EncodeToString(sum[:10])
}

// pull fetches a commit. It holds turn.
func (m *mirror) pull(ctx context.Context, p place, w want, id string) error {
	m.use(w)
	err := m.gitFetch(ctx, p, "--depth=1", "+"+id+":"+w.own())
	if err != error(errRefused) {
		return w.gone(err, id)
	}
	// An old server. Perhaps the ref is still at that commit.
	from := w.ref
	if from == "" {
		from = "refs/heads/*"
	}
	if from != "refs/heads/*" {
		if err := m.gitFetch(ctx, p, "--depth=1", "+"+from+":"+refDir+"/tip"); err != nil {
			return w.gone(err, id)
		}
		if m.isTip(ctx, id) {
			return m.keep(ctx, w, id)
		}
	}
	// It has moved on. The commit may be in its history.
	to := refDir + "/tip"
	if from == "refs/heads/*" {
		to = refDir + "/all/*"
	}
	defer os.RemoveAll(filepath.Join(m.dir, refDir, "all"))
	args := []string{"+" + from + ":" + to}
	if _, err := os.Stat(filepath.Join(m.dir, "shallow")); err == nil {
		args = append([]string{"--unshallow"}, args...)
	}
	if err := m.gitFetch(ctx, p, args...); err != nil {
		return w.gone(err, id)
	}
	if _, err := m.objects.read(id, "commit", maxTree); err != nil {
		return &failure{text: "commit " + id + " is not in the history of " + from, kind: source.ErrNotFound}
	}
	return m.keep(ctx, w, id)
}

func (m *mirror) isTip(ctx context.Context, id string) bool {
	out, err := m.src.local(ctx, "--git-dir="+m.dir, "rev-parse", "-q", "--verify", refDir+"/tip^{commit}")
	return err == nil && strings.TrimSpace(string(out)) == id
}

// keep points w's ref at a commit that is here.
func (m *mirror) keep(ctx context.Context, w want, id string) error {
	_, err := m.src.local(ctx, "--git-dir="+m.dir, "update-ref", w.own(), id)
	os.Remove(filepath.Join(m.dir, refDir, "tip"))
	return err
}

func (m *mirror) gitFetch(ctx context.Context, p place, args ...string) error {
	args = append([]string{"--git-dir=" + m.dir, "fetch", "--quiet", "--force", "--no-tags", "--no-write-fetch-head",
		"--no-auto-maintenance", "--no-recurse-submodules"}, args...)
	last := len(args) - 1
	args = append(args[:last:last], "--", p.url, args[last])
	_, err := m.src.ask(ctx, m.remote, p, args...)
	return err
}

// gone says it better if the server has no such commit or ref.
func (w want) gone(err error, id string) error {
	var f *failure
	if !errors.As(err, &f) || f.kind != source.ErrNotFound || f.text == "repository not found" {
		return err
	}
	if w.ref == "" {
		return &failure{text: "there is no commit " + id, kind: source.ErrNotFound}
	}
	return &failure{text: "there is no commit " + id + " any more; was " + w.ref + " removed or force-pushed?", kind: source.ErrNotFound}
}

// count counts a fetch and tidies after many. It holds turn.
func (m *mirror) count() {
	if m.fetches++; m.fetches < tidyAt {
		return
	}
	m.fetches = 0
	m.src.start(func() {
		select {
		case m.turn <- struct{}{}:
			defer func() { <-m.turn }()
		case <-m.src.ctx.Done():
			return
		}
		if err := m.tidy(m.src.ctx); err != nil && m.src.ctx.Err() == nil {
			m.src.Log.Warn("mirror could not be tidied", "url", m.remote.place.url, "err", err)
		}
	})
}

// tidy puts packs together and drops what neither a Ref nor a snapshot needs.
// It holds turn.
func (m *mirror) tidy(ctx context.Context) error {
	if m.opened.IsZero() { // it was wiped meanwhile
		return nil
	}
	old := m.opened
	if t := m.src.Now().Add(-keepRef); t.After(old) {
		old = t
	}
	keep := make(map[string]bool)
	for id, files := range m.refs() {
		for _, file := range files {
			info, err := os.Stat(file)
			if err == nil && info.ModTime().Before(old) && m.src.Now().Sub(m.opened) > keepRef {
				os.Remove(file)
				continue
			}
			keep[id] = true
		}
	}
	m.mu.Lock()
	var extra []string
	for id := range m.live {
		if !keep[id] && m.whole[id] {
			extra = append(extra, id)
			keep[id] = true
		}
	}
	for id := range m.whole {
		if !keep[id] {
			delete(m.whole, id)
		}
	}
	m.mu.Unlock()
	for _, id := range extra {
		file := filepath.Join(m.dir, refDir, "live-"+id)
		defer os.Remove(file)
		if err := os.WriteFile(file, []byte(id+"\n"), 0o600); err != nil {
			return err
		}
	}
	defer m.objects.close() // it may have packs open that are no more
	if _, err := m.src.local(ctx, "--git-dir="+m.dir, "-c", "repack.writeBitmaps=false", "-c", "pack.threads=1",
		"-c", "pack.windowMemory=32m", "repack", "-a", "-d", "-q"); err != nil {
		return err
	}
	_, err := m.src.local(ctx, "--git-dir="+m.dir, "prune", "--expire=now")
	return err
}

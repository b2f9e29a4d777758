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

// A mirror is a bare repository with what was fetched from one repository of a
// server. Each Ref that was fetched has a ref of its own for each way in, under
// refs/sane, whose commit is here with all its files.
type mirror struct {
	src     *Source
	url     string
	dir     string
	idLen   int // of hexadecimal object ids
	objects *catfile
	turn    chan struct{} // holding its one place allows to write

	// Guarded by turn.
	opened  time.Time // when this process first looked at it; zero if it has not
	fetches int       // since the last tidying, or as many as packs

	callers int       // who are about to use it; guarded by the source's mu
	used    time.Time // by the last of them; guarded by the source's mu

	mu      sync.Mutex
	whole   map[string]bool  // commits that are here with all their files
	let     map[pass]bool    // who may read which
	live    map[pass]int     // what snapshots can be read of, and how many
	pasts   map[string]*past // by way in
	damaged bool             // something that should be here can't be read
}

// A pass is that a way in may read a commit.
type pass struct{ way, id string }

// A visit is what somebody wants of a mirror: a commit.
type visit struct {
	by   *remote
	p    place // with its secrets
	want want
	id   string

	known  bool // the server has just let it in, whatever for
	listed bool // and has listed the commit
}

func (v visit) pass() pass { return pass{v.by.key, v.id} }

const (
	refDir   = "refs/sane"
	usedFile = "used"   // its time is when the mirror was last of use, or later
	trash    = "trash-" // begins the name of a mirror that is being removed
	tidyAt   = 64       // fetches after which packs are put together
)

// snapshot returns the tree of a commit, which it fetches if it is not here.
func (s *Source) snapshot(ctx context.Context, v visit) (*snapshot, error) {
	m := s.enter(v)
	defer s.leave(m)
	return m.snapshot(ctx, v)
}

// enter returns the mirror for a visit, which is not swept away before leave.
func (s *Source) enter(v visit) *mirror {
	name := v.p.server() + "-sha1"
	if len(v.id) == 64 {
		name = v.p.server() + "-sha256"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.mirrors[name]
	if !ok {
		dir := filepath.Join(s.Dir, name)
		m = s.newMirror(v, dir)
		s.mirrors[name] = m
	}
	m.callers++
	m.used = s.Now()
	return m
}

func (s *Source) newMirror(v visit, dir string) *mirror {
	return &mirror{src: s, url: v.p.url, dir: dir, idLen: len(v.id), turn: make(chan struct{}, 1),
		objects: &catfile{src: s, dir: dir},
		whole:   make(map[string]bool), let: make(map[pass]bool), live: make(map[pass]int)}
}

func (s *Source) leave(m *mirror) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.callers--
	m.used = s.Now()
}

func (m *mirror) snapshot(ctx context.Context, v visit) (*snapshot, error) {
	if m.has(v.pass()) {
		if t, err := m.read(v.pass()); err == nil {
			m.use(v)
			return t, nil
		}
	}
	t, err := m.visit(ctx, v)
	if err == error(errNoPass) {
		if v, err = m.enlist(ctx, v); err != nil {
			return nil, err
		}
		t, err = m.visit(ctx, v)
	}
	return t, err
}

// visit is snapshot for those who come in turn.
func (m *mirror) visit(ctx context.Context, v visit) (*snapshot, error) {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return nil, stopped(ctx)
	}
	if m.src.ctx.Err() != nil {
		return nil, errClosed
	}
	t, err := m.obtain(ctx, v)
	if m.broken(ctx, err) {
		m.src.Log.Warn("mirror is damaged and fetched anew", "url", m.url, "err", err)
		m.wipe()
		t, err = m.obtain(ctx, v)
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
func (m *mirror) obtain(ctx context.Context, v visit) (*snapshot, error) {
	if err := m.open(); err != nil {
		return nil, &failure{text: err.Error(), kind: source.ErrStorage}
	}
	if m.has(v.pass()) {
		return m.read(v.pass())
	}
	err := m.admit(ctx, v)
	if err == nil {
		err = m.pull(ctx, v)
	}
	m.touch()
	if err != nil {
		m.unlock()
		return nil, err
	}
	m.mu.Lock()
	m.whole[v.id], m.let[v.pass()] = true, true
	m.mu.Unlock()
	return m.read(v.pass())
}

// has reports whether a commit is here with all its files, for that way in.
func (m *mirror) has(p pass) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.whole[p.id] && m.let[p] && !m.damaged
}

// read returns the tree of a commit that is here.
func (m *mirror) read(p pass) (*snapshot, error) {
	id := p.id
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
	m.live[p]++
	m.mu.Unlock()
	runtime.AddCleanup(t, m.forget, p)
	return t, nil
}

// forget is called when a snapshot can't be read any more.
func (m *mirror) forget(p pass) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live[p]--; m.live[p] <= 0 {
		delete(m.live, p)
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
	for _, r := range m.refs() {
		m.whole[r.id], m.let[r.pass] = true, true
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

// close ends what reads from the mirror.
func (m *mirror) close() {
	m.objects.close()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.pasts {
		h.objects.close()
	}
}

// wipe throws the mirror away, with all pasts. It holds turn.
func (m *mirror) wipe() {
	m.close()
	m.mu.Lock()
	clear(m.whole)
	clear(m.let)
	m.damaged = false
	m.mu.Unlock()
	m.opened = time.Time{}
	os.RemoveAll(m.src.discard(m.dir))
	os.RemoveAll(m.dir)
}

// unlock removes the locks and the halves of files of a git that was killed.
// It holds turn, so no other git is at work.
func (m *mirror) unlock() {
	os.RemoveAll(filepath.Join(m.dir, refDir, "all"))
	for _, pattern := range []string{"*.lock", refDir + "/*.lock", refDir + "/*/*.lock", "objects/pack/tmp_*", "objects/pack/*.keep", "objects/??/tmp_obj_*"} {
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

// use says that the ref for a visit is of use, if there is one.
func (m *mirror) use(v visit) {
	now := m.src.Now()
	os.Chtimes(filepath.Join(m.dir, v.own()), now, now)
}

// A ref is a file that says that a commit is here, and for whom.
type ref struct {
	pass
	file string
}

// refs returns the refs of all ways in. It removes what is none.
func (m *mirror) refs() []ref {
	var refs []ref
	dir := filepath.Join(m.dir, refDir)
	ways, _ := os.ReadDir(dir)
	for _, way := range ways {
		list, err := os.ReadDir(filepath.Join(dir, way.Name()))
		if err != nil {
			os.Remove(filepath.Join(dir, way.Name()))
		}
		for _, e := range list {
			file := filepath.Join(dir, way.Name(), e.Name())
			data, _ := os.ReadFile(file)
			if id := strings.TrimSpace(string(data)); isID(id) && len(id) == m.idLen {
				refs = append(refs, ref{pass{way.Name(), id}, file})
			} else {
				os.Remove(file)
			}
		}
	}
	return refs
}

// own returns the name of the ref that keeps what a visit asks for.
func (v visit) own() string { return v.refFor(v.want.ref, v.want.shown) }

func (v visit) refFor(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return refDir + "/" + v.by.key + "/" + hex.EncodeToString(sum[:10])
}

// pull fetches a commit, unless all of it is here. It holds turn.
func (m *mirror) pull(ctx context.Context, v visit) error {
	m.mu.Lock()
	whole := m.whole[v.id]
	m.mu.Unlock()
	if whole {
		return m.keep(ctx, v)
	}
	if err := m.bring(ctx, v, "--depth=1"); err != nil {
		return err
	}
	m.count()
	return nil
}

// bring fetches a commit, with options of git's.
func (m *mirror) bring(ctx context.Context, v visit, options ...string) error {
	m.use(v)
	w := v.want
	err := m.gitFetch(ctx, v, append(options, "+"+v.id+":"+v.own())...)
	if err != error(errRefused) {
		return v.gone(err)
	}
	// An old server. Perhaps the ref is still at that commit.
	from := w.ref
	if from == "" {
		from = "refs/heads/*"
	}
	if from != "refs/heads/*" {
		if err := m.gitFetch(ctx, v, append(options, "+"+from+":"+refDir+"/tip")...); err != nil {
			return v.gone(err)
		}
		if m.isTip(ctx, v.id) {
			return m.keep(ctx, v)
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
	if err := m.gitFetch(ctx, v, args...); err != nil {
		return v.gone(err)
	}
	if _, err := m.objects.read(v.id, "commit", maxTree); err != nil {
		return &failure{text: "commit " + v.id + " is not in the history of " + from, kind: source.ErrNotFound}
	}
	return m.keep(ctx, v)
}

func (m *mirror) isTip(ctx context.Context, id string) bool {
	out, err := m.src.local(ctx, "--git-dir="+m.dir, "rev-parse", "-q", "--verify", refDir+"/tip^{commit}")
	return err == nil && strings.TrimSpace(string(out)) == id
}

// keep points a visit's ref at a commit that is here.
func (m *mirror) keep(ctx context.Context, v visit) error {
	_, err := m.src.local(ctx, "--git-dir="+m.dir, "update-ref", v.own(), v.id)
	os.Remove(filepath.Join(m.dir, refDir, "tip"))
	return err
}

func (m *mirror) gitFetch(ctx context.Context, v visit, args ...string) error {
	args = append([]string{"--git-dir=" + m.dir, "fetch", "--quiet", "--force", "--no-tags", "--no-write-fetch-head",
		"--no-auto-maintenance", "--no-recurse-submodules"}, args...)
	last := len(args) - 1
	args = append(args[:last:last], "--", v.p.url, args[last])
	_, err := m.src.ask(ctx, v.by, v.p, args...)
	return err
}

// gone says it better if the server has no such commit or ref.
func (v visit) gone(err error) error {
	var f *failure
	if !errors.As(err, &f) || f.kind != source.ErrNotFound || f.text == "repository not found" {
		return err
	}
	if v.want.ref == "" {
		return &failure{text: "there is no commit " + v.id, kind: source.ErrNotFound}
	}
	return &failure{text: "there is no commit " + v.id + " any more; was " + v.want.ref + " removed or force-pushed?", kind: source.ErrNotFound}
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
			m.src.Log.Warn("mirror could not be tidied", "url", m.url, "err", err)
		}
	})
}

// tidy puts packs together and drops what neither a Ref nor a snapshot needs.
// It holds turn.
func (m *mirror) tidy(ctx context.Context) error {
	if m.opened.IsZero() { // it was wiped meanwhile
		return nil
	}
	m.drop()
	keep := make(map[string]bool)
	for _, r := range m.refs() {
		keep[r.id] = true
	}
	m.mu.Lock()
	var extra []string
	for p := range m.live {
		if !keep[p.id] && m.whole[p.id] {
			extra = append(extra, p.id)
			keep[p.id] = true
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

// Package git is a [source.Source] of Git repositories.
//
// Transport and storage are the git program's. Each server's repository has one
// bare mirror that all callers share. There is never a work tree: trees and
// blobs are read by id from the mirror's object store, through one long-lived
// `git cat-file` that ends when nobody reads.
//
// # Who may read what
//
// A mirror belongs to a URL and to what says that the server there is the right
// one: the certificates, host keys and proxy by which it is reached. Whoever
// names others might be talking to a server of his own, which says what he
// likes, so he has a mirror of his own too.
//
// By which credentials one gets in does not count: passwords and tokens change,
// some every hour, and that must not cost a clone. Instead, every way in, which
// is a place with its credentials, may read just those commits of a mirror for
// which the server itself has let it in: because a listing that it was given by
// these credentials has that commit, or because the server gave it the commit.
// It does not count that git says so: what is here it may not even ask for. So
// either the commit was not here, or it is asked for once more into an empty
// repository, without its files. See [mirror.admit] and [mirror.obtain].
//
// What a way in was let in for is in the names of the mirror's refs, which hold
// a digest of the credentials, so it survives a restart. A way in that is not
// used for a day is forgotten, with its refs; so is a mirror.
//
// # Damage
//
// A mirror is a cache. It is written without fsync, everything read from it is
// checked against its object id, and what turns out to be damaged is thrown
// away and fetched anew.
package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/shared"
	"github.com/sane-gitops/sane/source/web"
)

// A Config says where a Source keeps its mirrors and how much it may use.
type Config struct {
	Dir        string           // for the mirrors; made if need be; belongs to one Source at a time
	Git        string           // the program; "" means "git"
	Fresh      time.Duration    // for how long an answer of a server is reused, from when it was asked; 0 means 2 s, less means not at all
	Idle       time.Duration    // how long a reader of objects waits for more work; 0 means a minute
	Keep       time.Duration    // how long a mirror is kept that nobody uses, and a way in to it; 0 means a day
	CacheBytes int64            // for parsed trees of all mirrors; 0 means 16 MiB
	MaxFile    int64            // bytes of the largest file that is read; 0 means 32 MiB
	AllowFile  bool             // allow file:// URLs, for tests
	Ciphers    Ciphers          // that SSH may use
	Office     *cloud.Office    // by which identities of clouds get in; nil means by the environment alone
	Tunnel     []string         // the command of a process that calls Tunnel; nil means that ssh can't go by proxies
	Log        *slog.Logger     // nil means no log
	Now        func() time.Time // nil means time.Now
}

// Ciphers are names of algorithms, as ssh knows them. nil means those that ssh uses
// if nobody says anything.
type Ciphers struct {
	KeyExchange []string
	HostKey     []string
}

// options returns what ssh is told of them.
func (c Ciphers) options() (all []string) {
	if len(c.KeyExchange) > 0 {
		all = append(all, "KexAlgorithms="+strings.Join(c.KeyExchange, ","))
	}
	if len(c.HostKey) > 0 {
		all = append(all, "HostKeyAlgorithms="+strings.Join(c.HostKey, ","))
	}
	return all
}

func (c Config) withDefaults() Config {
	if c.Office == nil {
		c.Office = cloud.NewOffice(cloud.OfficeConfig{Now: c.Now})
	}
	if c.Git == "" {
		c.Git = "git"
	}
	if c.Fresh == 0 {
		c.Fresh = 2 * time.Second
	}
	if c.Idle == 0 {
		c.Idle = time.Minute
	}
	if c.Keep == 0 {
		c.Keep = 24 * time.Hour
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = 16 << 20
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

// A Source resolves and fetches from Git servers. Close it after use.
type Source struct {
	Config
	program string   // absolute path of git
	temp    string   // private: the home of git, and secrets while they are used
	lock    *os.File // held while Dir is ours
	trees   *cache
	lists   *shared.Answers[[]byte] // of refs, by remote and scope
	tokens  tokens
	clients web.Pool[*http.Client]
	alias   string // the URL by which clouds know a repository, for tests

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	work sync.WaitGroup // what runs beside its caller

	mu      sync.Mutex
	closed  bool
	remotes map[string]*remote // guarded by mu
	mirrors map[string]*mirror // guarded by mu; by name
	swept   time.Time          // guarded by mu
}

var _ source.Source = (*Source)(nil)

// A remote is all that is known of one URL and one way in.
type remote struct {
	key   string
	place place     // without its secrets
	used  time.Time // guarded by the source's mu

	mu      sync.Mutex
	scope   scope // the most that was ever asked for
	polite  bool  // waits to be asked for a password, because the server redirects
	dialect spoken
}

// New returns a Source that keeps its mirrors in c.Dir. It fails if another
// Source, perhaps of another process, is using that directory.
func New(c Config) (*Source, error) {
	c = c.withDefaults()
	program, err := exec.LookPath(c.Git)
	if err != nil {
		return nil, fmt.Errorf("git: %w", err)
	}
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return nil, fmt.Errorf("git: %w", err)
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("git: %w", err)
	}
	lock, err := lockDir(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("git: %w", err)
	}
	temp, err := os.MkdirTemp("", "sane-git-")
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("git: %w", err)
	}
	s := &Source{Config: c, program: program, temp: temp, lock: lock,
		trees: newCache(c.CacheBytes), lists: shared.New[[]byte](c.Fresh, c.Now),
		remotes: make(map[string]*remote), mirrors: make(map[string]*mirror)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.clean()
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
		return nil, fmt.Errorf("%s is in use by another process: %w", dir, err)
	}
	return f, nil
}

// unlockDir lets go at once, even if a process that is just being started still
// has the file.
func unlockDir(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}

// Close ends all requests and readers. Snapshots can't be read afterwards.
func (s *Source) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.stop()
	mirrors := s.mirrors
	s.mu.Unlock()
	s.lists.Close()
	s.work.Wait()
	s.clients.Close()
	for _, m := range mirrors {
		m.close()
	}
	return errors.Join(os.RemoveAll(s.temp), unlockDir(s.lock))
}

var errClosed = &failure{text: "the source is closed", kind: source.ErrStorage}

// remote returns the remote at p, the same one for the same URL and access.
func (s *Source) remote(p place) (*remote, error) {
	key := p.key()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	now := s.Now()
	if now.Sub(s.swept) > sweepEvery {
		s.sweep()
	}
	r, ok := s.remotes[key]
	if !ok {
		bare := p
		bare.access = source.Access{}
		r = &remote{key: key, place: bare}
		s.remotes[key] = r
	}
	r.used = now
	return r, nil
}

// start runs f beside its caller, unless s is closed. Close waits for it.
func (s *Source) start(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.work.Go(f)
	return true
}

// Resolve implements [source.Source]. A whole commit needs no request: whether
// it exists is for Fetch to find out.
func (s *Source) Resolve(ctx context.Context, at source.Remote, ref source.Ref) (source.Revision, error) {
	rev, err := s.resolve(ctx, at, ref)
	if err != nil {
		return source.Revision{}, told("resolve", at, ref, err)
	}
	return rev, nil
}

func (s *Source) resolve(ctx context.Context, at source.Remote, ref source.Ref) (source.Revision, error) {
	p, err := s.place(at)
	if err != nil {
		return source.Revision{}, err
	}
	w, err := parseRef(ref)
	if err != nil {
		return source.Revision{}, err
	}
	if w.commit != "" {
		return revision(w.label, w.commit), nil
	}
	r, err := s.remote(p)
	if err != nil {
		return source.Revision{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.timeout, errSlow(p.timeout))
	defer cancel()
	refs, err := s.list(ctx, r, p, w.scope)
	if err != nil {
		return source.Revision{}, err
	}
	found, err := w.choose(refs)
	if err != nil {
		return source.Revision{}, err
	}
	best, err := s.newest(ctx, r, p, found)
	if err != nil {
		return source.Revision{}, err
	}
	return revision(best.label, best.id), nil
}

// newest returns the candidate whose commit is newest.
func (s *Source) newest(ctx context.Context, r *remote, p place, found []candidate) (best candidate, err error) {
	if len(found) == 1 {
		return found[0], nil
	}
	var when time.Time
	for _, c := range found {
		snap, err := s.snapshot(ctx, visit{by: r, p: p, want: want{ref: "refs/tags/" + c.label, shown: c.label, scope: tags}, id: c.id})
		if err != nil {
			return candidate{}, err
		}
		if best.id == "" || snap.commit.When.After(when) {
			best, when = c, snap.commit.When
		}
	}
	return best, nil
}

// Fetch implements [source.Source].
//
// An error that wraps [source.ErrStorage], be it from Fetch or from reading a
// file, says that our copy is damaged. The next Fetch makes a new one, and old
// snapshots of the same revision can be read again.
func (s *Source) Fetch(ctx context.Context, at source.Remote, ref source.Ref, rev source.Revision) (*source.Snapshot, error) {
	snap, err := s.fetch(ctx, at, ref, rev)
	if err != nil {
		return nil, told("fetch", at, ref, err)
	}
	return snap, nil
}

func (s *Source) fetch(ctx context.Context, at source.Remote, ref source.Ref, rev source.Revision) (*source.Snapshot, error) {
	v, err := s.visitOf(at, ref, rev)
	if err != nil {
		return nil, err
	}
	p := v.p
	ctx, cancel := context.WithTimeoutCause(ctx, p.timeout, errSlow(p.timeout))
	defer cancel()
	t, err := s.snapshot(ctx, v)
	if err != nil {
		return nil, err
	}
	snap := &source.Snapshot{Revision: rev, Tree: t, Commit: t.commit.Commit}
	if at.Proof != nil {
		if snap.Signed, err = t.mirror.verify(ctx, v, at.Proof); err != nil {
			return nil, err
		}
		snap.Proven = at.Proof.Method
	}
	if at.Submodules {
		if snap.Tree, err = s.withModules(ctx, p, t); err != nil {
			return nil, err
		}
	}
	return snap, nil
}

// visitOf returns the visit that is for a revision of a ref.
func (s *Source) visitOf(at source.Remote, ref source.Ref, rev source.Revision) (visit, error) {
	p, err := s.place(at)
	if err != nil {
		return visit{}, err
	}
	w, err := parseRef(ref)
	if err != nil {
		return visit{}, err
	}
	id, err := parseDigest(rev.Digest)
	if err != nil {
		return visit{}, err
	}
	if w.constraint != nil { // the tag that was chosen is in the revision's name
		tag, _, _ := strings.Cut(rev.Name, "@")
		w.ref = "refs/tags/" + tag
	}
	r, err := s.remote(p)
	if err != nil {
		return visit{}, err
	}
	return visit{by: r, p: p, want: w, id: id}, nil
}

// Expire says that something has changed at url: the next Resolve will ask the
// server rather than give an answer from before this call.
func (s *Source) Expire(url string) {
	p, err := s.place(source.Remote{URL: url})
	if err != nil {
		return
	}
	s.mu.Lock()
	remotes := slices.Collect(maps.Values(s.remotes))
	s.mu.Unlock()
	for _, r := range remotes {
		if r.place.host == p.host && r.place.path == p.path {
			s.lists.Expire(func(question string) bool { return strings.HasPrefix(question, r.key+"/") })
		}
	}
}

// told says what was being done, to what, when err happened.
func told(verb string, at source.Remote, ref source.Ref, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) && !errors.Is(err, source.ErrStorage) {
		err = &failure{text: err.Error(), kind: source.ErrStorage}
	}
	told := fmt.Errorf("git: %s %s at %s: %w", verb, redact(at.URL), shown(ref), err)
	if errors.Is(err, source.ErrURL) || errors.Is(err, source.ErrRef) || errors.Is(err, source.ErrProof) {
		return fault.Input(told)
	}
	return told
}

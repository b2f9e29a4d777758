// Package bucket is a [source.Source] of buckets on servers that speak S3, and of
// Azure's and Google's.
//
// What a bucket holds is named by its index: the keys of its objects, and the
// tags by which the server tells their contents apart. A bucket is listed to
// know whether anything has changed; objects are fetched if their tags have.
package bucket

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/shared"
	"github.com/sane-gitops/sane/source/unpack"
	"github.com/sane-gitops/sane/source/web"
)

// A Config says what a Source works with.
type Config struct {
	Store    *unpack.Store    // where content is kept; the caller closes it after the Source
	Fresh    time.Duration    // for how long a listing is reused, from when it was asked; 0 means 2 s, less means not at all
	Office   *cloud.Office    // by which identities of clouds get in; nil means by the environment alone
	Parallel int              // objects of a bucket that are fetched at a time; 0 means 16
	Now      func() time.Time // nil means time.Now
}

// A Source resolves and fetches from buckets. Close it after use.
type Source struct {
	Config
	lists *shared.Answers[index] // by place

	clients web.Pool[*client]

	mu   sync.Mutex
	last map[string]held // guarded by mu; by route
}

// A held bucket is what was fetched last, so that only what has changed since
// is fetched.
type held struct {
	index index
	tree  *unpack.Tree
	to    string    // the key of the place that has it
	used  time.Time // when anybody last asked what is in the bucket
}

// remember takes in what was fetched, and forgets what nobody has asked for in a
// day.
func (s *Source) remember(p place, list index, tree *unpack.Tree) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last[p.route] = held{list, tree, p.key, s.Now()}
	for key, h := range s.last {
		if s.Now().Sub(h.used) > 24*time.Hour {
			delete(s.last, key)
		}
	}
}

// use returns what was fetched last, which is of use.
func (s *Source) use(p place) held {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.last[p.route]
	if h.used = s.Now(); ok {
		s.last[p.route] = h
	}
	return h
}

var _ source.Source = (*Source)(nil)

// New returns a Source.
func New(c Config) *Source {
	if c.Fresh == 0 {
		c.Fresh = 2 * time.Second
	}
	if c.Parallel == 0 {
		c.Parallel = 16
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Office == nil {
		c.Office = cloud.NewOffice(cloud.OfficeConfig{Now: c.Now})
	}
	return &Source{Config: c, lists: shared.New[index](c.Fresh, c.Now), last: make(map[string]held)}
}

// Close stops what is under way.
func (s *Source) Close() error {
	s.lists.Close()
	s.clients.Close()
	return nil
}

// Resolve implements [source.Source].
func (s *Source) Resolve(ctx context.Context, at source.Remote, ref source.Ref) (source.Revision, error) {
	p := placeOf(at, ref)
	s.use(p)
	ctx, cancel := p.deadline(ctx)
	defer cancel()
	list, err := s.list(ctx, p)
	if err != nil {
		return source.Revision{}, told("list", p, err)
	}
	return list.revision(), nil
}

// list returns the index of what counts in a bucket.
func (s *Source) list(ctx context.Context, p place) (index, error) {
	return s.lists.Get(ctx, p.key, func(ctx context.Context) (index, error) {
		ctx, cancel := p.deadline(ctx)
		defer cancel()
		c, err := s.client(p)
		if err != nil {
			return nil, err
		}
		all, err := c.list(ctx, p)
		if err == nil {
			all, err = s.counting(ctx, p, c, all)
		}
		return all, p.failed(ctx, err)
	})
}

// Fetch implements [source.Source].
//
// An error that wraps [source.ErrStorage], be it from Fetch or from reading a
// file, says that our copy is damaged. The next Fetch makes a new one.
func (s *Source) Fetch(ctx context.Context, at source.Remote, ref source.Ref, rev source.Revision) (*source.Snapshot, error) {
	p := placeOf(at, ref)
	ctx, cancel := p.deadline(ctx)
	defer cancel()
	tree, err := s.fetch(ctx, p, rev.Digest)
	if err != nil {
		return nil, told("fetch", p, p.failed(ctx, err))
	}
	return &source.Snapshot{Revision: rev, Tree: tree}, nil
}

// fetch returns the tree of which the index has a digest, to a way in by which
// all of it could be had, or is now. What is here by another is asked about only.
func (s *Source) fetch(ctx context.Context, p place, d digest.Digest) (*unpack.Tree, error) {
	var list index
	given := false
	tree, err := s.Store.Tree(ctx, digest.Of([]byte("bucket\n"+p.route+"\n"+string(d))), func(w *unpack.Writer) (err error) {
		given = true
		var c *client
		if c, list, err = s.at(ctx, p, d); err != nil {
			return err
		}
		return s.fill(ctx, p, c, list, w)
	})
	if err != nil {
		return nil, err
	}
	_, err = s.Store.Tree(ctx, digest.Of([]byte("let in to bucket\n"+p.key+"\n"+string(d))), func(*unpack.Writer) (err error) {
		if given {
			return nil
		}
		var c *client
		if c, list, err = s.at(ctx, p, d); err != nil {
			return err
		}
		return s.check(ctx, p, c, list)
	})
	if err != nil {
		return nil, err
	}
	if list != nil {
		s.remember(p, list, tree)
	}
	return tree, nil
}

// at returns the client for a place, and the index there, which must have a digest.
func (s *Source) at(ctx context.Context, p place, d digest.Digest) (*client, index, error) {
	list, err := s.list(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	if got := list.revision().Digest; got != d {
		return nil, nil, fail(source.ErrNotFound, "it has changed meanwhile: it is at %s now", got)
	}
	c, err := s.client(p)
	return c, list, err
}

// Expire says that something has changed at url: the next Resolve will ask the
// server rather than give an answer from before this call.
func (s *Source) Expire(url string) {
	s.lists.Expire(func(key string) bool { return isAt(key, url) })
}

// told says what was being done, to what, when err happened.
func told(verb string, p place, err error) error {
	told := fmt.Errorf("bucket: %s %s at %s: %w", verb, p.shown(), p.URL, err)
	if errors.Is(err, source.ErrURL) {
		return fault.Input(told)
	}
	return told
}

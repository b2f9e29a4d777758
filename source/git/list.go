package git

import (
	"context"
	"strconv"
	"time"

	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/shared"
)

// list returns the refs at r as `git ls-remote` prints them. It asks once for all
// who want to know at about the same time, and for all that anybody ever wanted
// to know.
func (s *Source) list(ctx context.Context, r *remote, p place, sc scope) ([]byte, error) {
	r.mu.Lock()
	r.scope = max(r.scope, sc)
	sc = r.scope
	r.mu.Unlock()
	refs, err := s.lists.Get(ctx, r.question(sc), func(ctx context.Context) ([]byte, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, p.timeout, errSlow(p.timeout))
		defer cancel()
		return s.lsRemote(ctx, r, p, sc)
	})
	switch {
	case err == shared.ErrClosed:
		return nil, errClosed
	case err != nil && err == context.Cause(ctx):
		return nil, stopped(ctx)
	}
	return refs, err
}

func (r *remote) question(sc scope) string { return r.key + "/" + strconv.Itoa(int(sc)) }

// lsRemote makes the request.
func (s *Source) lsRemote(ctx context.Context, r *remote, p place, sc scope) ([]byte, error) {
	out, ok := s.listQuickly(ctx, r, p, sc)
	var err error
	if !ok {
		out, err = s.listByGit(ctx, r, p, sc)
	}
	if err == nil && len(out) == 0 && sc < all {
		return s.lsRemote(ctx, r, p, all) // no branch does not mean empty
	}
	return out, err
}

// listByGit has git list the refs.
func (s *Source) listByGit(ctx context.Context, r *remote, p place, sc scope) ([]byte, error) {
	args := []string{"ls-remote", "--quiet"}
	if sc < all {
		args = append(args, "--heads")
	}
	if sc == tags {
		args = append(args, "--tags")
	}
	return s.ask(ctx, r, p, append(args, "--", p.url)...)
}

// errSlow is why a request that took too long is given up.
func errSlow(after time.Duration) error {
	return &failure{text: "no answer within " + after.String(), kind: source.ErrNetwork}
}

// stopped says why ctx ended.
func stopped(ctx context.Context) error {
	err := context.Cause(ctx)
	if err == context.DeadlineExceeded {
		return &failure{text: "no answer in time", kind: source.ErrNetwork}
	}
	return err
}

package commit

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Push puts a commit of a draft on its branch, if that is still where the draft
// began, or else is [ErrMoved]. [ErrRefused] is that the server does not take it.
func (r *Repo) Push(ctx context.Context, d *Draft, commit string) error {
	return r.push(ctx, d.Branch, commit, d.Base.ID)
}

// PushNew puts a commit on a branch that must not be there yet, or else is
// [ErrInWay].
func (r *Repo) PushNew(ctx context.Context, branch, commit string) error {
	err := r.push(ctx, branch, commit, "")
	if errors.Is(err, ErrMoved) {
		return fmt.Errorf("push: there is a branch %s already: %w", branch, ErrInWay)
	}
	return err
}

// push puts a commit on a branch that is at another commit, or "" if it is not
// there. Since that one is the new one's parent, nothing is ever forced.
func (r *Repo) push(ctx context.Context, branch, commit, from string) error {
	ref := headOf(branch)
	out, err := r.git(ctx, nil, "push", "--porcelain", "--no-verify", "--no-progress", "--recurse-submodules=no",
		"--force-with-lease="+ref+":"+from, "--", r.c.Way.URL, commit+":"+ref)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("push to %s: %w", branch, err)
	}
	// Whatever git says: what counts is where the branch is now.
	at, unknown := r.at(ctx, ref)
	switch {
	case unknown != nil:
	case at == commit:
		return nil // only the answer was lost
	case at != from:
		return fmt.Errorf("push to %s: %w", branch, ErrMoved)
	}
	text := err.Error()
	if reason := r.hidden(rejection(out)); reason != "" {
		text = strings.TrimSuffix(reason+": "+words(text), ": ")
	}
	return fmt.Errorf("push to %s: %w: %s", branch, ErrRefused, text)
}

// at returns where a ref of the server is; "" if it is not there.
func (r *Repo) at(ctx context.Context, ref string) (string, error) {
	out, err := r.git(ctx, nil, "ls-remote", "--refs", "--", r.c.Way.URL, ref)
	for line := range strings.Lines(out) {
		if id, name, _ := strings.Cut(strings.TrimSpace(line), "\t"); name == ref {
			return id, err
		}
	}
	return "", err
}

// rejection returns why a ref was not updated, as `git push --porcelain` says.
func rejection(out string) string {
	for line := range strings.Lines(out) {
		if parts := strings.Split(strings.TrimSpace(line), "\t"); len(parts) == 3 && parts[0] == "!" {
			reason := parts[2]
			if i := strings.IndexByte(reason, '('); i >= 0 {
				reason = strings.TrimSuffix(reason[i+1:], ")")
			}
			return reason
		}
	}
	return ""
}

// words returns what is said beside that some refs could not be pushed, which is
// no news.
func words(text string) string {
	if strings.HasPrefix(text, "failed to push some refs") {
		_, text, _ = strings.Cut(text, "': ")
	}
	return text
}

// Bundle writes a commit of a draft to a file, for a clone to fetch from.
func (r *Repo) Bundle(ctx context.Context, d *Draft, commit, branch, file string) error {
	ref := headOf(branch)
	if _, err := r.git(ctx, nil, "update-ref", ref, commit); err != nil {
		return err
	}
	if _, err := r.git(ctx, nil, "bundle", "create", "--quiet", file, "^"+d.Base.ID, ref); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

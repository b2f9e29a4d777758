package commit

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/digest"
)

// A Change is that paths of a branch become what they were at a commit.
type Change struct {
	Branch string
	To     string   // a whole commit id
	Paths  []string // valid paths; "." is the whole tree
}

// A Draft is a tree that is not committed yet.
type Draft struct {
	Change
	Base Commit   // the newest of the branch
	Old  Commit   // the one to go back to
	Tree string   // id of the new tree
	Was  string   // names what the paths are at Base, and what they become
	Diff []string // files that are not as at Base
}

// Same reports whether there is nothing to do.
func (d *Draft) Same() bool { return len(d.Diff) == 0 }

// Prepare fetches what it takes, and makes the tree that a change leads to. It may
// be called again, to see whether the branch has moved.
func (r *Repo) Prepare(ctx context.Context, c Change) (*Draft, error) {
	if err := r.begin(ctx, c.To); err != nil {
		return nil, err
	}
	d := &Draft{Change: c}
	var err error
	if d.Base, err = r.tip(ctx, c.Branch); err != nil {
		return nil, err
	}
	if d.Old, err = r.old(ctx, c.To, c.Branch); err != nil {
		return nil, err
	}
	root, err := r.git(ctx, nil, "rev-parse", "--verify", "--end-of-options", d.Base.ID+"^{tree}")
	if err != nil {
		return nil, err
	}
	d.Tree = strings.TrimSpace(root)
	var was []string
	for _, p := range c.Paths {
		now, err := r.entryAt(ctx, d.Base.ID, p)
		if err != nil {
			return nil, err
		}
		old, err := r.entryAt(ctx, d.Old.ID, p)
		if err != nil {
			return nil, err
		}
		was = append(was, p, now.mode, now.id, old.mode, old.id)
		if now.same(old) {
			continue
		}
		if d.Tree, err = r.replace(ctx, d.Tree, p, old); err != nil {
			return nil, err
		}
	}
	d.Was = string(digest.Of([]byte(strings.Join(was, "\x00"))))
	d.Diff, err = r.differing(ctx, d.Base.ID, d.Tree)
	return d, err
}

// differing returns the files in which two trees differ.
func (r *Repo) differing(ctx context.Context, a, b string) ([]string, error) {
	out, err := r.git(ctx, nil, "diff-tree", "-r", "-z", "--name-only", "--no-renames", "--ignore-submodules=none", "--end-of-options", a, b)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(strings.Split(out, "\x00"), func(s string) bool { return s == "" }), nil
}

// An entry is what a tree has of a name. The zero entry is nothing.
type entry struct{ mode, kind, id, name string }

func (e entry) same(f entry) bool { return e.mode == f.mode && e.id == f.id }

// list returns what is directly in a tree.
func (r *Repo) list(ctx context.Context, tree string, options ...string) ([]entry, error) {
	out, err := r.git(ctx, nil, append(append([]string{"ls-tree", "-z", "--full-tree"}, options...), tree)...)
	if err != nil {
		return nil, err
	}
	var all []entry
	for line := range strings.SplitSeq(out, "\x00") {
		head, name, ok := strings.Cut(line, "\t")
		if f := strings.Fields(head); ok && len(f) == 3 {
			all = append(all, entry{f[0], f[1], f[2], name})
		}
	}
	return all, nil
}

// entryAt returns what a commit has at a path.
func (r *Repo) entryAt(ctx context.Context, commit, name string) (entry, error) {
	out, err := r.git(ctx, nil, "rev-parse", "--verify", "--end-of-options", commit+"^{tree}")
	if err != nil {
		return entry{}, err
	}
	e := entry{"040000", "tree", strings.TrimSpace(out), "."}
	if name == "." {
		return e, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if e.kind != "tree" {
			return entry{}, nil
		}
		all, err := r.list(ctx, e.id)
		if err != nil {
			return entry{}, err
		}
		i := slices.IndexFunc(all, func(e entry) bool { return e.name == part })
		if i < 0 {
			return entry{}, nil
		}
		e = all[i]
	}
	return e, nil
}

// replace returns a tree in which a path is something else, or nothing. Directories
// that are empty then go, too: Git knows none.
func (r *Repo) replace(ctx context.Context, tree, name string, with entry) (string, error) {
	if name == "." {
		return cmp.Or(with.id, tree), nil
	}
	return r.replaceIn(ctx, tree, "", name, with)
}

func (r *Repo) replaceIn(ctx context.Context, tree, at, name string, with entry) (string, error) {
	first, rest, deeper := strings.Cut(name, "/")
	var all []entry
	var err error
	if tree != "" {
		if all, err = r.list(ctx, tree); err != nil {
			return "", err
		}
	}
	i := slices.IndexFunc(all, func(e entry) bool { return e.name == first })
	if deeper {
		below := ""
		switch {
		case i < 0:
		case all[i].kind == "tree":
			below = all[i].id
		case with.id == "":
			return tree, nil // nothing can be below it
		default:
			return "", fmt.Errorf("%s is a %s now: %w", path.Join(at, first), spoken[all[i].kind], ErrInWay)
		}
		if below, err = r.replaceIn(ctx, below, path.Join(at, first), rest, with); err != nil {
			return "", err
		}
		if with = (entry{}); below != "" {
			with = entry{"040000", "tree", below, first}
		}
	}
	if i >= 0 {
		all = slices.Delete(all, i, i+1)
	}
	if with.id != "" {
		with.name = first
		all = append(all, with)
	}
	if len(all) == 0 && at != "" {
		return "", nil
	}
	return r.write(ctx, all)
}

// spoken are the kinds of what trees hold, for people.
var spoken = map[string]string{"blob": "file", "commit": "submodule", "tree": "directory"}

// write makes a tree.
func (r *Repo) write(ctx context.Context, all []entry) (string, error) {
	var b strings.Builder
	for _, e := range all {
		b.WriteString(e.mode + " " + e.kind + " " + e.id + "\t" + e.name + "\x00")
	}
	out, err := r.git(ctx, []byte(b.String()), "mktree", "-z")
	return strings.TrimSpace(out), err
}

// Commit makes a commit of a draft. It is here only until it is pushed.
func (r *Repo) Commit(ctx context.Context, d *Draft, message string) (string, error) {
	args := []string{"commit-tree", "-p", d.Base.ID, "-F", "-"}
	if r.Signs(ctx) {
		args = append(args, "-S")
	}
	out, err := r.git(ctx, []byte(message), append(args, d.Tree)...)
	if err != nil {
		return "", fmt.Errorf("make the commit: %w", err)
	}
	id := strings.TrimSpace(out)
	_, err = r.git(ctx, nil, "update-ref", newRef, id)
	return id, err
}

package ask

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/sane-gitops/sane/commit"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/lazy"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/trace"
	"github.com/sane-gitops/sane/unit"
)

// A Home is where the files of a unit are, for who puts them back to what they
// were.
type Home struct {
	Unit   unit.Unit
	Feed   source.Feed
	Branch string
	Path   string // of the unit in the repository; "." is all of it
}

// Home returns where the files of the unit are that o asks for. Its error says what
// to do instead where a commit would not do. What its source refers to is read
// from r, of which Feed.Err tells.
func (d *Desk) Home(ctx context.Context, o object.Object, r dialect.Reader) (Home, error) {
	asked, err := d.Dialect.Read(o, dialect.Nothing{})
	switch {
	case err != nil:
		return Home{}, err
	case len(asked.Units) == 0:
		return Home{}, errors.New("it is no unit")
	}
	h := Home{Unit: asked.Units[0], Path: source.Local(asked.Units[0].Recipe.Dir)}
	if h.Feed, err = d.feed(ctx, h.Unit.Source, r); err != nil {
		return h, err
	}
	switch f := h.Feed; {
	case f.Remote.Type == "":
		return h, fmt.Errorf("its source %s is not there", f.Name)
	case foreign(f):
		return h, instead(f.Name, "others keep it, and only they know of which repository it is", "make a commit where its content comes from")
	case f.Remote.Type != "git":
		return h, instead(f.Name, "it is not in Git", elsewhere[f.Remote.Type])
	case f.Remote.URL == "":
		return h, fmt.Errorf("its source %s: %w", f.Name, f.Err)
	}
	if h.Branch, err = branchOf(h.Feed); err != nil {
		return h, err
	}
	for _, inc := range h.Feed.Include {
		if at := source.Local(inc.At()); at == h.Path || strings.HasPrefix(h.Path, at+"/") {
			return h, instead(h.Feed.Name, h.Path+" is of "+inc.Feed.String()+", which it includes", "make a commit there")
		}
	}
	return h, nil
}

// elsewhere is what to do where a source is not in Git, by its type.
var elsewhere = map[string]string{
	"oci":    "push the older artifact under the tag that it follows, or set its spec.ref.digest",
	"bucket": "put the older objects into the bucket again",
}

func instead(of source.FeedName, why, do string) error {
	return fmt.Errorf("no commit can be made for its source %s: %s; %s", of, why, do)
}

// branchOf returns the branch that a feed follows.
func branchOf(f source.Feed) (string, error) {
	follows := ""
	switch ref := f.Ref; {
	case ref.Commit != "":
		follows = "the commit " + ref.Commit
	case ref.Name != "":
		if branch, ok := strings.CutPrefix(ref.Name, "refs/heads/"); ok {
			return branch, nil
		}
		follows = ref.Name
	case ref.Semver != "":
		follows = "tags in the range " + ref.Semver
	case ref.Tag != "":
		follows = "the tag " + ref.Tag
	default:
		return cmp.Or(ref.Branch, "master"), nil
	}
	return "", instead(f.Name, "it follows "+follows+" and no branch, so a commit on one would not reach it",
		"point its spec.ref at the tag or the commit to go back to, where that is written")
}

// maxSaid is how many revisions a message names.
const maxSaid = 8

// nth is how people say which revision of a history they mean, counted from now.
var nth = lazy.Compile(`^(?i:HEAD)?~(\d{1,4})$`)

// hexID is the beginning of an id.
var hexID = lazy.Compile(`^[0-9a-f]{4,64}$`)

// Earlier returns the revision that people mean by a word: one of a unit's history,
// as it is shown there or by the beginning of its id; "HEAD~1" for the one before
// the last; "previous" for the last before that of which all went well; or the whole
// id of any commit.
func (d *Desk) Earlier(o object.Object, said string) (string, error) {
	all := Revisions(o)
	id := said[strings.LastIndexAny(said, ":@")+1:]
	if said == "previous" {
		return previous(o)
	}
	if m := nth.FindStringSubmatch(said); m != nil {
		n, _ := strconv.Atoi(m[1])
		if n >= len(all) {
			return "", fmt.Errorf("%s: the status remembers no more than %d revisions", said, len(all))
		}
		return all[n], nil
	}
	var found []string
	for _, rev := range all {
		if rev == said {
			return rev, nil
		}
		if hexID.MatchString(id) && begins(rev, id) {
			found = append(found, rev)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", fmt.Errorf("%q may be %s", said, strings.Join(found, " or "))
	case commitID.MatchString(id):
		return said, nil
	}
	for i, rev := range all {
		all[i] = ShortRevision(rev)
	}
	if len(all) > maxSaid {
		all = append(all[:maxSaid:maxSaid], "…")
	}
	return "", fmt.Errorf("%q is no revision that its status remembers: %s; any other commit goes by its whole id", said, cmp.Or(strings.Join(all, ", "), "there are none"))
}

// Meant returns the revision that people mean by a word where any may be meant: one of
// a unit's history, as it is shown there or by the beginning of its id, or "HEAD~1"
// for the one before the last; or else the word itself, which is a branch or a commit.
func Meant(o object.Object, said string) string {
	all := Revisions(o)
	if m := nth.FindStringSubmatch(said); m != nil {
		if n, _ := strconv.Atoi(m[1]); n < len(all) {
			return all[n]
		}
	}
	var found []string
	for _, rev := range all {
		if short := ShortRevision(rev); said == short || strings.HasPrefix(said, short[strings.LastIndexByte(short, ':')+1:]) && begins(rev, said) {
			found = append(found, rev)
		}
	}
	if len(found) != 1 {
		return said
	}
	return found[0]
}

// begins reports whether the id of a revision begins so.
func begins(rev, id string) bool {
	return strings.HasPrefix(rev[strings.LastIndexByte(rev, ':')+1:], id)
}

// Revisions returns the revisions that the status of a unit remembers, each once,
// the newest first.
func Revisions(o object.Object) []string {
	var all []string
	for _, a := range History(o) {
		if a.Revision != "" && !slices.Contains(all, a.Revision) {
			all = append(all, a.Revision)
		}
	}
	return all
}

func previous(o object.Object) (string, error) {
	all := History(o)
	for _, a := range all {
		if a.Well && a.Revision != all[0].Revision {
			return a.Revision, nil
		}
	}
	return "", errors.New("previous: its status remembers no earlier revision of which all went well")
}

// CommitID returns the id of the commit that a revision is, or "".
func CommitID(revision string) string {
	id := revision[strings.LastIndexAny(revision, ":@")+1:]
	if !commitID.MatchString(id) {
		return ""
	}
	return id
}

// Reads returns what is read of its source's tree to make what the unit wants that
// o asks for.
func (p *Reading) Reads(ctx context.Context, o object.Object) (trace.Log, error) {
	u, err := p.wisher(ctx, o)
	if err != nil {
		return nil, err
	}
	tree, err := p.tree(ctx, u)
	if err != nil {
		return nil, err
	}
	watched := trace.New(tree)
	_, err = p.keep.Wanted(ctx, u, watched)
	return watched.Log(), err
}

// Outside returns what the unit read outside of its path at the commit that a draft
// goes back to, and is different at the newest, as [Strayed] does.
func (p *Reading) Outside(ctx context.Context, o object.Object, h Home, repo *commit.Repo, d *commit.Draft) (names, listings []string, err error) {
	if h.Path == "." {
		return nil, nil, nil
	}
	old, err := repo.Tree(ctx, d.Old.ID)
	if err != nil {
		return nil, nil, err
	}
	defer old.Close()
	now, err := repo.Tree(ctx, d.Base.ID)
	if err != nil {
		return nil, nil, err
	}
	defer now.Close()
	log, err := p.At(At{Tree: old}).Reads(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	return Strayed(log, h.Path, old, now)
}

// Strayed returns the names outside of a directory that log has read and of which
// two trees say something else. Of what can be put back without changing the
// directory, or what it is in, they are files and directories; the rest is told as
// listings of directories.
func Strayed(log trace.Log, dir string, old, now fs.FS) (names, listings []string, err error) {
	for _, r := range log {
		if r.Op == trace.Fact || dir == "." || r.Name == dir || strings.HasPrefix(r.Name, dir+"/") {
			continue
		}
		a, err := trace.Ask(old, r.Op, r.Name)
		if err != nil {
			return nil, nil, err
		}
		b, err := trace.Ask(now, r.Op, r.Name)
		switch {
		case err != nil:
			return nil, nil, err
		case a == b:
		case r.Name == "." || strings.HasPrefix(dir, r.Name+"/"):
			listings = append(listings, r.Name)
		default:
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return slices.DeleteFunc(names, func(n string) bool { return below(n, names) }), slices.Compact(listings), nil
}

// below reports whether a name is in a directory that is among names.
func below(name string, names []string) bool {
	for at := path.Dir(name); at != "."; at = path.Dir(at) {
		if slices.Contains(names, at) {
			return true
		}
	}
	return false
}

// Message returns what a commit says that a draft becomes: both revisions, and
// somebody's own words, if there are any.
func (h Home) Message(id object.ID, d *commit.Draft, words string) string {
	to, from := RevisionOf(h.Branch, d.Old.ID), RevisionOf(h.Branch, d.Base.ID)
	what := h.Path
	if what == "." {
		what = "All of it"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Roll back %s to %s\n\n", id, ShortRevision(to))
	if words = strings.TrimSpace(words); words != "" {
		b.WriteString(words + "\n\n")
	}
	fmt.Fprintf(&b, "%s is again what it was at\n  %s\nin place of what it is at\n  %s\n", what, to, from)
	if more := d.Paths[1:]; len(more) > 0 {
		fmt.Fprintf(&b, "and so is what it read beside:\n")
		for _, p := range more {
			b.WriteString("  " + p + "\n")
		}
	}
	return b.String()
}

// RevisionOf returns the name of a commit of a branch as Flux writes it.
func RevisionOf(branch, id string) string {
	if len(id) == 64 {
		return branch + "@sha256:" + id
	}
	return branch + "@sha1:" + id
}

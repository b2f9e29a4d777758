package git

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/source"
)

// A scope says how much of a repository's refs is asked for. Each holds those
// before it.
type scope int

const (
	heads scope = iota
	tags
	all
)

// A want is a Ref made precise.
type want struct {
	ref        string              // whole name of the ref; "" if a commit or a range is wanted
	label      string              // what the revision is called by
	commit     string              // the commit that is wanted, if the Ref is one
	constraint *semver.Constraints // the range, if the Ref is one
	scope      scope
	shown      string // for people
}

// parseRef returns what ref asks for.
func parseRef(ref source.Ref) (want, error) {
	branch := ref.Branch
	if branch == "" && ref.Commit == "" {
		branch = "master"
	}
	w := want{shown: shown(ref)}
	switch {
	case ref.Commit != "":
		w.commit, w.label = strings.ToLower(ref.Commit), branch
		if branch != "" {
			w.ref = "refs/heads/" + branch
		}
		if !isID(w.commit) {
			return want{}, &failure{text: fmt.Sprintf("%q is not a whole commit id", ref.Commit), kind: source.ErrRef}
		}
	case ref.Name != "":
		w.ref, w.label, w.scope = strings.TrimSuffix(ref.Name, peeled), ref.Name, all
		if strings.HasPrefix(ref.Name, "refs/heads/") {
			w.scope = heads
		} else if strings.HasPrefix(ref.Name, "refs/tags/") {
			w.scope = tags
		}
	case ref.Semver != "":
		c, err := semver.NewConstraint(ref.Semver)
		if err != nil {
			return want{}, &failure{text: fmt.Sprintf("range %q: %v", ref.Semver, err), kind: source.ErrRef}
		}
		w.constraint, w.scope = c, tags
	case ref.Tag != "":
		w.ref, w.label, w.scope = "refs/tags/"+ref.Tag, ref.Tag, tags
	default:
		w.ref, w.label = "refs/heads/"+branch, branch
	}
	if w.ref != "" && !validName(w.ref) {
		return want{}, &failure{text: fmt.Sprintf("%q is not the name of a ref", w.ref), kind: source.ErrRef}
	}
	return w, nil
}

// shown returns ref as a person would say it.
func shown(ref source.Ref) string {
	switch {
	case ref.Commit != "":
		return ref.Commit
	case ref.Name != "":
		return ref.Name
	case ref.Semver != "":
		return ref.Semver
	case ref.Tag != "":
		return ref.Tag
	case ref.Branch != "":
		return ref.Branch
	}
	return "master"
}

// validName reports whether git could have a ref of this name.
func validName(name string) bool {
	if name == "HEAD" {
		return true
	}
	if !strings.HasPrefix(name, "refs/") || strings.Contains(name, "..") || strings.Contains(name, "@{") ||
		strings.HasSuffix(name, ".") || strings.ContainsAny(name, " ~^:?*[\\\x7f") {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' })
}

// isID reports whether s is a whole object id.
func isID(s string) bool {
	if len(s) != 40 && len(s) != 64 {
		return false
	}
	_, err := hex.DecodeString(s)
	return err == nil && s == strings.ToLower(s)
}

// revision returns the name of a commit as Flux writes it.
func revision(label, id string) source.Revision {
	d := idDigest(id)
	if label == "" {
		return source.Revision{Name: string(d), Digest: d}
	}
	return source.Revision{Name: label + "@" + string(d), Digest: d}
}

func idDigest(id string) digest.Digest {
	if len(id) == 64 {
		return digest.Digest("sha256:" + id)
	}
	return digest.Digest("sha1:" + id)
}

// parseDigest returns the object id in d.
func parseDigest(d digest.Digest) (string, error) {
	kind, id, _ := strings.Cut(string(d), ":")
	if !isID(id) || idDigest(id) != d {
		return "", &failure{text: fmt.Sprintf("%q is not the digest of a commit (%s)", d, kind), kind: source.ErrRef}
	}
	return id, nil
}

// A candidate is a ref that is what was wanted.
type candidate struct{ label, id string }

// peeled is at the end of the name that stands for what a tag points to.
const peeled = "^{}"

// choose finds what is wanted among refs, the output of ls-remote. Several
// candidates are versions that are equal and commits that differ.
func (w want) choose(refs []byte) ([]candidate, error) {
	if len(refs) == 0 {
		return nil, &failure{text: "repository is empty", kind: source.ErrEmpty}
	}
	if w.constraint != nil {
		return w.highest(refs)
	}
	var id string
	for line := range bytes.Lines(refs) {
		if i := bytes.IndexByte(line, '\t'); i > 0 {
			switch name := bytes.TrimSuffix(line[i+1:], []byte("\n")); string(name) {
			case w.ref:
				id = string(line[:i])
			case w.ref + peeled:
				return []candidate{{w.label, string(line[:i])}}, nil
			}
		}
	}
	if !isID(id) {
		return nil, &failure{text: "there is no " + w.ref, kind: source.ErrNotFound}
	}
	return []candidate{{w.label, id}}, nil
}

// highest returns the tags that are the highest version in range.
func (w want) highest(refs []byte) ([]candidate, error) {
	ids := make(map[string]string) // by tag
	for line := range bytes.Lines(refs) {
		id, name, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), "\t")
		tag, ok := strings.CutPrefix(name, "refs/tags/")
		if ok && isID(id) {
			ids[strings.TrimSuffix(tag, peeled)] = id // a peeled tag follows the tag
		}
	}
	var best *semver.Version
	var found []candidate
	for tag, id := range ids {
		v := version(tag)
		if v == nil || !w.constraint.Check(v) {
			continue
		}
		switch {
		case best == nil || v.GreaterThan(best):
			best, found = v, []candidate{{tag, id}}
		case v.Equal(best):
			found = append(found, candidate{tag, id})
		}
	}
	if best == nil {
		return nil, &failure{text: fmt.Sprintf("there is no tag in the range %q", w.shown), kind: source.ErrNotFound}
	}
	slices.SortFunc(found, func(a, b candidate) int { return strings.Compare(b.label, a.label) })
	return slices.CompactFunc(found, func(a, b candidate) bool { return a.id == b.id }), nil
}

// version returns the version that tag names, or nil. As Flux does, it takes
// whole versions only, perhaps after a "v".
func version(tag string) *semver.Version {
	if _, err := semver.StrictNewVersion(strings.TrimPrefix(tag, "v")); err != nil {
		return nil
	}
	v, err := semver.NewVersion(tag)
	if err != nil {
		return nil
	}
	return v
}

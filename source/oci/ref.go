package oci

import (
	"cmp"
	"regexp"

	"github.com/Masterminds/semver/v3"
	godigest "github.com/opencontainers/go-digest"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/lazy"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/web"
)

// A wanted is a reference that was read. Exactly one of digest, within and tag
// is set.
type wanted struct {
	digest digest.Digest
	within *semver.Constraints
	among  *regexp.Regexp // tags that count; nil means all
	tag    string
}

func parseRef(ref source.Ref) (w wanted, err error) {
	switch {
	case ref.Digest != "":
		w.digest, err = parseDigest(ref.Digest)
	case ref.Semver != "":
		if w.within, err = semver.NewConstraint(ref.Semver); err != nil {
			return w, web.Fail(source.ErrRef, "semver %q is no range: %s", ref.Semver, err)
		}
		if ref.Filter != "" {
			if w.among, err = regexp.Compile(ref.Filter); err != nil {
				return w, web.Fail(source.ErrRef, "semverFilter %q is no regular expression: %s", ref.Filter, err)
			}
		}
	default:
		w.tag = cmp.Or(ref.Tag, "latest")
		if !isTag(w.tag) {
			return w, web.Fail(source.ErrRef, "%q is no tag", w.tag)
		}
	}
	return w, err
}

var isTag = lazy.Compile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`).MatchString

func parseDigest(d digest.Digest) (digest.Digest, error) {
	if err := godigest.Digest(d).Validate(); err != nil {
		return "", web.Fail(source.ErrRef, "%q is no digest", d)
	}
	return d, nil
}

// choose returns the tag of the highest version in range.
func (w wanted) choose(tags []string) (string, error) {
	best, version := "", (*semver.Version)(nil)
	for _, tag := range tags {
		if w.among != nil && !w.among.MatchString(tag) {
			continue
		}
		v, err := semver.NewVersion(tag)
		if err != nil || !w.within.Check(v) {
			continue
		}
		if version == nil || v.GreaterThan(version) || v.Equal(version) && tag > best {
			best, version = tag, v
		}
	}
	if version == nil {
		return "", web.Fail(source.ErrNotFound, "none of %d tags is a version in %q", len(tags), w.within)
	}
	return best, nil
}

// shown is a reference as people write it.
func shown(ref source.Ref) string {
	switch {
	case ref.Digest != "":
		return string(ref.Digest)
	case ref.Semver != "":
		return "semver " + ref.Semver
	}
	return cmp.Or(ref.Tag, "latest")
}

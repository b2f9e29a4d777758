package flux

import (
	"cmp"
	"errors"
	"strings"
	"time"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/source"
)

// includeReason returns the reason of an error that is about an include.
func includeReason(err error) string {
	var e *source.IncludeError
	if errors.As(err, &e) {
		switch e.Lacks {
		case source.LacksFeed:
			return notFound
		case source.LacksTree:
			return noArtifact
		}
	}
	return copyFailed
}

// content writes what the newest snapshot was made of, beside the ignore rules.
func (d *draft) content(base string, feed source.Feed, st source.Status) {
	var includes, included []any
	for _, in := range feed.Include {
		said := map[string]any{"repository": map[string]any{"name": in.Feed.Name}}
		if in.From != "" {
			said["fromPath"] = in.From
		}
		if in.To != "" {
			said["toPath"] = in.To
		}
		includes = append(includes, said)
	}
	for _, in := range st.Included {
		included = append(included, artifactOf(base, in.Feed, in.Revision, in.Since))
	}
	var sparse []any
	for _, dir := range feed.Sparse {
		sparse = append(sparse, dir)
	}
	d.list("observedInclude", includes)
	d.list("includedArtifacts", included)
	d.list("observedSparseCheckout", sparse)
	if feed.Remote.Submodules {
		d.set("observedRecurseSubmodules", true)
	} else {
		d.drop("observedRecurseSubmodules")
	}
}

// list writes a list, or drops it if there is nothing in it.
func (d *draft) list(name string, list []any) {
	if len(list) == 0 {
		d.drop(name)
		return
	}
	d.set(name, list)
}

// artifactOf returns what a status says of a snapshot. What its digest names is
// the content of the tree: there is no archive.
func artifactOf(base string, n source.FeedName, r source.Revision, since time.Time) map[string]any {
	sum := cmp.Or(r.Digest, digest.Of([]byte(r.Name)))
	_, hex, _ := strings.Cut(string(sum), ":")
	path := strings.Join([]string{strings.ToLower(n.Kind), n.Namespace, n.Name, hex + ".tar.gz"}, "/")
	return map[string]any{
		"digest":         string(sum),
		"lastUpdateTime": stamp(since),
		"path":           path,
		"revision":       r.Name,
		"url":            base + path,
	}
}

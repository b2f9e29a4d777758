package flux

import (
	"cmp"
	"errors"
	"strings"
	"time"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/object"
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
func (d *draft) content(feed source.Feed, st source.Status) {
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
		included = append(included, artifactOf(in.Feed, in.Revision, in.Since))
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

// artifactOf returns what a status says of a snapshot of another feed. The tarball
// that is offered of that, if any, is for that feed to tell.
func artifactOf(n source.FeedName, r source.Revision, since time.Time) map[string]any {
	sum, path := named(n, r)
	return map[string]any{
		"digest":         string(sum),
		"lastUpdateTime": stamp(since),
		"path":           path,
		"revision":       r.Name,
		"url":            "",
	}
}

// named returns by what digest and path a snapshot goes that nobody is offered a
// tarball of: they name the content of the tree.
func named(n source.FeedName, r source.Revision) (sum digest.Digest, path string) {
	sum = cmp.Or(r.Digest, digest.Of([]byte(r.Name)))
	_, hex, _ := strings.Cut(string(sum), ":")
	return sum, strings.Join([]string{strings.ToLower(n.Kind), n.Namespace, n.Name, hex + ".tar.gz"}, "/")
}

// recallIncluded sets what a feed's own revision was, and what the whole was
// that it made with those of others.
func recallIncluded(st *source.Status, o object.Object) {
	listOf := func(field string) []any {
		v, _ := o.Get("status", field)
		list, _ := v.([]any)
		return list
	}
	textOf := func(v any, key string) string {
		m, _ := v.(map[string]any)
		s, _ := m[key].(string)
		return s
	}
	includes, artifacts := listOf("observedInclude"), listOf("includedArtifacts")
	if len(artifacts) == 0 {
		return
	}
	st.Own = st.Revision
	var f source.Feed
	var parts []source.Included
	for i, a := range artifacts {
		var inc source.Include
		if i < len(includes) {
			m, _ := includes[i].(map[string]any)
			inc = source.Include{From: textOf(m, "fromPath"), To: textOf(m, "toPath")}
			inc.Feed.Name = textOf(m["repository"], "name")
		}
		f.Include = append(f.Include, inc)
		parts = append(parts, source.Included{Revision: source.Revision{Digest: digest.Digest(textOf(a, "digest"))}})
	}
	st.Revision = f.Composite(st.Own, parts)
}

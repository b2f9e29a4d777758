package oci

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/sane-gitops/sane/source"
)

var _ source.Historian = (*Source)(nil)

// History implements [source.Historian]. Of an image it is what the publisher said of
// it: a registry does not know what was there before, or which files differ.
func (s *Source) History(ctx context.Context, at source.Remote, ref source.Ref, rev source.Revision, q source.Query) (source.Log, error) {
	p, err := parsePlace(at)
	if err != nil {
		return source.Log{}, told("history of", at, ref, err)
	}
	ctx, cancel := p.deadline(ctx)
	defer cancel()
	r, err := s.known(ctx, p, at.Proof, rev)
	if err != nil {
		return source.Log{}, told("history of", at, ref, err)
	}
	log := source.Log{Looked: 1}
	if e := r.entry(rev); q.Path == "" && !e.When.Before(q.Since) {
		log.Entries = append(log.Entries, e)
	}
	return log, nil
}

// entry returns an image as an entry of a history.
func (r record) entry(rev source.Revision) source.Entry {
	const said = "org.opencontainers.image."
	a := make(map[string]string)
	for key, value := range r.Manifest.Annotations {
		a[strings.ToValidUTF8(key, "\uFFFD")] = strings.ToValidUTF8(value, "\uFFFD")
	}
	when, _ := time.Parse(time.RFC3339, a[said+"created"])
	subject, _, _ := strings.Cut(cmp.Or(a[said+"title"], a[said+"description"]), "\n")
	return source.Entry{
		ID: rev.Digest, Metadata: a, Authored: when,
		Commit: source.Commit{Author: a[said+"authors"], Subject: subject, When: when},
	}
}

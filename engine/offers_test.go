package engine_test

import (
	"context"
	"fmt"
	"path"
	"strings"
	"sync"
	"testing/fstest"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/source"
)

// offers is a source.Source in memory of tarballs that others make.
type offers struct {
	say func(format string, args ...any) // what is fetched

	mu    sync.Mutex
	there map[digest.Digest]fstest.MapFS // guarded by mu
}

// put makes a tarball of the given files and returns the artifact that its
// keeper tells of. Without files there is no tarball.
func (o *offers) put(name, revision string, files []string) map[string]any {
	d := digest.Of([]byte(revision + strings.Join(files, " ")))
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(files) > 0 {
		o.there[d] = treeOf(files)
	}
	return map[string]any{
		"url": "http://elsewhere/" + name + ".tar.gz", "path": name + ".tar.gz", "revision": revision,
		"digest": string(d), "lastUpdateTime": "2000-01-01T00:00:00Z",
	}
}

func treeOf(files []string) fstest.MapFS {
	tree := make(fstest.MapFS)
	for _, f := range files {
		name, content, _ := strings.Cut(f, "=")
		tree[name] = &fstest.MapFile{Data: []byte(manifest(content))}
	}
	return tree
}

func (o *offers) Resolve(_ context.Context, _ source.Remote, ref source.Ref) (source.Revision, error) {
	return source.Revision{Name: ref.Name, Digest: ref.Digest}, nil
}

func (o *offers) Fetch(_ context.Context, at source.Remote, _ source.Ref, rev source.Revision) (*source.Snapshot, error) {
	o.say("fetch   GitRepository/%s %s", strings.TrimSuffix(path.Base(at.URL), ".tar.gz"), rev.Name)
	o.mu.Lock()
	defer o.mu.Unlock()
	tree, ok := o.there[rev.Digest]
	switch {
	case strings.HasPrefix(rev.Name, "bad"):
		return nil, fmt.Errorf("fetch artifact %s from %s: %w: its digest is another", rev.Name, at.URL, source.ErrContent)
	case !ok:
		return nil, fmt.Errorf("fetch artifact %s from %s: %w", rev.Name, at.URL, source.ErrNotFound)
	}
	return &source.Snapshot{Revision: rev, Tree: tree}, nil
}

// A publisher says what it is asked to do.
type publisher struct {
	p      *play
	broken string // why it can't
}

func (b *publisher) Publish(_ context.Context, name source.FeedName, snap *source.Snapshot) (source.Artifact, error) {
	b.p.say("publish %s %s", name, snap.Revision.Name)
	if b.broken != "" {
		return source.Artifact{}, fmt.Errorf("%s (%w)", b.broken, source.ErrStorage)
	}
	d := digest.Of([]byte(snap.Revision.Name))
	return source.Artifact{Path: "gitrepository/" + name.Name + "/x.tar.gz", Digest: d, Size: 100}, nil
}

func (b *publisher) Withdraw(name source.FeedName) error {
	b.p.say("recall  %s", name)
	return nil
}

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing/fstest"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/source"
)

// branches is a source.Source in memory: a branch main for each URL, whose
// revisions are numbered.
type branches struct {
	mu     sync.Mutex
	trees  map[string][]fstest.MapFS // guarded by mu; by the last element of the URL
	broken map[string]error          // guarded by mu
}

// commit adds a revision: FILE=OBJECTS with objects such as
// "Deployment/web,ConfigMap/x@data.a=b", FILE=- to remove one, or FILE="text".
func (b *branches) commit(name string, files []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	tree := fstest.MapFS{}
	if all := b.trees[name]; len(all) > 0 {
		for k, v := range all[len(all)-1] {
			tree[k] = v
		}
	}
	for _, f := range files {
		path, content, _ := strings.Cut(f, "=")
		if content == "-" {
			delete(tree, path)
			continue
		}
		tree[path] = &fstest.MapFile{Data: []byte(manifest(content))}
	}
	b.trees[name] = append(b.trees[name], tree)
}

func (b *branches) fail(name, message string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken[name] = nil
	if message != "" {
		b.broken[name] = fmt.Errorf("git: %w: %s", source.ErrNetwork, message)
	}
}

func (b *branches) Resolve(_ context.Context, at source.Remote, _ source.Ref) (source.Revision, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	name := filepath.Base(at.URL)
	if err := b.broken[name]; err != nil {
		return source.Revision{}, err
	}
	n := len(b.trees[name])
	if n == 0 {
		return source.Revision{}, fmt.Errorf("git: %s: %w", at.URL, source.ErrEmpty)
	}
	return source.Revision{Name: fmt.Sprintf("main@sha1:%d", n), Digest: digest.Digest(fmt.Sprintf("sha1:%d", n))}, nil
}

func (b *branches) Fetch(_ context.Context, at source.Remote, _ source.Ref, rev source.Revision) (*source.Snapshot, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var n int
	fmt.Sscanf(string(rev.Digest), "sha1:%d", &n)
	all := b.trees[filepath.Base(at.URL)]
	if n < 1 || n > len(all) {
		return nil, errors.New("no such revision")
	}
	snap := &source.Snapshot{Revision: rev, Tree: all[n-1], Commit: source.Commit{Subject: fmt.Sprintf("commit %d", n)}}
	if at.Proof != nil {
		return snap, prove(snap, *at.Proof)
	}
	return snap, nil
}

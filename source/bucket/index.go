package bucket

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/unpack"
	"github.com/sane-gitops/sane/source/web"
)

// An entry is an object in a bucket.
type entry struct {
	key, tag   string
	size       int64  // bytes
	generation string // by which its server is asked for it, where that is not the tag
}

// name is the key as a name in a tree.
func (e entry) name() string { return path.Clean(e.key) }

// An index is what is in a bucket, in order of key.
type index []entry

// revision names what is in the bucket.
func (x index) revision() source.Revision {
	var text []byte
	for _, e := range x {
		text = fmt.Appendf(text, "%s %s\n", e.key, e.tag)
	}
	d := digest.Of(text)
	return source.Revision{Name: string(d), Digest: d}
}

// checked returns x in order and without directories, or why it is no tree.
func (x index) checked() (index, error) {
	var out index
	for _, e := range x {
		if strings.HasSuffix(e.key, "/") {
			continue
		}
		if strings.HasPrefix(e.key, "/") || slices.Contains(strings.Split(e.key, "/"), "..") {
			return nil, fault.Input(web.Fail(source.ErrContent, "the object %.200q has a key that leads out of the bucket: remove or rename it", e.key))
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b entry) int {
		return cmp.Or(strings.Compare(a.name(), b.name()), strings.Compare(a.key, b.key))
	})
	return out, nil
}

const ignoreFile = ".sourceignore"

// counting returns what the rules of the bucket and of its user do not leave
// out: the rest is not fetched. It is found with a tree of empty files, kept as
// long as the keys are the same.
func (s *Source) counting(ctx context.Context, p place, c *client, all index) (index, error) {
	all, err := all.checked()
	if err != nil {
		return nil, err
	}
	names, err := s.Store.Tree(ctx, all.namesDigest(p), func(w *unpack.Writer) error {
		for _, e := range all {
			content := io.Reader(strings.NewReader(""))
			if path.Base(e.key) == ignoreFile {
				data, err := c.get(ctx, p, e)
				if err != nil {
					return err
				}
				content = strings.NewReader(string(data))
			}
			if err := w.File(e.name(), content); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all.within(source.Filter(names, &p.ignore))
}

// namesDigest names the tree of empty files.
func (x index) namesDigest(p place) digest.Digest {
	text := []byte("bucket's names\n" + p.key + "\n")
	for _, e := range x {
		text = append(text, e.key...)
		if path.Base(e.key) == ignoreFile {
			text = append(text, " "+e.tag...)
		}
		text = append(text, '\n')
	}
	return digest.Of(text)
}

// within returns those of which tree has the names, and the files with rules.
func (x index) within(tree fs.FS) (index, error) {
	seen := make(map[string]bool)
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		seen[name] = true
		return err
	})
	var out index
	for _, e := range x {
		if seen[e.name()] || path.Base(e.key) == ignoreFile {
			out = append(out, e)
		}
	}
	return out, err
}

// small is the size up to which objects are fetched beside each other, into
// memory.
const small = 4 << 20

// check asks whether all objects could be had.
func (s *Source) check(ctx context.Context, p place, c *client, list index) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(s.Parallel)
	for _, e := range list {
		g.Go(func() error { return c.check(ctx, p, e) })
	}
	return g.Wait()
}

// fill writes the objects of a bucket. Those that have not changed since they
// were fetched last are taken from there, if they could be had by this way in.
func (s *Source) fill(ctx context.Context, p place, c *client, list index, w *unpack.Writer) error {
	old := s.use(p)
	had := make(map[string]entry)
	for _, e := range old.index {
		had[e.key] = e
	}
	for some := range slices.Chunk(list, s.Parallel) {
		got := make([][]byte, len(some))
		var g errgroup.Group
		for i, e := range some {
			if e.size > small {
				continue
			}
			g.Go(func() (err error) {
				if was, ok := had[e.key]; ok && was.tag == e.tag {
					if old.to != p.key {
						if err := c.check(ctx, p, e); err != nil {
							return err
						}
					}
					if got[i], err = old.tree.ReadFile(e.name()); err == nil {
						return nil
					}
				}
				got[i], err = c.get(ctx, p, e)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		for i, e := range some {
			if err := c.write(ctx, p, e, got[i], w); err != nil {
				return err
			}
		}
	}
	return nil
}

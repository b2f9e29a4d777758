package ask

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/engine"
	"github.com/sane-gitops/sane/lazy"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// An At says what stands for the sources of units. The zero At is what they say
// themselves, as it is now.
type At struct {
	Dir      string // a directory that stands for the root of a tree
	Revision string // a commit, a branch or a whole ref name; of an image a tag or a digest
	Tree     fs.FS  // a tree that is at hand; it is never closed
}

// local reports whether nothing has to be fetched.
func (a At) local() bool { return a.Dir != "" || a.Tree != nil }

// A Reading reads sources, each once, and what units make of them. It is for one
// goroutine at a time.
type Reading struct {
	*Desk
	*kit
	at At

	trees map[source.FeedName]fs.FS            // fetched so far
	snaps map[source.FeedName]*source.Snapshot // as they were fetched
}

// A kit is what it takes to read. Readings may share one.
type kit struct {
	gear *Gear // nil until it is needed
	keep *engine.Engine
}

// Read begins a reading. Whoever began it closes it.
func (d *Desk) Read(at At) *Reading { return d.read(at, new(kit)) }

func (d *Desk) read(at At, k *kit) *Reading {
	return &Reading{Desk: d, kit: k, at: at, trees: make(map[source.FeedName]fs.FS), snaps: make(map[source.FeedName]*source.Snapshot)}
}

// At returns a reading of something else that shares what it takes to read. It
// ends with p.
func (p *Reading) At(at At) *Reading { return p.read(at, p.kit) }

// Close gives back what the reading took.
func (p *Reading) Close() {
	if p.gear != nil {
		_ = p.gear.Close() // all it held is a cache
	}
}

// equip gets what it takes to read, unless it is there already.
func (p *Reading) equip() error {
	if p.keep != nil {
		return nil
	}
	var err error
	if p.gear == nil {
		if p.gear, err = p.Equip(); err != nil {
			return err
		}
	}
	p.keep, err = engine.New(engine.Config{
		Cluster: p.Cluster, Remote: p.Remote, Sources: p.gear.Sources, Renderer: p.gear.Renderer, Dialect: p.Dialect, Log: p.Log,
	})
	return err
}

// Plan returns what keeping the unit that o asks for would do. The errors of all
// objects that the server refuses are returned as one, beside the rest.
func (p *Reading) Plan(ctx context.Context, o object.Object) (engine.Preview, error) {
	u, err := p.unitOf(ctx, o)
	if err != nil {
		return engine.Preview{}, err
	}
	tree, err := p.tree(ctx, u)
	if err != nil {
		return engine.Preview{}, err
	}
	return p.keep.Plan(ctx, u, p.Dialect.RecallUnit(o).Owned, tree)
}

// Wanted returns what the unit that o asks for wants to be there.
func (p *Reading) Wanted(ctx context.Context, o object.Object) (engine.Wants, error) {
	u, err := p.wisher(ctx, o)
	if err != nil {
		return engine.Wants{}, err
	}
	tree, err := p.tree(ctx, u)
	if err != nil {
		return engine.Wants{}, err
	}
	return p.keep.Wanted(ctx, u, tree)
}

// Snapshot returns a source as it was fetched, which is nil for a directory that
// stands for one.
func (p *Reading) Snapshot(ctx context.Context, name source.FeedName) (*source.Snapshot, error) {
	_, err := p.tree(ctx, unit.Unit{Source: name})
	return p.snaps[name], err
}

// unitOf returns the unit that o asks for, and why not if it can't be kept.
func (p *Reading) unitOf(ctx context.Context, o object.Object) (unit.Unit, error) {
	asked, err := p.Dialect.Read(o, p.references(ctx))
	switch {
	case err != nil:
		return unit.Unit{}, err
	case len(asked.Units) == 0:
		return unit.Unit{}, errors.New("it is no unit")
	}
	return asked.Units[0], asked.Units[0].Err
}

// wisher returns the unit that o asks for, for who wants to know what it wants: that
// takes nothing of another cluster that it is kept in, and no right to get in there.
func (p *Reading) wisher(ctx context.Context, o object.Object) (unit.Unit, error) {
	u, err := p.unitOf(ctx, o)
	if len(p.Language.Away) > 0 && errors.Is(err, cluster.ErrForbidden) {
		if u, err2 := p.unitOf(ctx, o.Without(p.Language.Away...)); err2 == nil {
			return u, nil
		}
	}
	return u, err
}

// tree returns what stands for the tree of a unit's source.
func (p *Reading) tree(ctx context.Context, u unit.Unit) (fs.FS, error) {
	if t, ok := p.trees[u.Source]; ok {
		return t, nil
	}
	if err := p.equip(); err != nil {
		return nil, err
	}
	var r dialect.Reader = dialect.Nothing{}
	if !p.at.local() {
		r = p.references(ctx)
	}
	feed, err := p.feed(ctx, u.Source, r)
	if err != nil {
		return nil, err
	}
	tree := p.at.Tree
	switch {
	case tree != nil:
	case p.at.Dir != "":
		tree, err = localTree(p.at.Dir)
	default:
		tree, err = p.fetch(ctx, feed, p.at.Revision)
	}
	if err != nil {
		return nil, err
	}
	if p.at.local() || !foreign(feed) { // or else whoever made it has shaped it
		if tree, err = p.shape(ctx, feed, tree, nil); err != nil {
			return nil, fmt.Errorf("its source %s: %w", feed.Name, err)
		}
	}
	p.trees[u.Source] = tree
	return tree, nil
}

// shape returns a feed's tree as units see it, with what it includes of others
// as these stand now. By is what includes it.
func (p *Reading) shape(ctx context.Context, feed source.Feed, tree fs.FS, by []source.FeedName) (fs.FS, error) {
	by = append(slices.Clip(by), feed.Name)
	var parts []fs.FS
	for _, inc := range feed.Include {
		if slices.Contains(by, inc.Feed) {
			return nil, fmt.Errorf("include '%s': they include each other in a circle", inc.Feed.Name)
		}
		other, err := p.feed(ctx, inc.Feed, p.references(ctx))
		if err != nil {
			return nil, fmt.Errorf("include '%s': %w", inc.Feed.Name, err)
		}
		part, err := p.fetch(ctx, other, "")
		if err != nil {
			return nil, fmt.Errorf("include '%s': %w", inc.Feed.Name, err)
		}
		if part, err = p.shape(ctx, other, part, by); err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return feed.Shape(tree, parts)
}

// feed returns what the object of a source asks for.
func (d *Desk) feed(ctx context.Context, name source.FeedName, r dialect.Reader) (source.Feed, error) {
	kinds := d.Dialect.Kinds()
	i := slices.IndexFunc(kinds, func(k object.Kind) bool { return k.Name == name.Kind })
	if i < 0 {
		return source.Feed{}, fmt.Errorf("its source %s is of a kind that is not supported", name)
	}
	o, ok, err := d.Cluster.Get(ctx, object.ID{Kind: kinds[i], Namespace: name.Namespace, Name: name.Name})
	if err != nil {
		return source.Feed{}, err
	}
	if !ok {
		if _, local := r.(dialect.Nothing); local { // then only the ignore rules are missing
			return source.Feed{Name: name}, nil
		}
		return source.Feed{}, fmt.Errorf("its source %s is not there", name)
	}
	asked, err := d.Dialect.Read(o, r)
	if err != nil {
		return source.Feed{}, err
	}
	if len(asked.Feeds) == 0 {
		return source.Feed{}, fmt.Errorf("%s is no source", name)
	}
	return asked.Feeds[0], nil
}

// foreign reports whether a feed is of content that others keep.
func foreign(f source.Feed) bool { return f.Remote.Type == "artifact" }

// fetch fetches the tree of a source at a revision, as [refAt] reads it.
func (p *Reading) fetch(ctx context.Context, f source.Feed, revision string) (fs.FS, error) {
	src, err := p.sourceOf(f)
	if err != nil {
		return nil, err
	}
	if foreign(f) && revision != "" {
		return nil, fmt.Errorf("%s: others keep it, at %s alone: leave out --revision, or let --path stand for it", f.Name, f.Ref.Name)
	}
	ref := refAt(f, revision)
	rev, err := src.Resolve(ctx, f.Remote, ref)
	if err != nil {
		return nil, err
	}
	snap, err := src.Fetch(ctx, f.Remote, ref, rev)
	if err != nil {
		return nil, err
	}
	p.snaps[f.Name] = snap
	return snap.Tree, nil
}

// sourceOf returns where a feed's content is had from.
func (p *Reading) sourceOf(f source.Feed) (source.Source, error) {
	if f.Err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name, f.Err)
	}
	src, ok := p.gear.Sources[f.Remote.Type]
	if !ok {
		return nil, fmt.Errorf("%s: sources of type %q are not supported", f.Name, f.Remote.Type)
	}
	return src, nil
}

var commitID = lazy.Compile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// refAt returns what people mean by a revision: a commit, with or without the
// words that Flux has before it, a whole ref name, or a branch; of an image a
// digest or a tag. "" leaves the feed's ref as it is.
func refAt(f source.Feed, revision string) source.Ref {
	ref := f.Ref
	if f.Remote.Type == "oci" && revision != "" {
		ref.Digest, ref.Semver, ref.Tag = "", "", revision
		if i := strings.LastIndex(revision, "sha256:"); i >= 0 {
			ref.Digest = digest.Digest(revision[i:])
		}
		return ref
	}
	id := revision[strings.LastIndexAny(revision, ":@")+1:]
	switch {
	case revision == "":
		return ref
	case commitID.MatchString(id):
		return source.Ref{Branch: ref.Branch, Commit: id}
	case strings.HasPrefix(revision, "refs/"):
		return source.Ref{Name: revision}
	}
	return source.Ref{Branch: revision}
}

// ShortRevision returns "main@sha1:1f0c3d2e" for a longer one.
func ShortRevision(rev string) string {
	i := strings.LastIndexByte(rev, ':')
	if i < 0 || len(rev)-i <= 9 {
		return rev
	}
	return rev[:i+9]
}

// Package oci is a [source.Source] of images in OCI registries: of a layer that
// is a gzipped tar archive.
//
// Registries are asked by oras. Of an image that was let in, the manifest is
// kept, by whoever got in there and by what it had to prove: it is neither asked
// for nor verified again, and what was there before a restart is there after it
// without a request.
//
// A layer is unpacked once for all who have it from the same repository of the
// same registry, by whatever credentials: those change, some every hour. But each
// way in must have had the registry begin to give it the layer, since whoever can
// write a manifest may name any layer in it.
package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/shared"
	"github.com/sane-gitops/sane/source/unpack"
	"github.com/sane-gitops/sane/source/web"
)

// A Config says what a Source works with.
type Config struct {
	Store  *unpack.Store    // where content is kept; the caller closes it after the Source
	Fresh  time.Duration    // for how long an answer of a registry is reused, from when it was asked; 0 means 2 s, less means not at all
	Office *cloud.Office    // by which identities of clouds get in; nil means by the environment alone
	Log    *slog.Logger     // nil means no log
	Now    func() time.Time // nil means time.Now
}

// A Source resolves and fetches from registries. Close it after use.
type Source struct {
	Config
	heads *shared.Answers[digest.Digest] // by place and tag
	tags  *shared.Answers[[]string]      // by place
	roots *shared.Answers[*root.TrustedRoot]

	clients web.Pool[*client]
	alias   string // the host by which clouds know a registry, for tests
}

var _ source.Source = (*Source)(nil)

// New returns a Source.
func New(c Config) *Source {
	if c.Fresh == 0 {
		c.Fresh = 2 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Office == nil {
		c.Office = cloud.NewOffice(cloud.OfficeConfig{Now: c.Now})
	}
	return &Source{Config: c,
		heads: shared.New[digest.Digest](c.Fresh, c.Now), tags: shared.New[[]string](c.Fresh, c.Now),
		roots: shared.New[*root.TrustedRoot](publicRoot, c.Now)}
}

// Close stops what is under way.
func (s *Source) Close() error {
	s.heads.Close()
	s.tags.Close()
	s.roots.Close()
	s.clients.Close()
	return nil
}

// Resolve implements [source.Source]. A digest needs no request: whether it
// exists is for Fetch to find out.
func (s *Source) Resolve(ctx context.Context, at source.Remote, ref source.Ref) (source.Revision, error) {
	rev, err := s.resolve(ctx, at, ref)
	if err != nil {
		return source.Revision{}, told("resolve", at, ref, err)
	}
	return rev, nil
}

func (s *Source) resolve(ctx context.Context, at source.Remote, ref source.Ref) (source.Revision, error) {
	p, err := parsePlace(at)
	if err != nil {
		return source.Revision{}, err
	}
	w, err := parseRef(ref)
	if err != nil {
		return source.Revision{}, err
	}
	if w.digest != "" {
		return source.Revision{Name: string(w.digest), Digest: w.digest}, nil
	}
	ctx, cancel := p.deadline(ctx)
	defer cancel()
	tag := w.tag
	if w.within != nil {
		tags, err := s.tags.Get(ctx, p.key, func(ctx context.Context) ([]string, error) {
			ctx, cancel := p.deadline(ctx)
			defer cancel()
			tags, err := s.list(ctx, p)
			return tags, p.failed(ctx, err)
		})
		if err != nil {
			return source.Revision{}, p.failed(ctx, err)
		}
		if tag, err = w.choose(tags); err != nil {
			return source.Revision{}, err
		}
	}
	head, err := s.heads.Get(ctx, p.key+tag, func(ctx context.Context) (digest.Digest, error) {
		ctx, cancel := p.deadline(ctx)
		defer cancel()
		d, err := s.head(ctx, p, tag)
		return d, p.failed(ctx, err)
	})
	if err != nil {
		return source.Revision{}, p.failed(ctx, err)
	}
	return source.Revision{Name: tag + "@" + string(head), Digest: head}, nil
}

// Fetch implements [source.Source].
//
// An error that wraps [source.ErrStorage], be it from Fetch or from reading a
// file, says that our copy is damaged. The next Fetch makes a new one.
func (s *Source) Fetch(ctx context.Context, at source.Remote, ref source.Ref, rev source.Revision) (*source.Snapshot, error) {
	snap, err := s.fetch(ctx, at, ref, rev)
	if err != nil {
		return nil, told("fetch", at, ref, err)
	}
	return snap, nil
}

func (s *Source) fetch(ctx context.Context, at source.Remote, ref source.Ref, rev source.Revision) (*source.Snapshot, error) {
	p, err := parsePlace(at)
	if err != nil {
		return nil, err
	}
	ctx, cancel := p.deadline(ctx)
	defer cancel()
	r, err := s.known(ctx, p, at.Proof, rev)
	if err != nil {
		return nil, err
	}
	layer, err := r.layer(ref.Layer)
	if err != nil {
		return nil, err
	}
	snap := &source.Snapshot{
		Revision: rev, Proven: r.Proven,
		Origin: r.Manifest.Annotations[origin], Metadata: r.Manifest.Annotations,
	}
	if ref.Copy {
		snap.Packed = s.packed(p, layer)
	}
	switch tree, err := s.layer(ctx, p, layer); {
	case err == nil:
		snap.Tree = tree
	case ref.Copy && errors.Is(err, source.ErrContent) && layer.Size <= s.Store.MaxBytes: // others may know what it is
		snap.Tree = unreadable{err}
	default:
		return nil, p.failed(ctx, err)
	}
	return snap, nil
}

// packed returns a layer as it is. All of it has to come within the time that the
// registry has for an answer.
func (s *Source) packed(p place, layer ocispec.Descriptor) *source.Packed {
	return &source.Packed{
		Digest: digest.Digest(layer.Digest), Size: layer.Size,
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			ctx, cancel := p.deadline(ctx)
			body, err := s.blob(ctx, p, layer)
			if err != nil {
				defer cancel()
				return nil, p.failed(ctx, err)
			}
			return &download{body, func(err error) error { return p.failed(ctx, err) }, cancel}, nil
		},
	}
}

// A download is what a registry answers, which has an end when it is closed.
type download struct {
	io.ReadCloser
	failed func(error) error // says what an error is
	end    context.CancelFunc
}

func (d *download) Read(b []byte) (int, error) {
	n, err := d.ReadCloser.Read(b)
	if err != nil && err != io.EOF {
		err = d.failed(err)
	}
	return n, err
}

func (d *download) Close() error {
	defer d.end()
	return d.ReadCloser.Close()
}

// An unreadable is the tree of what is no archive.
type unreadable struct{ why error }

func (u unreadable) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: u.why}
}

// known returns what is known of the image at a revision.
func (s *Source) known(ctx context.Context, p place, proof *source.Proof, rev source.Revision) (record, error) {
	if _, err := parseDigest(rev.Digest); err != nil {
		return record{}, err
	}
	r, err := s.record(ctx, p, proof, rev.Digest)
	return r, p.failed(ctx, err)
}

// origin is the annotation that says what an image was made from.
const origin = "org.opencontainers.image.revision"

// Expire says that something has changed at url: the next Resolve will ask the
// registry rather than give an answer from before this call.
func (s *Source) Expire(url string) {
	p, err := parsePlace(source.Remote{URL: url})
	if err != nil {
		return
	}
	same := func(q string) bool { return sameName(q, p.name) }
	s.heads.Expire(same)
	s.tags.Expire(same)
}

// told says what was being done, to what, when err happened.
func told(verb string, at source.Remote, ref source.Ref, err error) error {
	told := fmt.Errorf("oci: %s %s at %s: %w", verb, shownURL(at.URL), shown(ref), err)
	if errors.Is(err, source.ErrURL) || errors.Is(err, source.ErrRef) {
		return fault.Input(told)
	}
	return told
}

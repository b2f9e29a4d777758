package git

import (
	"bytes"
	"context"
	"errors"
	"os"

	"github.com/sane-gitops/sane/source"
)

// errNoPass says that a way in is not known to have been let in.
var errNoPass = &failure{text: "not let in yet", kind: source.ErrAuth}

// enlist asks the server to let a visit in. If it lists the commit by these
// credentials, they may read it.
func (m *mirror) enlist(ctx context.Context, v visit) (visit, error) {
	refs, err := m.src.list(ctx, v.by, v.p, v.want.scope)
	if err != nil {
		return v, err
	}
	v.known = true
	for line := range bytes.Lines(refs) {
		v.listed = v.listed || bytes.HasPrefix(line, []byte(v.id+"\t"))
	}
	return v, nil
}

// admit returns nil if a visit may read its commit, or if there is nothing to
// read yet and it has to be fetched, which the server will allow or not. It
// holds turn, so those of whom nothing is known are turned away if others may be
// waiting: the server is asked about them meanwhile.
func (m *mirror) admit(ctx context.Context, v visit) error {
	m.mu.Lock()
	let, others := m.let[v.pass()] || v.listed, false
	for p := range m.let {
		others = others || p.way != v.by.key
	}
	m.mu.Unlock()
	if let {
		return nil
	}
	here := m.holds(v.id)
	switch {
	case !v.known && (here || others):
		return errNoPass
	case here:
		return m.probe(ctx, v)
	}
	return nil
}

// holds reports whether any of a commit may be here, whole or not.
func (m *mirror) holds(id string) bool {
	_, err := m.objects.read(id, "commit", maxTree)
	var lacking *objectError
	return !errors.As(err, &lacking) || lacking.why != missing
}

// probe has the server give a commit that is here, by these credentials. Since
// git might find out that it is here and not ask, it goes into a repository of
// its own, without its files if the server can do that.
func (m *mirror) probe(ctx context.Context, v visit) error {
	dir, err := os.MkdirTemp(m.src.Dir, trash)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	empty := &mirror{src: m.src, url: m.url, dir: dir, idLen: m.idLen, objects: &catfile{src: m.src, dir: dir}}
	defer empty.objects.close()
	if err := empty.create(); err != nil {
		return err
	}
	return empty.bring(ctx, v, "--depth=1", "--filter=tree:0")
}

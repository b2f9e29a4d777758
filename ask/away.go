package ask

import (
	"context"
	"errors"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/unit"
)

// errAway is why nothing is known of objects in another cluster.
var errAway = errors.New("they are in another cluster; ask there")

// Where returns the cluster that the objects of a unit are in. In another than the
// desk's whoever asks gets in as the unit does, if they may read what it takes.
func (d *Desk) Where(ctx context.Context, o object.Object) (cluster.Cluster, error) {
	asked, err := d.Dialect.Read(o, dialect.Nothing{})
	switch {
	case err != nil:
		return nil, err
	case len(asked.Units) == 0 || !Afar(asked.Units[0]):
		return d.Cluster, nil
	case d.Remote == nil:
		return nil, errAway
	}
	r := &permitted{Reader: reader{ctx, d.Cluster}}
	if asked, err = d.Dialect.Read(o, r); err != nil {
		return nil, err
	}
	switch t := asked.Units[0].Target; {
	case t.Err != nil && r.refused != nil:
		return nil, r.refused
	case t.Err != nil:
		return nil, t.Err
	default:
		return d.Remote(t.Place)
	}
}

// Afar reports whether a unit's objects are in another cluster. What gets in there
// need not have been looked for.
func Afar(u unit.Unit) bool { return u.Target.Place != (unit.Place{}) || u.Target.Err != nil }

// A permitted reader has nothing of what may not be read, and remembers why.
type permitted struct {
	dialect.Reader
	refused error // the last
}

// Get implements [dialect.Reader].
func (p *permitted) Get(id object.ID) (object.Object, bool, error) {
	o, there, err := p.Reader.Get(id)
	if errors.Is(err, cluster.ErrForbidden) {
		p.refused = err
		return object.Object{}, false, nil
	}
	return o, there, err
}

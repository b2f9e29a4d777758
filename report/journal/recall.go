package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
)

var events = object.Kind{Name: "Event"}

// Recall writes what a cluster still tells of what happened before a time: by
// Events, and by the histories of resources where no Event tells the same. What
// may not be listed tells nothing; the error says so.
func (j *Journal) Recall(ctx context.Context, c cluster.Reader, d dialect.Dialect, before time.Time) error {
	var failed []error
	for _, k := range append([]object.Kind{events}, d.Kinds()...) {
		var all []Entry
		for o, err := range c.List(ctx, cluster.Selection{Kind: k}) {
			if err != nil {
				if !errors.Is(err, cluster.ErrNoKind) {
					failed = append(failed, fmt.Errorf("recall: %w", err))
				}
				break
			}
			all = append(all, j.recalled(d, o, before)...)
			if len(all) >= batch {
				failed = append(failed, j.write(all))
				all = nil
			}
		}
		failed = append(failed, j.write(all))
	}
	return errors.Join(failed...)
}

// Follow is Recall, and goes on with what Events tell from then on, until ctx is
// done.
func (j *Journal) Follow(ctx context.Context, c cluster.Cluster, d dialect.Dialect) error {
	err := j.Recall(ctx, c, d, j.c.Now().Add(time.Hour))
	for ch, werr := range c.Watch(ctx, cluster.Selection{Kind: events}) {
		if werr != nil || ch.Type != cluster.Put {
			continue
		}
		if all := j.recalled(d, ch.Object, j.c.Now().Add(time.Hour)); len(all) > 0 {
			if werr := j.write(all); werr != nil {
				j.c.Log.Warn("journal: events dropped", "error", werr)
			}
		}
	}
	return err
}

// recalled returns what o tells of the time before a time.
func (j *Journal) recalled(d dialect.Dialect, o object.Object, before time.Time) []Entry {
	var all []Entry
	for _, e := range d.Recount(o) {
		if e.At.IsZero() || !e.At.Before(before) {
			continue
		}
		for i, x := range entriesOf(e) {
			x.key = string(digest.Of(fmt.Appendf(nil, "%d %d %s %s %s %s %s", i, micros(e.At)/1e6, x.About, x.Kind, x.Reason, x.Revision, e.Message)))
			if o.ID().Kind == events {
				x.Times = max(int(o.Number("count")), 1)
				if last := o.Time("lastTimestamp"); last.After(x.At) {
					x.Last = last
				}
			}
			x.bare = o.ID().Kind != events && (x.Kind == report.Settled || x.Kind == report.Failed || x.Kind == report.Held)
			all = append(all, x)
		}
	}
	return all
}

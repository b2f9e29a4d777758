package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// Watch implements [cluster.Watcher].
func (c *Cluster) Watch(ctx context.Context, sel cluster.Selection) iter.Seq2[cluster.Change, error] {
	return func(yield func(cluster.Change, error) bool) {
		w := &watch{Cluster: c, sel: sel, yield: yield}
		for w.again(ctx) {
		}
	}
}

// A watch is one under way.
type watch struct {
	*Cluster
	sel     cluster.Selection
	yield   func(cluster.Change, error) bool
	version string        // up to which all is told; "" if the place is lost
	behind  bool          // it is to be told when changes are told as they come again
	pause   time.Duration // before the server is asked again
}

// errEnough is that the caller has enough.
var errEnough = errors.New("enough")

// The pause between two attempts grows from the first to the second; a
// connection that lasted longer than that ends the growth.
const firstPause, lastPause = 500 * time.Millisecond, 30 * time.Second

// again follows the changes over one connection and reports whether to go on
// over another.
func (w *watch) again(ctx context.Context) bool {
	began := time.Now()
	err := w.follow(ctx)
	switch {
	case ctx.Err() != nil || err == errEnough:
		return false
	case apierrors.IsResourceExpired(err), apierrors.IsGone(err):
		w.version = ""
	case err != nil:
		w.behind = true
		if refused := w.explain(ctx, err); !w.yield(cluster.Change{}, refused) || final(refused, err) {
			return false
		}
	case time.Since(began) > time.Second: // the server ends watches from time to time
		w.pause = 0
		return true
	}
	if w.pause = min(lastPause, max(firstPause, 2*w.pause)); time.Since(began) > lastPause {
		w.pause = firstPause
	}
	return w.wire.sleep(ctx, jitter(w.pause))
}

// final reports whether there is no use in going on. Credentials that are not
// accepted may be renewed.
func final(refused *cluster.Error, err error) bool {
	return refused.Err == cluster.ErrNoKind || refused.Err == cluster.ErrForbidden && !apierrors.IsUnauthorized(err)
}

// explain returns what an error means. That the kind is gone is believed only
// if discovery says so too.
func (w *watch) explain(ctx context.Context, err error) *cluster.Error {
	refused := w.refused("watch", w.sel, err)
	if refused.Err != cluster.ErrNoKind {
		return refused
	}
	_, sure := w.kinds.find(ctx, w.sel.Kind, "")
	if sure == nil {
		sure = fmt.Errorf("%w: the kind is not served for the moment", cluster.ErrUnavailable)
	}
	return w.refused("watch", w.sel, sure)
}

// follow lists, if the place is lost, and then tells changes until the
// connection ends.
func (w *watch) follow(ctx context.Context) error {
	if w.version == "" {
		if err := w.list(ctx); err != nil {
			return err
		}
	}
	res, err := w.kinds.find(ctx, w.sel.Kind, "")
	if err != nil {
		return err
	}
	r := w.collection("watch", res, w.sel)
	r.query.Set("watch", "true")
	r.query.Set("allowWatchBookmarks", "true")
	r.query.Set("resourceVersion", w.version)
	r.query.Set("timeoutSeconds", strconv.Itoa(300+rand.IntN(300)))
	stream, err := w.wire.stream(ctx, r)
	if err != nil {
		return w.wire.explain(ctx, err)
	}
	defer stream.Close()
	if w.behind && !w.yield(cluster.Change{Type: cluster.Following}, nil) {
		return errEnough
	}
	w.behind = false
	return w.read(stream, shape{res.apiVersion(res.versions[0]), w.sel.Kind.Name, w.sel.Metadata})
}

// list tells everything.
func (w *watch) list(ctx context.Context) error {
	begun := false
	begin := func() bool {
		begun = true
		return w.yield(cluster.Change{Type: cluster.Listing}, nil)
	}
	put := func(o object.Object) bool {
		return (begun || begin()) && w.yield(cluster.Change{Type: cluster.Put, Object: o}, nil)
	}
	var last end
	for first := true; first || last.next != ""; first = false {
		var err error
		if last, err = w.page(ctx, w.sel, last.next, put); err != nil {
			return err
		}
	}
	if !begun && !begin() || !w.yield(cluster.Change{Type: cluster.Listed}, nil) {
		return errEnough
	}
	w.version, w.behind = last.version, true
	return nil
}

// read tells the changes in a stream until its end.
func (w *watch) read(stream io.Reader, s shape) error {
	v, done := valuesOf(stream)
	defer done()
	for {
		frame, err := v.value()
		if err != nil {
			return nil // a connection that ends is nothing to tell
		}
		event, err := object.FromJSON(frame)
		if err != nil {
			return fmt.Errorf("%w: its watch cannot be read: %w", cluster.ErrUnavailable, err)
		}
		if err := w.event(event, s); err != nil {
			return err
		}
	}
}

// event tells one event of a watch.
func (w *watch) event(event object.Object, s shape) error {
	kind, _ := event.Get("type")
	v, _ := event.Get("object")
	body, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%w: its watch has an event without object", cluster.ErrUnavailable)
	}
	o := object.Of(body)
	change := cluster.Change{Type: cluster.Put}
	switch kind {
	case "ERROR":
		return eventError(o)
	case "BOOKMARK":
		w.version = o.ResourceVersion()
		return nil
	case "DELETED":
		change.Type = cluster.Gone
	}
	w.version = o.ResourceVersion()
	change.Object = s.object(body)
	if w.sel.Kind == definitions && change.Type == cluster.Put && !w.sel.Metadata {
		w.kinds.learn(change.Object)
	}
	if !w.yield(change, nil) {
		return errEnough
	}
	return nil
}

// eventError returns the API status that ends a watch.
func eventError(o object.Object) error {
	var s metav1.Status
	if err := json.Unmarshal(o.JSON(), &s); err != nil || s.Code == 0 {
		s = metav1.Status{Code: http.StatusInternalServerError, Message: "the server ended the watch with an error"}
	}
	return &apierrors.StatusError{ErrStatus: s}
}

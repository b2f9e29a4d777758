// Package memory is a cluster that lives in memory and answers as an API
// server does.
package memory

import (
	"context"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// A Cluster holds objects as an API server does: with server-side apply and
// its managed fields, resource versions, generations, finalizers, namespaces,
// label-selected watches and the refusals that matter to a GitOps controller.
//
// It has no controllers beyond those in the API server itself: nothing runs
// Deployments or collects what a deleted owner leaves. [Cluster.SetStatus]
// plays them. It starts no goroutines.
type Cluster struct {
	w   *world
	who cluster.Identity
}

var _ cluster.Cluster = (*Cluster)(nil)

// A world is what all identities of a Cluster share.
type world struct {
	mu       sync.Mutex
	version  int64 // of the last write
	uids     int64
	kinds    map[object.Kind]*kind
	objects  map[object.ID]object.Object // in the version that their kind prefers
	managers map[managerKey]*fieldManager
	watchers map[*watcher]bool
	journals map[speaker]*journal
	fail     func(op string, id object.ID) error
	allow    func(cluster.Identity, cluster.Deed) bool
	calls    []Call
}

// New returns a cluster that knows the built-in kinds and the given ones, and
// holds the namespaces that every cluster has.
func New(kinds ...Kind) *Cluster {
	w := &world{
		kinds:    map[object.Kind]*kind{},
		objects:  map[object.ID]object.Object{},
		managers: map[managerKey]*fieldManager{},
		watchers: map[*watcher]bool{},
		journals: map[speaker]*journal{},
	}
	for _, k := range builtinKinds() {
		w.kinds[k.Kind.Kind] = k
	}
	for _, k := range kinds {
		w.kinds[k.Kind] = custom(k)
	}
	for _, name := range []string{"default", "kube-system"} {
		if _, err := w.create(request{op: "create", id: object.ID{Kind: namespaceKind, Name: name}}, namespace(name)); err != nil {
			panic("memory: " + err.Error())
		}
	}
	return &Cluster{w: w}
}

var namespaceKind = object.Kind{Name: "Namespace"}

func namespace(name string) object.Object {
	return object.Of(map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name},
	})
}

// As implements [cluster.Cluster]. Every user may do as much, unless
// [Cluster.Allow] says otherwise, and is told apart in [Cluster.Calls].
func (c *Cluster) As(who cluster.Identity) cluster.Cluster { return &Cluster{w: c.w, who: who} }

// May implements [cluster.Cluster].
func (c *Cluster) May(ctx context.Context, d cluster.Deed) (bool, error) {
	if err := c.begin(ctx, Call{Op: "ask", ID: d.Object}); err != nil {
		return false, err
	}
	c.w.mu.Lock()
	_, err := c.w.kind(d.Object.Kind, "")
	c.w.mu.Unlock()
	if err != nil {
		return false, cluster.Refused("ask for the right to "+d.Verb, d.Object, err)
	}
	return c.allowed(d), nil
}

// Get implements [cluster.Reader].
func (c *Cluster) Get(ctx context.Context, id object.ID) (object.Object, bool, error) {
	if err := c.begin(ctx, Call{Op: "get", ID: id}); err != nil {
		return object.Object{}, false, err
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if _, err := c.w.kind(id.Kind, ""); err != nil {
		return object.Object{}, false, cluster.Refused("get", id, err)
	}
	o, ok := c.w.objects[id]
	return o, ok, nil
}

// List implements [cluster.Reader].
func (c *Cluster) List(ctx context.Context, sel cluster.Selection) iter.Seq2[object.Object, error] {
	return func(yield func(object.Object, error) bool) {
		id := object.ID{Kind: sel.Kind, Namespace: sel.Namespace, Name: sel.Name}
		err := c.begin(ctx, Call{Op: "list", ID: id})
		var objects []object.Object
		if err == nil {
			objects, err = c.list(sel)
		}
		if err != nil {
			yield(object.Object{}, err)
			return
		}
		for _, o := range objects {
			if !yield(o, nil) {
				return
			}
		}
	}
}

func (c *Cluster) list(sel cluster.Selection) ([]object.Object, error) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	p, err := c.w.picker(sel)
	if err != nil {
		return nil, cluster.Refused("list", object.ID{Kind: sel.Kind, Namespace: sel.Namespace, Name: sel.Name}, err)
	}
	return c.w.pick(p), nil
}

// Namespaced implements [cluster.Reader].
func (c *Cluster) Namespaced(ctx context.Context, k object.Kind) (bool, error) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	known, err := c.w.kind(k, "")
	if err != nil {
		return false, cluster.Refused("look up", object.ID{Kind: k}, err)
	}
	return known.Namespaced, ctx.Err()
}

// A picker is a parsed [cluster.Selection].
type picker struct {
	cluster.Selection
	labels labels.Selector
	fields fields.Requirements
}

func (w *world) picker(sel cluster.Selection) (picker, error) {
	if _, err := w.kind(sel.Kind, ""); err != nil {
		return picker{}, err
	}
	parsed, err := labels.Parse(sel.Labels)
	if err != nil {
		return picker{}, apierrors.NewBadRequest(err.Error())
	}
	by, err := fields.ParseSelector(sel.Fields)
	if err != nil {
		return picker{}, apierrors.NewBadRequest(err.Error())
	}
	return picker{sel, parsed, by.Requirements()}, nil
}

// picks reports whether p selects o, which may be zero.
func (p picker) picks(o object.Object) bool {
	if o.IsZero() {
		return false
	}
	id := o.ID()
	return id.Kind == p.Kind && (p.Namespace == "" || p.Namespace == id.Namespace) && (p.Name == "" || p.Name == id.Name) &&
		(p.labels.Empty() || p.labels.Matches(labels.Set(o.Labels()))) &&
		!slices.ContainsFunc(p.fields, func(r fields.Requirement) bool {
			return (o.Text(strings.Split(r.Field, ".")...) == r.Value) == (r.Operator == selection.NotEquals)
		})
}

// show returns as much of o as p wants.
func (p picker) show(o object.Object) object.Object {
	if !p.Metadata {
		return o
	}
	return bare(o)
}

// bare returns o with its name and metadata alone.
func bare(o object.Object) object.Object {
	body := o.Body()
	return object.Of(map[string]any{
		"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": body["metadata"],
	})
}

// pick returns what p selects, in the order of the names.
func (w *world) pick(p picker) []object.Object {
	var found []object.Object
	for _, o := range w.objects {
		if p.picks(o) {
			found = append(found, p.show(o))
		}
	}
	slices.SortFunc(found, func(a, b object.Object) int { return object.Compare(a.ID(), b.ID()) })
	return found
}

// put stores an object, or takes it away if it is one that nothing holds any
// longer, and tells the watchers. It returns the object as it then stands.
func (w *world) put(r request, old, o object.Object) object.Object {
	w.version++
	o = o.With(strconv.FormatInt(w.version, 10), "metadata", "resourceVersion")
	id := o.ID()
	if o.Deleting() && !w.held(o) {
		delete(w.objects, id)
		w.tell(cluster.Change{Type: cluster.Gone, Object: o}, old)
		w.removed(o)
		return o
	}
	w.objects[id] = o
	w.tell(cluster.Change{Type: cluster.Put, Object: o}, old)
	w.settle(r, o)
	return o
}

// created returns o with the metadata that the server gives it.
func (w *world) created(o object.Object, k *kind) object.Object {
	w.uids++
	o = o.With(uid(w.uids), "metadata", "uid").
		With(time.Now().UTC().Format(time.RFC3339), "metadata", "creationTimestamp")
	if k.Generation {
		o = o.With(int64(1), "metadata", "generation")
	}
	return o
}

// uid returns the nth UID, which is the same in every run.
func uid(n int64) string {
	s := strconv.FormatInt(n, 16)
	const zero = "00000000-0000-4000-8000-000000000000"
	return zero[:len(zero)-len(s)] + s
}

// kind returns what is known of k in a version, or in any if that is "".
func (w *world) kind(k object.Kind, version string) (*kind, error) {
	known := w.kinds[k]
	if known == nil {
		return nil, noKind("the server does not know kind %s", k)
	}
	if version != "" && !slices.Contains(known.Versions, version) {
		return nil, noKind("no version %q of kind %s (there is %q)", version, k, known.Versions)
	}
	return known, nil
}

func apiVersion(group, version string) string {
	if group == "" {
		return version
	}
	return group + "/" + version
}

// Objects returns all objects of the cluster in the order of their kinds and
// names, without a call being noted.
func (c *Cluster) Objects() []object.Object {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	all := make([]object.Object, 0, len(c.w.objects))
	for _, o := range c.w.objects {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b object.Object) int { return object.Compare(a.ID(), b.ID()) })
	return all
}

package memory

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// A request is a write under way.
type request struct {
	op      string
	id      object.ID
	kind    *kind
	version string // of the kind, in which the request speaks
	how     cluster.How
}

// Apply implements [cluster.Writer].
func (c *Cluster) Apply(ctx context.Context, o object.Object, how cluster.How) (object.Object, error) {
	return c.write(ctx, Call{Op: "apply", ID: o.ID(), How: how}, func(r request) (object.Object, error) { return c.w.apply(r, o) })
}

// Create implements [cluster.Writer].
func (c *Cluster) Create(ctx context.Context, o object.Object, how cluster.How) (object.Object, error) {
	return c.write(ctx, Call{Op: "create", ID: o.ID(), How: how}, func(r request) (object.Object, error) { return c.w.create(r, o) })
}

// Patch implements [cluster.Writer].
func (c *Cluster) Patch(ctx context.Context, id object.ID, p cluster.Patch, how cluster.How) (object.Object, error) {
	return c.write(ctx, Call{Op: "patch", ID: id, How: how}, func(r request) (object.Object, error) { return c.w.patch(r, p) })
}

// Delete implements [cluster.Writer].
func (c *Cluster) Delete(ctx context.Context, id object.ID, where cluster.Where) error {
	_, err := c.write(ctx, Call{Op: "delete", ID: id}, func(r request) (object.Object, error) {
		return object.Object{}, c.w.delete(r, where)
	})
	return err
}

// write does one write with all that surrounds it.
func (c *Cluster) write(ctx context.Context, call Call, do func(request) (object.Object, error)) (object.Object, error) {
	if err := c.begin(ctx, call); err != nil {
		return object.Object{}, err
	}
	o, err := c.locked(func() (object.Object, error) { return do(request{op: call.Op, id: call.ID, how: call.How}) })
	if err != nil {
		return object.Object{}, cluster.Refused(call.op(), call.ID, err)
	}
	if err := c.end(call); err != nil {
		return object.Object{}, err
	}
	if call.Brief {
		o = bare(o)
	}
	return o, nil
}

func (c *Cluster) locked(do func() (object.Object, error)) (object.Object, error) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	return do()
}

// aim fills in the kind of r, whose object has the given version (or any, if
// that is ""), and refuses what cannot be addressed.
func (w *world) aim(r *request, version string) error {
	k, err := w.kind(r.id.Kind, version)
	if err != nil {
		return err
	}
	if r.kind, r.version = k, version; version == "" {
		r.version = k.Versions[0]
	}
	switch {
	case k.Namespaced && r.id.Namespace == "":
		return apierrors.NewBadRequest("an object of this kind needs a namespace")
	case !k.Namespaced && r.id.Namespace != "":
		return apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	case r.how.Subresource != "" && (r.how.Subresource != "status" || k.NoStatus):
		return noKind("%s has no subresource %q", k.Kind.Kind, r.how.Subresource)
	}
	return nil
}

func (w *world) apply(r request, o object.Object) (object.Object, error) {
	o, err := normal(o)
	if err != nil {
		return object.Object{}, err
	}
	if err := w.aim(&r, o.Version()); err != nil {
		return object.Object{}, err
	}
	if r.how.Manager == "" {
		return object.Object{}, apierrors.NewBadRequest("fieldManager: Required value: is required for apply patch")
	}
	live := w.objects[r.id]
	if err := w.current(r, live, o); err != nil {
		return object.Object{}, err
	}
	merged, err := w.manager(r.kind, r.version, r.how.Subresource).apply(r.base(live), o, r.how.Manager, r.how.Force)
	if err != nil {
		return object.Object{}, status(err)
	}
	return w.commit(r, live, merged)
}

func (r request) conflict(format string, args ...any) error {
	return apierrors.NewConflict(r.kind.resource(), r.id.Name, fmt.Errorf(format, args...))
}

// current checks that the object to be applied may become of live what it says.
func (w *world) current(r request, live, o object.Object) error {
	switch {
	case live.IsZero() && r.how.Subresource != "":
		return apierrors.NewNotFound(r.kind.resource(), r.id.Name)
	case live.IsZero() && o.UID() != "":
		return r.conflict("uid mismatch: the provided object specified uid %s, and no existing object was found", o.UID())
	case live.IsZero():
		return w.room(r)
	case o.UID() != "" && o.UID() != live.UID():
		return r.conflict("Precondition failed: UID in precondition: %s, UID in object meta: %s", o.UID(), live.UID())
	}
	return w.unchanged(r, live, o.ResourceVersion())
}

// unchanged checks that live has a resource version, if that is not "".
func (w *world) unchanged(r request, live object.Object, version string) error {
	if version == "" || version == live.ResourceVersion() {
		return nil
	}
	return r.conflict("the object has been modified; please apply your changes to the latest version and try again")
}

// room checks that an object can be made in its namespace.
func (w *world) room(r request) error {
	if !r.kind.Namespaced {
		return nil
	}
	ns := w.objects[object.ID{Kind: namespaceKind, Name: r.id.Namespace}]
	if ns.IsZero() {
		return apierrors.NewNotFound(w.kinds[namespaceKind].resource(), r.id.Namespace)
	}
	if !ns.Deleting() {
		return nil
	}
	err := apierrors.NewForbidden(r.kind.resource(), r.id.Name, fmt.Errorf("unable to create new content in namespace %s because it is being terminated", r.id.Namespace))
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{
		Type: "NamespaceTerminating", Message: fmt.Sprintf("namespace %s is being terminated", r.id.Namespace), Field: "metadata.namespace",
	}}
	return err
}

func (w *world) create(r request, o object.Object) (object.Object, error) {
	o, err := normal(o)
	if err != nil {
		return object.Object{}, err
	}
	if err := w.aim(&r, o.Version()); err != nil {
		return object.Object{}, err
	}
	if err := w.room(r); err != nil {
		return object.Object{}, err
	}
	if o.ResourceVersion() != "" {
		return object.Object{}, apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	if _, ok := w.objects[r.id]; ok {
		return object.Object{}, apierrors.NewAlreadyExists(r.kind.resource(), r.id.Name)
	}
	return w.commit(r, object.Object{}, o)
}

func (w *world) patch(r request, p cluster.Patch) (object.Object, error) {
	if err := w.aim(&r, ""); err != nil {
		return object.Object{}, err
	}
	live, ok := w.objects[r.id]
	if !ok {
		return object.Object{}, apierrors.NewNotFound(r.kind.resource(), r.id.Name)
	}
	o, err := patched(r, live, p)
	if err != nil {
		return object.Object{}, err
	}
	if o.ID() != r.id {
		return object.Object{}, apierrors.NewBadRequest("the name of the object does not match the name on the URL")
	}
	if err := w.unchanged(r, live, o.ResourceVersion()); err != nil {
		return object.Object{}, err
	}
	return w.commit(r, live, o)
}

func patched(r request, live object.Object, p cluster.Patch) (object.Object, error) {
	data, err := patchedJSON(r, live.JSON(), p)
	if err != nil {
		return object.Object{}, err
	}
	o, err := object.FromJSON(data)
	if err != nil {
		return object.Object{}, apierrors.NewBadRequest(err.Error())
	}
	return o, nil
}

func patchedJSON(r request, data []byte, p cluster.Patch) ([]byte, error) {
	if p.Type == cluster.MergePatch {
		data, err := jsonpatch.MergePatch(data, p.Data)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		return data, nil
	}
	patch, err := jsonpatch.DecodePatch(p.Data)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if data, err = patch.Apply(data); err != nil {
		return nil, apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
	}
	return data, nil
}

// commit makes next of live (zero if there is none), or only says what it
// would be in a dry run.
func (w *world) commit(r request, live, next object.Object) (object.Object, error) {
	gv := r.kind.groupVersion(r.version)
	next = w.prepare(r, live, next)
	if err := validate(r, live, next); err != nil {
		return object.Object{}, err
	}
	if r.op != "apply" {
		var err error
		next, err = w.manager(r.kind, r.version, r.how.Subresource).update(r.base(live), next, r.manager())
		if err != nil {
			return object.Object{}, apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %s", r.kind.Name, r.version, r.kind.Name, schemaWords(err)))
		}
	}
	stored := inVersion(next, r.kind.groupVersion(r.kind.Versions[0]))
	switch {
	case !live.IsZero() && same(live, stored):
		return inVersion(live, gv), nil
	case r.how.DryRun:
		return next, nil
	}
	return inVersion(w.put(r, live, stored), gv), nil
}

// schemaWords returns what a field manager says of an object's fields without
// what it says of itself.
func schemaWords(err error) string {
	_, words, ok := strings.Cut(err.Error(), "to smd typed: ")
	if !ok {
		return err.Error()
	}
	return words
}

// base returns live in the version of the request, or an empty object.
func (r request) base(live object.Object) object.Object {
	gv := r.kind.groupVersion(r.version)
	if live.IsZero() {
		return object.Of(map[string]any{"apiVersion": gv.String(), "kind": r.kind.Name})
	}
	return inVersion(live, gv)
}

func (r request) manager() string {
	if r.how.Manager == "" {
		return "sane"
	}
	return r.how.Manager
}

// same reports whether two objects differ in nothing but the times at which
// their fields were managed.
func same(a, b object.Object) bool {
	return reflect.DeepEqual(timeless(a.WithFields()).Body(), timeless(b.WithFields()).Body())
}

func timeless(o object.Object) object.Object {
	v, ok := o.Get("metadata", "managedFields")
	list, _ := v.([]any)
	if !ok {
		return o
	}
	out := make([]any, len(list))
	for i, e := range list {
		m, _ := e.(map[string]any)
		out[i] = object.Of(m).Without("time").Body()
	}
	return o.With(out, "metadata", "managedFields")
}

// normal returns o as its JSON says it, sharing nothing with it.
func normal(o object.Object) (object.Object, error) {
	data, err := o.MarshalJSON()
	if err == nil {
		o, err = object.FromJSON(data)
	}
	if err != nil {
		return o, apierrors.NewBadRequest(err.Error())
	}
	return o, nil
}

// status returns err as an API server says it.
func status(err error) error {
	if _, ok := err.(apierrors.APIStatus); ok {
		return err
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Message: err.Error(),
	}}
}

func (w *world) delete(r request, where cluster.Where) error {
	if err := w.aim(&r, ""); err != nil {
		return err
	}
	live, ok := w.objects[r.id]
	if !ok {
		return nil
	}
	if where.UID != "" && where.UID != live.UID() {
		return r.conflict("the UID in the precondition (%s) does not match the UID in record (%s). The object might have been deleted and then recreated", where.UID, live.UID())
	}
	if where.ResourceVersion != "" && where.ResourceVersion != live.ResourceVersion() {
		return r.conflict("the ResourceVersion in the precondition (%s) does not match the ResourceVersion in record (%s). The object might have been modified", where.ResourceVersion, live.ResourceVersion())
	}
	w.remove(live)
	return nil
}

// remove begins to delete an object, which ends at once if nothing holds it.
func (w *world) remove(live object.Object) {
	if live.Deleting() {
		return
	}
	o := live.With(time.Now().UTC().Format(time.RFC3339), "metadata", "deletionTimestamp").
		With(int64(0), "metadata", "deletionGracePeriodSeconds")
	if n := live.Generation(); n > 0 {
		o = o.With(n+1, "metadata", "generation")
	}
	if live.ID().Kind == namespaceKind {
		o = o.With("Terminating", "status", "phase")
	}
	w.put(request{op: "delete"}, live, o)
}

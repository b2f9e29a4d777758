// Package cluster says what the program needs of a Kubernetes cluster.
package cluster

import (
	"context"
	"errors"
	"io"
	"iter"

	"github.com/sane-gitops/sane/object"
)

// A Cluster is a place where objects live.
//
// A Cluster must be safe for use by several goroutines at once. Its errors say
// what was being done to which object, and wrap one of the errors below where
// one fits.
type Cluster interface {
	Reader
	Writer
	Watcher

	// As returns the cluster as another sees and changes it, by impersonation
	// and over the same connections. What kinds there are is still asked in our
	// own name.
	As(who Identity) Cluster

	// May asks the server whether it would allow d to this identity. A kind
	// that the server does not know is [ErrNoKind].
	May(ctx context.Context, d Deed) (bool, error)

	// Logs returns what a container of a pod says, until ctx is done or the
	// caller closes it, which is the caller's to do. That the pod has no such
	// container, or several and none is named, is [ErrInvalid]; so is a log
	// that can't be had, as that of a container that was not started yet.
	Logs(ctx context.Context, pod object.ID, opts LogOptions) (io.ReadCloser, error)
}

// A Reader finds objects.
type Reader interface {
	// Get returns the object of that name, and whether there is one, in the
	// version that the server prefers. A kind that the server does not know
	// is [ErrNoKind].
	Get(ctx context.Context, id object.ID) (object.Object, bool, error)

	// List yields the objects that sel selects, a page at a time, in no
	// particular order. It ends after an error.
	List(ctx context.Context, sel Selection) iter.Seq2[object.Object, error]

	// Namespaced reports whether objects of a kind live in namespaces.
	// A kind that the server does not know is [ErrNoKind]; implementations
	// look again at most every few seconds, so that a kind that has just
	// come is found.
	Namespaced(ctx context.Context, k object.Kind) (bool, error)
}

// A Writer changes objects.
type Writer interface {
	// Apply makes the fields in o so (server-side apply, in o's API version)
	// and returns the object as it then stands.
	Apply(ctx context.Context, o object.Object, how How) (object.Object, error)

	// Create makes an object that must not be there yet.
	Create(ctx context.Context, o object.Object, how How) (object.Object, error)

	// Patch changes the object of that name.
	// That there is none is [ErrNotFound].
	Patch(ctx context.Context, id object.ID, p Patch, how How) (object.Object, error)

	// Delete asks for an object's removal and does not wait for it. It is no
	// error if there is none. Where w names a UID or a resource version and
	// the object has another, it stays: [ErrConflict].
	Delete(ctx context.Context, id object.ID, w Where) error
}

// How says in whose name and how far a change is made.
type How struct {
	Manager     string // the field manager
	DryRun      bool   // let the server check and answer, and change nothing
	Force       bool   // take fields from other managers (Apply only)
	Subresource string // "status", or "" for the object itself
	Brief       bool   // of the answer only apiVersion, kind and metadata are wanted
}

// A Patch is a change in one of Kubernetes' two plain patch formats.
type Patch struct {
	Type PatchType
	Data []byte
}

// A PatchType is a patch's format.
type PatchType string

const (
	JSONPatch  PatchType = "application/json-patch+json"
	MergePatch PatchType = "application/merge-patch+json"
)

// Where says which object may be deleted, and what becomes of what it owns.
type Where struct {
	UID             string // "" means any
	ResourceVersion string // "" means any
	Foreground      bool   // first what it owns, then itself; otherwise in the background
}

// A Selection selects objects of one kind.
type Selection struct {
	Kind      object.Kind
	Namespace string // "" means all
	Name      string // "" means all
	Labels    string // a label selector; "" means all
	Fields    string // a field selector, of fields by which the server selects objects of this kind; "" means all
	Metadata  bool   // only apiVersion, kind and metadata are wanted
}

// A Watcher tells of changes.
type Watcher interface {
	// Watch yields every object that sel selects and then each change to them
	// until ctx is done, through lost connections and expired versions.
	// An error is told and is not the end, except for [ErrNoKind] and
	// [ErrForbidden], after which the sequence ends. Once it is over a Listing or
	// Following tells so.
	Watch(ctx context.Context, sel Selection) iter.Seq2[Change, error]
}

// A Change is what a watch has to tell.
type Change struct {
	Type   ChangeType
	Object object.Object // for Put, and for Gone as last seen
}

// A ChangeType is what a Change says of its object.
type ChangeType uint8

const (
	// Listing begins a listing of everything: what is not Put before the next
	// Listed is not there any more. It comes first, and again whenever the
	// watch has lost its place.
	Listing ChangeType = iota
	// Listed ends a listing.
	Listed
	// Following says that from now on changes are told as they come. It comes
	// after a listing, and after an error once the server can be reached again:
	// whoever was told of that may believe what was told again.
	Following
	// Put says how an object stands now.
	Put
	// Gone says that an object was deleted, or is not selected any more.
	Gone
)

// What a cluster can answer. Errors of a Cluster wrap them.
var (
	ErrNotFound    = errors.New("not found")    // the object to be changed, or its namespace
	ErrNoKind      = errors.New("no such kind") // the server does not know the kind or version
	ErrConflict    = errors.New("conflict")     // with another manager's fields, a precondition, or an object that is there
	ErrInvalid     = errors.New("invalid")      // the server or its admission refuses the object as it is
	ErrForbidden   = errors.New("forbidden")    // to this identity
	ErrTerminating = errors.New("namespace is being deleted")
	ErrBusy        = errors.New("server asks to wait")     // 429, or a time-out that the server declares
	ErrUnavailable = errors.New("server is not available") // no answer, or 5xx
)

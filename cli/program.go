package cli

import (
	"context"
	"log/slog"
	"time"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
	"github.com/sane-gitops/sane/unit"
)

// A Program is what the command line drives: constructors of all that it does
// not know itself. All fields must be set, but for those that say otherwise.
type Program struct {
	Version  string
	Language ask.Language

	// Connect reaches for a cluster. It does not have to ask it anything.
	Connect func(Dial) (*Place, error)

	// Dialect returns the dialect that is spoken.
	Dialect func(Speech) (dialect.Dialect, error)

	// Equip returns what it takes to keep units in a place, or to plan what
	// that would do.
	Equip func(*Place, Equipment) (*Gear, error)

	// Offer returns where others get what feeds hold.
	Offer func(Offering) (Shelf, error)

	// Manifests returns what is installed in a cluster to run Sane there.
	Manifests func(Installation) ([]object.Object, error)

	// Site returns the pages about a place.
	Site func(*Place, Showing) (Site, error)

	// Bench measures a controller, and is an error if a goal was not reached.
	Bench func(context.Context, Benchmark) error

	Now func() time.Time // nil means time.Now
}

// A Dial says which cluster to reach, and how.
type Dial struct {
	Kubeconfig string // a file; "" means as kubectl does, or the cluster that we run in
	Context    string // of the kubeconfig; "" means the current one
	Log        *slog.Logger

	// Observe is told of every request to the API server. nil means that
	// nobody wants to know.
	Observe func(verb, resource string, code int, took time.Duration)

	Tokens    int           // of service accounts and clouds, how many to remember; 0 means a hundred, less means none
	TokensFor time.Duration // how long at most; 0 means an hour

	// Token is told whether a token that is wanted was remembered. nil means that
	// nobody wants to know.
	Token func(known bool)
}

// A Place is a cluster and how it was reached.
type Place struct {
	Cluster   cluster.Cluster
	Namespace string // of the kubeconfig's context, or the one that we run in

	// Kind returns the kind of object that goes by a word, as kubectl has it:
	// "deploy", "Deployment.apps". That none does is [cluster.ErrNoKind].
	Kind func(ctx context.Context, word string) (object.Kind, error)

	// Version returns the version of the API server. nil means that there is none.
	Version func(ctx context.Context) (string, error)

	// Remote connects to another cluster. What names it is not trusted: it must
	// not make us run a program or read a file. nil means that there is none.
	Remote func(unit.Place) (cluster.Cluster, error)

	// Review returns whose a bearer token is. That it is nobody's is
	// [cluster.ErrForbidden].
	Review func(ctx context.Context, token string) (cluster.Identity, error)

	// Office gets tokens of the cluster's service accounts, and of clouds.
	Office *cloud.Office

	// Lead waits until this process alone holds a lease and calls run, whose
	// context ends with the lease. Its error says why the lease was lost.
	Lead func(ctx context.Context, l Lease, run func(context.Context)) error
}

// A Lease names what only one of several processes may hold.
type Lease struct {
	Namespace, Name string
	Identity        string // of this process

	Lasts, Deadline, Retry time.Duration // 0 means as Flux has them
}

// A Speech says how the custom resources are to be understood.
type Speech struct {
	Guard                 bool            // hold surprising deletions
	DefaultServiceAccount string          // to act as where none is named
	NoCrossNamespace      bool            // refuse references to other namespaces
	Controllers           []string        // whose objects to keep, or of which kinds; nil means all
	Gates                 map[string]bool // features that are not as usual
	ArtifactBase          string          // what artifacts' URLs begin with; "" means that none are served
	KubeconfigAccount     string          // that gets in at other clusters where nobody else is named
	DecryptionAccount     string          // that gets in where keys are kept, where nobody else is named
	VaultConfigMap        string          // "namespace/name" of a ConfigMap that says where to log in at Vault; "" means nowhere
	AgeSecret             string          // "namespace/name" of a Secret with age keys, for who names no keys; "" means none
	Log                   *slog.Logger    // nil means slog.Default()

	// Early are kinds of which objects are applied, and waited for, before most
	// others. nil means none.
	Early []object.Kind
}

// An Offering is what is asked of [Program.Offer].
type Offering struct {
	Dir     string        // for tarballs; belongs to one process at a time
	TTL     time.Duration // how long one is kept after the next
	Records int           // how many of one feed are kept
	Log     *slog.Logger
}

// An Equipment is what is asked of [Program.Equip].
type Equipment struct {
	Dir    string // for mirrors and kept results; belongs to one process at a time
	Quiet  bool   // tell nobody what happens
	Events string // the address to post events to; "" means none

	// Algorithms that SSH may use; nil means those that it uses anyway.
	KeyExchange, HostKey []string

	Log *slog.Logger
}

// Gear is what it takes to keep units.
type Gear struct {
	ask.Gear
	Sinks map[string]Sink // by a word for each
}

// A Sink is told of events and passes them on while it runs.
type Sink interface {
	report.Sink
	Run(ctx context.Context) error
	Dropped() int64 // how many events were not passed on
}

// An Installation says what to install.
type Installation struct {
	Namespace string
	Image     string // "" means the one of this version
	CRDsOnly  bool

	Controllers    []string // whose objects to keep; nil means all
	ServeArtifacts bool     // let others have what sources hold
	Web            bool     // serve pages
	WebURL         string   // by which browsers come to them; "" means any
}

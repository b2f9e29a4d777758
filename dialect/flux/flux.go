// Package flux speaks the language of Flux's custom resources.
package flux

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// Approve is the annotation by which somebody approves of deletions that are
// held: it has the digest of those that are meant.
const Approve = "sane-gitops.io/approve"

const (
	sourceGroup    = "source.toolkit.fluxcd.io"
	kustomizeGroup = "kustomize.toolkit.fluxcd.io"
	eventGroup     = "event.toolkit.fluxcd.io"

	requestedAt = "reconcile.fluxcd.io/requestedAt"
	finalizer   = "finalizers.fluxcd.io"

	ownerName      = kustomizeGroup + "/name"
	ownerNamespace = kustomizeGroup + "/namespace"
)

// The kinds of which objects are read.
var (
	GitRepository    = object.Kind{Group: sourceGroup, Name: "GitRepository"}
	OCIRepository    = object.Kind{Group: sourceGroup, Name: "OCIRepository"}
	Bucket           = object.Kind{Group: sourceGroup, Name: "Bucket"}
	ExternalArtifact = object.Kind{Group: sourceGroup, Name: "ExternalArtifact"}
	Kustomization    = object.Kind{Group: kustomizeGroup, Name: "Kustomization"}
)

// A Config says how Flux's language is to be understood. The zero Config is
// Flux's default.
type Config struct {
	NoCrossNamespace      bool            // refuse sources, and expressions over Kustomizations, in other namespaces than the Kustomization's
	Controllers           []string        // whose objects to keep, or of which kinds; nil means all
	Gates                 map[string]bool // Flux's feature gates, where they are not as usual
	Guard                 bool            // hold surprising deletions until somebody approves them
	DefaultServiceAccount string          // that Kustomizations act as which name none; "" means ourselves
	KubeconfigAccount     string          // that gets in at other clusters where their ConfigMap names none; "" means ourselves
	DecryptionAccount     string          // that decrypts where spec.decryption names none; "" means ourselves
	VaultConfigMap        string          // "namespace/name" of a ConfigMap that says where to log in at Vault; "" means nowhere
	AgeSecret             string          // "namespace/name" of a Secret with age keys, for who names no other; "" means none
	ArtifactBase          string          // what artifacts' URLs begin with; "" means that none are served, and that they have no URL

	// Early are kinds of which objects are applied, and waited for, after
	// definitions and classes and before all others.
	Early []object.Kind
}

// Check returns an error if c names a controller whose work can't be taken
// over, or a feature gate that Flux does not have.
func (c Config) Check() error {
	return cmp.Or(c.checkControllers(), c.checkGates())
}

// New returns Flux's dialect. It panics if c does not pass [Config.Check].
func New(c Config) dialect.Dialect {
	if err := c.Check(); err != nil {
		panic("flux: " + err.Error())
	}
	if c.ArtifactBase != "" {
		c.ArtifactBase = strings.TrimSuffix(c.ArtifactBase, "/") + "/"
	}
	return flux{c}
}

type flux struct{ Config }

func (f flux) Read(o object.Object, r dialect.Reader) (dialect.Asked, error) {
	kind := o.ID().Kind
	if !slices.Contains(f.Kinds(), kind) {
		return dialect.Asked{}, fmt.Errorf("flux: %s is no kind of ours", kind)
	}
	if kind == Kustomization {
		u, err := f.kustomization(o, r)
		if err != nil {
			return dialect.Asked{}, fmt.Errorf("flux: read %s: %w", o, err)
		}
		return dialect.Asked{Units: []unit.Unit{u}}, nil
	}
	if f.Foreign(kind) {
		return f.ReadForeign(o)
	}
	read := map[object.Kind]func(object.Object, dialect.Reader) (source.Feed, error){
		GitRepository: f.gitRepository, OCIRepository: f.ociRepository, Bucket: f.bucket,
	}[kind]
	feed, err := read(o, r)
	if err != nil {
		return dialect.Asked{}, fmt.Errorf("flux: read %s: %w", o, err)
	}
	return dialect.Asked{Feeds: append(dialect.Asked{}.Feeds, feed)}, nil
}

func (f flux) ReadForeign(o object.Object) (dialect.Asked, error) {
	if o.ID().Kind != Kustomization {
		return dialect.Asked{Feeds: []source.Feed{artifact(o)}}, nil
	}
	u, err := f.kustomization(o, dialect.Nothing{})
	if err != nil {
		return dialect.Asked{}, fmt.Errorf("flux: read %s: %w", o, err)
	}
	return dialect.Asked{Units: []unit.Unit{u}}, nil
}

// decode fills a typed object with what o asks for; its status is left out.
func decode(o object.Object, into any) error {
	if err := json.Unmarshal(o.Without("status").Without("metadata", "managedFields").JSON(), into); err != nil {
		return refuse("", nil, "can't read %s: %s", o.ID().Kind.Name, err)
	}
	return nil
}

func (f flux) Finalizer() string { return finalizer }

func (f flux) Selector() string { return ownerName + "," + ownerNamespace }

func (f flux) Owner(labels map[string]string) (unit.Name, bool) {
	n := unit.Name{Kind: Kustomization, Namespace: labels[ownerNamespace], Name: labels[ownerName]}
	return n, n.Namespace != "" && n.Name != ""
}

func (f flux) Manager(k object.Kind) string {
	if k == Kustomization {
		return "gotk-" + KustomizeController
	}
	return "gotk-" + SourceController
}

func (f flux) Exempt(o object.Object) unit.Exemption {
	asks := func(key, value string) bool {
		key = kustomizeGroup + "/" + key
		return strings.EqualFold(o.Label(key), value) || strings.EqualFold(o.Annotation(key), value)
	}
	return unit.Exemption{
		Ignore: asks("reconcile", "disabled") || asks("ssa", "Ignore"),
		Once:   asks("ssa", "IfNotPresent"),
		Merge:  asks("ssa", "Merge"),
		Keep:   asks("prune", "disabled"),
		Force:  asks("force", "enabled"),
	}
}

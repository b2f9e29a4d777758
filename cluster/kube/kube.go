// Package kube is a cluster behind a Kubernetes API server.
package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// A Cluster is a connection to an API server in the name of one user.
type Cluster struct {
	wire  *wire
	kinds *discovery
	who   cluster.Identity // to impersonate
}

var _ cluster.Cluster = (*Cluster)(nil)

// Options are what may be set of a connection.
type Options struct {
	UserAgent string        // "" means "sane"
	Timeout   time.Duration // of a request other than a watch; 0 means 30 s

	// Observe is told of every answer: the verb ("get", "list", "watch",
	// "apply", "create", "patch", "delete", "discover"), the resource
	// ("deployments.apps"), the HTTP status code, or 0 if there was no answer,
	// and how long that took. It is called often, by several goroutines, and
	// must be quick. It may be nil.
	Observe func(verb, resource string, code int, d time.Duration)
}

// New returns a connection to the API server that config names. It asks
// nothing of the server yet.
func New(config *rest.Config, opts Options) (*Cluster, error) {
	w, err := newWire(config, opts)
	if err != nil {
		return nil, fmt.Errorf("connect to cluster: %w", err)
	}
	return &Cluster{wire: w, kinds: &discovery{wire: w, learned: make(map[object.Kind]resource)}}, nil
}

// Config finds a cluster by kubectl's rules: the given kubeconfig file, or
// that of $KUBECONFIG, or of the home directory, or, if there is none, the
// cluster that the program runs in. An empty context means the current one.
// The namespace is that context's.
func Config(kubeconfig, context string) (config *rest.Config, namespace string, err error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	found := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: context})
	if config, err = found.ClientConfig(); err != nil {
		return nil, "", err
	}
	namespace, _, err = found.Namespace()
	return config, namespace, err
}

// As implements [cluster.Cluster].
func (c *Cluster) As(who cluster.Identity) cluster.Cluster {
	as := *c
	as.who = who
	return &as
}

// Forget makes the next question for a kind that is not known, or for a
// version that is not, ask the server, however soon. Writing a
// CustomResourceDefinition through c or its siblings does the same.
func (c *Cluster) Forget() { c.kinds.forget() }

// Namespaced implements [cluster.Reader].
func (c *Cluster) Namespaced(ctx context.Context, k object.Kind) (bool, error) {
	r, err := c.kinds.find(ctx, k, "")
	if err != nil {
		return false, cluster.Refused("look up", object.ID{Kind: k}, err)
	}
	return r.namespaced, nil
}

// Get implements [cluster.Reader].
func (c *Cluster) Get(ctx context.Context, id object.ID) (object.Object, bool, error) {
	o, err := c.get(ctx, id)
	if errors.Is(err, cluster.ErrNoKind) { // perhaps it moved to another version
		o, err = c.get(ctx, id)
	}
	if errors.Is(err, cluster.ErrNotFound) {
		return object.Object{}, false, nil
	}
	return o, err == nil, err
}

func (c *Cluster) get(ctx context.Context, id object.ID) (object.Object, error) {
	return c.one(ctx, request{verb: "get", method: http.MethodGet}, id, "")
}

// Apply implements [cluster.Writer].
func (c *Cluster) Apply(ctx context.Context, o object.Object, how cluster.How) (object.Object, error) {
	q := query(how)
	if how.Force {
		q.Set("force", "true")
	}
	return c.write(ctx, request{
		verb: "apply", method: http.MethodPatch, query: q, contentType: "application/apply-patch+yaml", body: o.JSON(),
	}, o.ID(), o.Version(), how)
}

// Create implements [cluster.Writer].
// Like apply, it refuses fields that the kind does not have.
func (c *Cluster) Create(ctx context.Context, o object.Object, how cluster.How) (object.Object, error) {
	q := query(how)
	q.Set("fieldValidation", "Strict")
	return c.write(ctx, request{
		verb: "create", method: http.MethodPost, query: q, contentType: "application/json", body: o.JSON(),
	}, o.ID(), o.Version(), how)
}

// Patch implements [cluster.Writer].
func (c *Cluster) Patch(ctx context.Context, id object.ID, p cluster.Patch, how cluster.How) (object.Object, error) {
	return c.write(ctx, request{
		verb: "patch", method: http.MethodPatch, query: query(how), contentType: string(p.Type), body: p.Data,
	}, id, "", how)
}

// Delete implements [cluster.Writer].
func (c *Cluster) Delete(ctx context.Context, id object.ID, w cluster.Where) error {
	_, err := c.write(ctx, request{
		verb: "delete", method: http.MethodDelete, contentType: "application/json", body: deletion(w),
	}, id, "", cluster.How{})
	if errors.Is(err, cluster.ErrNotFound) {
		return nil
	}
	return err
}

// deletion returns the body of a delete request.
func deletion(w cluster.Where) []byte {
	type preconditions struct {
		UID             string `json:"uid,omitempty"`
		ResourceVersion string `json:"resourceVersion,omitempty"`
	}
	policy := "Background"
	if w.Foreground {
		policy = "Foreground"
	}
	data, err := json.Marshal(struct {
		APIVersion    string        `json:"apiVersion"`
		Kind          string        `json:"kind"`
		Policy        string        `json:"propagationPolicy"`
		Preconditions preconditions `json:"preconditions"`
	}{"v1", "DeleteOptions", policy, preconditions{w.UID, w.ResourceVersion}})
	if err != nil {
		panic(err) // strings can always be marshalled
	}
	return data
}

func query(how cluster.How) url.Values {
	q := url.Values{}
	if how.Manager != "" {
		q.Set("fieldManager", how.Manager)
	}
	if how.DryRun {
		q.Set("dryRun", "All")
	}
	return q
}

var definitions = object.Kind{Group: "apiextensions.k8s.io", Name: "CustomResourceDefinition"}

// write makes a request for a change to one object.
func (c *Cluster) write(ctx context.Context, r request, id object.ID, version string, how cluster.How) (object.Object, error) {
	if r.subresource = how.Subresource; how.Brief {
		r.accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
	}
	verb := r.verb
	if how.DryRun {
		verb = "dry-run " + verb
	}
	o, err := c.one(ctx, r, id, version)
	if e := new(cluster.Error); errors.As(err, &e) {
		e.Op = verb
	}
	if err == nil && id.Kind == definitions && !how.DryRun {
		c.kinds.forget()
	}
	return o, err
}

// one makes a request about one object, in a version of its kind, or in the
// preferred one if that is "".
func (c *Cluster) one(ctx context.Context, r request, id object.ID, version string) (object.Object, error) {
	o, err := c.answer(ctx, r, id, version)
	if err == nil {
		return o, nil
	}
	refused := cluster.Refused(r.verb, id, err)
	if refused.Err == cluster.ErrNoKind {
		c.kinds.drop(id.Kind)
	}
	return object.Object{}, refused
}

func (c *Cluster) answer(ctx context.Context, r request, id object.ID, version string) (object.Object, error) {
	res, err := c.kinds.find(ctx, id.Kind, version)
	if err != nil {
		return object.Object{}, err
	}
	if res.namespaced && id.Namespace == "" {
		return object.Object{}, apierrors.NewBadRequest("an object of this kind needs a namespace")
	}
	if version == "" {
		version = res.versions[0]
	}
	r.resource, r.who = res.String(), c.who
	if r.path = res.path(version, id.Namespace); r.method != http.MethodPost {
		r.path += "/" + url.PathEscape(id.Name)
	}
	if r.subresource != "" {
		r.path += "/" + r.subresource
	}
	data := buffers.Get()
	defer buffers.Put(data)
	if err := c.wire.do(ctx, r, data); err != nil {
		return object.Object{}, err
	}
	o, err := object.FromJSON(data.Bytes())
	if err != nil || r.accept == "" {
		return o, err
	}
	return shape{res.apiVersion(version), id.Kind.Name, true}.object(o.Body()), nil
}

// A resource is how a kind is served.
type resource struct {
	group, plural string
	singular      string
	short         []string // other names
	namespaced    bool
	versions      []string // the preferred first
}

// String returns "deployments.apps".
func (r resource) String() string {
	if r.group == "" {
		return r.plural
	}
	return r.plural + "." + r.group
}

// path returns the path of a collection. An empty namespace means all.
func (r resource) path(version, namespace string) string {
	p := "/apis/" + r.group + "/" + version
	if r.group == "" {
		p = "/api/" + version
	}
	if r.namespaced && namespace != "" {
		p += "/namespaces/" + url.PathEscape(namespace)
	}
	return p + "/" + r.plural
}

// apiVersion returns the API version of a group's version.
func (r resource) apiVersion(version string) string {
	return strings.TrimPrefix(r.group+"/"+version, "/")
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/kube"
	"github.com/sane-gitops/sane/install"
	"github.com/sane-gitops/sane/object"
)

// benchNamespace is where the units and their objects live, and reposName names
// the GitRepository and the repository that they come from.
const (
	benchNamespace = "sane-bench"
	reposName      = "units"
)

// A stage is what workloads are played on: a control plane, a forge and a
// controller.
type stage struct {
	Config
	n   int // units
	log *slog.Logger
	dir string

	kubeconfig string
	plane      *daemon // nil if the control plane was given
	kube       *kube.Cluster
	cluster    cluster.Cluster
	forge      *forge
	controller *controller                // nil while none runs
	running    atomic.Pointer[controller] // the one that tells, for others than the workload
	sampler    sampler
	ends       []func() // what ends the rest, last first

	floor Floor
	feeds *lookout[feedFact]
	units *lookout[unitFact]

	revision string // that main of the units' repository is at
	version  int    // of the last change that was pushed

	mu    sync.Mutex
	own   Requests                // guarded by mu; what we asked of the API server
	abort context.CancelCauseFunc // guarded by mu; ends the workload; nil if there is none
}

// open sets the stage, without a controller.
func open(ctx context.Context, c Config, n int) (s *stage, err error) {
	s = &stage{Config: c, n: n, log: c.Log, own: make(Requests)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "sane-bench-"); err != nil {
		return s, err
	}
	if err := s.connect(ctx); err != nil {
		return s, err
	}
	if s.forge, err = openForge(filepath.Join(s.dir, "forge")); err != nil {
		return s, err
	}
	if err := s.define(ctx); err != nil {
		return s, err
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var sampling sync.WaitGroup
	sampling.Go(func() { s.sampler.run(background) })
	s.ends = append(s.ends, func() { stop(); sampling.Wait() })
	return s, s.makeNamespace(ctx, benchNamespace)
}

// connect finds or starts the control plane.
func (s *stage) connect(ctx context.Context) (err error) {
	if s.kubeconfig = s.Kubeconfig; s.kubeconfig == "" {
		s.log.Info("starting a control plane")
		if s.plane, s.kubeconfig, err = startPlane(ctx, s.Devcluster, s.dir); err != nil {
			return err
		}
	}
	config, _, err := kube.Config(s.kubeconfig, "")
	if err != nil {
		return err
	}
	s.kube, err = kube.New(config, kube.Options{UserAgent: "sane-bench", Observe: s.asked})
	s.cluster = s.kube
	return err
}

var verbs = map[string]string{
	"get": "GET", "list": "LIST", "watch": "WATCH", "apply": "APPLY", "create": "POST", "patch": "PATCH", "delete": "DELETE",
}

// asked counts a request of our own.
func (s *stage) asked(verb, resource string, code int, _ time.Duration) {
	if verbs[verb] == "" || resource == "" || code == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own[Request{Verb: verbs[verb], Resource: resource}]++
}

// ownRequests returns what we have asked of the API server so far.
func (s *stage) ownRequests() Requests {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.own)
}

// define installs the custom resource definitions that are not there yet, and
// returns when all are served.
func (s *stage) define(ctx context.Context) error {
	kind := object.Kind{Group: "apiextensions.k8s.io", Name: "CustomResourceDefinition"}
	served, err := look(ctx, s.cluster, cluster.Selection{Kind: kind}, func(o object.Object) bool {
		return str(condition(o, "Established")["status"]) == "True"
	})
	if err != nil {
		return err
	}
	defer served.close()
	var names []string
	for _, o := range install.CRDs() {
		names = append(names, o.Name())
		_, there, err := s.cluster.Get(ctx, o.ID())
		if err == nil && !there {
			_, err = s.cluster.Apply(ctx, o, bare)
		}
		if err != nil {
			return err
		}
	}
	_, err = served.expect(names, func(ok bool) bool { return ok }).wait(ctx)
	return err
}

func (s *stage) makeNamespace(ctx context.Context, name string) error {
	_, err := s.cluster.Apply(ctx, object.Of(map[string]any{
		"apiVersion": "v1", "kind": namespace.Name, "metadata": map[string]any{"name": name},
	}), bare)
	return err
}

// close stops all that was started, and takes away what was made.
func (s *stage) close() {
	if s.Kubeconfig != "" && !s.Keep && s.cluster != nil {
		if err := s.clear(); err != nil {
			s.log.Warn("not all was taken away", "error", err)
		}
	}
	s.unlook()
	s.stopController()
	for _, end := range slices.Backward(s.ends) {
		end()
	}
	if s.forge != nil {
		s.forge.close()
	}
	s.plane.stop()
	if s.dir != "" && !s.Keep {
		os.RemoveAll(s.dir)
	} else {
		s.log.Info("kept", "dir", s.dir)
	}
}

// clear takes away what was made in a cluster that is not ours, while there is
// a controller to let go of it.
func (s *stage) clear() error {
	ctx, stop := context.WithTimeout(context.Background(), scale(5*time.Minute, s.n))
	defer stop()
	var errs []error
	for _, ns := range []string{benchNamespace, monoNamespace, floorNamespace} {
		errs = append(errs, s.clearNamespace(ctx, ns))
	}
	return errors.Join(errs...)
}

// clearNamespace takes a namespace away, and returns when it has gone. First go
// the units, since nothing of theirs can be taken away without their sources.
func (s *stage) clearNamespace(ctx context.Context, name string) error {
	id := object.ID{Kind: namespace, Name: name}
	if _, there, err := s.cluster.Get(ctx, id); err != nil || !there {
		return err
	}
	var units []object.ID
	for o, err := range s.cluster.List(ctx, cluster.Selection{Kind: kustomization, Namespace: name}) {
		if err != nil {
			return err
		}
		units = append(units, o.ID())
	}
	err := s.inParallel(ctx, len(units), func(ctx context.Context, i int) error {
		return s.cluster.Delete(ctx, units[i], cluster.Where{})
	})
	if err := errors.Join(err, s.cluster.Delete(ctx, id, cluster.Where{})); err != nil {
		return err
	}
	for ch, err := range s.cluster.Watch(ctx, cluster.Selection{Kind: namespace, Name: name, Metadata: true}) {
		if err == nil && ch.Type == cluster.Gone {
			return nil
		}
		if ch.Type == cluster.Listed {
			if _, there, err := s.cluster.Get(ctx, id); err == nil && !there {
				return nil
			}
		}
	}
	return fmt.Errorf("namespace %s: %w", name, context.Cause(ctx))
}

// lookOut begins to watch sources and units.
func (s *stage) lookOut(ctx context.Context) (err error) {
	if s.feeds, err = look(ctx, s.cluster, cluster.Selection{Kind: gitRepository, Namespace: benchNamespace}, feedFactOf); err != nil {
		return err
	}
	s.units, err = look(ctx, s.cluster, cluster.Selection{Kind: kustomization, Namespace: benchNamespace}, unitFactOf)
	return err
}

func (s *stage) unlook() {
	if s.feeds != nil {
		s.feeds.close()
	}
	if s.units != nil {
		s.units.close()
	}
	s.feeds, s.units = nil, nil
}

// lookAtDeployments begins to watch the Deployments.
func (s *stage) lookAtDeployments(ctx context.Context) (*lookout[deploymentFact], error) {
	return look(ctx, s.cluster, cluster.Selection{Kind: deployment, Namespace: benchNamespace}, deploymentFactOf)
}

// request asks for a look at an object now, as `flux reconcile` does. The token
// is new each time.
func (s *stage) request(ctx context.Context, id object.ID, token string) error {
	data := fmt.Sprintf(`{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":%q}}}`, token)
	_, err := s.cluster.Patch(ctx, id, cluster.Patch{Type: cluster.MergePatch, Data: []byte(data)}, cluster.How{Manager: bare.Manager})
	return err
}

// notice has the controller look at a repository now, as a webhook would.
func (s *stage) notice(ctx context.Context, ns, repo string) error {
	return s.request(ctx, object.ID{Kind: gitRepository, Namespace: ns, Name: repo}, token())
}

// token returns a token that was not there before.
func token() string { return time.Now().Format(time.RFC3339Nano) }

// nextVersion returns a version that no Deployment has had.
func (s *stage) nextVersion() string {
	s.version++
	return "v" + strconv.Itoa(s.version)
}

// readyAt returns what is true of a unit that is ready at a revision.
func readyAt(revision string) func(unitFact) bool {
	return func(f unitFact) bool { return f.ready && f.applied == revision && f.observed == f.generation }
}

// calm waits until nobody writes to the API server any more: what Kubernetes'
// own controllers do about the last change would cost the next measurement.
// After a minute it is content.
func (s *stage) calm(ctx context.Context) error {
	enough := time.After(time.Minute)
	beat := time.NewTicker(time.Second)
	defer beat.Stop()
	last := -1
	for {
		r, err := read(ctx, s.kube)
		if err != nil {
			return err
		}
		writes := r.requests.Count(func(r Request) bool { return r.writes() && !background(r) })
		if writes == last {
			return nil
		}
		last = writes
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-enough:
			s.log.Warn("the cluster does not come to rest")
			return nil
		case <-beat.C:
		}
	}
}

// background reports whether a request is of those that go on when all is still.
func background(r Request) bool {
	return r.Resource == "leases.coordination.k8s.io" || r.Resource == "nodes" || strings.HasPrefix(r.Resource, "events")
}

// onDeath sets what is called if the controller ends by itself.
func (s *stage) onDeath(abort context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.abort = abort
}

// watchOver ends the workload if the controller ends by itself.
func (s *stage) watchOver(c *controller) {
	<-c.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.abort != nil && !c.stopping.Load() {
		s.abort(c.ended())
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// A Config says what cluster up should start.
type Config struct {
	Data       string // directory; "" means a fresh temporary one
	Keep       bool   // leave the directory when the cluster stops
	Nodes      int    // at least this many
	Kubeconfig string // file; "" means kubeconfig in the directory
}

const (
	startTimeout = 2 * time.Minute       // of the whole cluster
	pollInterval = 25 * time.Millisecond // of what start-up waits for
)

// up runs a cluster until ctx is done or a component dies. It must be called on
// the main thread.
func up(ctx context.Context, config Config) (err error) {
	d, err := openData(config.Data)
	if err != nil {
		return err
	}
	c := &cluster{data: d, keep: config.Keep, kubeconfig: d.file("kubeconfig"), began: time.Now()}
	defer func() { err = errors.Join(err, c.down()) }()
	if config.Kubeconfig != "" {
		if c.kubeconfig, err = filepath.Abs(config.Kubeconfig); err != nil {
			return err
		}
	}

	ctx, c.died = context.WithCancelCause(ctx)
	if err := c.start(ctx, config.Nodes); err != nil {
		return c.cause(ctx, err)
	}
	fmt.Printf("ready: KUBECONFIG=%s\n", c.kubeconfig)
	<-ctx.Done()
	return c.cause(ctx, nil)
}

// A cluster is what runs on a data directory.
type cluster struct {
	data       *data
	keep       bool
	kubeconfig string
	began      time.Time

	client *kubernetes.Clientset
	port   *reservation

	died    context.CancelCauseFunc // told of the first death
	running []*process              // in the order of their start
	tell    sync.Mutex              // held to print progress
}

// cause returns why ctx is done, which is a death or a signal; err if it is
// not. A signal is an error only if it came too early, that is if there is an
// err.
func (c *cluster) cause(ctx context.Context, err error) error {
	var dead *deathError
	switch why := context.Cause(ctx); {
	case why == nil:
		return err
	case errors.As(why, &dead):
		return dead
	case err != nil:
		return errors.New("interrupted before it was ready")
	}
	return nil
}

// start brings c up and returns when it is ready. The components that need an
// API server start when there is one: before that they would only take its CPU.
// They are ready when they have done something in it, which may have been in
// an earlier life of c.
func (c *cluster) start(ctx context.Context, nodes int) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := c.prepare(); err != nil {
		return err
	}
	if err := c.run(ctx,
		step{etcdComponent, c.etcdListens},
		step{apiserverComponent, c.apiserverReady},
	); err != nil {
		return err
	}
	if err := c.makeNodes(ctx, nodes); err != nil {
		return err
	}
	return c.run(ctx,
		step{managerComponent, c.accountExists},
		step{schedulerComponent, nil},
		step{kwokComponent, c.nodesReady},
	)
}

// prepare fills the data directory and finds the port.
func (c *cluster) prepare() (err error) {
	if c.port, err = reserve(c.data.port()); err != nil {
		return err
	}
	if err := c.data.fill(c.port.port); err != nil {
		return fmt.Errorf("fill %s: %w", c.data.path, err)
	}
	if err := c.data.writeKubeconfig("admin", c.port.port, c.kubeconfig); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1 // no limit
	c.client, err = kubernetes.NewForConfig(config)
	return err
}

// A step of the start: a component, and what shows that it is at work.
type step struct {
	component component
	ready     func(context.Context) (bool, error) // nil if nothing does
}

// run starts components at once and returns when all are at work.
func (c *cluster) run(ctx context.Context, steps ...step) error {
	for _, step := range steps {
		if err := c.launch(step.component); err != nil {
			return err
		}
	}
	errs := make([]error, len(steps))
	var group sync.WaitGroup
	for i, step := range steps {
		group.Go(func() { errs[i] = c.await(ctx, step) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// launch starts a component, and watches over it.
func (c *cluster) launch(what component) error {
	p, err := start(c.data.path, what.name, what.args(c.port.port))
	if err != nil {
		return err
	}
	c.running = append(c.running, p)
	go func() {
		<-p.done
		c.died(p.death()) // of no effect when c is stopping
	}()
	return nil
}

// await returns when step is done.
func (c *cluster) await(ctx context.Context, step step) error {
	if step.ready == nil {
		c.progress(step.component.name, "started")
		return nil
	}
	var last error
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (ok bool, _ error) {
		ok, last = step.ready(ctx)
		return ok, nil
	})
	if err != nil {
		return fmt.Errorf("wait for %s: %w", step.component.name, errors.Join(err, last))
	}
	c.progress(step.component.name, "ready")
	return nil
}

func (c *cluster) progress(name, how string) {
	c.tell.Lock()
	defer c.tell.Unlock()
	fmt.Fprintf(os.Stderr, "%-24s%-8s %4.1fs\n", name, how, time.Since(c.began).Seconds())
}

// etcdListens does not connect: the path may be too long for that.
func (c *cluster) etcdListens(context.Context) (bool, error) {
	_, err := os.Stat(c.data.file(etcdSocket))
	return err == nil, err
}

func (c *cluster) apiserverReady(ctx context.Context) (bool, error) {
	err := c.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	return err == nil, err
}

func (c *cluster) accountExists(ctx context.Context) (bool, error) {
	_, err := c.client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
	return err == nil, err
}

func (c *cluster) nodesReady(ctx context.Context) (bool, error) {
	nodes, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(nodes.Items, notReady), nil
}

func notReady(n corev1.Node) bool {
	return !slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// makeNodes makes the nodes that are not there yet.
func (c *cluster) makeNodes(ctx context.Context, count int) error {
	for i := range count {
		_, err := c.client.CoreV1().Nodes().Create(ctx, node(fmt.Sprintf("node-%d", i)), metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("make node %d: %w", i, err)
		}
	}
	return nil
}

// node is a node as its kubelet would register it, with room for any test.
func node(name string) *corev1.Node {
	room := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("1k"),
		corev1.ResourceMemory:           resource.MustParse("4Ti"),
		corev1.ResourceEphemeralStorage: resource.MustParse("64Ti"),
		corev1.ResourcePods:             resource.MustParse("100k"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				corev1.LabelHostname:   name,
				corev1.LabelOSStable:   "linux",
				corev1.LabelArchStable: "amd64",
			},
		},
		Status: corev1.NodeStatus{
			Capacity:    room,
			Allocatable: room,
			NodeInfo: corev1.NodeSystemInfo{
				KubeletVersion:  moduleVersion("k8s.io/kubernetes"),
				OperatingSystem: "linux",
				Architecture:    "amd64",
			},
		},
	}
}

// down stops all that runs, last started first, and removes what should not
// stay. Nobody will read data that goes anyway, so its writers are not asked to
// finish.
func (c *cluster) down() error {
	if c.died != nil {
		c.died(context.Canceled) // deaths are no news from here on
	}
	stop := (*process).kill
	if c.keep {
		stop = (*process).stop
	}
	for _, p := range slices.Backward(c.running) {
		stop(p)
	}
	if c.port != nil {
		c.port.release()
	}
	if c.keep {
		c.data.close()
		return nil
	}
	return errors.Join(os.RemoveAll(c.kubeconfig), c.data.remove())
}

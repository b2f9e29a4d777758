package kube_test

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/clustertest"
	"github.com/sane-gitops/sane/cluster/kube"
)

// connect returns the API server that the environment names.
func connect(t testing.TB, opts kube.Options) *kube.Cluster {
	c, err := kube.New(configured(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// configured returns the configuration that connect uses.
func configured(t testing.TB) *rest.Config {
	file := os.Getenv("SANE_TEST_KUBECONFIG")
	if file == "" {
		t.Skip("SANE_TEST_KUBECONFIG names no kubeconfig of an API server to test against (devcluster up starts one)")
	}
	config, _, err := kube.Config(file, "")
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestCluster(t *testing.T) {
	c := connect(t, kube.Options{})
	clustertest.Run(t, func(*testing.T) cluster.Cluster { return c })
}

func TestLost(t *testing.T) {
	clustertest.RunLost(t, func(t *testing.T) (cluster.Cluster, func(bool)) {
		config, l := configured(t), &line{}
		config.Dial = l.dial
		c, err := kube.New(config, kube.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return c, l.cut
	})
}

// A line is what connections go over, and can be cut.
type line struct {
	mu    sync.Mutex
	down  bool       // guarded by mu
	conns []net.Conn // guarded by mu
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		conn.Close()
		return nil, errors.New("the line is down")
	}
	l.conns = append(l.conns, conn)
	return conn, nil
}

func (l *line) cut(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

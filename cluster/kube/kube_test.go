package kube_test

import (
	"os"
	"testing"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/clustertest"
	"github.com/sane-gitops/sane/cluster/kube"
)

// connect returns the API server that the environment names.
func connect(t testing.TB, opts kube.Options) *kube.Cluster {
	file := os.Getenv("SANE_TEST_KUBECONFIG")
	if file == "" {
		t.Skip("SANE_TEST_KUBECONFIG names no kubeconfig of an API server to test against (devcluster up starts one)")
	}
	config, _, err := kube.Config(file, "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := kube.New(config, opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCluster(t *testing.T) {
	c := connect(t, kube.Options{})
	clustertest.Run(t, func(*testing.T) cluster.Cluster { return c })
}

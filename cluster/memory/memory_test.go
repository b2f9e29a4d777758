package memory_test

import (
	"testing"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/clustertest"
	"github.com/sane-gitops/sane/cluster/memory"
)

func TestCluster(t *testing.T) {
	clustertest.Run(t, func(*testing.T) cluster.Cluster { return memory.New() })
}

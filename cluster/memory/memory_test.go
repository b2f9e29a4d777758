package memory_test

import (
	"testing"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/clustertest"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/object"
)

func TestCluster(t *testing.T) {
	clustertest.Run(t, func(*testing.T) cluster.Cluster { return memory.New() })
}

func TestLost(t *testing.T) {
	clustertest.RunLost(t, func(*testing.T) (cluster.Cluster, func(bool)) {
		c := memory.New()
		return c, func(lost bool) {
			if !lost {
				c.Fail(nil)
				return
			}
			c.Fail(func(string, object.ID) error { return cluster.ErrUnavailable })
			c.Lose()
		}
	})
}

package main

import (
	"context"
	"strings"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/cluster/kube"
	"github.com/sane-gitops/sane/unit"
)

// way returns how to reach the cluster that l lets in at.
func way(l unit.Login, office *cloud.Office) kube.Way {
	if l.Cloud != cloud.Generic {
		return cloudWay(l, office)
	}
	audiences := strings.Split(l.Audiences, "\n")
	return kube.Way{
		Find:    func(context.Context) (kube.Spot, error) { return kube.Spot{Address: l.Address, CA: l.CA}, nil },
		Token:   func(ctx context.Context) (string, error) { return office.AccountToken(ctx, l.Account, audiences...) },
		Refused: func() { office.ForgetAccount(l.Account, audiences...) },
	}
}

// cloudWay returns how to reach a cluster that a cloud knows.
func cloudWay(l unit.Login, office *cloud.Office) kube.Way {
	c := cloud.Cluster{Identity: l.Identity, Name: l.Cluster, Spot: cloud.Spot{Address: l.Address, CA: l.CA}}
	return kube.Way{
		Find: func(ctx context.Context) (kube.Spot, error) {
			spot, err := office.Find(ctx, c)
			return kube.Spot(spot), err
		},
		Token:   func(ctx context.Context) (string, error) { return office.ClusterToken(ctx, c) },
		Refused: func() { office.ForgetCluster(c) },
	}
}

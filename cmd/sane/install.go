package main

import (
	"github.com/sane-gitops/sane/cli"
	"github.com/sane-gitops/sane/install"
	"github.com/sane-gitops/sane/object"
)

func manifests(i cli.Installation) ([]object.Object, error) {
	if i.CRDsOnly {
		return install.CRDs(), nil
	}
	o := install.Options{Namespace: i.Namespace, Image: i.Image}
	if i.Image == "" && release != "" {
		o.Image = "ghcr.io/sane-gitops/sane:" + release
	}
	return install.Manifests(o), nil
}

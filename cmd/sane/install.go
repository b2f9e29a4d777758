package main

import (
	"strings"

	"github.com/sane-gitops/sane/cli"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/install"
	"github.com/sane-gitops/sane/object"
)

func manifests(i cli.Installation) ([]object.Object, error) {
	if i.CRDsOnly {
		return install.CRDs(), nil
	}
	if err := (flux.Config{Controllers: i.Controllers}).Check(); err != nil {
		return nil, err
	}
	o := install.Options{Namespace: i.Namespace, Image: i.Image, ServeArtifacts: i.ServeArtifacts, Web: i.Web, WebURL: i.WebURL}
	if len(i.Controllers) > 0 {
		o.Args = append(o.Args, "--controllers="+strings.Join(i.Controllers, ","))
	}
	if i.Image == "" && release != "" {
		o.Image = "ghcr.io/sane-gitops/sane:" + release
	}
	return install.Manifests(o), nil
}

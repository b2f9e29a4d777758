package main

import (
	"errors"

	"github.com/sane-gitops/sane/cli"
	"github.com/sane-gitops/sane/object"
)

func manifests(i cli.Installation) ([]object.Object, error) {
	return nil, errors.New("not there yet")
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sane-gitops/sane/cli"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/artifact"
	"github.com/sane-gitops/sane/source/bucket"
	"github.com/sane-gitops/sane/source/git"
	"github.com/sane-gitops/sane/source/oci"
	"github.com/sane-gitops/sane/source/unpack"
)

// sources returns all sources, by source.Remote.Type, and what closes them.
func sources(p *cli.Place, e cli.Equipment) (map[string]source.Source, func() error, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	repos, err := git.New(git.Config{Dir: filepath.Join(e.Dir, "git"), Office: p.Office, Ciphers: git.Ciphers{KeyExchange: e.KeyExchange, HostKey: e.HostKey}, Tunnel: []string{self, tunnelCommand}, Log: e.Log})
	if err != nil {
		return nil, nil, err
	}
	store, err := unpack.Open(unpack.Config{Dir: filepath.Join(e.Dir, "unpacked"), Log: e.Log})
	if err != nil {
		return nil, nil, errors.Join(err, repos.Close())
	}
	artifacts := artifact.New(artifact.Config{Store: store, Host: os.Getenv("SOURCE_CONTROLLER_LOCALHOST")})
	images := oci.New(oci.Config{Store: store, Office: p.Office})
	buckets := bucket.New(bucket.Config{Store: store, Office: p.Office})
	all := map[string]source.Source{"git": repos, "oci": images, "bucket": buckets, "artifact": artifacts}
	return all, func() error {
		return errors.Join(artifacts.Close(), buckets.Close(), images.Close(), store.Close(), repos.Close())
	}, nil
}

// tunnelCommand is the command of the processes by which ssh goes by a proxy.
const tunnelCommand = "ssh-tunnel"

// sshTunnel joins the ssh that started this process to its server.
func sshTunnel() int {
	if err := git.Tunnel(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// shelve returns where others get what sources hold.
func shelve(o cli.Offering) (cli.Shelf, error) {
	return artifact.OpenShelf(artifact.ShelfConfig{Dir: o.Dir, TTL: o.TTL, Records: o.Records, Log: o.Log})
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cli"
	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/kube"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/render/kustomize"
	"github.com/sane-gitops/sane/render/plain"
	"github.com/sane-gitops/sane/render/sops"
	"github.com/sane-gitops/sane/render/substitute"
	"github.com/sane-gitops/sane/render/worker"
	"github.com/sane-gitops/sane/report/event"
	"github.com/sane-gitops/sane/report/webhook"
	"github.com/sane-gitops/sane/unit"
)

// program wires all the parts together.
func program() cli.Program {
	return cli.Program{
		Version: version(),
		Language: ask.Language{
			Nouns: []ask.Noun{
				{Kind: flux.Kustomization, Names: []string{"kustomization", "kustomizations", "ks"}},
				{Kind: flux.GitRepository, Names: []string{"gitrepository", "gitrepositories", "gitrepo", "git"}, Feed: true},
				{Kind: flux.OCIRepository, Names: []string{"ocirepository", "ocirepositories", "ocirepo", "oci"}, Feed: true},
				{Kind: flux.Bucket, Names: []string{"bucket", "buckets"}, Feed: true},
			},
			Request:  "reconcile.fluxcd.io/requestedAt",
			Pause:    []string{"spec", "suspend"},
			Away:     []string{"spec", "kubeConfig"},
			Approve:  flux.Approve,
			Approver: flux.ApprovedBy,
			Gates:    []string{flux.ExternalArtifact.Name},
		},
		Connect:   connect,
		Dialect:   speak,
		Equip:     equip,
		Offer:     shelve,
		Manifests: manifests,
		Site:      site,
		Bench:     benchmark,
	}
}

func speak(s cli.Speech) (dialect.Dialect, error) {
	c := flux.Config{
		Guard: s.Guard, NoCrossNamespace: s.NoCrossNamespace, DefaultServiceAccount: s.DefaultServiceAccount, Controllers: s.Controllers,
		Gates: s.Gates, Early: s.Early, ArtifactBase: s.ArtifactBase, AgeSecret: s.AgeSecret, KubeconfigAccount: s.KubeconfigAccount,
		DecryptionAccount: s.DecryptionAccount, VaultConfigMap: s.VaultConfigMap,
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	for name, why := range c.Idle() {
		cmp.Or(s.Log, slog.Default()).Info("feature gate chooses nothing here", "gate", name, "why", why)
	}
	return flux.New(c), nil
}

func connect(d cli.Dial) (*cli.Place, error) {
	config, namespace, err := kube.Config(d.Kubeconfig, d.Context)
	if err != nil {
		return nil, fmt.Errorf("find a cluster: %w", err)
	}
	options := kube.Options{UserAgent: "sane/" + version(), Observe: d.Observe}
	c, err := kube.New(config, options)
	if err != nil {
		return nil, err
	}
	office := cloud.NewOffice(cloud.OfficeConfig{Account: c.AccountToken, Max: d.Tokens, Most: d.TokensFor, Heard: d.Token})
	return &cli.Place{
		Cluster: c, Namespace: namespace, Kind: c.Kind, Version: c.Version, Review: c.Review, Office: office,
		Remote: func(at unit.Place) (cluster.Cluster, error) {
			if at.Kubeconfig == "" {
				return kube.New(kube.Reach(way(at.Login, office)), options)
			}
			config, err := kube.Remote([]byte(at.Kubeconfig))
			if err != nil {
				return nil, err
			}
			return kube.New(config, options)
		},
		Lead: func(ctx context.Context, l cli.Lease, run func(context.Context)) error {
			return kube.Lead(ctx, c, kube.Lease{Namespace: l.Namespace, Name: l.Name, Identity: l.Identity, Lasts: l.Lasts, Deadline: l.Deadline, Retry: l.Retry}, run)
		},
	}, nil
}

func equip(p *cli.Place, e cli.Equipment) (*cli.Gear, error) {
	sources, closeSources, err := sources(p, e)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, errors.Join(err, closeSources())
	}
	pool := worker.New(worker.Config{Command: []string{self, workerCommand}, Log: e.Log})
	kept := filepath.Join(e.Dir, "rendered")
	if e.Quiet {
		kept = ""
	}
	keeper, err := render.NewKeeper(sops.Guard{Next: render.First(plain.Renderer{}, sops.Escort{Next: pool, Office: p.Office})}, render.Config{Dir: kept, Log: e.Log})
	if err != nil {
		return nil, errors.Join(err, pool.Close(), closeSources())
	}
	g := &cli.Gear{Gear: ask.Gear{
		Sources:  sources,
		Renderer: keeper,
		Close:    func() error { return errors.Join(keeper.Close(), pool.Close(), closeSources()) },
	}}
	if !e.Quiet {
		if g.Sinks, err = sinks(p, e); err != nil {
			return nil, errors.Join(err, g.Close())
		}
	}
	return g, nil
}

// sinks returns what is told of events.
func sinks(p *cli.Place, e cli.Equipment) (map[string]cli.Sink, error) {
	instance, _ := os.Hostname()
	all := map[string]cli.Sink{
		"event": event.New(event.Config{Writer: p.Cluster, Log: e.Log, Instance: instance}),
	}
	if e.Events != "" {
		hook, err := webhook.New(webhook.Config{URL: e.Events, Log: e.Log, Instance: instance})
		if err != nil {
			return nil, err
		}
		all["webhook"] = hook
	}
	return all, nil
}

// workerCommand is the command of the processes that render for this one. It
// is seen to before all else, so that they start fast.
const workerCommand = "render-worker"

// renderWorker renders on behalf of the process that started this one.
func renderWorker() int {
	built := render.First(plain.Renderer{}, kustomize.Renderer{})
	all := render.First(kustomize.Renderer{}, substitute.Renderer{Next: sops.Renderer{Next: built}})
	if err := worker.Serve(os.Stdin, os.Stdout, all); err != nil {
		fmt.Fprintln(os.Stderr, "render-worker:", err)
		return 1
	}
	return 0
}

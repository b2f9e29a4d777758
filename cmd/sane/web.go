package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cli"
	"github.com/sane-gitops/sane/commit"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/git"
	"github.com/sane-gitops/sane/web"
)

// site returns the pages about a place.
func site(p *cli.Place, s cli.Showing) (cli.Site, error) {
	c := web.Config{
		Desk: *s.Desk, Kind: p.Kind, Elsewhere: elsewhere, Lend: lend, Version: version(),
		Journal: s.Journal, Told: s.Told,
		Door: web.Door{Pass: s.Door.Pass, URL: s.Door.URL, Seal: s.Door.Seal},
	}
	if s.Door.Pass == "" {
		c.Door.Review = p.Review
	}
	if o := s.Door.OIDC; o.Issuer != "" {
		c.Door.OIDC = &web.OIDC{
			Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: o.ClientSecret, Scopes: o.Scopes,
			UsernameClaim: o.UsernameClaim, UsernamePrefix: o.UsernamePrefix, GroupsClaim: o.GroupsClaim, GroupsPrefix: o.GroupsPrefix,
		}
	}
	return web.New(c)
}

// lend returns the way in at a repository by the credentials of a remote.
func lend(ctx context.Context, gear *ask.Gear, at source.Remote) (commit.Way, func(), error) {
	repos, ok := gear.Sources[at.Type].(*git.Source)
	if !ok {
		return commit.Way{}, nil, fmt.Errorf("sources of type %q are not written to", at.Type)
	}
	w, err := repos.Lend(ctx, at)
	if err != nil {
		return commit.Way{}, nil, err
	}
	return commit.Way{URL: w.URL, Env: w.Env, Hide: w.Hide}, w.Close, nil
}

// elsewhere names the cluster that a unit is kept in by what holds its kubeconfig.
func elsewhere(o object.Object) string {
	ref, _ := o.Get("spec", "kubeConfig")
	if ref == nil {
		return ""
	}
	return cmp.Or(o.Text("spec", "kubeConfig", "secretRef", "name"), o.Text("spec", "kubeConfig", "configMapRef", "name"), "elsewhere")
}

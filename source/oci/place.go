package oci

import (
	"context"
	"fmt"
	"strings"
	"time"

	"oras.land/oras-go/v2/registry"

	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/web"
)

const scheme = "oci://"

// A place is a repository in a registry, and what it takes to get in.
type place struct {
	registry.Reference // without a tag
	source.Access
	insecure bool
	timeout  time.Duration
	name     string // "oci://registry.example.com/team/app"
	key      string // begins with name and a space; stands for all but timeout
	route    string // stands for all of key but who gets in
}

// parsePlace reads a remote.
func parsePlace(at source.Remote) (place, error) {
	name, ok := strings.CutPrefix(at.URL, scheme)
	if !ok {
		return place{}, web.Fail(source.ErrURL, "the URL must begin with %s", scheme)
	}
	if strings.Contains(name, "@") {
		return place{}, web.Fail(source.ErrURL, "the URL must name no digest, and no user: use spec.ref.digest and spec.secretRef")
	}
	r, err := registry.ParseReference(strings.TrimSuffix(name, "/"))
	if err != nil {
		return place{}, web.Fail(source.ErrURL, "the URL is not %sregistry/repository: %s", scheme, err)
	}
	if r.Reference != "" {
		return place{}, web.Fail(source.ErrURL, "the URL must name no tag: put %q in spec.ref.tag", r.Reference)
	}
	if r.Registry == "docker.io" && !strings.Contains(r.Repository, "/") {
		r.Repository = "library/" + r.Repository
	}
	p := place{Reference: r, Access: at.Access, insecure: at.Insecure, timeout: at.Timeout, name: scheme + r.String()}
	if p.timeout == 0 {
		p.timeout = time.Minute
	}
	p.key = p.name + " " + p.wayIn()
	p.route = p.name + " " + web.Key(web.Route(p.Access), p.Registry, fmt.Sprint(p.insecure))
	return p, nil
}

// wayIn names what it takes to get in at the registry.
func (p place) wayIn() string { return web.Key(p.Access, p.Registry, fmt.Sprint(p.insecure)) }

// sameName reports whether a key is that of a place of this name.
func sameName(key, name string) bool { return strings.HasPrefix(key, name+" ") }

func (p place) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, p.timeout, web.Fail(source.ErrNetwork, "no answer within %s", p.timeout))
}

// shownURL is a URL as it may be printed.
func shownURL(url string) string {
	if i := strings.LastIndexByte(url, '@'); i >= 0 && !strings.HasPrefix(url[i:], "@sha") {
		return scheme + "…" + url[i:]
	}
	return url
}

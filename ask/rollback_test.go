package ask

import (
	"context"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/trace"
)

func TestEarlier(t *testing.T) {
	const a, b, c = "main@sha1:aaaa3d2e4b5a69788796a5b4c3d2e1f00f1e2d3c", "main@sha1:aaab3d2e4b5a69788796a5b4c3d2e1f00f1e2d3c", "main@sha1:cccc3d2e4b5a69788796a5b4c3d2e1f00f1e2d3c"
	entry := func(rev, digest string, well bool) any {
		how := "HealthCheckFailed"
		if well {
			how = "ReconciliationSucceeded"
		}
		return map[string]any{"digest": digest, "lastReconciledStatus": how, "metadata": map[string]any{"revision": rev}}
	}
	o := object.Of(map[string]any{"status": map[string]any{"history": []any{
		entry(a, "1", true), entry(a, "2", true), entry(b, "3", false), entry(c, "4", true),
	}}})
	d := &Desk{}
	for _, x := range []struct{ said, want, err string }{
		{a, a, ""}, {"main@sha1:cccc3d2e", c, ""}, {"cccc", c, ""}, {"sha1:aaab3d", b, ""},
		{"HEAD~0", a, ""}, {"HEAD~1", b, ""}, {"~2", c, ""}, {"previous", c, ""},
		{"0123456789012345678901234567890123456789", "0123456789012345678901234567890123456789", ""},
		{"aaa", "", "is no revision that its status remembers: main@sha1:aaaa3d2e, main@sha1:aaab3d2e, main@sha1:cccc3d2e; any other commit goes by its whole id"},
		{"main", "", "is no revision"}, {"", "", "is no revision"},
		{"HEAD~3", "", "no more than 3 revisions"},
		{"aaa" + "a", a, ""},
	} {
		got, err := d.Earlier(o, x.said)
		if got != x.want || (err == nil) != (x.err == "") || err != nil && !strings.Contains(err.Error(), x.err) {
			t.Errorf("%q is %q, %v; want %q, %q", x.said, got, err, x.want, x.err)
		}
	}
	for _, x := range []struct{ said, want string }{
		{"main@sha1:cccc3d2e", c}, {"cccc3d2e", c}, {c[10:], c}, {"cccc3d2e4", c}, {"HEAD~1", b}, {"~2", c},
		{"cccc", "cccc"}, {"cccc3d2f", "cccc3d2f"}, {"main", "main"}, {"", ""}, {"HEAD~3", "HEAD~3"}, {"previous", "previous"},
	} {
		if got := Meant(o, x.said); got != x.want {
			t.Errorf("where any may be meant, %q is %q; want %q", x.said, got, x.want)
		}
	}
	twins := object.Of(map[string]any{"status": map[string]any{"history": []any{entry(a, "1", true), entry(strings.Replace(a, "3c", "4c", 1), "2", true)}}})
	if _, err := d.Earlier(twins, "aaaa3d"); err != nil && !strings.Contains(err.Error(), " or ") || err == nil {
		t.Errorf("one of two that begin alike is meant: %v", err)
	}
	if _, err := d.Earlier(object.Of(map[string]any{}), "previous"); err == nil {
		t.Error("there is nothing before nothing")
	}
}

func TestStrayed(t *testing.T) {
	old := fstest.MapFS{"apps/web/k": {Data: []byte("1")}, "base/a": {Data: []byte("1")}, "base/b": {Data: []byte("1")}, "lib/deep/x": {Data: []byte("1")}, "same": {}, "gone": {}}
	now := fstest.MapFS{"apps/web/k": {Data: []byte("2")}, "apps/api": {}, "base/a": {Data: []byte("2")}, "base/b": {Data: []byte("1")}, "lib/deep/x": {Data: []byte("2")}, "lib/y": {}, "same": {}, "new": {}}
	reads := trace.New(old)
	for _, name := range []string{"apps/web/k", "base/a", "base/b", "lib/deep/x", "same", "gone", "new"} {
		_, _ = fs.ReadFile(reads, name)
	}
	for _, name := range []string{"apps", "lib", "base"} {
		_, _ = fs.ReadDir(reads, name)
	}
	names, listings, err := Strayed(reads.Log(), "apps/web", old, now)
	if err != nil || !reflect.DeepEqual(names, []string{"base/a", "gone", "lib", "new"}) || !reflect.DeepEqual(listings, []string{"apps"}) {
		t.Errorf("%q, %q, %v", names, listings, err)
	}
	if names, listings, _ = Strayed(reads.Log(), ".", old, now); names != nil || listings != nil {
		t.Errorf("outside of the root there are %q, %q", names, listings)
	}
}

func TestHome(t *testing.T) {
	c := memory.New(append(memory.Kinds("kustomize.toolkit.fluxcd.io/v1", "Kustomization"), memory.Kinds("source.toolkit.fluxcd.io/v1", "GitRepository", "Bucket")...)...)
	d := &Desk{Cluster: c, Dialect: flux.New(flux.Config{})}
	put := func(o map[string]any) {
		t.Helper()
		if _, err := c.Apply(context.Background(), object.Of(o), cluster.How{Manager: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	put(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "apps"}})
	for _, x := range []struct {
		name string
		kind string
		spec map[string]any
		path string
		want string // branch and path
		err  string
	}{
		{"branch", "GitRepository", map[string]any{"ref": map[string]any{"branch": "main"}}, "./apps/web/", "main apps/web", ""},
		{"default", "GitRepository", map[string]any{}, "", "master .", ""},
		{"ref", "GitRepository", map[string]any{"ref": map[string]any{"name": "refs/heads/a/b"}}, "/x", "a/b x", ""},
		{"pull", "GitRepository", map[string]any{"ref": map[string]any{"name": "refs/pull/1/head"}}, "", "", "it follows refs/pull/1/head and no branch"},
		{"range", "GitRepository", map[string]any{"ref": map[string]any{"semver": "1.x"}}, "", "", "it follows tags in the range 1.x and no branch"},
		{"pinned", "GitRepository", map[string]any{"ref": map[string]any{"branch": "main", "commit": "4204876ba8c7112864c0312481fb9a7d83985e91"}}, "", "", "it follows the commit 4204876ba8c7112864c0312481fb9a7d83985e91 and no branch"},
		{"secret", "GitRepository", map[string]any{"secretRef": map[string]any{"name": "none"}, "ref": map[string]any{"branch": "main"}}, "", "main .", ""},
		{"odd", "GitRepository", map[string]any{"url": "ftp://example.com/x"}, "", "", "url"},
		{"bucket", "Bucket", map[string]any{"bucketName": "x", "endpoint": "example.com"}, "", "", "it is not in Git; put the older objects into the bucket again"},
		{"none", "", nil, "", "", "is not there"},
	} {
		if x.spec != nil {
			spec := map[string]any{"interval": "1m", "url": "https://example.com/x"}
			if x.kind == "Bucket" {
				delete(spec, "url")
			}
			for k, v := range x.spec {
				spec[k] = v
			}
			put(map[string]any{"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": x.kind, "metadata": map[string]any{"name": x.name, "namespace": "apps"}, "spec": spec})
		}
		kind := x.kind
		if kind == "" {
			kind = "GitRepository"
		}
		u := object.Of(map[string]any{"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": map[string]any{"name": x.name, "namespace": "apps"},
			"spec": map[string]any{"interval": "1m", "prune": true, "path": x.path, "sourceRef": map[string]any{"kind": kind, "name": x.name}}})
		h, err := d.Home(t.Context(), u, dialect.Nothing{})
		if got := h.Branch + " " + h.Path; x.err == "" && (err != nil || got != x.want) || x.err != "" && (err == nil || !strings.Contains(err.Error(), x.err)) {
			t.Errorf("%s: %s, %v; want %s, %s", x.name, got, err, x.want, x.err)
		}
	}
}

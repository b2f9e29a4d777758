package cli_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/internal/gitserver"
)

// Others push while a rollback is being made.
func TestRollbackLosesNoRace(t *testing.T) {
	home := t.TempDir()
	for k, v := range map[string]string{"HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home, "GIT_CONFIG_NOSYSTEM": "1",
		"GIT_AUTHOR_NAME": "Grace", "GIT_AUTHOR_EMAIL": "g@example.com", "GIT_COMMITTER_NAME": "Grace", "GIT_COMMITTER_EMAIL": "g@example.com"} {
		t.Setenv(k, v)
	}
	config := func(n int) string {
		return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: apps}\ndata: {n: %q}\n", fmt.Sprint(n))
	}
	for _, c := range []struct {
		name   string
		theirs map[string]string
		status string // at the end of what is printed
		says   string
		web    string // what of the path is there in the end
	}{
		{"elsewhere", map[string]string{"other": "3"}, "--with-source\n", "Somebody has pushed meanwhile: main@sha1:", config(1)},
		{"in the path", map[string]string{"web/web.yaml": config(3)}, "exit status 3\n", "web or what it reads has been changed by that: look again: somebody has pushed meanwhile", config(3)},
	} {
		t.Run(c.name, func(t *testing.T) {
			var srv *gitserver.Server
			var raced atomic.Bool
			srv, err := gitserver.Start(t.TempDir(), gitserver.Options{Hook: func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/git-receive-pack") && !raced.Swap(true) {
					if _, err := srv.Commit("apps", "main", "theirs", c.theirs); err != nil {
						t.Error(err)
					}
				}
				return false
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer srv.Close()
			if err := srv.Create("apps"); err != nil {
				t.Fatal(err)
			}
			ids, err := srv.Write("apps", "main", slices.Values([]gitserver.Commit{
				{Files: map[string]string{"web/web.yaml": config(1)}}, {Files: map[string]string{"web/web.yaml": config(2)}},
			}))
			if err != nil {
				t.Fatal(err)
			}
			w := memory.New(append(memory.Kinds("kustomize.toolkit.fluxcd.io/v1", "Kustomization"), memory.Kinds("source.toolkit.fluxcd.io/v1", "GitRepository")...)...)
			load(t, w, "test", []byte(strings.NewReplacer("URL", srv.URL("apps"), "FIRST", ids[0], "SECOND", ids[1]).Replace(`apiVersion: v1
kind: Namespace
metadata: {name: apps}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: apps, namespace: apps}
spec: {url: "URL", interval: 1m, ref: {branch: main}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: web, namespace: apps}
spec: {interval: 1m, prune: true, path: ./web, sourceRef: {kind: GitRepository, name: apps}}
status:
  history:
  - {digest: "sha256:2", lastReconciledStatus: HealthCheckFailed, metadata: {revision: "main@sha1:SECOND"}}
  - {digest: "sha256:1", lastReconciledStatus: ReconciliationSucceeded, metadata: {revision: "main@sha1:FIRST"}}
`)))
			p := program(w)
			p.Equip = make(tree).equip
			got := run(p, []string{"rollback", "web", "previous", "--yes"})
			if !strings.HasSuffix(got, c.status) || !strings.Contains(got, c.says) {
				t.Errorf("printed\n%s", got)
			}
			for name, want := range map[string]string{"web/web.yaml": c.web, "other": c.theirs["other"]} {
				out, err := exec.Command("git", "--git-dir", filepath.Join(string(srv.Repos), "apps"), "show", "main:"+name).Output()
				if want != "" && (err != nil || string(out) != want) {
					t.Errorf("%s is %q, %v; want %q", name, out, err, want)
				}
			}
		})
	}
}

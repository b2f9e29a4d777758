package cli_test

import (
	"strings"
	"testing"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/object"
)

// What Tab offers after each beginning of a command line. The shell takes of it what
// fits the word that is begun.
func TestCompletions(t *testing.T) {
	c := memory.New(append(
		memory.Kinds("kustomize.toolkit.fluxcd.io/v1", "Kustomization"),
		memory.Kinds("source.toolkit.fluxcd.io/v1", "GitRepository")...)...)
	load(t, c, "test", []byte(`apiVersion: v1
kind: Namespace
metadata: {name: apps}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: apps}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: repo, namespace: apps}
spec: {url: "https://example.com/apps.git", interval: 1m}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: db, namespace: apps}
spec: {interval: 1m, prune: true, sourceRef: {kind: GitRepository, name: repo}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: web, namespace: apps}
spec: {interval: 1m, prune: true, sourceRef: {kind: GitRepository, name: repo}}
status:
  history:
  - {digest: "sha256:2", lastReconciled: EARLIER, lastReconciledStatus: ReconciliationSucceeded, metadata: {revision: "main@sha1:1f0c3d2e4b5a69788796a5b4c3d2e1f00f1e2d3c"}}
  - {digest: "sha256:1", lastReconciled: EARLIER, lastReconciledStatus: HealthCheckFailed, metadata: {revision: "main@sha1:0a0b3d2e4b5a69788796a5b4c3d2e1f00f1e2d3c"}}
`))
	const revisions = "1f0c3d2e\tReconciliationSucceeded, 5h ago|0a0b3d2e\tHealthCheckFailed, 5h ago"
	for _, tt := range []struct{ line, want string }{
		{"tree |", "db|web"},
		{"tree w|", "db|web"},
		{"tree web |", ""},
		{"tree -o |", "json"},
		{"history |", "db|web"},
		{"history -o |", "wide|json"},
		{"events |", "db|web"},
		{"events -o |", "json"},
		{"logs |", "db|web|source"},
		{"logs configmap/|", "configmap/settings"},
		{"logs ks/w|", "ks/db|ks/web"},
		{"trace configmap |", "settings"},
		{"trace -o |", "json"},
		{"why git/|", "git/repo"},
		{"why nothing/|", ""},
		{"export |", "db|web|source"},
		{"export source |", "git"},
		{"export source git |", "repo"},
		{"check -o |", "json"},
		{"plan |", "db|web"},
		{"plan web --to |", revisions},
		{"plan web --from 0|", revisions},
		{"plan -o |", "markdown"},
		{"diff |", "db|web"},
		{"diff web |", revisions},
		{"diff web 1f0c3d2e |", revisions},
		{"diff web a b |", ""},
		{"diff -o |", "json|markdown"},
		{"rollback |", "db|web"},
		{"rollback web |", revisions},
		{"rollback web 1f0c3d2e |", ""},
		{"rollback db |", ""},
		{"get |", "db|web|source|units|sources|all"},
		{"get all |", ""},
		{"get sources |", "repo"},
		{"get units |", "db|web"},
		{"reconcile ks |", "db|web"},
		{"suspend git/|", "git/repo"},
		{"resume |", "db|web|source"},
		{"tree -n |", "apps|default|kube-system"},
	} {
		args := append(strings.Fields(strings.TrimSuffix(tt.line, "|")), "")
		if before, ok := strings.CutSuffix(tt.line, "|"); ok && !strings.HasSuffix(before, " ") {
			args = args[:len(args)-1]
		}
		out := run(program(c), append([]string{"__complete"}, args...))
		offered, _, ok := strings.Cut(out, "\n:")
		if !ok {
			offered, _, ok = strings.Cut("\n"+out, "\n:")
		}
		if got := strings.ReplaceAll(strings.Trim(offered, "\n"), "\n", "|"); !ok || got != tt.want {
			t.Errorf("sane %s: %q, want %q", tt.line, got, tt.want)
		}
	}
	c.Fail(func(string, object.ID) error { return cluster.ErrUnavailable })
	if out := run(program(c), []string{"__complete", "tree", ""}); !strings.HasPrefix(out, ":4\n") {
		t.Errorf("of a server that does not answer it offers %q", out)
	}
}

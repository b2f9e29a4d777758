// Package archtest checks who imports whom.
package archtest

import (
	"go/build"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sane-gitops/sane/"

// layers lists packages from the bottom up. A package may import only packages
// in layers below its own; "p/*" stands for the directories in p.
var layers = [][]string{
	{"digest", "fault", "delay", "lazy"},
	{"object", "cloud"},
	{"trace", "inventory", "health"},
	{"source", "health/expr"},
	{"source/unpack", "source/shared", "source/web"},
	{"render", "plan"},
	{"unit", "cluster", "report"},
	{"apply", "observe", "dialect", "diff"},
	{"source/*", "render/*", "cluster/*", "report/*", "dialect/*", "engine", "commit", "install", "internal/*", "plan/plantest"},
	{"ask", "web/draw"},
	{"cli", "web", "bench"},
	{"cmd/*"},
}

// heavy lists modules that only one package each may import.
var heavy = map[string]string{
	"k8s.io/client-go":                           "cluster/kube",
	"sigs.k8s.io/kustomize/api":                  "render/kustomize",
	"cel.dev/cel-go":                             "health/expr",
	"github.com/fluxcd/cli-utils":                "health",
	"github.com/fluxcd/kustomize-controller/api": "dialect/flux",
	"github.com/fluxcd/source-controller/api":    "dialect/flux",
	"github.com/go-git/go-git":                   "source",
	"oras.land/oras-go":                          "source/oci",
	"github.com/sigstore/":                       "source/oci",
	"github.com/notaryproject/":                  "source/oci",
	"github.com/minio/minio-go":                  "source/bucket",
	"github.com/ProtonMail/go-crypto":            "source/git",
	"github.com/golang-jwt/jwt":                  "source/git",
	"github.com/hiddeco/sshsig":                  "source/git",
	"github.com/spf13/cobra":                     "cli",
	"modernc.org/sqlite":                         "report/journal",
	"github.com/prometheus/client_golang":        "cli",
	"sigs.k8s.io/structured-merge-diff":          "plan",
	"github.com/fluxcd/pkg/envsubst":             "render/substitute",
	"filippo.io/age":                             "render/sops",
	"github.com/chromedp/":                       "internal/browser",
	"github.com/coreos/go-oidc":                  "web",
	"golang.org/x/oauth2":                        "web",
}

// exempt lists packages that may import a heavy module beside its home.
var exempt = map[string][]string{
	"cluster/memory":     {"sigs.k8s.io/structured-merge-diff"},
	"internal/ociserver": {"oras.land/oras-go"},
	"render/sops":        {"github.com/ProtonMail/go-crypto"},
	"cloud":              {"github.com/golang-jwt/jwt"},
}

func layer(pkg string) int {
	return slices.IndexFunc(layers, func(l []string) bool {
		return slices.ContainsFunc(l, func(p string) bool {
			ok, _ := path.Match(p, pkg)
			return ok
		})
	})
}

func TestLayers(t *testing.T) {
	each(t, func(dir string, imports []string) {
		if layer(dir) < 0 {
			t.Errorf("%s is in no layer", dir)
		}
		for _, imp := range imports {
			to, ok := strings.CutPrefix(imp, module)
			if ok && layer(to) >= layer(dir) {
				t.Errorf("%s must not import %s", dir, to)
			}
		}
	})
}

func TestHeavyModules(t *testing.T) {
	each(t, func(dir string, imports []string) {
		for _, imp := range imports {
			for mod, home := range heavy {
				if strings.HasPrefix(imp, mod) && dir != home && !slices.Contains(exempt[dir], mod) {
					t.Errorf("%s imports %s, which only %s may", dir, imp, home)
				}
			}
		}
	})
}

// each calls f for every directory with Go files, with what they import.
func each(t *testing.T, f func(dir string, imports []string)) {
	root := "../.."
	err := fs.WalkDir(os.DirFS(root), ".", func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || dir == "." {
			return err
		}
		if dir == "devcluster" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") || dir == "bin" {
			return fs.SkipDir
		}
		p, err := build.ImportDir(path.Join(root, dir), 0)
		if err == nil && len(p.GoFiles) > 0 {
			f(dir, p.Imports)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

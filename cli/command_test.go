package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/sane-gitops/sane/cli"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/object"
)

// TestCommands reads testdata/command/*.txtar: "objects" are in a cluster in
// memory; every other file is a command line and all that it prints, with its
// exit status if that is not 0. UPDATE=1 writes what it prints.
func TestCommands(t *testing.T) {
	files, err := filepath.Glob("testdata/command/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := memory.New(append(
				memory.Kinds("kustomize.toolkit.fluxcd.io/v1", "Kustomization"),
				memory.Kinds("source.toolkit.fluxcd.io/v1", "GitRepository")...)...)
			p := program(c)
			for i, f := range a.Files {
				if f.Name == "objects" {
					load(t, c, f.Data)
					continue
				}
				got := run(p, strings.Fields(f.Name))
				if os.Getenv("UPDATE") != "" {
					a.Files[i].Data = []byte(got)
				} else if got != string(f.Data) {
					t.Errorf("sane %s printed\n%s\nwant\n%s", f.Name, got, f.Data)
				}
			}
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(file, txtar.Format(a), 0o666); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func load(t *testing.T, c *memory.Cluster, data []byte) {
	for doc := range strings.SplitSeq(string(data), "---\n") {
		var m map[string]any
		if err := yaml.Unmarshal([]byte(doc), &m); err != nil {
			t.Fatal(err)
		}
		o := object.Of(m)
		status, _ := o.Get("status")
		if _, err := c.Apply(t.Context(), o.Without("status"), cluster.How{Manager: "test"}); err != nil {
			t.Fatal(err)
		}
		if st, ok := status.(map[string]any); ok {
			c.SetStatus(o.ID(), st)
		}
	}
}

// program returns a program whose only cluster is c.
func program(c cluster.Cluster) cli.Program {
	return cli.Program{
		Version: "v0",
		Language: cli.Language{
			Nouns: []cli.Noun{
				{Kind: flux.Kustomization, Names: []string{"kustomization", "ks"}},
				{Kind: flux.GitRepository, Names: []string{"gitrepository", "git"}, Feed: true},
			},
			Request: "reconcile.fluxcd.io/requestedAt",
			Pause:   []string{"spec", "suspend"},
		},
		Connect: func(cli.Dial) (*cli.Place, error) { return &cli.Place{Cluster: c, Namespace: "apps"}, nil },
		Dialect: func(cli.Speech) (dialect.Dialect, error) { return flux.New(flux.Config{}), nil },
		Manifests: func(i cli.Installation) ([]object.Object, error) {
			return []object.Object{object.Of(map[string]any{
				"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": i.Namespace},
			})}, nil
		},
		Now: func() time.Time { return time.Now().Add(3 * time.Hour) },
	}
}

// run returns all that a command prints, and its exit status.
func run(p cli.Program, args []string) string {
	var b bytes.Buffer
	if status := cli.Main(context.Background(), p, args, &b, &b); status != 0 {
		fmt.Fprintf(&b, "exit status %d\n", status)
	}
	return varies.ReplaceAllString(b.String(), "TIME")
}

var varies = regexp.MustCompile(`\b20\d\d-[0-9-]+T[0-9:]+Z|\bgo1\.[0-9.]+ \S+`)

package cli_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cli"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/render/plain"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// TestCommands reads testdata/command/*.txtar: "objects" are in a cluster in
// memory, and so are "objects NAME", of which NAME is the field manager; "repo/…"
// are files of the repository that all sources are; "said NAMESPACE/POD/CONTAINER" is
// what a container has said; "elsewhere" are objects in another cluster, which the
// kubeconfig "elsewhere" gets in at, and "said elsewhere …" is said there; every other file is a command
// line and all that it prints, with its exit status if that is not 0. UPDATE=1
// writes what it prints. EARLIER in objects is two hours before the test, which is
// five hours before the now of the commands, and UID(Pod/apps/web) is the UID of an
// object that comes before.
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
			other := memory.New()
			p := program(c, other)
			repo := make(tree)
			p.Equip = repo.equip
			for i, f := range a.Files {
				if name, ok := strings.CutPrefix(f.Name, "repo/"); ok {
					repo[name] = &fstest.MapFile{Data: f.Data}
					continue
				}
				if pod, ok := strings.CutPrefix(f.Name, "said elsewhere "); ok {
					speak(other, pod, f.Data)
					continue
				}
				if pod, ok := strings.CutPrefix(f.Name, "said "); ok {
					speak(c, pod, f.Data)
					continue
				}
				if f.Name == "elsewhere" {
					load(t, other, "test", f.Data)
					continue
				}
				if what, manager, _ := strings.Cut(f.Name, " "); what == "objects" {
					load(t, c, cmp.Or(manager, "test"), f.Data)
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

// A tree is the repository that all sources are, at every revision.
type tree fstest.MapFS

func (r tree) equip(*cli.Place, cli.Equipment) (*cli.Gear, error) {
	k, err := render.NewKeeper(plain.Renderer{}, render.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	return &cli.Gear{Gear: ask.Gear{Sources: map[string]source.Source{"git": r}, Renderer: k, Close: k.Close}}, nil
}

func (r tree) Resolve(_ context.Context, at source.Remote, ref source.Ref) (source.Revision, error) {
	if strings.Contains(at.URL, "broken") {
		return source.Revision{}, fmt.Errorf("resolve %s: %w", at.URL, source.ErrNetwork)
	}
	return source.Revision{Name: ref.Branch + "@sha1:" + ref.Commit}, nil
}

func (r tree) Fetch(_ context.Context, _ source.Remote, _ source.Ref, rev source.Revision) (*source.Snapshot, error) {
	return &source.Snapshot{Revision: rev, Tree: fstest.MapFS(r), Commit: source.Commit{
		Author: "Ann <ann@example.com>", Subject: "a change", When: time.Now().UTC().Truncate(time.Second).Add(-20 * time.Hour),
	}}, nil
}

// History implements [source.Historian]: one commit has made all of it.
func (r tree) History(_ context.Context, _ source.Remote, _ source.Ref, rev source.Revision, q source.Query) (source.Log, error) {
	log := source.Log{Looked: 1}
	if r[q.Path] != nil || q.Path == "" {
		log.Entries = append(log.Entries, source.Entry{ID: "sha1:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", Commit: source.Commit{
			Author: "Bob <bob@example.com>", Subject: "the first \x1b[31mcommit", When: time.Now().UTC().Truncate(time.Second).Add(-40 * time.Hour),
		}})
	}
	return log, nil
}

func speak(c *memory.Cluster, who string, text []byte) {
	parts := strings.Split(who, "/")
	c.Say(object.ID{Kind: object.Kind{Name: "Pod"}, Namespace: parts[0], Name: parts[1]}, parts[2], strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")...)
}

func load(t *testing.T, c *memory.Cluster, manager string, data []byte) {
	earlier := time.Now().UTC().Add(-2 * time.Hour).Format(time.RFC3339)
	for doc := range strings.SplitSeq(strings.ReplaceAll(string(data), "EARLIER", earlier), "---\n") {
		var m map[string]any
		doc = uidOf.ReplaceAllStringFunc(doc, func(s string) string {
			all := c.Objects()
			i := slices.IndexFunc(all, func(o object.Object) bool { return "UID("+o.ID().String()+")" == s })
			if i < 0 {
				t.Fatalf("%s: there is none", s)
			}
			return all[i].UID()
		})
		if err := yaml.Unmarshal([]byte(doc), &m); err != nil {
			t.Fatal(err)
		}
		o := object.Of(m)
		status, _ := o.Get("status")
		if _, err := c.Apply(t.Context(), o.Without("status"), cluster.How{Manager: manager, Force: true}); err != nil {
			t.Fatal(err)
		}
		if st, ok := status.(map[string]any); ok {
			c.SetStatus(o.ID(), st)
		}
	}
}

var uidOf = regexp.MustCompile(`UID\([^)]*\)`)

// program returns a program whose cluster is c. The kubeconfig "elsewhere" names
// another, if there is one.
func program(c cluster.Cluster, elsewhere ...cluster.Cluster) cli.Program {
	return cli.Program{
		Version: "v0",
		Language: ask.Language{
			Nouns: []ask.Noun{
				{Kind: flux.Kustomization, Names: []string{"kustomization", "ks"}},
				{Kind: flux.GitRepository, Names: []string{"gitrepository", "git"}, Feed: true},
			},
			Request: "reconcile.fluxcd.io/requestedAt",
			Pause:   []string{"spec", "suspend"},
			Away:    []string{"spec", "kubeConfig"},
		},
		Connect: func(cli.Dial) (*cli.Place, error) {
			return &cli.Place{Cluster: c, Namespace: "apps", Kind: kindOf, Remote: func(at unit.Place) (cluster.Cluster, error) {
				if string(at.Kubeconfig) != "elsewhere" || len(elsewhere) == 0 {
					return nil, errors.New("it is not a kubeconfig")
				}
				return elsewhere[0], nil
			}}, nil
		},
		Dialect: func(cli.Speech) (dialect.Dialect, error) { return flux.New(flux.Config{}), nil },
		Manifests: func(i cli.Installation) ([]object.Object, error) {
			return []object.Object{object.Of(map[string]any{
				"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": i.Namespace},
			})}, nil
		},
		Now: func() time.Time { return time.Now().Add(3 * time.Hour) },
	}
}

func kindOf(_ context.Context, word string) (object.Kind, error) {
	for _, k := range []object.Kind{{Group: "apps", Name: "Deployment"}, {Group: "apps", Name: "StatefulSet"}, {Group: "batch", Name: "Job"}, {Name: "ConfigMap"}, {Name: "Secret"}, {Name: "Pod"}, {Name: "Namespace"}} {
		if strings.HasPrefix(strings.ToLower(k.Name), word) {
			return k, nil
		}
	}
	return object.Kind{}, fmt.Errorf("%q is no kind of object: %w", word, cluster.ErrNoKind)
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

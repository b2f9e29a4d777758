package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
)

// A getting is one `sane get`.
type getting struct {
	*desk
	output string
	watch  bool

	at   *Place
	says dialect.Dialect
}

func getCommand(d *desk) *cobra.Command {
	g := &getting{desk: d}
	cmd := &cobra.Command{
		Use:   "get [units|sources|all] [NAME...]",
		Short: "Show units and sources: ready, at which revision, waiting on what",
		Example: `  sane get                   # units of this namespace
  sane get all -A            # everything, everywhere
  sane get sources -o wide
  sane get apps -o yaml
  sane get -w                # and then every change`,
		ValidArgsFunction: d.completeGet,
		RunE:              func(cmd *cobra.Command, args []string) error { return g.run(cmd.Context(), args) },
	}
	d.allNamespaces(cmd)
	f := cmd.Flags()
	f.StringVarP(&g.output, "output", "o", "", "`FORMAT`: json, yaml, wide or name")
	f.BoolVarP(&g.watch, "watch", "w", false, "go on showing every change")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml", "wide", "name"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (g *getting) run(ctx context.Context, args []string) (err error) {
	if !slices.Contains([]string{"", "json", "yaml", "wide", "name"}, g.output) {
		return fmt.Errorf("get: unknown output format %q: want json, yaml, wide or name", g.output)
	}
	nouns, names, err := g.nounsOf(args)
	if err != nil {
		return fmt.Errorf("get: %w", err)
	}
	if g.everywhere && len(names) > 0 {
		return errors.New("get: a name is in one namespace: use -n, not -A")
	}
	if g.at, err = g.place(); err != nil {
		return err
	}
	if g.says, err = g.spoken(); err != nil {
		return err
	}
	if g.watch {
		return g.follow(ctx, nouns, names)
	}
	return g.once(ctx, nouns, names)
}

// nounsOf returns what args ask to see.
func (g *getting) nounsOf(args []string) ([]ask.Noun, []string, error) {
	if len(args) == 0 {
		return g.Language.Units(), nil, nil
	}
	switch args[0] {
	case "units", "unit":
		return g.Language.Units(), args[1:], nil
	case "sources":
		return g.Language.Feeds(), args[1:], nil
	case "all":
		if len(args) > 1 {
			return nil, nil, errors.New("all has no names")
		}
		return slices.Concat(g.Language.Feeds(), g.Language.Units()), nil, nil
	}
	n, names, err := named(g.Language, args)
	return []ask.Noun{n}, names, err
}

// once shows how things stand now.
func (g *getting) once(ctx context.Context, nouns []ask.Noun, names []string) error {
	found := make([][]object.Object, len(nouns))
	n := 0
	for i, noun := range nouns {
		var err error
		if found[i], err = g.find(ctx, noun, names); err != nil {
			return err
		}
		n += len(found[i])
	}
	if n == 0 && g.output != "json" && g.output != "yaml" {
		g.sayNone()
		return nil
	}
	switch g.output {
	case "json", "yaml":
		return g.dump(slices.Concat(found...), len(names) == 1)
	case "name":
		return g.names(slices.Concat(found...))
	}
	return g.tables(ctx, nouns, found)
}

func (g *getting) sayNone() {
	if scope := g.scope(g.at); scope != "" {
		fmt.Fprintf(g.err, "No resources found in %s namespace.\n", scope)
	} else {
		fmt.Fprintln(g.err, "No resources found")
	}
}

// find returns the objects of a kind, or those with the given names.
func (g *getting) find(ctx context.Context, n ask.Noun, names []string) ([]object.Object, error) {
	if len(names) == 0 {
		return ask.List(ctx, g.at.Cluster, cluster.Selection{Kind: n.Kind, Namespace: g.scope(g.at)})
	}
	var out []object.Object
	for _, name := range names {
		o, err := ask.Must(ctx, g.at.Cluster, n.ID(g.at.Namespace, name))
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

func (g *getting) tables(ctx context.Context, nouns []ask.Noun, found [][]object.Object) error {
	first := true
	for i, n := range nouns {
		if len(found[i]) == 0 {
			continue
		}
		if !first {
			fmt.Fprintln(g.out)
		}
		first = false
		t := g.tableOf(n, len(nouns) > 1)
		for _, o := range found[i] {
			t.add(t.row(ctx, o)...)
		}
		if err := t.write(g.out); err != nil {
			return err
		}
	}
	return nil
}

func (g *getting) dump(objects []object.Object, single bool) error {
	var v any
	items := make([]any, 0, len(objects))
	for _, o := range objects {
		items = append(items, o.Without("metadata", "managedFields").Body())
	}
	if v = map[string]any{"apiVersion": "v1", "kind": "List", "metadata": map[string]any{}, "items": items}; single {
		v = items[0]
	}
	var data []byte
	var err error
	if g.output == "yaml" {
		data, err = yaml.Marshal(v)
	} else if data, err = json.MarshalIndent(v, "", "    "); err == nil {
		data = append(data, '\n')
	}
	if err != nil {
		return err
	}
	_, err = g.out.Write(data)
	return err
}

func (g *getting) names(objects []object.Object) error {
	for _, o := range objects {
		if _, err := fmt.Fprintln(g.out, kubectlName(o.ID())); err != nil {
			return err
		}
	}
	return nil
}

// kubectlName returns "kustomization.kustomize.toolkit.fluxcd.io/apps".
func kubectlName(id object.ID) string {
	return strings.ToLower(id.Kind.String()) + "/" + id.Name
}

// follow shows how things stand, and then every change, until ctx is done.
func (g *getting) follow(ctx context.Context, nouns []ask.Noun, names []string) error {
	if len(nouns) > 1 || len(names) > 1 {
		return errors.New("get: --watch follows one kind, or one object of it")
	}
	if g.output != "" && g.output != "wide" {
		return errors.New("get: --watch prints tables only")
	}
	sel := cluster.Selection{Kind: nouns[0].Kind, Namespace: g.scope(g.at)}
	if len(names) == 1 {
		sel.Name = names[0]
	}
	t := g.tableOf(nouns[0], false)
	listed := false
	for ch, err := range g.at.Cluster.Watch(ctx, sel) {
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case errors.Is(err, cluster.ErrNoKind), errors.Is(err, cluster.ErrForbidden):
			return err
		case err != nil:
			fmt.Fprintln(g.err, "sane:", err)
			continue
		}
		switch ch.Type {
		case cluster.Put:
			t.add(t.row(ctx, ch.Object)...)
		case cluster.Listed:
			if len(t.rows) == 0 && !listed {
				g.sayNone()
			}
			t.sort()
			listed = true
		}
		if listed && len(t.rows) > 0 {
			if err := t.write(g.out); err != nil {
				return err
			}
		}
	}
	return nil
}

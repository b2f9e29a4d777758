package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// completing is how long a person who has pressed Tab is kept waiting.
const completing = 3 * time.Second

// completeNamed completes the objects of reconcile, suspend and resume.
func (d *desk) completeNamed(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 1 && args[0] == "source" {
		return d.feedNames(), cobra.ShellCompDirectiveNoFileComp
	}
	if kind, _, ok := strings.Cut(begun, "/"); ok {
		n, err := d.Language.Named(kind)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return d.namesOf(cmd.Context(), n, kind+"/"), cobra.ShellCompDirectiveNoFileComp
	}
	n, _, err := named(d.Language, args)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	found := d.namesOf(cmd.Context(), n, "")
	if len(args) == 0 {
		found = append(found, "source")
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}

// completeGet completes what get shows.
func (d *desk) completeGet(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		found, how := d.completeNamed(cmd, args, begun)
		return append(found, "units", "sources", "all"), how
	}
	switch args[0] {
	case "all":
		return nil, cobra.ShellCompDirectiveNoFileComp
	case "units", "unit":
		return d.completeUnits(cmd, nil, begun)
	case "sources":
		return d.namesOf(cmd.Context(), d.Language.Feeds()[0], ""), cobra.ShellCompDirectiveNoFileComp
	}
	return d.completeNamed(cmd, args, begun)
}

// completeUnits completes names of units.
func (d *desk) completeUnits(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return d.namesOf(cmd.Context(), d.Language.Units()[0], ""), cobra.ShellCompDirectiveNoFileComp
}

func (d *desk) completeNamespaces(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	found := d.listNames(cmd.Context(), func(*Place) cluster.Selection {
		return cluster.Selection{Kind: object.Kind{Name: "Namespace"}, Metadata: true}
	})
	return found, cobra.ShellCompDirectiveNoFileComp
}

// feedNames returns the words after "source".
func (d *desk) feedNames() []string {
	var out []string
	for _, n := range d.Language.Feeds() {
		out = append(out, n.Names[len(n.Names)-1])
	}
	return out
}

// namesOf returns the names of a kind's objects, with a prefix.
func (d *desk) namesOf(ctx context.Context, n ask.Noun, prefix string) []string {
	found := d.listNames(ctx, func(p *Place) cluster.Selection {
		return cluster.Selection{Kind: n.Kind, Namespace: p.Namespace, Metadata: true}
	})
	for i := range found {
		found[i] = prefix + found[i]
	}
	return found
}

// soon is ctx for as long as a shell waits. A completion may have none.
func soon(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx == nil {
		ctx = context.Background()
	}
	return context.WithTimeout(ctx, completing)
}

// listNames returns the names of selected objects; none if they can't be had
// soon.
func (d *desk) listNames(ctx context.Context, sel func(*Place) cluster.Selection) []string {
	ctx, cancel := soon(ctx)
	defer cancel()
	p, err := d.place()
	if err != nil {
		return nil
	}
	objects, _ := ask.List(ctx, p.Cluster, sel(p))
	var names []string
	for _, o := range objects {
		names = append(names, o.Name())
	}
	return names
}

// completeWhy completes units, sources and, after a kind, objects of any kind.
func (d *desk) completeWhy(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 1 && args[0] != "source" {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	word, _, slash := strings.Cut(begun, "/")
	prefix := word + "/"
	if !slash && len(args) == 1 {
		word, prefix, slash = args[0], "", true
	}
	if _, err := d.Language.Named(word); err == nil || !slash || word == "source" {
		return d.completeNamed(cmd, args, begun)
	}
	return d.objectNames(cmd.Context(), word, prefix), cobra.ShellCompDirectiveNoFileComp
}

// objectNames returns the names of objects of the kind that goes by a word, with
// a prefix.
func (d *desk) objectNames(ctx context.Context, word, prefix string) []string {
	ctx, cancel := soon(ctx)
	defer cancel()
	at, err := d.place()
	if err != nil {
		return nil
	}
	kind, err := d.kindOf(ctx, at, word)
	if err != nil {
		return nil
	}
	return d.namesOf(ctx, ask.Noun{Kind: kind}, prefix)
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/diff"
	"github.com/sane-gitops/sane/object"
)

// An exporting is one `sane export`.
type exporting struct {
	*desk
	secrets bool

	q *ask.Desk
}

func exportCommand(d *desk) *cobra.Command {
	e := &exporting{desk: d}
	cmd := &cobra.Command{
		Use:   "export [NAME...]",
		Short: "Print sources and units so that they can be applied elsewhere",
		Long: `Export prints the objects that ask for sources and units as YAML, without what a cluster
has added to them: first sources, then units. What they refer to, such as the Secret with a
password, is named on standard error, and printed only if that is asked for.`,
		Example: `  sane export -A > cluster.yaml
  sane export source git apps
  sane export web --with-secrets`,
		ValidArgsFunction: d.completeNamed,
		RunE:              func(cmd *cobra.Command, args []string) error { return e.run(cmd.Context(), args) },
	}
	d.allNamespaces(cmd)
	cmd.Flags().BoolVar(&e.secrets, "with-secrets", false, "print the Secrets and ConfigMaps that they refer to, too")
	return cmd
}

func (e *exporting) run(ctx context.Context, args []string) error {
	noun, names, err := named(e.Language, args)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if e.everywhere && len(names) > 0 {
		return errors.New("export: name objects, or ask for all namespaces")
	}
	var at *Place
	if e.q, at, err = e.questioning(); err != nil {
		return err
	}
	var all []object.Object
	switch {
	case len(names) > 0:
		for _, name := range names {
			o, err := ask.Must(ctx, e.q.Cluster, noun.ID(at.Namespace, name))
			if err != nil {
				return err
			}
			all = append(all, o)
		}
	case len(args) > 0:
		all, err = e.all(ctx, []ask.Noun{noun}, e.scope(at))
	default:
		all, err = e.all(ctx, append(e.Language.Feeds(), e.Language.Units()...), e.scope(at))
	}
	if err != nil {
		return err
	}
	needs, err := e.needs(ctx, all)
	if err != nil {
		return err
	}
	for _, o := range append(needs, all...) {
		text := diff.YAML(e.clean(o))
		if _, err := io.WriteString(e.out, "---\n"+strings.TrimRight(text, "\n")+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// all returns all objects of some kinds that the server knows.
func (e *exporting) all(ctx context.Context, nouns []ask.Noun, namespace string) ([]object.Object, error) {
	var out []object.Object
	for _, n := range nouns {
		found, err := ask.List(ctx, e.q.Cluster, cluster.Selection{Kind: n.Kind, Namespace: namespace})
		if err != nil && !errors.Is(err, cluster.ErrNoKind) {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// needs returns what objects refer to, if that is to be printed, and otherwise says
// what it is.
func (e *exporting) needs(ctx context.Context, all []object.Object) ([]object.Object, error) {
	seen := &noting{ctx: ctx, c: e.q.Cluster, lax: !e.secrets, found: make(map[object.ID]object.Object)}
	for _, o := range all {
		if _, err := e.q.Dialect.Read(o, seen); err != nil {
			return nil, fmt.Errorf("export %s: %w", o.ID(), err)
		}
	}
	var needs []object.Object
	for _, id := range slices.SortedFunc(maps.Keys(seen.found), object.Compare) {
		switch o := seen.found[id]; {
		case !e.secrets:
			fmt.Fprintf(e.err, "sane: %s is referred to, and not printed without --with-secrets\n", id)
		case o.IsZero():
			fmt.Fprintf(e.err, "sane: %s is referred to, and not there\n", id)
		default:
			needs = append(needs, o)
		}
	}
	return needs, nil
}

// A noting is a [dialect.Reader] that notes what it is asked for.
type noting struct {
	ctx   context.Context
	c     cluster.Reader
	lax   bool // what may not be seen is not there
	found map[object.ID]object.Object
}

func (n *noting) Get(id object.ID) (object.Object, bool, error) {
	if id.Kind.Group != "" || id.Kind.Name != "Secret" && id.Kind.Name != "ConfigMap" { // another source
		return object.Object{}, false, nil
	}
	if o, ok := n.found[id]; ok {
		return o, !o.IsZero(), nil
	}
	o, there, err := n.c.Get(n.ctx, id)
	if n.lax && errors.Is(err, cluster.ErrForbidden) {
		err = nil
	}
	n.found[id] = o
	return o, there, err
}

// clean returns an object without what is of its cluster alone: what the server and
// controllers have added, who keeps it there, and what somebody asked for once.
func (e *exporting) clean(o object.Object) object.Object {
	out := o.Without("status").Without("metadata")
	meta := map[string]any{"name": o.Name()}
	if o.Namespace() != "" {
		meta["namespace"] = o.Namespace()
	}
	labels := maps.Clone(o.Labels())
	if _, kept := e.q.Dialect.Owner(labels); kept {
		maps.DeleteFunc(labels, func(key, _ string) bool { return e.marks(o.Labels(), key) })
	}
	if len(labels) > 0 {
		meta["labels"] = anyMap(labels)
	}
	notes := make(map[string]string)
	v, _ := o.Get("metadata", "annotations")
	m, _ := v.(map[string]any)
	for key, value := range m {
		text, _ := value.(string)
		if key != e.Language.Request && key != e.Language.Approve && key != "kubectl.kubernetes.io/last-applied-configuration" {
			notes[key] = text
		}
	}
	if len(notes) > 0 {
		meta["annotations"] = anyMap(notes)
	}
	return out.With(meta, "metadata")
}

// marks reports whether a label is one of those by which an object says who keeps
// it.
func (e *exporting) marks(labels map[string]string, key string) bool {
	without := maps.Clone(labels)
	delete(without, key)
	_, kept := e.q.Dialect.Owner(without)
	return !kept
}

func anyMap(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

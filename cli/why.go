package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// An asking is one `sane why`.
type asking struct {
	*desk
	output string

	at     *Place
	answer *ask.Answer
}

// What is printed of an answer at the most.
const (
	maxLines  = 20
	maxFields = 20
	maxUsers  = 20
)

func whyCommand(d *desk) *cobra.Command {
	w := &asking{desk: d}
	cmd := &cobra.Command{
		Use:   "why KIND/NAME",
		Short: "Say why a unit, a source or any object is as it is",
		Long: `Why says why a thing is as it is.

Of a unit: what keeps it from being ready or from moving on, the first cause first,
down to the container that can't start or the person who suspended it.
Of any other object: which unit keeps it, from which file and line of which commit
it comes, in which fields it differs from what is wanted there and who changed them,
and why it is not healthy.
Of a source: its revision, why it could not be fetched, and which units use it.

All is asked of the cluster by your own rights. Nothing is changed. What lies in the
repository is read from there; what can't be read is said, and the rest answered.`,
		Example: `  sane why ks/apps
  sane why deploy/web -n apps
  sane why gitrepo apps -o json`,
		ValidArgsFunction: d.completeWhy,
		RunE:              func(cmd *cobra.Command, args []string) error { return w.run(cmd.Context(), args) },
	}
	cmd.Flags().StringVarP(&w.output, "output", "o", "", "`FORMAT`: json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (w *asking) run(ctx context.Context, args []string) (err error) {
	if w.output != "" && w.output != "json" {
		return fmt.Errorf("why: unknown output format %q: want json", w.output)
	}
	kind, name, err := about(w.Language, args)
	if err != nil {
		return fmt.Errorf("why: %w", err)
	}
	if w.at, err = w.place(); err != nil {
		return err
	}
	says, err := w.spoken()
	if err != nil {
		return err
	}
	id, err := w.find(ctx, w.at, kind, name)
	if err != nil {
		return fmt.Errorf("why: %w", err)
	}
	if w.answer, err = w.questions(w.at, says).Why(ctx, id); err != nil {
		return err
	}
	return w.tell()
}

// about returns the kind, as people call it, and the name that args mean.
func about(l ask.Language, args []string) (kind, name string, err error) {
	if len(args) > 1 && args[0] == "source" {
		args = args[1:]
	}
	switch len(args) {
	case 1:
		var ok bool
		if kind, name, ok = strings.Cut(args[0], "/"); !ok {
			kind, name = l.Units()[0].Names[0], args[0]
		}
	case 2:
		kind, name = args[0], args[1]
	}
	if kind == "" || name == "" || strings.Contains(name, "/") {
		return "", "", errors.New("which thing? name one, as KIND/NAME or KIND NAME")
	}
	return kind, name, nil
}

// find returns the ID of what goes by a kind and a name.
func (d *desk) find(ctx context.Context, at *Place, kind, name string) (object.ID, error) {
	k, err := d.kindOf(ctx, at, kind)
	if err != nil {
		return object.ID{}, err
	}
	id := object.ID{Kind: k, Namespace: at.Namespace, Name: name}
	namespaced, err := at.Cluster.Namespaced(ctx, k)
	if err == nil && !namespaced {
		id.Namespace = ""
	}
	return id, err
}

// kindOf returns the kind that goes by a word.
func (d *desk) kindOf(ctx context.Context, at *Place, word string) (object.Kind, error) {
	if n, err := d.Language.Named(word); err == nil {
		return n.Kind, nil
	}
	k, err := at.Kind(ctx, word)
	if errors.Is(err, cluster.ErrNoKind) {
		err = fmt.Errorf("%q is no kind of object that the server knows", word)
	}
	return k, err
}

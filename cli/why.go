package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// An asking is one `sane why`: what it has learnt so far.
type asking struct {
	*planning
	output string

	answer *answer
	about  object.ID                  // what is asked about
	told   map[object.ID]bool         // units that have been explained
	heard  map[string][]object.Object // warnings by namespace
	taken  map[point]*checkout
	stop   func() // gives back what it takes to read repositories; nil if it was not needed
}

// An answer is why a thing is as it is.
type answer struct {
	State   *reason    `json:"state"`
	MadeBy  []string   `json:"madeBy,omitempty"` // its controller, the controller of that, and so on
	Keeper  *keeper    `json:"keeper,omitempty"`
	Origin  *origin    `json:"origin,omitempty"`
	Tries   *origin    `json:"tries,omitempty"` // of a unit, where it has not got to
	Asks    []wish     `json:"asks,omitempty"`
	Differs []mismatch `json:"differs,omitempty"` // from what is wanted
	Strays  []stray    `json:"strays,omitempty"`  // fields of others, of which nothing is wanted
	UsedBy  []string   `json:"usedBy,omitempty"`
	Unknown []string   `json:"unknown,omitempty"` // what could not be learnt, and why
}

// A reason is something that is so, and what it is so for.
type reason struct {
	About   string    `json:"about"` // "Deployment/apps/web"
	Says    string    `json:"says"`
	Since   time.Time `json:"since,omitzero"`
	More    []string  `json:"more,omitempty"`
	Events  []warning `json:"events,omitempty"` // the newest, the newest first
	Do      string    `json:"do,omitempty"`     // what a person can do about it
	Because []*reason `json:"because,omitempty"`

	well bool // it is as it should be
}

// A keeper is the unit that keeps an object.
type keeper struct {
	Unit  string `json:"unit"` // "Kustomization/apps/web"; "" if nobody keeps it
	State string `json:"state,omitempty"`
	Doubt string `json:"doubt,omitempty"` // that its labels and the unit's inventory disagree
}

// What bounds an answer.
const (
	maxReasons = 20 // beside each other
	maxFields  = 20
	maxUsers   = 50
	maxEvents  = 3

	reading = 45 * time.Second // a repository
)

func whyCommand(d *desk) *cobra.Command {
	w := &asking{planning: newPlanning(d)}
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
	kind, name, err := w.Language.about(args)
	if err != nil {
		return fmt.Errorf("why: %w", err)
	}
	if w.at, err = w.place(); err != nil {
		return err
	}
	if w.says, err = w.spoken(); err != nil {
		return err
	}
	id, err := w.find(ctx, kind, name)
	if err != nil {
		return fmt.Errorf("why: %w", err)
	}
	defer func() {
		if w.stop != nil {
			w.stop()
		}
	}()
	w.answer, w.about = new(answer), id
	w.told, w.heard = make(map[object.ID]bool), make(map[string][]object.Object)
	w.taken = make(map[point]*checkout)
	if err := w.explain(ctx, id); err != nil {
		return err
	}
	return w.tell()
}

// about returns the kind, as people call it, and the name that args mean.
func (l Language) about(args []string) (kind, name string, err error) {
	if len(args) > 1 && args[0] == "source" {
		args = args[1:]
	}
	switch len(args) {
	case 1:
		var ok bool
		if kind, name, ok = strings.Cut(args[0], "/"); !ok {
			kind, name = l.nouns(false)[0].Names[0], args[0]
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
func (w *asking) find(ctx context.Context, kind, name string) (object.ID, error) {
	k, err := w.kindOf(ctx, w.at, kind)
	if err != nil {
		return object.ID{}, err
	}
	id := object.ID{Kind: k, Namespace: w.at.Namespace, Name: name}
	namespaced, err := w.at.Cluster.Namespaced(ctx, k)
	if err == nil && !namespaced {
		id.Namespace = ""
	}
	return id, err
}

// kindOf returns the kind that goes by a word.
func (d *desk) kindOf(ctx context.Context, at *Place, word string) (object.Kind, error) {
	if n, err := d.Language.noun(word); err == nil {
		return n.Kind, nil
	}
	k, err := at.Kind(ctx, word)
	if errors.Is(err, cluster.ErrNoKind) {
		err = fmt.Errorf("%q is no kind of object that the server knows", word)
	}
	return k, err
}

// explain finds out why an object is as it is.
func (w *asking) explain(ctx context.Context, id object.ID) error {
	o, there, err := w.at.Cluster.Get(ctx, id)
	if err != nil {
		return err
	}
	if !there {
		return w.absent(ctx, id)
	}
	switch n, ok := w.Language.of(id.Kind); {
	case !ok:
		return w.object(ctx, o)
	case n.Feed:
		return w.source(ctx, o)
	}
	w.answer.State = w.unit(ctx, o)
	return w.unitOrigin(ctx, o)
}

// unknown notes that something could not be learnt.
func (w *asking) unknown(format string, args ...any) {
	w.answer.Unknown = once(w.answer.Unknown, fmt.Sprintf(format, args...))
}

// once appends text to a list that does not have it yet.
func once(list []string, text string) []string {
	for _, s := range list {
		if s == text {
			return list
		}
	}
	return append(list, text)
}

// all returns all units or all sources, or those of the namespace if only they
// may be seen.
func (w *asking) all(ctx context.Context, nouns []Noun) ([]object.Object, error) {
	var all []object.Object
	for _, n := range nouns {
		found, err := list(ctx, w.at.Cluster, cluster.Selection{Kind: n.Kind})
		if errors.Is(err, cluster.ErrForbidden) {
			w.unknown("what is in other namespaces: %v", err)
			found, err = list(ctx, w.at.Cluster, cluster.Selection{Kind: n.Kind, Namespace: w.at.Namespace})
		}
		if err != nil && !errors.Is(err, cluster.ErrNoKind) {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// changedAt returns when a condition came to be as it is.
func changedAt(c map[string]any) time.Time { return at(c["lastTransitionTime"]) }

func at(v any) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, text(v))
	return t
}

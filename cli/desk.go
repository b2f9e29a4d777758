package cli

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
)

// A desk is what every command works at: the program, the streams, and the
// flags that all commands share.
type desk struct {
	Program
	out, err screen

	kubeconfig, context string
	namespace           string // "" means that of the context
	everywhere          bool   // all namespaces

	now func() time.Time
}

// open is called before a command runs.
func (d *desk) open(cmd *cobra.Command) {
	d.out, d.err = screenOf(cmd.OutOrStdout()), screenOf(cmd.ErrOrStderr())
}

// flags adds the flags that all commands share.
func (d *desk) flags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&d.kubeconfig, "kubeconfig", "", "`FILE` that says how to reach clusters (default $KUBECONFIG, then ~/.kube/config)")
	f.StringVar(&d.context, "context", "", "`NAME` of the context in the kubeconfig (default the current one)")
	f.StringVarP(&d.namespace, "namespace", "n", "", "`NAME` of the namespace (default that of the context)")
	_ = root.RegisterFlagCompletionFunc("namespace", d.completeNamespaces)
}

func (d *desk) allNamespaces(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&d.everywhere, "all-namespaces", "A", false, "in all namespaces")
}

// place reaches for the cluster that the flags name.
func (d *desk) place() (*Place, error) {
	p, err := d.Connect(Dial{Kubeconfig: d.kubeconfig, Context: d.context, Log: d.quietLog()})
	if err != nil {
		return nil, err
	}
	p.Namespace = cmp.Or(d.namespace, p.Namespace, "default")
	return p, nil
}

// quietLog is the log of commands that people read: warnings and worse.
func (d *desk) quietLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(d.err, &slog.HandlerOptions{Level: slog.LevelError}))
}

// spoken returns the dialect as it is when nobody asks for something special.
func (d *desk) spoken() (dialect.Dialect, error) {
	gates := make(map[string]bool)
	for _, g := range d.Language.Gates {
		gates[g] = true
	}
	return d.Dialect(Speech{Guard: true, Gates: gates})
}

// scope returns the namespace to list in: "" for all.
func (d *desk) scope(p *Place) string {
	if d.everywhere {
		return ""
	}
	return p.Namespace
}

// noun returns the noun that goes by a name.
func (l Language) noun(name string) (Noun, error) {
	name = strings.ToLower(name)
	var all []string
	for _, n := range l.Nouns {
		if slices.Contains(n.Names, name) || name == strings.ToLower(n.Kind.String()) {
			return n, nil
		}
		all = append(all, n.Names[0])
	}
	return Noun{}, fmt.Errorf("%q is no kind that is kept: want %s", name, strings.Join(all, " or "))
}

// nouns returns the nouns of units, or of feeds.
func (l Language) nouns(feed bool) []Noun {
	return slices.DeleteFunc(slices.Clone(l.Nouns), func(n Noun) bool { return n.Feed != feed })
}

// of returns the noun of a kind.
func (l Language) of(k object.Kind) (Noun, bool) {
	i := slices.IndexFunc(l.Nouns, func(n Noun) bool { return n.Kind == k })
	if i < 0 {
		return Noun{}, false
	}
	return l.Nouns[i], true
}

// named returns the noun and the names that args mean: "apps infra",
// "gitrepository/apps", "gitrepository apps", "source git apps".
func (l Language) named(args []string) (Noun, []string, error) {
	noun := l.nouns(false)[0]
	switch {
	case len(args) == 0:
		return noun, nil, nil
	case args[0] == "source" && len(args) == 1:
		return noun, nil, errors.New("which kind of source? say `source git NAME`")
	case args[0] == "source":
		n, err := l.noun(args[1])
		return n, args[2:], err
	case !strings.Contains(args[0], "/"):
		if n, err := l.noun(args[0]); err == nil {
			return n, args[1:], nil
		}
		return noun, args, nil
	}
	var names []string
	for i, a := range args {
		kind, name, ok := strings.Cut(a, "/")
		n, err := l.noun(kind)
		switch {
		case err != nil:
			return noun, nil, err
		case !ok || name == "":
			return noun, nil, fmt.Errorf("%q names no object: want KIND/NAME", a)
		case i > 0 && n.Kind != noun.Kind:
			return noun, nil, fmt.Errorf("%q and %q are of different kinds: name one kind at a time", args[0], a)
		}
		noun, names = n, append(names, name)
	}
	return noun, names, nil
}

// in returns the ID of an object of the noun's kind.
func (n Noun) in(namespace, name string) object.ID {
	return object.ID{Kind: n.Kind, Namespace: namespace, Name: name}
}

// A none is a [dialect.Reader] of a cluster that holds nothing.
type none struct{}

func (none) Get(object.ID) (object.Object, bool, error) { return object.Object{}, false, nil }

func env(key string) bool { return os.Getenv(key) != "" }

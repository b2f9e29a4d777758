package cli

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/unit"
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

// questions returns where questions about a place are asked.
func (d *desk) questions(at *Place, says dialect.Dialect) *ask.Desk {
	return &ask.Desk{
		Cluster: at.Cluster, Namespace: at.Namespace, Dialect: says, Language: d.Language, Remote: connected(at.Remote),
		Equip: func() (*ask.Gear, error) { return d.equip(at) }, Now: d.now, Log: d.quietLog(),
	}
}

// connected returns what connects to each place once.
func connected(connect func(unit.Place) (cluster.Cluster, error)) func(unit.Place) (cluster.Cluster, error) {
	if connect == nil {
		return nil
	}
	var mu sync.Mutex
	known := make(map[unit.Place]cluster.Cluster) // guarded by mu
	return func(p unit.Place) (cluster.Cluster, error) {
		mu.Lock()
		defer mu.Unlock()
		if c, ok := known[p]; ok {
			return c, nil
		}
		c, err := connect(p)
		if err == nil {
			known[p] = c
		}
		return c, err
	}
}

// equip gets what it takes to read repositories: from one command to the next
// their mirrors are kept, unless another one uses them now.
func (d *desk) equip(at *Place) (*ask.Gear, error) {
	dir, remove, err := cacheDir()
	if err != nil {
		return nil, err
	}
	gear, err := d.Equip(at, Equipment{Dir: dir, Quiet: true, Log: d.quietLog()})
	if err != nil {
		remove()
		if dir, remove, err = tempDir(); err != nil {
			return nil, err
		}
		if gear, err = d.Equip(at, Equipment{Dir: dir, Quiet: true, Log: d.quietLog()}); err != nil {
			remove()
			return nil, err
		}
	}
	return &ask.Gear{Sources: gear.Sources, Renderer: gear.Renderer, Close: func() error { defer remove(); return gear.Close() }}, nil
}

// cacheDir returns where mirrors are kept from one command to the next.
func cacheDir() (dir string, remove func(), err error) {
	if dir, err = os.UserCacheDir(); err != nil {
		return tempDir()
	}
	return filepath.Join(dir, "sane"), func() {}, nil
}

func tempDir() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp("", "sane-plan-")
	return dir, func() { os.RemoveAll(dir) }, err
}

// scope returns the namespace to list in: "" for all.
func (d *desk) scope(p *Place) string {
	if d.everywhere {
		return ""
	}
	return p.Namespace
}

// named returns the noun and the names that args mean: "apps infra",
// "gitrepository/apps", "gitrepository apps", "source git apps".
func named(l ask.Language, args []string) (ask.Noun, []string, error) {
	noun := l.Units()[0]
	switch {
	case len(args) == 0:
		return noun, nil, nil
	case args[0] == "source" && len(args) == 1:
		return noun, nil, errors.New("which kind of source? say `source git NAME`")
	case args[0] == "source":
		n, err := l.Named(args[1])
		return n, args[2:], err
	case !strings.Contains(args[0], "/"):
		if n, err := l.Named(args[0]); err == nil {
			return n, args[1:], nil
		}
		return noun, args, nil
	}
	var names []string
	for i, a := range args {
		kind, name, ok := strings.Cut(a, "/")
		n, err := l.Named(kind)
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

func env(key string) bool { return os.Getenv(key) != "" }

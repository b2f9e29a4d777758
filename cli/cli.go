// Package cli is the command line.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/commit"
)

// Exit statuses.
const (
	statusChanges = 1 // of plan and diff: something would change, or differs
	statusFailed  = 1 // of all others
	statusNoPlan  = 2 // of plan, diff and rollback: it could not be made
	statusHeld    = 3 // of plan: deletions would be held
	statusMoved   = 3 // of rollback: somebody else has changed the path meanwhile
)

// errChanges says that a plan would change something. It has been printed.
var errChanges = errors.New("there are changes")

// errHeld says that a plan would hold deletions. It has been printed.
var errHeld = errors.New("there are held deletions")

// Main runs the command that args ask for, until ctx is done, and returns its
// exit status.
func Main(ctx context.Context, p Program, args []string, out, errs io.Writer) int {
	root := Command(p)
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errs)
	cmd, err := root.ExecuteContextC(ctx)
	return conclude(errs, cmd, err)
}

// conclude says what went wrong, if anything, and returns the exit status.
func conclude(w io.Writer, cmd *cobra.Command, err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errChanges):
		return statusChanges
	case errors.Is(err, errUnfit):
		return statusFailed
	case errors.Is(err, errHeld):
		return statusHeld
	}
	for _, err := range each(err) {
		said := strings.ReplaceAll(strings.TrimSpace(advised(err)), "\n", "\n  ")
		if !cmd.HasParent() {
			said += "; see `sane --help`"
		}
		fmt.Fprintf(w, "sane: %s\n", said)
	}
	switch {
	case cmd.Name() == "plan" || cmd.Name() == "diff" || errors.Is(err, errNoPlan):
		return statusNoPlan
	case errors.Is(err, commit.ErrMoved):
		return statusMoved
	}
	return statusFailed
}

// failures are what went wrong with several things that have nothing to do with
// each other.
type failures []error

// failed returns what went wrong, or nil if nothing did.
func failed(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return failures(errs)
}

func (f failures) Error() string   { return errors.Join(f...).Error() }
func (f failures) Unwrap() []error { return f }

func each(err error) []error {
	var f failures
	if errors.As(err, &f) {
		return f
	}
	return []error{err}
}

// advised returns what went wrong and what to do about it.
func advised(err error) string {
	advice := ""
	switch {
	case errors.Is(err, cluster.ErrNoKind):
		advice = "does the cluster know Flux's kinds? `sane install --crds-only` adds them"
	case errors.Is(err, cluster.ErrUnavailable):
		advice = "is the cluster up, and is it the one you mean? (--context, --kubeconfig)"
	case errors.Is(err, cluster.ErrForbidden):
		advice = "your user needs that permission"
	}
	if advice == "" {
		return err.Error()
	}
	return strings.TrimRight(err.Error(), "\n") + "; " + advice
}

// Command returns the command tree.
func Command(p Program) *cobra.Command {
	d := &desk{Program: p, out: screenOf(os.Stdout), err: screenOf(os.Stderr), now: p.Now}
	if d.now == nil {
		d.now = time.Now
	}
	root := &cobra.Command{
		Use:   "sane",
		Short: "Sane keeps Kubernetes clusters as Git says",
		Long: `Sane keeps Kubernetes clusters as Git says. It speaks Flux's custom resources:
a GitRepository, an OCIRepository or a Bucket is a source, a Kustomization is a unit.`,
		SilenceUsage: true, SilenceErrors: true,
		PersistentPreRun: func(cmd *cobra.Command, _ []string) { d.open(cmd) },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())
	})
	d.flags(root)
	root.AddGroup(
		&cobra.Group{ID: "look", Title: "Look:"},
		&cobra.Group{ID: "act", Title: "Act:"},
		&cobra.Group{ID: "host", Title: "Run:"},
	)
	add(root, "look", getCommand(d), planCommand(d), whyCommand(d), treeCommand(d), historyCommand(d), diffCommand(d),
		traceCommand(d), eventsCommand(d), logsCommand(d), exportCommand(d), checkCommand(d))
	add(root, "act", reconcileCommand(d), suspendCommand(d), resumeCommand(d), rollbackCommand(d))
	add(root, "host", installCommand(d), runCommand(d), webCommand(d), demoCommand(d), BenchCommand(p.Bench))
	root.AddCommand(versionCommand(d))
	return root
}

func add(root *cobra.Command, group string, cmds ...*cobra.Command) {
	for _, c := range cmds {
		c.GroupID = group
		root.AddCommand(c)
	}
}

// alone is the check of a command that takes no arguments.
func alone(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, and got %q; see `%s --help`", cmd.Name(), args[0], cmd.CommandPath())
	}
	return nil
}

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
)

// Exit statuses.
const (
	statusChanges = 1 // of plan: something would change
	statusFailed  = 1 // of all others
	statusNoPlan  = 2 // of plan: it could not be made
)

// errChanges says that a plan would change something. It has been printed.
var errChanges = errors.New("there are changes")

// Main runs the command that args ask for and returns its exit status.
func Main(ctx context.Context, p Program, args []string) int {
	root := Command(p)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	return conclude(os.Stderr, cmd, err)
}

// conclude says what went wrong, if anything, and returns the exit status.
func conclude(w io.Writer, cmd *cobra.Command, err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errChanges):
		return statusChanges
	}
	fmt.Fprintf(w, "sane: %s\n", strings.TrimRight(advised(err), "\n"))
	if cmd.Name() == "plan" {
		return statusNoPlan
	}
	return statusFailed
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
	d := &desk{Program: p, out: screenOf(os.Stdout), err: screenOf(os.Stderr), now: time.Now}
	root := &cobra.Command{
		Use:   "sane",
		Short: "Sane keeps Kubernetes clusters as Git says",
		Long: `Sane keeps Kubernetes clusters as Git says. It speaks Flux's custom resources:
a GitRepository is a source, a Kustomization is a unit.`,
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
	add(root, "look", getCommand(d), planCommand(d))
	add(root, "act", reconcileCommand(d), suspendCommand(d), resumeCommand(d))
	add(root, "host", installCommand(d), runCommand(d))
	root.AddCommand(versionCommand(d))
	return root
}

func add(root *cobra.Command, group string, cmds ...*cobra.Command) {
	for _, c := range cmds {
		c.GroupID = group
		root.AddCommand(c)
	}
}

// takes returns a positional-argument check whose words say how the
// command is used.
func takes(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return fmt.Errorf("%w; usage: %s", err, cmd.UseLine())
		}
		return nil
	}
}

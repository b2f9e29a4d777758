package cli

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// A Benchmark is what is asked of a benchmark.
type Benchmark struct {
	N                 []int    // units: a run for each number
	Workloads         []string // nil means all
	Kubeconfig        string   // "" means to start a control plane with Devcluster
	Devcluster        string   // the program that is one
	Controller        string   // a shell command; "" means this program
	ControllerMetrics string   // host:port; "" means that the controller does not tell
	Commits, Drifts   int
	Idle              time.Duration
	Files, History    int
	Kustomize         bool
	Profiles          string // a directory; "" means none
	Keep              bool
	JSON              string // file to write to; "" means none

	Out, Err io.Writer // for the table, and for progress
}

// BenchCommand returns `sane bench`, which has run measure.
func BenchCommand(run func(context.Context, Benchmark) error) *cobra.Command {
	var b Benchmark
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a controller against the least that the work can cost",
		Long: `Bench measures a controller, this one or any other that speaks Flux's resources. It
starts a control plane and a Git server of its own, generates units of four objects, and
plays workloads on them. Beside each figure stands the floor: what a bare loop takes that
sends one server-side apply for each object that changes and one status write for each unit.

With --kubeconfig it uses a cluster that is there. Take one that nobody else uses: it
creates namespaces, applies the custom resource definitions and leaves the units behind.`,
		Example: `  sane bench --n 100 --workloads first,upgrade,commit
  sane bench --n 100,5000 --workloads commit --json commit.json
  sane bench --controller 'source-controller & exec kustomize-controller'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b.Out, b.Err = cmd.OutOrStdout(), cmd.ErrOrStderr()
			if f := cmd.Flag("kubeconfig"); f != nil { // of all commands
				b.Kubeconfig = f.Value.String()
			}
			return run(cmd.Context(), b)
		},
	}
	f := cmd.Flags()
	f.IntSliceVar(&b.N, "n", []int{1000}, "`UNITS` to make; several numbers for a run with each")
	f.StringSliceVar(&b.Workloads, "workloads", nil, "`NAMES` of what to measure: first, upgrade, commit, check, drift1, driftmany, restart, chain, idle, memory, monorepo (default all)")
	f.StringVar(&b.Devcluster, "devcluster", besideUs("devcluster"), "`PROGRAM` that starts a control plane, if there is no --kubeconfig")
	f.StringVar(&b.Controller, "controller", "", "shell `COMMAND` that runs another controller, with KUBECONFIG set")
	f.StringVar(&b.ControllerMetrics, "controller-metrics", "", "`HOST:PORT` of that controller's metrics")
	f.IntVar(&b.Commits, "commits", 50, "`NUMBER` of commits that touch one unit")
	f.IntVar(&b.Drifts, "drifts", 100, "`NUMBER` of foreign edits, each of another object")
	f.DurationVar(&b.Idle, "idle", 2*time.Minute, "`TIME` to watch it do nothing")
	f.IntVar(&b.Files, "files", 100_000, "`NUMBER` of other files in the monorepo")
	f.IntVar(&b.History, "history", 2_000, "`NUMBER` of commits in the monorepo")
	f.BoolVar(&b.Kustomize, "kustomize", false, "give each unit a kustomization.yaml")
	f.StringVar(&b.Profiles, "profiles", "", "`DIR` for profiles of the controller, which cost it a little")
	f.BoolVar(&b.Keep, "keep", false, "leave the directory with logs and repositories")
	f.StringVar(&b.JSON, "json", "", "`FILE` to write everything to")
	return cmd
}

// besideUs returns the path of a program in the directory of this one.
func besideUs(name string) string {
	self, err := os.Executable()
	if err != nil {
		return name
	}
	return filepath.Join(filepath.Dir(strings.TrimSuffix(self, " (deleted)")), name)
}

// Package bench measures a GitOps controller against the least that the work
// can cost.
//
// It starts a control plane, a Git server and the controller, generates units,
// and plays workloads on them. Beside each figure stands the floor: what a bare
// loop of server-side applies and status writes takes for the same, in the same
// run. Nothing that it measures is asked of the controller itself: it looks at
// what changes in the cluster, at the API server's metrics and at /proc. So it
// can measure any controller that speaks Flux's resources.
//
// Bottom up: stat.go, metrics.go and process.go read and reckon; lookout.go
// watches; units.go is what is generated; place.go, forge.go and controller.go
// are the processes; stage.go is all of them together; floor.go is the bare
// loop; workload.go says what a workload is, and the workloads are in sync.go,
// drift.go, quietly.go, chain.go and monorepo.go; report.go is what is printed.
package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// A Config says what to measure. The fields without a comment about their zero
// must be set.
type Config struct {
	N         []int    // units: a run for each number; nil means 1,000
	Workloads []string // nil means all

	Kubeconfig string // of the control plane; "" means to start one for each run with Devcluster
	Devcluster string // the devcluster program

	Self              []string // the command that `run` is appended to
	Controller        string   // a shell command to measure instead, with $KUBECONFIG set; "" means Self
	ControllerMetrics string   // host:port of that one's metrics; "" means that it does not tell

	Commits   int           // that touch one unit; 0 means 50
	Drifts    int           // foreign edits; 0 means 100
	Idle      time.Duration // 0 means 2 m
	Files     int           // of the monorepo, beside the units; 0 means 100,000
	History   int           // commits of the monorepo; 0 means 2,000
	Kustomize bool          // each unit has a kustomization.yaml; otherwise controllers make do without

	Profiles string // a directory for CPU profiles of the controller, which cost it something; "" means none

	Keep bool         // leave the directory with logs and repositories
	Log  *slog.Logger // nil means slog.Default()
}

func (c Config) complete() (Config, []Workload, error) {
	if len(c.N) == 0 {
		c.N = []int{1000}
	}
	c.Commits = cmp.Or(c.Commits, 50)
	c.Drifts = cmp.Or(c.Drifts, 100)
	c.Idle = cmp.Or(c.Idle, 2*time.Minute)
	c.Files = cmp.Or(c.Files, 100_000)
	c.History = cmp.Or(c.History, 2_000)
	c.Log = cmp.Or(c.Log, slog.Default())
	switch {
	case slices.ContainsFunc(c.N, func(n int) bool { return n < 1 }):
		return c, nil, errors.New("bench: there must be at least one unit")
	case c.Kubeconfig == "" && c.Devcluster == "":
		return c, nil, errors.New("bench: name a kubeconfig, or the devcluster program")
	case c.Kubeconfig != "" && len(c.N) > 1:
		return c, nil, errors.New("bench: several numbers of units need a new control plane each: leave the kubeconfig out")
	case c.Controller == "" && len(c.Self) == 0:
		return c, nil, errors.New("bench: no controller")
	}
	chosen, err := choose(c.Workloads)
	return c, chosen, err
}

// choose returns the workloads of those names, in the order of [Workloads].
func choose(names []string) ([]Workload, error) {
	if len(names) == 0 {
		return Workloads, nil
	}
	var all, chosen []string
	var out []Workload
	for _, w := range Workloads {
		all = append(all, w.Name)
		if slices.Contains(names, w.Name) {
			chosen, out = append(chosen, w.Name), append(out, w)
		}
	}
	for _, n := range names {
		if !slices.Contains(chosen, n) {
			return nil, fmt.Errorf("bench: there is no workload %q: choose of %s", n, strings.Join(all, ", "))
		}
	}
	return out, nil
}

// Run measures. Where it returns an error, the report holds what was measured
// before.
func Run(ctx context.Context, c Config) (Report, error) {
	c, chosen, err := c.complete()
	r := Report{Began: time.Now().UTC().Truncate(time.Second), Controller: c.Controller, Layout: "plain"}
	if c.Kustomize {
		r.Layout = "kustomize"
	}
	for _, n := range c.N {
		if err != nil {
			break
		}
		var run Round
		if run, err = c.run(ctx, n, chosen, &r.Machine); run.N > 0 {
			r.Rounds = append(r.Rounds, run)
		}
	}
	r.Growth = growth(r.Rounds)
	return r, err
}

// run measures with n units.
func (c Config) run(ctx context.Context, n int, chosen []Workload, m *Machine) (run Round, err error) {
	s, err := open(ctx, c, n)
	if err != nil {
		return run, err
	}
	defer s.close()
	if m.Server == "" {
		*m = machine(ctx, s.kube)
	}
	run.N = n
	c.Log.Info("measuring the floor", "units", n)
	setup, stop := context.WithTimeout(ctx, scale(15*time.Minute, n))
	defer stop()
	if run.Floor, err = s.measureFloor(setup); err != nil {
		return run, fmt.Errorf("measure the floor: %w", err)
	}
	s.floor = run.Floor
	if err := s.prepare(setup); err != nil {
		return run, fmt.Errorf("make the units: %w", err)
	}
	if !chosen[0].Lone { // the units must be there
		if p := s.play(ctx, Workloads[0]); p.Err != "" {
			return run, errors.New(p.Err)
		}
	}
	for _, w := range chosen {
		p := s.play(ctx, w)
		run.Plays = append(run.Plays, p)
		if ctx.Err() != nil {
			return run, ctx.Err()
		}
		if p.Err != "" && w.Lone {
			break // there is nothing to go on with
		}
	}
	return run, nil
}

// scale returns how long something may take with n units that may take d with
// up to 1,000.
func scale(d time.Duration, n int) time.Duration { return d * time.Duration(max(1000, n)) / 1000 }

// play runs one workload, on a stage where all is at rest.
func (s *stage) play(ctx context.Context, w Workload) Play {
	p := Play{Workload: w.Name, What: w.What}
	s.log.Info("playing", "workload", w.Name, "units", s.n)
	ctx, stop := context.WithTimeoutCause(ctx, scale(w.Time, s.n), fmt.Errorf("not over after %s", scale(w.Time, s.n)))
	defer stop()
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	s.onDeath(abort)
	defer s.onDeath(nil)
	err := s.rest(ctx)
	defer s.profile(w.Name)()
	if err == nil {
		p.Outcome, err = w.Run(ctx, s)
	}
	if err != nil {
		p.Err = err.Error()
		s.log.Error("failed", "workload", w.Name, "error", err)
	}
	for _, r := range p.Rows {
		s.log.Info("measured", "workload", w.Name, "what", r.What, "measured", r.Measured.String(), "floor", r.Floor.String(),
			"must", r.Goal.Text, "ok", r.Met())
	}
	return p
}

// rest waits until neither the controller nor the cluster has anything to do.
func (s *stage) rest(ctx context.Context) error {
	if s.controller != nil {
		if _, _, err := s.quiet(ctx); err != nil {
			return err
		}
	}
	return s.calm(ctx)
}

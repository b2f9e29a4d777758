package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/sane-gitops/sane/bench"
	"github.com/sane-gitops/sane/cli"
)

// benchmark measures, and prints what came of it. It is an error if a goal was
// not reached.
func benchmark(ctx context.Context, b cli.Benchmark) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := bench.Run(ctx, bench.Config{
		N: b.N, Workloads: b.Workloads, Kubeconfig: b.Kubeconfig, Devcluster: b.Devcluster,
		Self: []string{self}, Controller: b.Controller, ControllerMetrics: b.ControllerMetrics,
		Commits: b.Commits, Drifts: b.Drifts, Idle: b.Idle, Files: b.Files, History: b.History,
		Kustomize: b.Kustomize, Profiles: b.Profiles, Keep: b.Keep, Log: slog.New(slog.NewTextHandler(b.Err, nil)),
	})
	err = errors.Join(err, r.Text(b.Out), writeReport(r, b.JSON))
	if n := r.Missed(); err == nil && n > 0 {
		return fmt.Errorf("bench: %d goals were not reached", n)
	}
	return err
}

func writeReport(r bench.Report, file string) error {
	if file == "" {
		return nil
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(r.JSON(f), f.Close())
}

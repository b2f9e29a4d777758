package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

const usage = `usage:
  devcluster up [--data DIR] [--keep] [--nodes N] [--kubeconfig FILE]
  devcluster version`

func main() {
	// The kernel ends a child when the thread that started it ends. The main
	// goroutine starts all of them, so it must stay on the main thread.
	runtime.LockOSThread()
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "devcluster:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no command\n%s", usage)
	}
	switch args[0] {
	case "up":
		return runUp(args[1:])
	case "version":
		fmt.Println(versions())
		return nil
	case componentCommand:
		return runComponent(args[1:])
	}
	return fmt.Errorf("unknown command %q\n%s", args[0], usage)
}

func runUp(args []string) error {
	var c Config
	flags := flag.NewFlagSet("devcluster up", flag.ExitOnError)
	flags.StringVar(&c.Data, "data", "", "`DIR` of the cluster's data (default a fresh temporary directory)")
	flags.BoolVar(&c.Keep, "keep", false, "keep DIR when the cluster stops")
	flags.IntVar(&c.Nodes, "nodes", 1, "number of nodes")
	flags.StringVar(&c.Kubeconfig, "kubeconfig", "", "`FILE` to write the administrator's kubeconfig to (default DIR/kubeconfig)")
	_ = flags.Parse(args) // exits on error
	if flags.NArg() > 0 {
		return fmt.Errorf("up: unexpected argument %q", flags.Arg(0))
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // so that a second signal ends it at once
	return up(ctx, c)
}

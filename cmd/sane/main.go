// Sane keeps Kubernetes clusters as Git says.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/sane-gitops/sane/cli"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == workerCommand {
		os.Exit(renderWorker())
	}
	if len(os.Args) > 1 && os.Args[1] == tunnelCommand {
		os.Exit(sshTunnel())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // so that a second signal ends it at once
	os.Exit(cli.Main(ctx, program(), os.Args[1:], os.Stdout, os.Stderr))
}

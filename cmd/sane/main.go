// Sane keeps Kubernetes clusters as Git says.
package main

import (
	"context"
	"os"

	"github.com/sane-gitops/sane/cli"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == workerCommand {
		os.Exit(renderWorker())
	}
	os.Exit(cli.Main(context.Background(), program(), os.Args[1:], os.Stdout, os.Stderr))
}

package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func versionCommand(d *desk) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Say which version this is", Args: alone,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(d.out, "sane %s %s %s/%s\n", d.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
)

// A checking is one `sane check`.
type checking struct {
	*desk
	account string
	output  string
}

// errUnfit says that something was found that is in the way. It has been printed.
var errUnfit = errors.New("something is in the way")

func checkCommand(d *desk) *cobra.Command {
	c := &checking{desk: d}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check whether Sane can run in this cluster, and what is misconfigured",
		Long: `Check looks whether a cluster has what Sane needs: an API server that is new enough, the
definitions of its kinds, and the rights, which it asks about by reviews of your own access
or of a service account's; whether others keep the same objects; and whether sources and
units fit together. It changes nothing.

Each finding says what to do. The exit status is 0 if nothing is in the way, and 1 if
something is; what is only worth a look does not count.`,
		Example: `  sane check
  sane check --service-account sane -n flux-system     # as the controller; you need to impersonate it`,
		Args: alone,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&c.account, "service-account", "", "check the rights of the service account of this `NAME` in the namespace, rather than your own")
	f.StringVarP(&c.output, "output", "o", "", "`FORMAT`: json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (c *checking) run(ctx context.Context) error {
	if c.output != "" && c.output != "json" {
		return fmt.Errorf("check: unknown output format %q: want json", c.output)
	}
	q, at, err := c.questioning()
	if err != nil {
		return err
	}
	as := at.Cluster
	if c.account != "" {
		as = at.Cluster.As(cluster.User("system:serviceaccount:" + at.Namespace + ":" + c.account))
	}
	version := ""
	if at.Version != nil {
		if version, err = at.Version(ctx); err != nil {
			return err
		}
	}
	defs, err := c.Manifests(Installation{Namespace: at.Namespace, CRDsOnly: true})
	if err != nil {
		return err
	}
	all, err := q.Check(ctx, ask.Fitness{Version: version, Definitions: defs, As: as})
	if err != nil {
		return err
	}
	if c.output == "json" {
		err = c.printJSON(all)
	} else {
		err = c.print(all)
	}
	for _, f := range all {
		if err == nil && f.Grade == ask.Bad {
			return errUnfit
		}
	}
	return err
}

func (c *checking) print(all []ask.Finding) error {
	counts := make(map[ask.Grade]int)
	for _, f := range all {
		counts[f.Grade]++
		mark := map[ask.Grade]string{ask.Good: c.out.paint(green, "ok  "), ask.Odd: c.out.paint(yellow, "look"), ask.Bad: c.out.paint(red, "BAD ")}[f.Grade]
		fmt.Fprintf(c.out, "%s  %s\n", mark, safe(f.Says))
		if f.Do != "" {
			fmt.Fprintf(c.out, "      → %s\n", safe(f.Do))
		}
	}
	var ends []string
	for _, g := range []ask.Grade{ask.Bad, ask.Odd} {
		if n := counts[g]; n > 0 {
			ends = append(ends, fmt.Sprintf("%d %s", n, map[ask.Grade]string{ask.Bad: "in the way", ask.Odd: "worth a look"}[g]))
		}
	}
	if len(ends) == 0 {
		ends = []string{"nothing is in the way"}
	}
	_, err := fmt.Fprintf(c.out, "\n%s\n", strings.Join(ends, ", "))
	return err
}

package cli

import (
	"fmt"
	"log/slog"

	"github.com/spf13/pflag"
)

// An unneeded flag is one of Flux's controllers that chooses nothing here. It is
// accepted, so that their arguments can stay as they are.
type unneeded struct {
	name  string
	only  string // the value that it must have, if there is one
	why   string
	alone bool // it may stand without a value
}

var fluxFlags = []unneeded{
	{"requeue-dependency", "", "dependencies are watched", false},
	{"http-retry", "", "an artifact is asked for until it is there", false},
	{"no-remote-bases", "", "remote bases are never fetched", true},
	{"watch-configs-label-selector", "", "all ConfigMaps and Secrets that are used are watched, with or without labels", false},
	{"kube-api-qps", "", "the API server's own priority and fairness decides", false},
	{"kube-api-burst", "", "the API server's own priority and fairness decides", false},
	{"graceful-shutdown-timeout", "", "what is under way is stopped at once and taken up again after a restart", false},
	{"leader-election-release-on-cancel", "", "the lease is always given up", true},
	{"artifact-digest-algo", "sha256", "digests are SHA-256", false},
	{"insecure-kubeconfig-exec", "false", "kubeconfigs never make us run a program", true},
	{"insecure-kubeconfig-tls", "false", "servers are always asked for a certificate", true},
	{"helm-index-max-size", "", "Helm repositories are not kept", false},
	{"helm-chart-max-size", "", "Helm repositories are not kept", false},
	{"helm-chart-file-max-size", "", "Helm repositories are not kept", false},
	{"helm-cache-max-size", "", "Helm repositories are not kept", false},
	{"helm-cache-ttl", "", "Helm repositories are not kept", false},
	{"helm-cache-purge-interval", "", "Helm repositories are not kept", false},
}

// unneededFlags defines those flags.
func unneededFlags(f *pflag.FlagSet) {
	for _, u := range fluxFlags {
		f.String(u.name, u.only, "accepted and not needed: "+u.why)
		f.Lookup(u.name).Hidden = true
		if u.alone {
			f.Lookup(u.name).NoOptDefVal = "true"
		}
	}
}

// sayUnneeded tells the log of those that were given. It is an error if one asks
// for what is not to be had.
func sayUnneeded(f *pflag.FlagSet, log *slog.Logger) error {
	for _, u := range fluxFlags {
		switch flag := f.Lookup(u.name); {
		case !flag.Changed:
		case u.only != "" && flag.Value.String() != u.only:
			return fmt.Errorf("--%s=%s: %s", u.name, flag.Value, u.why)
		default:
			log.Info("--" + u.name + " is " + flag.Usage)
		}
	}
	return nil
}

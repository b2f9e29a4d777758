package cli

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// Flux's flags that choose nothing here are accepted with a word, but for those
// that ask for what is not to be had.
func TestUnneededFlags(t *testing.T) {
	for _, tt := range []struct{ args, log, err string }{
		{"", "", ""},
		{"--kube-api-qps=500 --kube-api-burst 1000", "--kube-api-qps is accepted", ""},
		{"--no-remote-bases", "remote bases are never fetched", ""},
		{"--requeue-dependency=5s", "dependencies are watched", ""},
		{"--artifact-digest-algo=sha256 --insecure-kubeconfig-exec=false", "SHA-256", ""},
		{"--artifact-digest-algo=blake3", "", "--artifact-digest-algo=blake3: digests are SHA-256"},
		{"--insecure-kubeconfig-tls", "", "--insecure-kubeconfig-tls=true: servers are always asked for a certificate"},
	} {
		f := pflag.NewFlagSet("run", pflag.ContinueOnError)
		unneededFlags(f)
		if err := f.Parse(strings.Fields(tt.args)); err != nil || f.NArg() > 0 {
			t.Errorf("%s: %v, and left are %q", tt.args, err, f.Args())
			continue
		}
		var log bytes.Buffer
		err := sayUnneeded(f, slog.New(slog.NewTextHandler(&log, nil)))
		if got := errorText(err); got != tt.err {
			t.Errorf("%s: error %q, want %q", tt.args, got, tt.err)
		}
		if tt.log == "" != (log.Len() == 0) || !strings.Contains(log.String(), tt.log) {
			t.Errorf("%s: logged %q, want %q in it", tt.args, &log, tt.log)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

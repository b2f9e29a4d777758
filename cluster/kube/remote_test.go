package kube_test

import (
	"strings"
	"testing"

	"github.com/sane-gitops/sane/cluster/kube"
)

const remoteConfig = `{apiVersion: v1, kind: Config, current-context: c,
contexts: [{name: c, context: {cluster: k, user: u}}],
clusters: [{name: k, cluster: {server: "https://example.com:6443"CLUSTER}}],
users: [{name: u, user: {token: SECRETUSER}}]}`

func TestRemote(t *testing.T) {
	for _, c := range []struct{ cluster, user, config, want string }{
		{},
		{cluster: `, insecure-skip-tls-verify: true`, want: "skips the verification"},
		{cluster: `, certificate-authority: /etc/ca`, want: "names a file"},
		{user: `, exec: {command: id, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}`, want: "runs a program"},
		{user: `, auth-provider: {name: gcp}`, want: "auth-provider"},
		{user: `, tokenFile: /var/run/secrets/token`, want: "names a file"},
		{user: `, client-certificate: /etc/cert`, want: "names a file"},
		{user: `, client-key: /etc/key`, want: "names a file"},
		{config: "{", want: "not valid"},
		{config: "SECRET", want: "not valid"},
		{config: "{apiVersion: v1, kind: Config}", want: "current-context"},
		{config: "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: k}}]}", want: "where the cluster"},
	} {
		text := c.config
		if text == "" {
			text = strings.NewReplacer("CLUSTER", c.cluster, "USER", c.user).Replace(remoteConfig)
		}
		got, err := kube.Remote([]byte(text))
		if err == nil {
			if c.want != "" {
				t.Errorf("%s: accepted; want an error about %q", text, c.want)
			} else if got.Host != "https://example.com:6443" || got.BearerToken != "SECRET" {
				t.Errorf("%s: reads as %s, %s", text, got.Host, got.BearerToken)
			}
			continue
		}
		if c.want == "" || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v; want an error about %q", text, err, c.want)
		}
	}
}

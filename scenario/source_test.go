package scenario

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/internal/gitserver"
)

// secret makes a Secret.
func (s *scene) secret(name string, data map[string]string) {
	s.Helper()
	text := "apiVersion: v1\nkind: Secret\nmetadata: {name: " + name + ", namespace: $NS}\ndata:\n"
	for _, k := range slices.Sorted(maps.Keys(data)) {
		text += fmt.Sprintf("  %s: %s\n", k, base64.StdEncoding.EncodeToString([]byte(data[k])))
	}
	s.apply(text)
}

// TestCredentials: a source with wrong credentials, and with the right ones in
// the same Secret. The GitRepository is not touched.
func TestCredentials(t *testing.T) {
	type secret = map[string]string
	for _, tt := range []struct {
		name        string
		opts        gitserver.Options
		wrong       secret // nil means none
		right       func(*gitserver.Server) secret
		reason      string
		unspeakable string
	}{
		{"basic", gitserver.Options{Username: "ada", Password: "right-pw"}, secret{"username": "ada", "password": "wrong-pw"},
			func(*gitserver.Server) secret { return secret{"username": "ada", "password": "right-pw"} }, "AuthenticationFailed", "wrong-pw"},
		{"no secret", gitserver.Options{Username: "ada", Password: "right-pw"}, nil,
			func(*gitserver.Server) secret { return secret{"username": "ada", "password": "right-pw"} }, "AuthenticationFailed", "right-pw"},
		{"bearer", gitserver.Options{Bearer: "right-token"}, secret{"bearerToken": "wrong-token"},
			func(*gitserver.Server) secret { return secret{"bearerToken": "right-token"} }, "AuthenticationFailed", "wrong-token"},
		{"ca", gitserver.Options{TLS: true, Username: "ada", Password: "right-pw"}, secret{"username": "ada", "password": "right-pw"},
			func(g *gitserver.Server) secret {
				return secret{"username": "ada", "password": "right-pw", "ca.crt": string(g.CA())}
			}, "AuthenticationFailed", "right-pw"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			need(t)
			t.Parallel()
			s := set(t, home, tt.opts)
			rev := s.commit(map[string]string{"cm.yaml": configMap("a")})
			if tt.wrong != nil {
				s.secret("git", tt.wrong)
			}
			s.feed("secretRef: {name: git}")
			s.unit("apps")
			o := s.refused(s.feedID(), tt.reason)
			if status, reason, message := condition(o, "FetchFailed"); status != "True" || reason != tt.reason || strings.Contains(message, tt.unspeakable) {
				t.Errorf("FetchFailed=%s %s (%s)", status, reason, message)
			}
			if e := s.event(s.feedID(), tt.reason, ""); strings.Contains(text(e, "message"), tt.unspeakable) {
				t.Errorf("the event tells a secret: %s", e.JSON())
			}
			s.secret("git", tt.right(s.git))
			s.ready("apps", rev)
			s.has(s.feedID(), 1, "metadata", "generation")
			if said := sane.says(tt.unspeakable); len(said) > 0 {
				t.Errorf("the log tells a secret: %s", said)
			}
		})
	}
}

// TestSSH: a source on a server of the machine's own sshd.
func TestSSH(t *testing.T) {
	s := open(t)
	ssh, err := gitserver.StartSSH(string(s.git.Repos))
	if errors.Is(err, gitserver.ErrNoSSHD) {
		t.Skip(err)
	}
	s.must(err)
	t.Cleanup(ssh.Close)
	rev := s.commit(map[string]string{"cm.yaml": configMap("a")})
	s.secret("git", map[string]string{"identity": string(ssh.Stranger), "known_hosts": string(ssh.KnownHosts)})
	s.feed("url: "+ssh.URL("app"), "secretRef: {name: git}")
	s.unit("apps")
	s.refused(s.feedID(), "AuthenticationFailed")
	s.secret("git", map[string]string{"identity": string(ssh.Identity), "known_hosts": string(ssh.OtherHost)})
	s.refused(s.feedID(), "AuthenticationFailed", "host key")
	s.secret("git", map[string]string{"identity": string(ssh.Locked), "password": ssh.Passphrase, "known_hosts": string(ssh.KnownHosts)})
	s.ready("apps", rev)
}

// TestForcePush: the branch goes back, and on from nowhere.
func TestForcePush(t *testing.T) {
	s := open(t)
	one := s.commit(map[string]string{"cm.yaml": configMap("a", "n: one")})
	two := s.commit(map[string]string{"cm.yaml": configMap("a", "n: two"), "b.yaml": configMap("b")})
	s.feed()
	s.unit("apps")
	s.ready("apps", two)
	s.must(s.git.Set("app", "refs/heads/main", strings.TrimPrefix(one, "main@sha1:")))
	s.ask(s.feedID())
	s.ready("apps", one)
	s.has(s.id(configMaps, "a"), "one", "data", "n")
	s.gone(s.id(configMaps, "b"))

	orphan, err := s.git.Commit("app", "other", "from nowhere", map[string]string{"c.yaml": s.expand(configMap("c"))})
	s.must(err)
	s.must(s.git.Set("app", "refs/heads/main", orphan))
	s.ask(s.feedID())
	s.ready("apps", "main@sha1:"+orphan)
	s.here(s.id(configMaps, "c"))
	s.gone(s.id(configMaps, "a"))
}

// TestLostBranch: the branch is deleted. What was made of it is looked after.
func TestLostBranch(t *testing.T) {
	s := open(t)
	rev := s.commit(map[string]string{"cm.yaml": configMap("a")})
	s.must(s.git.Set("app", "refs/heads/other", strings.TrimPrefix(rev, "main@sha1:")))
	s.feed()
	s.unit("apps")
	s.ready("apps", rev)
	s.must(s.git.Set("app", "refs/heads/main", ""))
	s.ask(s.feedID())
	o := s.refused(s.feedID(), "GitOperationFailed", "main")
	s.is(o, rev, "status", "artifact", "revision")
	s.ready("apps", rev)
	s.delete(s.id(configMaps, "a"))
	s.here(s.id(configMaps, "a"))
	s.must(s.git.Set("app", "refs/heads/other", ""))
	s.ask(s.feedID())
	s.refused(s.feedID(), "EmptyGitRepository")
	next := s.push(map[string]string{"cm.yaml": configMap("a", "n: new")})
	s.ready("apps", next)
}

// TestUnreachable: the server goes, and comes back. Nobody asks for anything.
func TestUnreachable(t *testing.T) {
	s := open(t)
	rev := s.commit(map[string]string{"cm.yaml": configMap("a")})
	s.feed("interval: 2s")
	s.unit("apps")
	s.ready("apps", rev)
	at, err := url.Parse(s.git.URL(""))
	s.must(err)
	s.git.Close()
	o := s.refused(s.feedID(), "GitOperationFailed")
	s.is(o, rev, "status", "artifact", "revision")
	s.ready("apps", rev)
	s.delete(s.id(configMaps, "a"))
	s.here(s.id(configMaps, "a"))
	s.asks(s.unitID("apps"))

	next := s.commit(map[string]string{"cm.yaml": configMap("a", "n: new")})
	again, err := gitserver.Start(string(s.git.Repos), gitserver.Options{Addr: at.Host})
	s.must(err)
	t.Cleanup(again.Close)
	s.ready("apps", next)
	s.has(s.feedID(), next, "status", "artifact", "revision")
}

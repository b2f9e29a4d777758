package scenario

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/object"
)

// An identity signs what it commits.
type identity struct{ key, public string }

func (s *scene) identity() identity {
	s.Helper()
	key := filepath.Join(s.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		s.Skipf("ssh-keygen: %v: %s", err, out)
	}
	public, err := os.ReadFile(key + ".pub")
	s.must(err)
	return identity{key, string(public)}
}

// sign makes main's commit anew, signed, and returns its revision.
func (s *scene) sign(by identity) string {
	s.Helper()
	git := exec.Command("git", "-C", s.git.Path("app"), "-c", "gpg.format=ssh", "-c", "user.signingkey="+by.key,
		"commit-tree", "-S", "-m", "signed", "main^{tree}")
	git.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
	out, err := git.Output()
	s.must(err)
	id := strings.TrimSpace(string(out))
	s.must(s.git.Set("app", "refs/heads/main", id))
	return "main@sha1:" + id
}

// TestProof: a commit by somebody who is not trusted, and then is; one that is
// not signed; and again one that is.
func TestProof(t *testing.T) {
	s := open(t)
	ada, bob := s.identity(), s.identity()
	s.commit(map[string]string{"cm.yaml": configMap("a", "n: one")})
	s.sign(ada)
	s.secret("keys", map[string]string{"bob.sshpub": bob.public})
	s.feed("verify: {mode: HEAD, secretRef: {name: keys}}")
	s.unit("apps")
	o := s.refused(s.feedID(), "InvalidCommitSignature", "none of the trusted keys")
	if status, reason, _ := condition(o, "SourceVerified"); status != "False" || reason != "InvalidCommitSignature" {
		t.Errorf("SourceVerified=%s %s", status, reason)
	}
	s.secret("keys", map[string]string{"ada.sshpub": ada.public})
	one := s.sign(ada)
	s.ask(s.feedID())
	s.ready("apps", one)
	o = s.has(s.feedID(), "HEAD", "status", "sourceVerificationMode")
	if status, _, message := condition(o, "SourceVerified"); status != "True" || !strings.Contains(message, "SHA256:") {
		t.Errorf("SourceVerified=%s (%s)", status, message)
	}

	s.push(map[string]string{"cm.yaml": configMap("a", "n: two")})
	o = s.refused(s.feedID(), "InvalidCommitSignature", "is not signed")
	s.is(o, one, "status", "artifact", "revision")
	s.asks(s.unitID("apps"))
	s.has(s.id(configMaps, "a"), "one", "data", "n")

	two := s.sign(ada)
	s.ask(s.feedID())
	s.ready("apps", two)
	s.has(s.id(configMaps, "a"), "two", "data", "n")
}

// TestParts: a tree of a sparse checkout with a submodule and a part of another
// repository.
func TestParts(t *testing.T) {
	s := open(t)
	s.must(s.git.Create("lib"))
	s.must(s.git.Create("sub"))
	sub, err := s.git.Commit("sub", "main", "sub", map[string]string{"sub.yaml": s.expand(configMap("sub"))})
	s.must(err)
	_, err = s.git.Commit("lib", "main", "lib", map[string]string{"deploy/lib.yaml": s.expand(configMap("lib", "n: one")), "other": "x"})
	s.must(err)
	commits, err := s.git.Write("app", "main", slices.Values([]gitserver.Commit{{
		Files: map[string]string{
			"apps/own.yaml": s.expand(configMap("own")), "unwanted/x.yaml": s.expand(configMap("unwanted")),
			".gitmodules": "[submodule \"sub\"]\n\tpath = apps/sub\n\turl = ../sub\n",
		},
		Modules: map[string]string{"apps/sub": sub},
	}}))
	s.must(err)
	rev := "main@sha1:" + commits[0]
	s.feed("recurseSubmodules: true", "sparseCheckout: [apps]", "include: [{repository: {name: lib}, fromPath: deploy, toPath: apps/lib}]")
	s.unit("apps")
	s.refused(s.feedID(), "NotFound", "lib")
	s.apply("apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: lib, namespace: $NS}\nspec: {interval: 10m, url: " +
		s.git.URL("lib") + ", ref: {branch: main}}")
	s.ready("apps", rev)
	s.same("objects", s.owned(configMaps, "apps"), "lib", "own", "sub")
	o := s.get(s.feedID())
	s.is(o, []any{"apps"}, "status", "observedSparseCheckout")
	s.is(o, true, "status", "observedRecurseSubmodules")
	first := text(o, "status", "artifact", "digest")

	_, err = s.git.Commit("lib", "main", "lib", map[string]string{"deploy/lib.yaml": s.expand(configMap("lib", "n: two"))})
	s.must(err)
	s.ask(s.id(feeds, "lib"))
	s.has(s.id(configMaps, "lib"), "two", "data", "n")
	s.until(s.feedID(), "another artifact of the same revision", func(o object.Object) bool {
		return text(o, "status", "artifact", "digest") != first && text(o, "status", "artifact", "revision") == rev
	})
}

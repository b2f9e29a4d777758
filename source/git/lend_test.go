package git

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/source"
)

// A git that is not run by a Source gets in as one does, and nobody else's
// configuration counts.
func TestLend(t *testing.T) {
	b := setup(t, gitserver.Options{TLS: true, Username: "ada", Password: "hunter2"})
	id := b.put(map[string]string{"a": "1"})
	b.at.Access = source.Access{Username: "ada", Password: "hunter2", CA: b.CA()}
	w, err := b.src.Lend(t.Context(), b.at)
	b.must(err)
	git := func(args ...string) (string, error) {
		cmd := exec.Command("git", args...)
		cmd.Dir, cmd.Env = t.TempDir(), w.Env
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := git("ls-remote", w.URL, "refs/heads/main")
	if err != nil || !strings.HasPrefix(out, id) {
		t.Fatalf("%v: %s", err, out)
	}
	if strings.Contains(w.URL, "hunter2") || w.Hide("no hunter2 here") != "no *** here" {
		t.Errorf("%s, %s", w.URL, w.Hide("no hunter2 here"))
	}
	w.Close()
	if out, err := git("ls-remote", w.URL); err == nil {
		t.Errorf("the way is still open: %s", out)
	}
	if _, err = b.src.Lend(t.Context(), source.Remote{URL: "ftp://x"}); !errors.Is(err, source.ErrURL) || !strings.Contains(err.Error(), "get in at ftp://x") {
		t.Errorf("error is %v", err)
	}
}

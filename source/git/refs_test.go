package git

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/source"
)

// lists asks for the refs in two ways.
func (b *bench) lists(sc scope) (quick []byte, ok bool, byGit []byte) {
	b.Helper()
	p, err := b.src.place(b.at)
	b.must(err)
	r, err := b.src.remote(p)
	b.must(err)
	quick, ok = b.src.listQuickly(b.Context(), r, p, sc)
	byGit, _ = b.src.listByGit(b.Context(), r, p, sc)
	return quick, ok, byGit
}

// TestListQuickly compares with git, word by word.
func TestListQuickly(t *testing.T) {
	for _, c := range []struct {
		name string
		opts gitserver.Options
		fill func(b *bench)
		odd  bool // it is left to git
	}{
		{name: "empty", fill: func(*bench) {}},
		{name: "branches and tags", fill: func(b *bench) {
			id := b.put(map[string]string{"a": "1"})
			b.git(nil, "branch", "feature/x", id)
			b.git(nil, "tag", "light", id)
			b.git(nil, "tag", "-a", "-m", "v1", "v1", id)
			b.git(nil, "tag", "-a", "-m", "of a tag", "nested", "v1")
			b.git(nil, "update-ref", "refs/pull/7/head", id)
		}},
		{name: "HEAD on no branch", fill: func(b *bench) {
			b.git(nil, "update-ref", "--no-deref", "HEAD", b.put(map[string]string{"a": "1"}))
		}},
		{name: "no branch", fill: func(b *bench) {
			b.git(nil, "tag", "v1", b.put(map[string]string{"a": "1"}))
			b.git(nil, "update-ref", "-d", "refs/heads/main")
		}},
		{name: "SHA-256", fill: func(b *bench) {
			b.must(b.CreateAs("app256.git", gitserver.SHA256))
			b.at.URL = b.URL("app256.git")
			_, err := b.Commit("app256.git", "main", "change", map[string]string{"a": "1"})
			b.must(err)
		}},
		{name: "a password", opts: gitserver.Options{Username: "ann", Password: "secret"}, fill: func(b *bench) {
			b.at.Access = source.Access{Username: "ann", Password: "secret"}
			b.put(map[string]string{"a": "1"})
		}},
		{name: "a bearer's token over TLS", opts: gitserver.Options{Bearer: "secret", TLS: true}, fill: func(b *bench) {
			b.at.Access = source.Access{Bearer: "secret", CA: b.CA()}
			b.put(map[string]string{"a": "1"})
		}},
		{name: "a wrong password", opts: gitserver.Options{Username: "ann", Password: "secret"}, odd: true, fill: func(b *bench) {
			b.at.Access = source.Access{Username: "ann", Password: "other"}
			b.put(map[string]string{"a": "1"})
		}},
		{name: "an unknown certificate", opts: gitserver.Options{TLS: true}, odd: true, fill: func(b *bench) { b.put(map[string]string{"a": "1"}) }},
		{name: "an old server", opts: gitserver.Options{Old: true}, odd: true, fill: func(b *bench) { b.put(map[string]string{"a": "1"}) }},
		{name: "no such repository", odd: true, fill: func(b *bench) { b.at.URL = b.URL("other.git") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := setup(t, c.opts)
			c.fill(b)
			for _, sc := range []scope{heads, tags, all} {
				quick, ok, byGit := b.lists(sc)
				if ok == c.odd || ok && !bytes.Equal(quick, byGit) {
					t.Errorf("scope %d: %v, %q; git lists %q", sc, ok, quick, byGit)
				}
			}
		})
	}
}

// TestListOnce sees that a look at a server that is known is one request, and that
// one at a server which has another protocol by now is none that fails.
func TestListOnce(t *testing.T) {
	var old atomic.Bool
	var asked atomic.Int64
	b := setup(t, gitserver.Options{Hook: func(_ http.ResponseWriter, r *http.Request) bool {
		if asked.Add(1); old.Load() {
			r.Header.Del("Git-Protocol")
		}
		return false
	}})
	b.put(map[string]string{"a": "1"})
	look := func() (requests int64) {
		t.Helper()
		before := asked.Load()
		if _, err := b.src.Resolve(t.Context(), b.at, mainRef); err != nil {
			t.Fatal(err)
		}
		return asked.Load() - before
	}
	if n := look(); n != 2 {
		t.Errorf("the first look takes %d requests; want 2", n)
	}
	if n := look(); n != 1 {
		t.Errorf("the next one takes %d; want 1", n)
	}
	old.Store(true)
	look()
	look()
	if n := look(); n != 1 {
		t.Errorf("a server of the old protocol takes %d requests; want 1, of git", n)
	}
}

// TestListLeavesTime sees that git gets its turn at a server that does not answer
// anybody else, and the only one from then on.
func TestListLeavesTime(t *testing.T) {
	t.Parallel()
	var others atomic.Int64
	b := setup(t, gitserver.Options{Hook: func(_ http.ResponseWriter, r *http.Request) bool {
		if r.UserAgent() != agent {
			return false
		}
		others.Add(1)
		<-r.Context().Done()
		return true
	}})
	b.at.Timeout = 15 * time.Second
	b.put(map[string]string{"a": "1"})
	for range 2 {
		if _, err := b.src.Resolve(t.Context(), b.at, mainRef); err != nil {
			t.Error(err)
		}
	}
	if n := others.Load(); n != 1 {
		t.Errorf("it was asked %d times in another way; want 1", n)
	}
}

// TestListRedirected sees that credentials go nowhere else.
func TestListRedirected(t *testing.T) {
	other, err := gitserver.Start(t.TempDir(), gitserver.Options{Hook: func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") != "" {
			t.Error("the password goes to another server")
		}
		return false
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	b := setup(t, gitserver.Options{Hook: func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, other.URL("app.git")+strings.TrimPrefix(r.URL.Path, "/app.git")+"?"+r.URL.RawQuery, http.StatusFound)
		return true
	}})
	b.at.Access = source.Access{Username: "ann", Password: "secret"}
	p, err := b.src.place(b.at)
	b.must(err)
	r, err := b.src.remote(p)
	b.must(err)
	if _, ok := b.src.listQuickly(context.Background(), r, p, heads); ok {
		t.Error("it follows")
	}
}

func FuzzListed(f *testing.F) {
	id := strings.Repeat("0a", 20)
	for _, line := range []string{id + " refs/heads/main\n", id + " HEAD symref-target:refs/heads/main\n", id + " refs/tags/v1 peeled:" + id + "\n", "unborn HEAD\n", id + " refs/heads/a\tb", "ERR no"} {
		var b bytes.Buffer
		writePacket(&b, line)
		f.Add(append(b.Bytes(), flush...))
	}
	f.Add([]byte("0004000500010002fffg"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		for _, sc := range []scope{heads, tags, all} {
			out, err := listed(answer, sc)
			if err != nil {
				continue
			}
			for line := range bytes.Lines(out) {
				id, name, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), "\t")
				if !ok || !isID(id) || !validName(strings.TrimSuffix(name, peeled)) {
					t.Errorf("%q becomes %q", answer, line)
				}
			}
		}
	})
}

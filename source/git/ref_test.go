package git

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/source"
)

// FuzzRef checks that no ref or listing makes choose panic, or find what is
// not an object id.
func FuzzRef(f *testing.F) {
	id := strings.Repeat("1f", 20)
	f.Add("main", "", "", "", "", id+"\trefs/heads/main\n")
	f.Add("", "v1", "", "", "", id+"\trefs/tags/v1\n"+id+"\trefs/tags/v1^{}\n")
	f.Add("", "", ">=1 <2 || ~3", "", "", id+"\trefs/tags/v1.2.3\n"+id+"\trefs/tags/1.2.3+x\n")
	f.Add("", "", "", "refs/pull/1/head^{}", "", "x\trefs/pull/1/head\n\t\n\n")
	f.Add("", "", "", "HEAD", id, "")
	f.Fuzz(func(t *testing.T, branch, tag, semver, name, commit, refs string) {
		w, err := parseRef(source.Ref{Branch: branch, Tag: tag, Semver: semver, Name: name, Commit: commit})
		if err != nil {
			if !errors.Is(err, source.ErrRef) {
				t.Errorf("parseRef: %v", err)
			}
			return
		}
		if strings.ContainsAny(w.ref, ":*\n ") || strings.HasPrefix(w.ref, "-") {
			t.Errorf("git would be given %q", w.ref)
		}
		if w.commit != "" {
			return
		}
		found, err := w.choose([]byte(refs))
		if (err == nil) != (len(found) > 0) {
			t.Errorf("choose = %v, %v", found, err)
		}
		for _, c := range found {
			rev := revision(c.label, c.id)
			if id, err := parseDigest(rev.Digest); err != nil || id != c.id {
				t.Errorf("%v: %v", rev, err)
			}
		}
	})
}

func TestParseDigest(t *testing.T) {
	for _, d := range []digest.Digest{"", "sha1:", "sha1:xyz", digest.Digest("sha256:" + strings.Repeat("1f", 20)),
		digest.Digest("sha1:" + strings.Repeat("1F", 20)), digest.Digest("sha1:" + strings.Repeat("1f", 32)), digest.Digest(strings.Repeat("1f", 20))} {
		if id, err := parseDigest(d); err == nil {
			t.Errorf("%q is %q", d, id)
		}
	}
}

// FuzzTree checks that no object makes the parsers panic.
func FuzzTree(f *testing.F) {
	id := strings.Repeat("x", 20)
	f.Add([]byte("100644 a\x00"+id+"40000 b\x00"+id), "a")
	f.Add([]byte("100644 \x00"+id), "")
	f.Add([]byte("tree 12\nauthor A <a> 1 +9999\n\nx"), "..")
	f.Fuzz(func(t *testing.T, raw []byte, name string) {
		parseCommit(raw)
		tr, err := parseTree(id, bytes.Clone(raw))
		if err != nil {
			return
		}
		tr.digest()
		n := 0
		for i := range tr.at {
			e, ok := tr.find(string(tr.entry(i).name))
			if !ok || !bytes.Equal(e.id, tr.entry(i).id) {
				t.Errorf("%q is not found", tr.entry(i).name)
			}
			n += len(e.mode) + len(e.name) + 2 + len(e.id)
		}
		if n != len(raw) {
			t.Errorf("%d of %d bytes are entries", n, len(raw))
		}
		tr.find(name)
	})
}

func TestTelling(t *testing.T) {
	for _, c := range []struct {
		text, want string
		kind       error
	}{
		{"warning: x\nfatal: y\n", "y", source.ErrStorage},
		{"", "git failed without a word", source.ErrStorage},
		{"remote: Repository not found.\nfatal: repository 'https://h/x/' not found\n", "repository not found", source.ErrNotFound},
		{"fatal: unable to access 'https://h/': Could not resolve host: h\n", "unable to access 'https://h/': Could not resolve host: h", source.ErrNetwork},
		{"fatal: unable to access 'https://h/': The requested URL returned error: 403\n", "authentication required", source.ErrAuth},
		{"fatal: unable to access 'https://h/': The requested URL returned error: 503\n", "unable to access 'https://h/': The requested URL returned error: 503", source.ErrNetwork},
		{"fatal: unable to access 'https://h/': server certificate verification failed. CAfile: none CRLfile: none\n", "the server's certificate is not trusted", source.ErrAuth},
		{"git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.\n", "the server does not accept the SSH identity", source.ErrAuth},
		{"fatal: remote error: upload-pack: not our ref 12\n", "remote error: upload-pack: not our ref 12", source.ErrNotFound},
		{"fatal: Unable to create '/x/shallow.lock': File exists.\n\nAnother git process", "Unable to create '/x/shallow.lock': File exists.", source.ErrStorage},
	} {
		err := place{}.classify(c.text)
		if err.Error() != c.want || !errors.Is(err, c.kind) {
			t.Errorf("%q is %q (%v), want %q", c.text, err, errors.Unwrap(err), c.want)
		}
	}
}

func TestHide(t *testing.T) {
	p := place{access: source.Access{Password: "hunter2"}}
	if got := p.classify("fatal: hunter2 is wrong").Error(); strings.Contains(got, "hunter2") {
		t.Error(got)
	}
	for url, want := range map[string]string{
		"https://ada:hunter2@h/x": "https://h/x",
		"ssh://git:hunter2@h/x":   "ssh://git@h/x",
		"https://a:hunter2@h h/x": "https://***@h h/x",
		"https://h/x":             "https://h/x",
	} {
		if got := redact(url); got != want {
			t.Errorf("redact(%q) = %q, want %q", url, got, want)
		}
	}
}

func TestCache(t *testing.T) {
	c := newCache(4000)
	for _, id := range []string{"a", "b", "c", "d"} {
		c.put(&tree{id: id, raw: make([]byte, 1000)})
		c.get([]byte("a"))
	}
	if c.get([]byte("a")) == nil || c.get([]byte("b")) != nil || c.get([]byte("d")) == nil {
		t.Error("the cache does not keep what was used last")
	}
	c.put(&tree{id: "big", raw: make([]byte, 3000)})
	if c.get([]byte("big")) != nil || c.room < 0 {
		t.Error("the cache takes what is too big")
	}
}

func TestStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := stopped(ctx); err != context.Canceled {
		t.Error(err)
	}
}

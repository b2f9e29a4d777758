package git

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/source"
)

// history returns what led to what main is now.
func (b *bench) history(q source.Query) source.Log {
	b.Helper()
	log, err := b.tryHistory(q)
	b.must(err)
	return log
}

func (b *bench) tryHistory(q source.Query) (source.Log, error) {
	rev, err := b.src.Resolve(b.Context(), b.at, mainRef)
	if err != nil {
		return source.Log{}, err
	}
	return b.src.History(b.Context(), b.at, mainRef, rev, q)
}

// text returns a log with a line for each entry: "subject: A a, R b<c".
func text(l source.Log) string {
	var b strings.Builder
	for _, e := range l.Entries {
		var changes []string
		for _, c := range e.Changes {
			s := c.Verb.String() + " " + c.Path
			if c.From != "" {
				s += "<" + c.From
			}
			changes = append(changes, s)
		}
		fmt.Fprintf(&b, "%s: %s\n", e.Subject, strings.Join(changes, ", "))
	}
	if l.More {
		b.WriteString("...\n")
	}
	return b.String()
}

func TestHistory(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{})
	day := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	commits := []gitserver.Commit{
		{Message: "first", Files: map[string]string{"a": "1", "d/b": "2", "d/e/c": "3"}},
		{Message: "second\n\nwhy", Files: map[string]string{"a": "2"}},
		{Message: "move", Files: map[string]string{"d/b": gitserver.Delete, "d/e/b": "2"}},
		{Message: "replace a directory", Files: map[string]string{"d/e/b": gitserver.Delete, "d/e/c": gitserver.Delete, "d/e": "file"}},
		{Message: "other kinds", Links: map[string]string{"l": "a"}, Modules: map[string]string{"m": strings.Repeat("12", 20)}},
		{Message: "nothing", Files: map[string]string{"a": "2"}},
	}
	for i := range commits {
		commits[i].When = day.Add(time.Duration(i) * time.Hour)
	}
	ids, err := b.Write("app.git", "main", slices.Values(commits))
	b.must(err)
	all := b.history(source.Query{})
	const want = `nothing: 
other kinds: A l, A m
replace a directory: A d/e, D d/e/b, D d/e/c
move: R d/e/b<d/b
second: M a
first: A a, A d/b, A d/e/c
`
	if got := text(all); got != want {
		t.Errorf("the history is\n%swant\n%s", got, want)
	}
	if e := all.Entries[5]; e.ID != idDigest(ids[0]) || e.Author != "Ada Lovelace <ada@example.com>" || e.Committer != e.Author ||
		!e.When.Equal(day) || !e.Authored.Equal(day) || e.Merge || e.Cut || all.Looked != 6 {
		t.Errorf("the first is %+v of %d", e, all.Looked)
	}
	for _, c := range []struct {
		q    source.Query
		want string
	}{
		{source.Query{Most: 2}, "nothing: \nother kinds: A l, A m\n...\n"},
		{source.Query{Most: 6}, want},
		{source.Query{Since: day.Add(4 * time.Hour)}, "nothing: \nother kinds: A l, A m\n"},
		{source.Query{Path: "a"}, "second: M a\nfirst: A a\n"},
		{source.Query{Path: "./d/e/"}, "replace a directory: A d/e, D d/e/b, D d/e/c\nmove: A d/e/b\nfirst: A d/e/c\n"},
		{source.Query{Path: "d", Most: 1}, "replace a directory: A d/e, D d/e/b, D d/e/c\n...\n"},
		{source.Query{Path: "../../etc"}, ""},
		{source.Query{Path: "a/b"}, ""},
	} {
		before := b.Requests()
		if got := text(b.history(c.q)); got != c.want {
			t.Errorf("of %+v the history is\n%swant\n%s", c.q, got, c.want)
		}
		if n := b.Requests() - before; n > 2 { // for what main is
			t.Errorf("%+v costs %d requests", c.q, n)
		}
	}
}

// TestHistoryAsGit makes changes at random, some on branches that are merged, and
// holds what is told of them against git's own log.
func TestHistoryAsGit(t *testing.T) {
	t.Parallel()
	for _, format := range []gitserver.Format{gitserver.SHA1, gitserver.SHA256} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			b := setup(t, gitserver.Options{})
			b.must(os.RemoveAll(b.Path("app.git")))
			b.must(b.CreateAs("app.git", format))
			r := rand.New(rand.NewPCG(3, 4))
			files := map[string]string{"keep": "1"}
			names := []string{"a", "b", "c/a", "c/b", "c/d/a", "c/d/e/b", "f/a", "f", "ü\n", `q"`}
			write := func(branch string) {
				for range r.IntN(4) {
					mutate(r, files, names[r.IntN(len(names))])
				}
				_, err := b.Write("app.git", branch, slices.Values([]gitserver.Commit{{Message: "x", Files: files, Only: true}}))
				b.must(err)
			}
			for i := range 40 {
				write("main")
				if i%5 != 4 {
					continue
				}
				b.git(nil, "update-ref", "refs/heads/side", "main~2")
				write("side")
				merge := b.git(nil, "commit-tree", "-p", "main", "-p", "side", "-m", "merge", "side^{tree}")
				b.must(b.Set("app.git", "refs/heads/main", merge))
			}
			want := b.git(nil, "-c", "core.quotePath=false", "log", "--first-parent", "-m", "--root", "-M100%", "--raw", "-z", "--format=commit %H", "main")
			if got := rawOf(b.history(source.Query{Most: 100})); got != canonical(want) {
				t.Errorf("the history is\n%q\nand git's\n%q", got, canonical(want))
			}
		})
	}
}

// rawOf returns a log as canonical does git's. Where a file went is left out: of
// several that are alike any will do.
func rawOf(l source.Log) string {
	var out []string
	for _, e := range l.Entries {
		_, id, _ := strings.Cut(string(e.ID), ":")
		out = append(out, "commit "+id)
		for _, c := range e.Changes {
			out = append(out, sides(c)...)
		}
	}
	return strings.Join(out, "\n")
}

// sides returns what a change is if nothing is known again.
func sides(c source.Change) []string {
	if c.Verb == source.Renamed {
		return []string{"D " + c.From, "A " + c.Path}
	}
	return []string{c.Verb.String() + " " + c.Path}
}

func canonical(raw string) string {
	var out, changes []string
	fields := strings.Split(raw, "\x00")
	flush := func() {
		out = append(out, changes...)
		changes = nil
	}
	for i := 0; i < len(fields); i++ {
		f := strings.TrimLeft(fields[i], "\n")
		switch {
		case strings.HasPrefix(f, "commit "):
			flush()
			out = append(out, f)
		case strings.HasPrefix(f, ":"):
			words := strings.Fields(f)
			c := source.Change{Verb: source.Verb(words[4][0]), Path: fields[i+1]}
			if i++; c.Verb == source.Renamed {
				c.From, c.Path = fields[i], fields[i+1]
				i++
			}
			if c.Verb == 'T' {
				c.Verb = source.Modified
			}
			changes = append(changes, sides(c)...)
		}
	}
	flush()
	return strings.Join(out, "\n")
}

// A commit that is long past is found without the whole history at once, and without
// a file.
func TestHistoryIsDeepened(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{})
	_, err := b.Write("app.git", "main", func(yield func(gitserver.Commit) bool) {
		for i := range 600 {
			files := map[string]string{"busy/count": fmt.Sprint(i), "large": bulk + fmt.Sprint(i%10)}
			if i > 10 {
				delete(files, "large")
			}
			if i == 100 {
				files["rare/file"] = "1"
			}
			if !yield(gitserver.Commit{Message: fmt.Sprint("commit ", i), Files: files}) {
				return
			}
		}
	})
	b.must(err)
	b.get(mainRef)
	sent := b.Sent()
	if got := text(b.history(source.Query{Path: "rare"})); got != "commit 100: A rare/file\n" {
		t.Errorf("the history of rare is %q", got)
	}
	if n := b.Sent() - sent; n > 1<<20 {
		t.Errorf("%d bytes were sent for it", n)
	}
	requests := b.Requests()
	log := b.history(source.Query{Most: 200})
	if first := log.Entries[199]; len(log.Entries) != 200 || first.Subject != "commit 400" || !log.More {
		t.Errorf("the 200th of %d is %+v", len(log.Entries), first)
	}
	if n := b.Requests() - requests; n > 2 {
		t.Errorf("%d requests were made for what is here", n)
	}
	if got, _ := filepath.Glob(filepath.Join(b.dir(), pastDir, "*", "shallow")); len(got) != 0 { // 600 are fewer than four times as many as were looked at
		t.Errorf("not all of it is here: %v", got)
	}

	// What is pushed is fetched, and not what is here.
	b.put(map[string]string{"busy/count": "x"})
	b.get(mainRef)
	sent = b.Sent()
	if got := text(b.history(source.Query{Most: 2})); got != "change: M busy/count\ncommit 599: M busy/count\n...\n" {
		t.Errorf("after a push the history is %q", got)
	}
	if n := b.Sent() - sent; n > 20_000 {
		t.Errorf("%d bytes were sent for one commit", n)
	}
}

// An old server gives no commit by its id, and knows no filter.
func TestHistoryOfAnOldServer(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{Old: true})
	for i := range 70 {
		b.put(map[string]string{"a": fmt.Sprint(i)})
	}
	log := b.history(source.Query{Most: 69})
	if len(log.Entries) != 69 || !log.More {
		t.Errorf("%d entries, more: %v", len(log.Entries), log.More)
	}
	old, err := b.src.Resolve(t.Context(), b.at, mainRef)
	b.must(err)
	b.put(map[string]string{"a": "x"})
	log, err = b.src.History(t.Context(), b.at, mainRef, old, source.Query{Path: "a", Most: 100})
	b.must(err)
	if len(log.Entries) != 70 || log.More || log.Entries[0].ID != old.Digest {
		t.Errorf("of a revision that is past: %d entries, more: %v", len(log.Entries), log.More)
	}
}

// A server may itself have no more than a part.
func TestHistoryOfAShallowServer(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{})
	for i := range 5 {
		b.put(map[string]string{"a": fmt.Sprint(i)})
	}
	cut := b.git(nil, "rev-parse", "main~2")
	b.must(os.WriteFile(filepath.Join(b.Path("app.git"), "shallow"), []byte(cut+"\n"), 0o600))
	b.git(nil, "-c", "gc.pruneExpire=now", "gc", "-q", "--prune=now")
	if got := text(b.history(source.Query{})); got != "change: M a\nchange: M a\n...\n" {
		t.Errorf("the history is %q", got)
	}
}

// What led to a commit is for those whom the server lets in, also after others
// have looked at it, and only as far as it lets them.
func TestHistoryIsPrivate(t *testing.T) {
	t.Parallel()
	var who guests
	who.let("ada", "app.git")
	who.let("bob", "bob.git")
	b := setup(t, gitserver.Options{Hook: who.hook})
	b.must(b.Create("bob.git"))
	b.put(map[string]string{"secret": "1"})
	b.put(map[string]string{"a": "1"})
	b.at.Access = as("ada")
	snap := b.get(mainRef)
	if got := text(b.history(source.Query{})); got != "change: A a\nchange: A secret\n" {
		t.Fatalf("the history is %q", got)
	}
	for _, c := range []struct {
		access source.Access
		kind   error
	}{{source.Access{}, source.ErrAuth}, {as("eve"), source.ErrAuth}, {as("bob"), source.ErrNotFound}} {
		b.at.Access = c.access
		_, err := b.src.History(t.Context(), b.at, mainRef, snap.Revision, source.Query{})
		b.fails(err, c.kind)
	}
	// Bob says that his commit was made on hers.
	_, id, _ := strings.Cut(string(snap.Revision.Digest), ":")
	bare := b.Path("bob.git")
	tree := b.git(strings.NewReader(""), "-C", bare, "mktree")
	mine := b.git(strings.NewReader(fmt.Sprintf("tree %s\nparent %s\nauthor b <b> 1 +0000\ncommitter b <b> 1 +0000\n\nmine\n", tree, id)), "-C", bare, "hash-object", "-t", "commit", "-w", "--stdin")
	b.must(os.WriteFile(filepath.Join(bare, "shallow"), []byte(mine+"\n"), 0o600))
	b.must(b.Set("bob.git", "refs/heads/main", mine))
	b.at.Access = as("bob")
	if got := text(b.history(source.Query{})); strings.Contains(got, "secret") {
		t.Errorf("bob sees %q", got)
	}
}

func TestHistoryIsMended(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{})
	for i := range 3 {
		b.put(map[string]string{"a": fmt.Sprint(i)})
	}
	want := text(b.history(source.Query{}))
	for _, pattern := range []string{"objects/pack/*.pack", "objects/pack/*.idx", "objects", "config", "HEAD", "."} {
		list, _ := filepath.Glob(filepath.Join(b.dir(), pastDir, "*", pattern))
		if len(list) == 0 {
			t.Fatalf("nothing matches %s", pattern)
		}
		for _, name := range list {
			if info, err := os.Stat(name); err == nil && info.IsDir() {
				b.must(os.RemoveAll(name))
			} else {
				spoil(name)
			}
		}
		b.src.trees = newCache(b.src.CacheBytes)
		for _, m := range b.src.mirrors {
			m.close()
		}
		if got := text(b.history(source.Query{})); got != want {
			t.Errorf("with %s spoilt the history is %q, want %q", pattern, got, want)
		}
	}
}

func TestHistoryOfTooMuch(t *testing.T) {
	t.Parallel()
	b := setup(t, gitserver.Options{})
	files := make(map[string]string)
	for i := range maxChanges + 1 {
		files[fmt.Sprintf("d/%04d", i)] = "x"
	}
	b.put(files)
	delete(files, "d/0000")
	files["e"] = "x"
	_, err := b.Write("app.git", "main", slices.Values([]gitserver.Commit{{Message: "hostile \x1b[31m\xff <script>", Files: files, Only: true}}))
	b.must(err)
	log := b.history(source.Query{})
	first, last := log.Entries[1], log.Entries[0]
	if len(first.Changes) != maxChanges || !first.Cut {
		t.Errorf("%d changes, cut: %v", len(first.Changes), first.Cut)
	}
	if last.Cut || len(last.Changes) != 1 || last.Changes[0] != (source.Change{Verb: source.Renamed, Path: "e", From: "d/0000"}) {
		t.Errorf("the move is %v", last.Changes)
	}
	if last.Subject != "hostile \x1b[31m\uFFFD <script>" {
		t.Errorf("the subject is %q", last.Subject)
	}
}

// A past that nobody looks at goes before the mirror does.
func TestPastIsSwept(t *testing.T) {
	t.Parallel()
	clock := &clock{at: time.Now()}
	b := setup(t, gitserver.Options{}, Config{Dir: t.TempDir(), Fresh: -1, Now: clock.now})
	b.put(map[string]string{"a": "1"})
	keep := b.get(mainRef)
	b.history(source.Query{})
	pasts := func() int {
		list, _ := filepath.Glob(filepath.Join(b.dir(), pastDir, "*"))
		return len(list)
	}
	clock.pass(2 * time.Hour)
	for _, m := range b.src.mirrors {
		m.sweep()
	}
	if n := pasts(); n != 1 {
		t.Errorf("%d pasts after two hours", n)
	}
	clock.pass(24 * time.Hour)
	for _, m := range b.src.mirrors {
		m.sweep()
	}
	if n := pasts(); n != 0 {
		t.Errorf("%d pasts after a day", n)
	}
	b.reads(keep, "a", "1")
	if got := text(b.history(source.Query{})); got != "change: A a\n" || pasts() != 1 {
		t.Errorf("then the history is %q", got)
	}
}

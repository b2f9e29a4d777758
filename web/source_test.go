package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/internal/browser"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
)

// History implements [source.Historian].
func (t trees) History(_ context.Context, _ source.Remote, _ source.Ref, rev source.Revision, q source.Query) (source.Log, error) {
	if rev.Name == "" || t[oldCommit] == nil {
		return source.Log{}, fmt.Errorf("there is no revision %q", rev.Name)
	}
	day := time.Date(2026, 1, 2, 2, 0, 0, 0, time.UTC)
	all := []source.Entry{
		{ID: rev.Digest, Commit: source.Commit{Author: hostile + " <ada@example.com>", Subject: "newest " + hostile, When: day}, Committer: "Grace <grace@example.com>",
			Changes: []source.Change{{Verb: source.Modified, Path: "web/all.yaml"}, {Verb: source.Renamed, Path: "docs/b" + hostile, From: "docs/a"}}},
		{ID: digest.Digest("sha1:" + newCommit), Commit: source.Commit{Author: "Ada", Subject: "only words", When: day.Add(-time.Hour)}, Committer: "Ada",
			Changes: []source.Change{{Verb: source.Deleted, Path: "docs/c"}}},
	}
	if q.Path != "" {
		all = all[1:]
	}
	return source.Log{Entries: all, Looked: 2, More: true}, nil
}

const appsSource = "/source/gitrepository/shop/apps"

func TestSources(t *testing.T) {
	st := shop(t, nil)
	b := st.insider()
	bad := sourceBody("shop", "broken", says("Ready", "False", "AuthenticationFailed", "git: https://ada:s3cret@example.com/x: "+hostile))
	bad["spec"].(map[string]any)["url"] = "https://t0ken@example.com/broken?token=s3cret"
	st.apply(bad)
	bucket := sourceBody("ops", "assets", says("Ready", "True", "Succeeded", "stored artifact"))
	bucket["kind"], bucket["spec"] = "Bucket", map[string]any{"interval": "1m", "bucketName": "assets", "endpoint": "s3.example.com"}
	st.apply(bucket)
	a := b.get("/sources")
	a.has(t, "3 sources", "https://example.com/apps at main", "!s3cret", "!t0ken", "&lt;script&gt;", "!<script>alert", `<span class="tag">Bucket</span>`, "https://example.com/x: ", `href="`+appsSource+`"`)
	if strings.Index(a.body, "/broken\"") > strings.Index(a.body, `"`+appsSource+`"`) {
		t.Error("what is broken is not first")
	}
	b.get("/sources?kind=Bucket").has(t, "1 of 3 sources", "assets", "!"+appsSource)
	b.get("/sources?q=s3cret").has(t, "No source is like that")
	b.get("/sources?state=failed&namespace=shop").has(t, "1 of 3 sources", "broken", "!"+appsSource+`"`)
	a = b.get("/sources?sort=users&group=kind")
	if strings.Index(a.body, `"`+appsSource+`"`) > strings.Index(a.body, "/broken\"") || !strings.Contains(a.body, `id="group-GitRepository"`) {
		t.Error("they are not in order of users, by kind", a)
	}
	b.get("/").has(t, `href="/sources"`, "!AuthenticationFailed")
}

func TestSource(t *testing.T) {
	st := shop(t, nil)
	b := st.insider()
	a := b.get(appsSource)
	a.has(t, "fetched "+oldRev, "https://example.com/apps", `href="/unit/kustomization/shop/web"`, "data-load=\""+appsSource+"/log?of=", "stored artifact",
		`action="`+appsSource+`/reconcile"`, `action="`+appsSource+`/suspend"`, "!<script>alert")
	b.get(webUnit).has(t, `href="`+appsSource+`"`)
	b.get("/object/GitRepository.source.toolkit.fluxcd.io/shop/apps").has(t, appsSource)
	if a := b.get("/source/kustomization/shop/web"); a.status != http.StatusNotFound {
		t.Errorf("a unit has the page of a source: %v", a)
	}
	if a := b.get("/source/git/shop/none"); a.status != http.StatusNotFound {
		t.Errorf("a source that is not there has a page: %v", a)
	}
	b.get(appsSource+"/log").has(t, "newest &lt;script&gt;", "!<script>alert", "!<img src=x", `id="c-`+oldCommit[:12]+`"`, "committed by Grace", "the source is at it",
		`concerned <a href="/unit/kustomization/shop/web">`, "docs/a →", "only words", "2 commits were looked at")
	b.get(appsSource+"/log?path=docs").has(t, "only words", "!newest", `value="docs"`)

	// Who wrote a revision leads to where it is one of many.
	b.get(webUnit+"/commit?"+query("revision", oldRev)).has(t, `href="`+appsSource+`/log?at=c-`+oldCommit[:12]+`#c-`+oldCommit[:12]+`"`)
}

// A commit that is linked to is in the log, though it is older than the first that are
// shown.
func TestOldCommit(t *testing.T) {
	st := shop(t, nil)
	long := &longHistory{trees: trees{oldCommit: manifests(2, "web:1", "x", "")}}
	gear, err := st.c.Equip()
	if err != nil {
		t.Fatal(err)
	}
	gear.Sources = map[string]source.Source{"git": long}
	st.c.Equip = func() (*ask.Gear, error) { return gear, nil }
	b := st.insider()
	b.get(appsSource+"/log").has(t, "commit 0.", "commit 29.", "!commit 30.", "Show more")
	b.get(appsSource+"/log?at=c-"+long.id(3)[:12]).has(t, "commit 3.", "!commit 30.", "Show more")
	b.get(appsSource+"/log?at=c-"+long.id(321)[:12]).has(t, "commit 0.", "commit 321.", `id="c-`+long.id(321)[:12]+`"`)
	b.get(appsSource+"/log?at=c-nonsense").has(t, "commit 499.", "!commit 500.", "there are older ones")
}

// A longHistory is of a source with a thousand commits.
type longHistory struct{ trees }

func (longHistory) id(n int) string { return fmt.Sprintf("%08x%032x", n+0xabc00000, n) }

func (l *longHistory) History(_ context.Context, _ source.Remote, _ source.Ref, _ source.Revision, q source.Query) (source.Log, error) {
	log := source.Log{Looked: q.Most, More: true}
	for n := range q.Most {
		log.Entries = append(log.Entries, source.Entry{ID: digest.Digest("sha1:" + l.id(n)), Commit: source.Commit{Author: "Ada", Subject: fmt.Sprintf("commit %d.", n)}})
	}
	return log, nil
}

func TestRightsOfASource(t *testing.T) {
	st := shop(t, reviewed(map[string]cluster.Identity{"ada": {User: "ada"}, "bob": {User: "bob"}, "eve": {User: "eve"}}))
	st.world.Allow(func(who cluster.Identity, d cluster.Deed) bool {
		return who.User == "" || who.User == "ada" || who.User == "bob" && d.Verb == "get"
	})
	for user, want := range map[string]int{"ada": 200, "bob": 200, "eve": 403} {
		b := st.caller()
		b.login(user, "/")
		for _, path := range []string{appsSource, appsSource + "/log"} {
			if a := b.get(path); a.status != want {
				t.Errorf("%s gets %d for %s, want %d", user, a.status, path, want)
			}
		}
		a := b.get(appsSource)
		list := b.get("/sources")
		switch user {
		case "ada":
			a.has(t, "/reconcile", `href="`+webUnit+`"`)
			list.has(t, "1 source")
		case "bob": // who may not list, and not change
			a.has(t, "!/reconcile", "!"+webUnit, "Nobody uses it, as far as you may see")
			list.has(t, "There are no sources, or none that you may list")
			b.get(appsSource+"/log").has(t, "newest", "!"+webUnit)
			if got := b.post(appsSource+"/suspend", url.Values{"reason": {"because"}}); got.status != http.StatusForbidden {
				t.Errorf("bob suspends it: %v", got)
			}
		}
	}
}

func TestActionsOnASource(t *testing.T) {
	st := shop(t, nil)
	b := st.insider()
	id := object.ID{Kind: st.kindNamed("GitRepository"), Namespace: "shop", Name: "apps"}
	now := func() object.Object {
		o, _, err := st.world.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	if a := b.post(appsSource+"/reconcile", url.Values{"to": {appsSource}}); a.status != http.StatusSeeOther || a.header.Get("Location") != appsSource+"?done=reconcile" {
		t.Errorf("reconcile: %v", a)
	}
	if now().Annotation("reconcile.fluxcd.io/requestedAt") == "" {
		t.Error("nobody asked for a look")
	}
	b.post(appsSource+"/suspend", url.Values{"reason": {"moving " + hostile}, "for": {"2h"}})
	if p := st.c.Dialect.Pause(now()); !p.On || !strings.HasPrefix(p.Why, "moving") || now().Annotation("sane-gitops.io/suspend-until") != "2026-01-02T05:04:05Z" {
		t.Errorf("suspended: %+v", p)
	}
	b.get(appsSource).has(t, "moving &lt;script&gt;", "Resume", "!/reconcile\"")
	b.post(appsSource+"/resume", nil)
	if st.c.Language.Paused(now()) {
		t.Error("it is still suspended")
	}
}

// TestLooksOfASource draws the pages of sources.
func TestLooksOfASource(t *testing.T) {
	st := shop(t, nil)
	st.crowd(100)
	chrome := browser.Start(t)
	st.looked(chrome, map[string]string{"sources": "/sources", "source": appsSource, "commits": appsSource + "/log"})
	// What becomes of it is seen without a reload.
	tab := st.tab(chrome, 1280, 1000, "dark")
	tab.Open(st.http.URL + appsSource)
	tab.Until(`document.querySelector("#log[data-loaded] .commits")`)
	tab.Open(st.http.URL + appsSource)
	tab.Until(`document.querySelector(".state.is-ready")`)
	st.apply(sourceBody("shop", "apps", says("Ready", "False", "GitOperationFailed", "the server is gone")))
	tab.Until(`document.querySelector(".state.is-failed") && document.querySelector(".verdict").textContent.includes("the server is gone")`)
}

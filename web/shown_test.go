package web

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

var rowID = regexp.MustCompile(`<tr (?:class="group" )?id="([^"]+)"`)

// order returns the names of the groups and units of a list, from the top.
func (a answer) order() (names []string) {
	for _, m := range rowID.FindAllStringSubmatch(a.body, -1) {
		names = append(names, m[1][strings.LastIndexByte(m[1], '/')+1:])
	}
	return names
}

// since has a condition be so since a time of the first or the second day.
func since(at string, c map[string]any) map[string]any {
	c["lastTransitionTime"] = at
	return c
}

// variety fills the cluster with a few units in several states, namespaces and
// sources.
func (st *stage) variety() {
	put := func(namespace, name, source, at, status, reason string) {
		st.apply(unitBody(namespace, name, source, since(at, says("Ready", status, reason, "because "+reason))))
	}
	put("bank", "vault", "apps", "2026-01-02T03:00:00Z", "True", "ReconciliationSucceeded")
	put("shop", "web", "apps", "2026-01-02T02:00:00Z", "False", "BuildFailed")
	put("shop", "db", "infra", "2026-01-02T02:30:00Z", "False", "HealthCheckFailed")
	put("shop", "cache", "infra", "2026-01-01T00:00:00Z", "True", "ReconciliationSucceeded")
	put("ops", "mon", "infra", "2026-01-01T12:00:00Z", "False", "DependencyNotReady")
}

// How a list is grouped, ordered and filtered, and what is said above it.
func TestFleetShown(t *testing.T) {
	st := play(t, nil)
	st.variety()
	b := st.insider()
	for query, want := range map[string]string{
		"":                                "db web mon vault cache",
		"?sort=name":                      "vault mon cache db web",
		"?sort=moved":                     "vault db web mon cache",
		"?sort=nonsense":                  "vault mon cache db web",
		"?group=namespace":                "group-shop db web cache group-ops mon group-bank vault",
		"?group=namespace&sort=name":      "group-bank vault group-ops mon group-shop cache db web",
		"?group=state":                    "group-failed db web group-waiting mon group-ready vault cache",
		"?group=cluster":                  "group-here db web mon vault cache",
		"?state=failed&state=waiting":     "db web mon",
		"?q=because+build":                "web",
		"?namespace=shop&state=ready":     "cache",
		"?source=GitRepository/ops/x":     "",
		"?source=GitRepository/shop/apps": "web",
		"?page=2":                         "db web mon vault cache", // there is but one
	} {
		if got := strings.Join(b.get("/"+query).order(), " "); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	if got := b.get("/?group=source").order(); !slices.Equal(got, []string{"apps", "web", "infra", "db", "cache", "infra", "mon", "apps", "vault"}) {
		t.Errorf("by source: %q", got)
	}
	a := b.get("/")
	a.has(t, "5 units", `aria-label="2 failed, 1 waiting, 2 ready"`, `<a href="/?state=failed"`, "2 changed in the last hour")
	_, lately, _ := strings.Cut(a.body, `<ol class="lately">`)
	lately, _, _ = strings.Cut(lately, "</ol>")
	if at, then := strings.Index(lately, "/bank/vault"), strings.Index(lately, "/shop/db"); at < 0 || then < at || strings.Contains(lately, "/shop/web") {
		t.Errorf("the last hour is\n%s", lately)
	}
	b.get("/?state=failed").has(t, "2 of 5 units", `aria-label="2 failed, 1 waiting, 2 ready"`, `class="is-failed" aria-current="true"`)
	b.get("/?namespace=shop").has(t, `aria-label="2 failed, 1 ready"`)
}

// Pages of a list are told apart, and none is beyond the last.
func TestFleetPages(t *testing.T) {
	st := play(t, nil)
	for i := range 2*perPage + 50 {
		st.apply(unitBody("shop", fmt.Sprintf("u%03d", i), "apps", says("Ready", "True", "ReconciliationSucceeded", "Applied")))
	}
	b := st.insider()
	for page, want := range map[int][]string{
		1:  {"u000", "u099", "1–100 of 250", `rel="next" href="/?page=2&amp;sort=name"`, `!rel="prev"`},
		2:  {"u100", "u199", "101–200 of 250", `rel="next" href="/?page=3&amp;sort=name"`, `rel="prev" href="/?sort=name"`},
		3:  {"u200", "u249", "201–250 of 250", `!rel="next"`, `rel="prev" href="/?page=2&amp;sort=name"`},
		99: {"u200", "u249", "201–250 of 250", `!rel="next"`},
	} {
		a := b.get(fmt.Sprint("/?sort=name&page=", page))
		names := a.order()
		if names[0] != want[0] || names[len(names)-1] != want[1] {
			t.Errorf("page %d goes from %s to %s", page, names[0], names[len(names)-1])
		}
		a.has(t, want[2:]...)
	}
	b.get("/?page=2&group=namespace").has(t, `id="group-shop"`, "<span>250</span>") // of all pages
}

// A list shows what its viewer may list, and counts and offers nothing else.
func TestFleetRights(t *testing.T) {
	st := play(t, reviewed(map[string]cluster.Identity{"bob": {User: "bob"}, "eve": {User: "eve"}}))
	st.variety()
	st.apply(sourceBody("shop", "apps", says("Ready", "True", "Succeeded", "stored")))
	st.apply(sourceBody("bank", "apps", says("Ready", "True", "Succeeded", "stored")))
	st.world.Allow(func(who cluster.Identity, d cluster.Deed) bool {
		return who.User == "" || who.User == "bob" && d.Verb == "list" && d.Object.Namespace == "shop"
	})
	bob, eve := st.caller(), st.caller()
	bob.login("bob", "/")
	eve.login("eve", "/")
	for _, path := range []string{"/", "/?group=namespace", "/?sort=moved", "/?q=vaul", "/?namespace=bank", "/sources", "/sources?sort=users"} {
		bob.get(path).has(t, "!vault", "!/bank/", `!value="ops"`, "!/mon")
		eve.get(path).has(t, "none that you may list", "!vault", "!/shop/", "!because")
	}
	a := bob.get("/")
	a.has(t, "3 units", `aria-label="2 failed, 1 ready"`, "1 changed in the last hour")
	if got := a.order(); !slices.Equal(got, []string{"db", "web", "cache"}) {
		t.Errorf("bob is shown %q", got)
	}
	bob.get("/sources").has(t, "1 source")
}

// What a unit waits for and what waits for it are on both their pages.
func TestOrderOfUnits(t *testing.T) {
	st := shop(t, nil)
	next := unitBody("shop", "next", "apps", says("Ready", "False", "DependencyNotReady", "dependency 'shop/web' is not ready"))
	next["spec"].(map[string]any)["dependsOn"] = []any{map[string]any{"name": "web"}, map[string]any{"name": "gone", "namespace": "ops"}}
	st.apply(next)
	b := st.insider()
	b.get(webUnit).has(t, "After it come", `href="/unit/kustomization/shop/next"`, "!It comes after", "!none waits for it")
	b.get("/unit/kustomization/shop/next").has(t, "It comes after", `href="`+webUnit+`"`, "ops/</span><span class=\"name\">gone", "not there, or not yours to see", "!After it come")
}

// Nobody does by a page what they may not do: not by a form that was not offered to
// them, either.
func TestRefusedActions(t *testing.T) {
	st := shop(t, reviewed(map[string]cluster.Identity{"bob": {User: "bob"}}))
	st.world.Allow(func(who cluster.Identity, d cluster.Deed) bool {
		return who.User == "" || d.Verb == "get" || d.Verb == "list" || d.Verb == "watch"
	})
	st.world.SetStatus(webID, map[string]any{"conditions": []any{says("Ready", "False", "DeletionHeld", "deletion held: it would delete 2 of 2 objects; if that is meant, annotate it with sane-gitops.io/approve=sha256:0f")}})
	b := st.caller()
	b.login("bob", "/")
	pod := object.ID{Kind: podKind, Namespace: "shop", Name: "web-6797f58d-khx81"}
	before := make(map[object.ID]string)
	for _, id := range []object.ID{webID, appsID, deployID, pod} {
		o, _, err := st.world.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		before[id] = o.ResourceVersion()
		if id == pod {
			before[object.ID{}] = o.UID()
		}
	}
	for path, values := range map[string]url.Values{
		webUnit + "/approve":                       {"digest": {"sha256:0f"}},
		webUnit + "/suspend":                       {"reason": {"because"}},
		webUnit + "/reconcile":                     {"source": {"1"}},
		webUnit + "/resume":                        {},
		appsSource + "/reconcile":                  {},
		"/object/Deployment.apps/shop/web/restart": {},
		"/object/Pod/shop/" + pod.Name + "/delete": {"uid": {before[object.ID{}]}},
	} {
		if a := b.post(path, values); a.status != http.StatusForbidden {
			t.Errorf("%s: %v", path, a)
		}
	}
	delete(before, object.ID{})
	for id, version := range before {
		if o, _, err := st.world.Get(t.Context(), id); err != nil || o.ResourceVersion() != version {
			t.Errorf("%s was changed: %v", id, err)
		}
	}
}

// What is followed is followed by who may see it, and by nobody without a session.
func TestRightsOfStreams(t *testing.T) {
	st := shop(t, reviewed(map[string]cluster.Identity{"eve": {User: "eve"}, "bob": {User: "bob"}}))
	st.world.Allow(func(who cluster.Identity, d cluster.Deed) bool {
		return who.User == "" || who.User == "bob" && (d.Verb == "get" || d.Verb == "list" || d.Verb == "watch") && d.Object.Kind != podKind
	})
	eve, bob, stranger := st.caller(), st.caller(), st.caller()
	eve.login("eve", "/")
	bob.login("bob", "/")
	for _, path := range []string{webUnit + "/live", appsSource + "/live", "/object/Deployment.apps/shop/web/live", "/object/Secret/shop/key/live", "/object/Deployment.apps/shop/web/logs/follow", "/object/Pod/shop/web-6797f58d-khx80/logs/follow"} {
		if a := eve.get(path, "Accept", eventStream); a.status != http.StatusForbidden {
			t.Errorf("eve follows %s: %v", path, a)
		}
		if a := stranger.get(path, "Accept", eventStream); a.status != http.StatusUnauthorized {
			t.Errorf("a stranger follows %s: %v", path, a)
		}
	}
	for _, path := range []string{"/object/Deployment.apps/shop/web/logs/follow", "/object/Pod/shop/web-6797f58d-khx80/logs/follow"} {
		if a := bob.get(path, "Accept", eventStream); a.status != http.StatusForbidden {
			t.Errorf("bob, who may read no pods, follows %s: %v", path, a)
		}
	}
	for _, path := range []string{"/live", "/timeline/live"} {
		if a := stranger.get(path, "Accept", eventStream); a.status != http.StatusUnauthorized {
			t.Errorf("a stranger follows %s: %v", path, a)
		}
	}
	bob.stream(webUnit + "/live")
}

// Names and labels are text, whatever is in them.
func TestHostileNames(t *testing.T) {
	st := shop(t, nil)
	const name = `"><img src=x onerror=alert(1)>` // as roles may be called
	role := object.ID{Kind: object.Kind{Group: "rbac.authorization.k8s.io", Name: "Role"}, Namespace: "shop", Name: name}
	st.apply(map[string]any{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": map[string]any{
		"namespace": "shop", "name": name, "annotations": map[string]any{"note": hostile},
		"labels": map[string]any{"kustomize.toolkit.fluxcd.io/name": "web", "kustomize.toolkit.fluxcd.io/namespace": "shop"},
	}})
	st.world.SetStatus(webID, map[string]any{
		"conditions": []any{says("Ready", "True", "ReconciliationSucceeded", "Applied")},
		"inventory":  map[string]any{"entries": []any{map[string]any{"id": "shop_" + name + "_rbac.authorization.k8s.io_Role", "v": "v1"}}},
	})
	b := st.insider()
	b.get(webUnit).has(t, "&gt;&lt;img src=x", "!<img")
	b.get(webUnit+"?view=list").has(t, "&gt;&lt;img src=x", "!<img")
	a := b.get(st.address(role))
	if a.has(t, "&gt;&lt;img src=x", "!<img", "!<script>alert"); a.status != http.StatusOK {
		t.Errorf("its page: %d", a.status)
	}
	for _, path := range []string{"/unit/kustomization/shop/" + url.PathEscape(name), "/source/git/shop/" + url.PathEscape(name), "/object/Pod/shop/" + url.PathEscape(name), "/?q=" + url.QueryEscape(name), "/?namespace=" + url.QueryEscape(name), "/?group=" + url.QueryEscape(name), "/timeline?unit=" + url.QueryEscape(name)} {
		b.get(path).has(t, "!<img", "!<script>alert")
	}
	labelled := unitBody(hostile, hostile, hostile, says("Ready", "False", "BuildFailed", hostile))
	labelled["metadata"].(map[string]any)["labels"] = map[string]any{hostile: hostile}
	labelled["status"].(map[string]any)["lastAppliedRevision"] = hostile
	x := st.rowOf(object.Of(labelled))
	for _, query := range []string{"", "group=namespace", "group=source", "q=" + url.QueryEscape(hostile), "namespace=" + url.QueryEscape(hostile), "source=" + url.QueryEscape(x.Source.String())} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		p := st.fleetPage(units.wishOf(q), []*row{x}, nil)
		w := httptest.NewRecorder()
		if err := st.show(w, httptest.NewRequest("GET", "/", nil), &viewer{}, "fleet", frame{Main: p}); err != nil {
			t.Fatal(err)
		}
		answer{w.Code, w.Header(), w.Body.String()}.has(t, "&lt;script&gt;", "!<script>alert", "!<img")
		if p.Found != 1 {
			t.Errorf("%q finds %d", query, p.Found)
		}
	}
}

// What is well and alike is folded in a large tree, and opened by an address.
func TestFoldedTree(t *testing.T) {
	st := shop(t, nil)
	entries := []any{map[string]any{"id": "shop_web_apps_Deployment", "v": "v1"}}
	labels := map[string]any{"kustomize.toolkit.fluxcd.io/name": "web", "kustomize.toolkit.fluxcd.io/namespace": "shop"}
	for i := range 40 {
		name := fmt.Sprintf("settings-%02d", i)
		st.apply(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"namespace": "shop", "name": name, "labels": labels}})
		entries = append(entries, map[string]any{"id": "shop_" + name + "__ConfigMap", "v": "v1"})
	}
	st.world.SetStatus(webID, map[string]any{"conditions": []any{says("Ready", "True", "ReconciliationSucceeded", "Applied")}, "inventory": map[string]any{"entries": entries}})
	b := st.insider()
	for _, view := range []string{"", "&view=list"} {
		folded := b.get(webUnit + "?a=b" + view)
		folded.has(t, "40 healthy ConfigMaps", "!settings-07", "web-6797f58d-khx81", "open=all")
		_, rest, _ := strings.Cut(folded.body, `40 healthy ConfigMaps`)
		opened := b.get(webUnit + "?open=all" + view)
		opened.has(t, "settings-00", "settings-07", "settings-39", "!40 healthy ConfigMaps")
		if rest == "" || strings.Contains(opened.body, "open=all&amp;open=all") {
			t.Error("what is open can be opened")
		}
	}
	// The box itself opens what is in it, and nothing else.
	link := regexp.MustCompile(`<a href="([^"]+)"[^>]*aria-label="40 healthy ConfigMaps`).FindStringSubmatch(b.get(webUnit).body)
	if link == nil {
		t.Fatal("the box leads nowhere")
	}
	b.get(html.UnescapeString(link[1])).has(t, "settings-00", "settings-39", "!40 healthy ConfigMaps")
}

// What a list of ten thousand takes does not grow by work that nobody sees: a gate of
// what is allocated, and sent, once the rows are at hand.
func TestListGate(t *testing.T) {
	st := stageOf(t, nil)
	rows, feedRows := make([]*row, 10000), make([]*row, 10000)
	used := make(map[object.ID]int)
	for i := range rows {
		team, app := fmt.Sprint("team-", i%40), fmt.Sprint("apps-", i)
		status := []string{"True", "False", "Unknown"}[i%3]
		rows[i] = st.rowOf(object.Of(unitBody(team, fmt.Sprint("unit-", i), fmt.Sprint("apps-", i%300), says("Ready", status, "Because", "it is number "+fmt.Sprint(i)))))
		feedRows[i] = st.rowOf(object.Of(sourceBody(team, app, says("Ready", "True", "Succeeded", "stored"))))
		used[feedRows[i].ID] = i % 7
	}
	for _, tt := range []struct {
		list  *list
		query string
		look  string
		rows  []*row
		most  float64 // allocations
		bytes int     // before they are packed
	}{
		{units, "", "fleet", rows, 40000, 130 << 10},
		{units, "group=namespace&sort=name", "fleet", rows, 40000, 130 << 10},
		{units, "q=unit-77&state=failed", "fleet", rows, 14000, 40 << 10},
		{feeds, "", "sources", feedRows, 34000, 120 << 10},
		{feeds, "sort=users&group=kind", "sources", feedRows, 34000, 120 << 10},
	} {
		q, err := url.ParseQuery(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		var w *httptest.ResponseRecorder
		made := testing.AllocsPerRun(3, func() {
			w = httptest.NewRecorder()
			p := st.fleetPage(tt.list.wishOf(q), tt.rows, used)
			if err := st.show(w, httptest.NewRequest("GET", "/", nil), &viewer{}, tt.look, frame{Main: p}); err != nil {
				t.Fatal(err)
			}
		})
		if n := w.Body.Len(); made > tt.most || n > tt.bytes {
			t.Errorf("%s?%s: %.0f allocations, %d bytes", tt.list.Path, tt.query, made, n)
		}
	}
}

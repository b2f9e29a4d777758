package web

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/internal/browser"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
	"github.com/sane-gitops/sane/report/journal"
)

// past sets a stage with a journal of which told says whether it is told of all.
func past(t testing.TB, told bool) *stage {
	j, err := journal.Open(journal.Config{Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	st := shop(t, func(c *Config) { c.Journal, c.Told = j, func() bool { return told } })
	t.Cleanup(func() { j.Close() })
	return st
}

// befalls has a journal remember something of a unit or a source, some minutes
// after two.
func (st *stage) befalls(minute int, about object.ID, f report.Facts, message string) {
	st.c.Journal.Report(report.Event{
		About: report.Object{APIVersion: about.Kind.Group + "/v1", Kind: about.Kind.Name, Namespace: about.Namespace, Name: about.Name},
		At:    time.Date(2026, 1, 2, 2, minute, 0, 0, time.UTC), Severity: report.Info, Reason: "Because", Message: message, Facts: f,
	})
	ctx, stop := context.WithCancel(context.Background())
	stop()
	_ = st.c.Journal.Run(ctx)
}

var (
	webID    = object.ID{Kind: flux.Kustomization, Namespace: "shop", Name: "web"}
	appsID   = object.ID{Kind: flux.GitRepository, Namespace: "shop", Name: "apps"}
	otherID  = object.ID{Kind: flux.Kustomization, Namespace: "bank", Name: "vault"}
	deployID = object.ID{Kind: object.Kind{Group: "apps", Name: "Deployment"}, Namespace: "shop", Name: "web"}
	keyID    = object.ID{Kind: object.Kind{Name: "Secret"}, Namespace: "shop", Name: "key"}
)

func (st *stage) story() {
	st.befalls(1, appsID, report.Facts{Kind: report.Fetched, Revision: newRev}, "stored artifact for "+hostile)
	st.befalls(2, webID, report.Facts{Kind: report.Applied, Revision: newRev, Changes: []report.Change{
		{ID: deployID, Done: "configured"}, {ID: keyID, Done: "configured", Undid: true, By: "kubectl-edit"},
	}}, "x")
	st.befalls(3, webID, report.Facts{Kind: report.Suspended, Who: "ada", Until: time.Date(2026, 1, 2, 9, 0, 0, 0, time.UTC)}, "suspended by ada: "+hostile)
	st.befalls(4, otherID, report.Facts{Kind: report.Failed}, "the vault is open")
}

func TestTimeline(t *testing.T) {
	st := past(t, true)
	st.story()
	b := st.insider()
	b.get("/timeline").has(t,
		"suspended by ada: &lt;script&gt;", "!<script>alert", "!<img src=x", "until 2026-01-02 09:00 UTC", "stored artifact for", "the vault is open",
		`href="/unit/kustomization/shop/web"`, `href="/object/Deployment.apps/shop/web"`, "changed by <b>kubectl-edit</b>",
		"Friday, 2 January 2026", "02:03:00", `data-live="/timeline/live?turn=4"`, "!made up of", `aria-current="page">Timeline`,
	)
	for path, want := range map[string][]string{
		"what=suspended":            {"suspended by ada", "!vault is open", "!kubectl-edit", "Remove the filter what suspended"},
		"what=nonsense":             {"suspended by ada", "vault is open"},
		"q=VAULT+open":              {"the vault is open", "!suspended by ada"},
		"q=secret/shop":             {"!kubectl-edit", "Nothing like that"},
		"q=kubectl":                 {"kubectl-edit", "!vault is open"},
		"namespace=bank":            {"the vault is open", "!suspended by ada"},
		"unit=" + webID.String():    {"suspended by ada", "!stored artifact", "!vault is open"},
		"source=" + appsID.String(): {"suspended by ada", "stored artifact", "!vault is open"},
		"source=" + appsID.String() + "&what=drift&namespace=shop": {"kubectl-edit", "!suspended by ada:"},
		"q=" + url.QueryEscape(hostile):                            {"!<script>alert", "suspended by ada"},
	} {
		b.get("/timeline?"+path).has(t, want...)
	}
	for _, path := range []string{"unit=Pod/shop/web", "unit=nonsense", "unit=Kustomization/shop"} {
		if a := b.get("/timeline?" + path); a.status != 404 {
			t.Errorf("%s: %v", path, a)
		}
	}
	b.get(webUnit).has(t, "was changed by <b>kubectl-edit</b>, and brought back", "/timeline?unit=Kustomization%2Fshop%2Fweb")
}

// A viewer is told of what they may list, and of objects that they may get.
func TestTimelineRights(t *testing.T) {
	st := past(t, true)
	st.story()
	st.world.Allow(func(who cluster.Identity, d cluster.Deed) bool {
		return who.User == "" || d.Object.Namespace == "shop" && d.Object.Kind != keyID.Kind
	})
	v := st.viewerOf(session{Who: cluster.Identity{User: "bob"}})
	show := func(query string) string {
		t.Helper()
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		p := timelinePage{pastWish: pastWishOf(q)}
		if err := st.past(t.Context(), v, &p); err != nil {
			return err.Error()
		}
		var all []string
		for _, h := range p.Rows {
			all = append(all, fmt.Sprint(h.What, " ", h.About.Name, " ", len(h.Changes), "+", h.Hidden))
		}
		return strings.Join(all, ", ")
	}
	for query, want := range map[string]string{
		"":                             "suspended web 0+0, drift web 0+1, applied web 1+0, revision apps 0+0",
		"namespace=bank":               "",
		"source=GitRepository/bank/x":  "",
		"unit=" + otherID.String():     otherID.String() + " is not there, or you may not see it.",
		"q=vault":                      "",
		"q=key":                        "", // it is in what they may not get
		"what=drift&q=secret/shop/key": "",
		"what=failed":                  "",
		"unit=" + webID.String():       "suspended web 0+0, drift web 0+1, applied web 1+0",
	} {
		if got := show(query); got != want {
			t.Errorf("%q: %s, want %s", query, got, want)
		}
	}
	st.world.Allow(func(who cluster.Identity, _ cluster.Deed) bool { return who.User == "" })
	v = st.viewerOf(session{Who: cluster.Identity{User: "eve"}})
	if got := show(""); got != "" {
		t.Error(got)
	}
}

// Pages lead to each other, and what they show stays as it is while more happens.
func TestTimelinePages(t *testing.T) {
	st := past(t, true)
	for i := range 2*perPage + 7 {
		st.befalls(i, webID, report.Facts{Kind: report.Settled}, fmt.Sprintf("number %d.", i))
	}
	b := st.insider()
	link := func(a answer, name string) string {
		_, rest, _ := strings.Cut(a.body, `<a rel="`+name+`" href="`)
		to, _, _ := strings.Cut(rest, `"`)
		return strings.ReplaceAll(to, "&amp;", "&")
	}
	first := b.get("/timeline?what=ready")
	first.has(t, "number 206.", "number 107.", "!number 106.", "!Newer")
	second := b.get(link(first, "next"))
	second.has(t, "number 106.", "number 7.", "!number 6.", "!number 107.", "!data-live")
	st.befalls(500, webID, report.Facts{Kind: report.Settled}, "number 500.")
	main := func(a answer) string { return a.body[strings.Index(a.body, "<main"):] }
	if again := b.get(link(first, "next")); main(again) != main(second) {
		t.Errorf("what is older has changed: %s", main(again))
	}
	third := b.get(link(second, "next"))
	third.has(t, "number 6.", "number 0.", "!Older →")
	back := b.get(link(third, "prev"))
	back.has(t, "number 106.", "number 7.", "!number 6.", "Older →")
	b.get(link(back, "prev")).has(t, "number 206.", "number 107.", "!number 500.")
	b.get("/timeline?before=nonsense&after=%00").has(t, "number 500.")
}

// What nobody remembers, or nobody tells, is said.
func TestTimelineWithout(t *testing.T) {
	shop(t, nil).insider().get("/timeline").has(t, "Nothing is remembered")
	st := past(t, false)
	st.insider().get("/timeline").has(t, "made up of what the cluster still tells", "Nothing has happened")
	st.insider().get(webUnit).has(t, "as far as the events of the last hour tell", "All that happened to it")
}

// What people do by the pages is remembered with who they are.
func TestTimelineActions(t *testing.T) {
	st := past(t, true)
	b := st.insider()
	uid := func(name string) string {
		o, _, err := st.world.Get(t.Context(), object.ID{Kind: podKind, Namespace: "shop", Name: name})
		if err != nil {
			t.Fatal(err)
		}
		return o.UID()
	}
	b.post(webUnit+"/reconcile", nil)
	b.post("/object/Deployment.apps/shop/web/restart", nil)
	b.post("/object/Pod/shop/web-6797f58d-khx81/delete", url.Values{"uid": {uid("web-6797f58d-khx81")}})
	ctx, stop := context.WithCancel(context.Background())
	stop()
	_ = st.c.Journal.Run(ctx)
	b.get("/timeline?what=asked&unit="+webID.String()).has(t, "asked to look now", "restarted", "asked to delete it", "web-6797f58d-khx81")
}

// TestTimelineLooks draws the timeline in all sizes and colours, live.
func TestTimelineLooks(t *testing.T) {
	st := past(t, true)
	st.story()
	for i := range 60 {
		k := report.Kinds[i%len(report.Kinds)]
		st.befalls(5+i, webID, report.Facts{Kind: k, Revision: newRev, Who: "grace", Changes: []report.Change{{ID: deployID, Done: "configured"}}}, "a message that is long enough to be broken into lines where there is not much room for it "+hostile)
	}
	chrome := browser.Start(t)
	st.looked(chrome, map[string]string{"timeline": "/timeline", "past": "/timeline?what=drift&q=web", "nothing": "/timeline?q=nowhere"})
	tab := st.tab(chrome, 1280, 900, "light")
	tab.Open(st.http.URL + "/timeline?what=held")
	tab.Until(`document.documentElement.classList.contains("scripted") && document.querySelector(".past")`)
	st.befalls(90, webID, report.Facts{Kind: report.Held}, "what nobody expected")
	tab.Until(`document.querySelector(".past").textContent.includes("what nobody expected")`)
}

// Who fights over an object is told to those who may get the object.
func TestFoughtRights(t *testing.T) {
	st := play(t, nil)
	id := object.ID{Kind: object.Kind{Name: "Secret"}, Namespace: "shop", Name: "key"}
	x := journal.Entry{Kind: report.Fought, Message: `Secret/shop/key is changed again and again by "mallory"`, Who: "mallory", Changes: []report.Change{{ID: id}}}
	if h := st.happening(x, sieve{id: true}); !h.tells([]string{"mallory"}) || !h.tells([]string{"key"}) {
		t.Errorf("it is not told: %+v", h)
	}
	if h := st.happening(x, sieve{}); h.tells([]string{"mallory"}) || h.tells([]string{"key"}) || h.Hidden != 1 {
		t.Errorf("it is told: %+v", h)
	}
}

package web

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/internal/browser"
	"github.com/sane-gitops/sane/object"
)

// TestLooks draws the lists in all sizes and colours.
func TestLooks(t *testing.T) {
	st := play(t, nil)
	st.crowd(500)
	st.looked(browser.Start(t), map[string]string{"fleet": "/", "grouped": "/?group=namespace&q=a", "narrow": "/?state=failed&state=held"})
}

// An open page says since when it is not as things are: while the cluster can't be
// asked, and when the session is over. Then it goes on, or offers the login.
func TestOpenPages(t *testing.T) {
	st, chrome := shop(t, nil), browser.Start(t)
	tab := st.tab(chrome, 1280, 900, "light")
	tab.Open(st.http.URL + "/sources") // so that it is known who may list them
	tab.Open(st.http.URL + webUnit)
	tab.Until(whole)
	tab.Excuse("503")
	st.world.Fail(func(string, object.ID) error { return cluster.ErrUnavailable })
	st.world.Lose()
	tab.UntilText("This page: not as it is now")
	if text := tab.Text(); !strings.Contains(text, "The cluster does not answer") || !strings.Contains(text, "What it has made") {
		t.Errorf("without a cluster the page shows\n%s", text)
	}
	tab.Audit()
	tab.Shot("lost")
	new := st.tab(chrome, 360, 700, "dark") // who has not been there
	new.Excuse("503")
	new.Open(st.http.URL + appsSource)
	new.UntilText("This is what lists know of it")
	new.Audit()
	new.Shot("scant")
	st.clock.pass(rightStands + time.Minute)
	tab.Hide()
	tab.Show()
	tab.UntilText("what you see is from then") // there is nothing to be shown any more
	if text := tab.Text(); !strings.Contains(text, "No answer since") || !strings.Contains(text, "What it has made") {
		t.Errorf("without a cluster, later, the page shows\n%s", text)
	}
	st.world.Fail(nil)
	tab.Until(`document.getElementById("state").hidden && !document.querySelector(".stale")`)

	tab.Excuse("401")
	tab.Clear()
	st.world.SetStatus(webID, map[string]any{"conditions": []any{says("Ready", "False", "BuildFailed", "news")}})
	tab.UntilText("Your session has ended")
	if text := tab.Text(); strings.Contains(text, "news") || !strings.Contains(text, "Log in") {
		t.Errorf("after the session the page shows\n%s", text)
	}
}

// What a mouse can do, keys can: search, go down and up the rows, open one, go home.
func TestKeys(t *testing.T) {
	st := play(t, nil)
	st.crowd(40)
	tab := st.tab(browser.Start(t), 1280, 900, "light")
	tab.Until(whole)
	const row = `[...document.querySelectorAll("[data-rows] tbody tr")].findIndex((r) => r.contains(document.activeElement))`
	type step struct{ keys, then string }
	press := func(all ...step) {
		t.Helper()
		for _, x := range all {
			tab.Press(x.keys)
			tab.Until(x.then)
		}
	}
	press([]step{
		{"j", row + " === 0"}, {"j", row + " === 1"}, {"k", row + " === 0"},
		{"/", `document.activeElement.matches("[data-search]")`},
	}...)
	tab.Fill("[data-search]", "gateway")
	tab.Until(`location.search === "?q=gateway" && document.querySelector("[data-rows] tbody tr").innerText.includes("gateway")`)
	press([]step{
		{"\x1b", `document.activeElement === document.body`},
		{"j", row + " === 0"},
		{"\r", `location.pathname.startsWith("/unit/") && document.documentElement.classList.contains("scripted")`},
		{"gs", `location.pathname === "/sources" && document.documentElement.classList.contains("scripted")`},
		{"gf", `location.pathname === "/" && document.documentElement.classList.contains("scripted")`},
	}...)
}

// crowd fills the cluster with n units in all states.
func (st *stage) crowd(n int) {
	teams := []string{"payments", "search", "identity", "ledger", "growth", "platform", "data-warehouse", "edge"}
	apps := []string{"api", "web", "worker", "scheduler", "cache", "gateway", "migrations", "exporter", "console"}
	for _, team := range teams {
		st.apply(sourceBody(team, "apps", says("Ready", "True", "Succeeded", "stored artifact for revision 'main@sha1:4204876b'")))
	}
	for i := range n {
		c := []map[string]any{says("Ready", "True", "ReconciliationSucceeded", "Applied revision: main@sha1:4204876ba8c7112864c0312481fb9a7d83985e91")}
		switch i % 97 {
		case 3:
			c = []map[string]any{says("Ready", "False", "HealthCheckFailed", "health check failed after 2m0s: Deployment/payments/api: container \"main\" can't start: ImagePullBackOff: Back-off pulling image \"registry.example.com/payments/api:2.14.0\"")}
		case 40:
			c = []map[string]any{says("Ready", "False", "BuildFailed", "kustomize build failed: accumulating resources: accumulation err='accumulating resources from 'deployment.yaml': evalsymlink failure")}
		case 12:
			c = []map[string]any{says("Ready", "False", "DependencyNotReady", "dependency 'platform/database' is not ready: it is being brought up")}
		case 21:
			c = []map[string]any{says("Ready", "Unknown", "Progressing", "reconciliation in progress: Deployment/edge/gateway: Available: 2/3"), says("Reconciling", "True", "Progressing", "x")}
		}
		team := teams[i%len(teams)]
		body := unitBody(team, fmt.Sprintf("%s-%d", apps[i/len(teams)%len(apps)], i), "apps", c...)
		if i%97 == 60 {
			body["spec"].(map[string]any)["suspend"] = true
		}
		if i%97 == 75 {
			delete(body, "status")
		}
		st.apply(body)
	}
}

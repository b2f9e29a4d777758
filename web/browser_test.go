package web

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sane-gitops/sane/internal/browser"
)

// TestLooks draws the lists in all sizes and colours. SHOTS names a directory
// for pictures of them.
func TestLooks(t *testing.T) {
	st := play(t, nil)
	st.crowd(500)
	chrome := browser.Start(t)
	for _, width := range []int64{360, 1280, 2560} {
		for _, theme := range []string{"light", "dark"} {
			tab := chrome.Tab(t, width, width*10/16+200, theme)
			tab.Open(st.http.URL + "/enter?pass=" + pass)
			for name, path := range map[string]string{"fleet": "/", "grouped": "/?group=namespace&q=a", "narrow": "/?state=failed&state=held"} {
				tab.Open(st.http.URL + path)
				tab.Until(`document.documentElement.classList.contains("scripted")`)
				tab.Audit()
				tab.Steady()
				if dir := os.Getenv("SHOTS"); dir != "" {
					tab.Shot(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, width, theme)))
				}
			}
		}
	}
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

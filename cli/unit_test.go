package cli

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/object"
)

// A table is as wide as it needs to be, grows, and paints cells without
// counting the paint.
func TestTable(t *testing.T) {
	var b strings.Builder
	s := screen{Writer: &b, colour: true}
	tab := table{head: []string{"NAME", "READY", "MESSAGE"}, paint: readyColour}
	tab.add("a", "True", "two\nlines ")
	tab.add("långt", "", "x")
	tab.add("b", "False", "")
	if err := tab.write(s); err != nil {
		t.Fatal(err)
	}
	tab.add("a much longer name", "Unknown", "y")
	tab.add("c", "True", "z")
	if err := tab.write(s); err != nil {
		t.Fatal(err)
	}
	const want = "" +
		"NAME    READY   MESSAGE\n" +
		"a       \x1b[32mTrue\x1b[0m    two lines\n" +
		"långt           x\n" +
		"b       \x1b[31mFalse\x1b[0m\n" +
		"a much longer name   \x1b[33mUnknown\x1b[0m   y\n" +
		"c                    \x1b[32mTrue\x1b[0m      z\n"
	if b.String() != want {
		t.Errorf("got\n%q\nwant\n%q", b.String(), want)
	}
}

// On a terminal a progress line is written over; elsewhere every new state is
// a line.
func TestProgress(t *testing.T) {
	for _, tt := range []struct {
		name string
		live bool
		want string
	}{
		{"pipe", false, "one\ntwo and more\n"},
		{"terminal", true, "\r\x1b[Kone\r\x1b[Ktwo and…\r\x1b[K"},
	} {
		var b strings.Builder
		p := progress{to: screen{Writer: &b, live: tt.live, width: func() int { return 9 }}}
		for _, s := range []string{"one", "one", "two\nand  more"} {
			p.show(s)
		}
		p.done()
		if b.String() != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, b.String(), tt.want)
		}
	}
}

// The pages say whether the daemon is ready, and what it has done.
func TestPages(t *testing.T) {
	r := &daemon{}
	r.counts = newMeters(r.busy)
	get := func(h http.Handler, path string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Code, w.Body.String()
	}
	if code, _ := get(r.healthPages(), "/healthz"); code != 200 {
		t.Errorf("healthz answers %d", code)
	}
	if code, _ := get(r.healthPages(), "/readyz"); code != 503 {
		t.Errorf("readyz answers %d before anything is known", code)
	}
	r.elect = true
	if code, _ := get(r.healthPages(), "/readyz"); code != 200 {
		t.Errorf("readyz answers %d while another leads", code)
	}
	r.offer.wanted = true
	if code, why := get(r.healthPages(), "/readyz"); code != 503 || !strings.Contains(why, "does not lead") {
		t.Errorf("readyz answers %d, %q while another has the artifacts", code, why)
	}
	r.counts.seenTo(object.ID{Kind: object.Kind{Name: "Kustomization"}, Namespace: "ns", Name: "web"}, time.Second, false)
	r.counts.seenTo(object.ID{Kind: object.Kind{Name: "GitRepository"}, Namespace: "ns", Name: "apps"}, time.Millisecond, true)
	r.counts.token(true)
	r.counts.remembers(func() int { return 3 })
	r.counts.request("apply", "deployments.apps", 200, time.Millisecond)
	_, page := get(r.metricsPages(), "/metrics")
	for _, line := range []string{
		`gotk_reconcile_duration_seconds_bucket{kind="Kustomization",name="web",namespace="ns",le="0.01"} 0`,
		`gotk_reconcile_duration_seconds_bucket{kind="Kustomization",name="web",namespace="ns",le="+Inf"} 1`,
		`gotk_reconcile_duration_seconds_sum{kind="Kustomization",name="web",namespace="ns"} 1`,
		`gotk_reconcile_duration_seconds_count{kind="GitRepository",name="apps",namespace="ns"} 1`,
		`controller_runtime_reconcile_total{controller="kustomization",result="requeue_after"} 1`,
		`controller_runtime_reconcile_total{controller="gitrepository",result="error"} 1`,
		`controller_runtime_reconcile_errors_total{controller="gitrepository"} 1`,
		`controller_runtime_reconcile_time_seconds_count{controller="gitrepository"} 1`,
		`gotk_token_cache_events_total{event_type="cache_hit"} 1`,
		`gotk_token_cached_items 3`,
		`sane_api_requests_total{code="200",resource="deployments.apps",verb="apply"} 1`,
		`sane_queue_length 0`,
		`go_goroutines `,
		`process_resident_memory_bytes `,
	} {
		if !strings.Contains(page, line) {
			t.Errorf("metrics lack %s", line)
		}
	}
	r.counts.left(object.ID{Kind: object.Kind{Name: "Kustomization"}, Namespace: "ns", Name: "web"})
	if _, page := get(r.metricsPages(), "/metrics"); strings.Contains(page, `name="web"`) || !strings.Contains(page, `name="apps"`) {
		t.Error("metrics tell of what is gone, or not of what is there")
	}
	if code, _ := get(r.metricsPages(), "/debug/pprof/heap"); code != 200 {
		t.Errorf("pprof answers %d", code)
	}
}

// A tree is drawn over the one before, as much of it as a terminal has room for, and
// no colour goes on after what is cut off.
func TestRedrawn(t *testing.T) {
	lines := []string{"OBJECT   HEALTH\n", "a        \x1b[32mHealthy\x1b[0m\n", "├─ bb    \x1b[31mDegraded\x1b[0m   why\n", "└─ c\n"}
	for _, tt := range []struct {
		name          string
		width, height int
		want          string
	}{
		{"all", 80, 10, "OBJECT   HEALTH\x1b[K\na        \x1b[32mHealthy\x1b[0m\x1b[K\n├─ bb    \x1b[31mDegraded\x1b[0m   why\x1b[K\n└─ c\x1b[K\n"},
		{"just", 15, 5, "OBJECT   HEALTH\x1b[K\na        \x1b[32mHealth" + "\x1b[0m\x1b[K\n├─ bb    \x1b[31mDegrad\x1b[0m\x1b[K\n└─ c\x1b[K\n"},
		{"low", 80, 4, "OBJECT   HEALTH\x1b[K\na        \x1b[32mHealthy\x1b[0m\x1b[K\n… and 2 more lines\x1b[K\n"},
		{"tiny", 3, 1, "OBJ\x1b[0m\x1b[K\n… and 3 more lines\x1b[K\n"},
	} {
		if got := redrawn(lines, tt.width, tt.height); got != "\x1b[H"+tt.want+"\x1b[J" {
			t.Errorf("%s: got\n%q\nwant\n%q", tt.name, got, "\x1b[H"+tt.want+"\x1b[J")
		}
	}
}

package web

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/internal/browser"
	"github.com/sane-gitops/sane/object"
)

// A stage is a server over a cluster in memory, for a test.
type stage struct {
	*Server
	t     testing.TB
	world *memory.Cluster
	http  *httptest.Server
	clock *clock
	log   *logs

	spaces map[string]bool // namespaces that are there
}

// A clock goes as a test wants it to.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// logs keeps what was logged.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

const pass = "open-sesame"

// language is that of Flux's kinds.
var language = ask.Language{
	Nouns: []ask.Noun{
		{Kind: flux.Kustomization, Names: []string{"kustomization", "ks"}},
		{Kind: flux.GitRepository, Names: []string{"gitrepository", "git"}, Feed: true},
		{Kind: flux.OCIRepository, Names: []string{"ocirepository", "oci"}, Feed: true},
		{Kind: flux.Bucket, Names: []string{"bucket"}, Feed: true},
	},
	Request: "reconcile.fluxcd.io/requestedAt",
	Pause:   []string{"spec", "suspend"},
}

// play sets a stage on which only who has the pass comes in, unless set says
// otherwise.
func play(t testing.TB, set func(*Config)) *stage {
	st := stageOf(t, set)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = st.Run(ctx) })
	st.http = httptest.NewServer(st)
	t.Cleanup(func() {
		stop()
		st.http.Close()
		running.Wait()
	})
	return st
}

// stageOf sets a stage on which nothing runs yet.
func stageOf(t testing.TB, set func(*Config)) *stage {
	world := memory.New(slices.Concat(
		memory.Kinds("kustomize.toolkit.fluxcd.io/v1", "Kustomization"),
		memory.Kinds("source.toolkit.fluxcd.io/v1", "GitRepository", "OCIRepository", "Bucket"),
	)...)
	st := &stage{t: t, world: world, clock: &clock{at: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, log: new(logs), spaces: make(map[string]bool)}
	c := Config{
		Desk: ask.Desk{
			Cluster: world, Dialect: flux.New(flux.Config{Guard: true}), Language: language, Now: st.clock.now,
			Log: slog.New(slog.NewTextHandler(st.log, nil)),
		},
		Door: Door{Pass: pass},
	}
	if set != nil {
		set(&c)
	}
	var err error
	if st.Server, err = New(c); err != nil {
		t.Fatal(err)
	}
	return st
}

// apply puts an object, with its namespace, and its status.
func (st *stage) apply(body map[string]any) object.ID {
	st.t.Helper()
	status, _ := body["status"].(map[string]any)
	delete(body, "status")
	o := object.Of(body)
	ctx := context.Background()
	if ns := o.Namespace(); ns != "" && !st.spaces[ns] {
		st.spaces[ns] = true
		_, err := st.world.Apply(ctx, object.Of(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": ns}}), cluster.How{Manager: "test", Force: true})
		if err != nil {
			st.t.Fatal(err)
		}
	}
	o, err := st.world.Apply(ctx, o, cluster.How{Manager: "test", Force: true})
	if err != nil {
		st.t.Fatal(err)
	}
	if status != nil {
		st.world.SetStatus(o.ID(), status)
	}
	return o.ID()
}

// unit returns a unit that says of itself what conditions say.
func unitBody(namespace, name, source string, conditions ...map[string]any) map[string]any {
	var list []any
	for _, c := range conditions {
		list = append(list, c)
	}
	body := map[string]any{
		"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
		"metadata": map[string]any{"namespace": namespace, "name": name},
		"spec": map[string]any{
			"interval": "10m", "prune": true, "path": "./" + name,
			"sourceRef": map[string]any{"kind": "GitRepository", "name": source},
		},
	}
	if list != nil {
		body["status"] = map[string]any{
			"conditions": list, "observedGeneration": int64(1),
			"lastAppliedRevision": "main@sha1:4204876ba8c7112864c0312481fb9a7d83985e91", "lastAttemptedRevision": "main@sha1:4204876ba8c7112864c0312481fb9a7d83985e91",
		}
	}
	return body
}

func sourceBody(namespace, name string, conditions ...map[string]any) map[string]any {
	var list []any
	for _, c := range conditions {
		list = append(list, c)
	}
	return map[string]any{
		"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
		"metadata": map[string]any{"namespace": namespace, "name": name},
		"spec":     map[string]any{"interval": "1m", "url": "https://example.com/" + name, "ref": map[string]any{"branch": "main"}},
		"status": map[string]any{"conditions": list, "observedGeneration": int64(1), "artifact": map[string]any{
			"revision": "main@sha1:4204876ba8c7112864c0312481fb9a7d83985e91", "digest": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
			"path": "x", "url": "http://x/x.tar.gz", "lastUpdateTime": "2026-01-02T03:00:00Z",
		}},
	}
}

func says(kind, status, reason, message string) map[string]any {
	return map[string]any{
		"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": int64(1),
		"lastTransitionTime": "2026-01-02T02:50:00Z",
	}
}

// A caller is somebody who looks, with their cookies.
type caller struct {
	*http.Client
	st *stage
}

func (st *stage) caller() *caller {
	jar, err := cookiejar.New(nil)
	if err != nil {
		st.t.Fatal(err)
	}
	return &caller{&http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, st}
}

// insider returns a caller who has shown the pass.
func (st *stage) insider() *caller {
	b := st.caller()
	if a := b.get("/enter?pass=" + pass); a.status != http.StatusSeeOther {
		st.t.Fatalf("the pass is not taken: %v", a)
	}
	return b
}

// An answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) String() string { return fmt.Sprintf("%d %v\n%s", a.status, a.header, a.body) }

func (b *caller) do(r *http.Request) answer {
	b.st.t.Helper()
	resp, err := b.Do(r)
	if err != nil {
		b.st.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.st.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func (b *caller) request(method, path, body string, header ...string) *http.Request {
	r, err := http.NewRequest(method, b.st.http.URL+path, strings.NewReader(body))
	if err != nil {
		b.st.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func (b *caller) get(path string, header ...string) answer {
	b.st.t.Helper()
	return b.do(b.request("GET", path, "", header...))
}

// post sends a form as the page at / would.
func (b *caller) post(path string, values url.Values, header ...string) answer {
	b.st.t.Helper()
	if values == nil {
		values = url.Values{}
	}
	if !values.Has("form") {
		values.Set("form", b.form())
	}
	header = append([]string{"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin"}, header...)
	return b.do(b.request("POST", path, values.Encode(), header...))
}

// form returns what a form of this session carries.
func (b *caller) form() string {
	_, rest, _ := strings.Cut(b.get("/").body, `name="form" value="`)
	form, _, _ := strings.Cut(rest, `"`)
	return form
}

// looked opens pages by name in all sizes and colours, and fails for what keeps
// people from using them, and for what moves by itself.
func (st *stage) looked(chrome *browser.Browser, pages map[string]string) {
	st.t.Helper()
	for _, width := range []int64{360, 1280, 2560} {
		tab := st.tab(chrome, width, width*10/16+400, "light")
		for name, path := range pages {
			tab.Open(st.http.URL + path)
			tab.Until(whole)
			for _, theme := range []string{"light", "dark"} {
				tab.Prefer(theme) // nothing is loaded by it, and nothing may be moved
				tab.Audit()
				tab.Steady()
				tab.Shot(fmt.Sprintf("%s-%d-%s", name, width, theme))
			}
		}
	}
}

// whole is an expression that all of a page is there, and its script runs.
const whole = `document.documentElement.classList.contains("scripted") && !document.querySelector("[data-load]:not([data-loaded])")`

// tab returns a tab of somebody who has shown the pass.
func (st *stage) tab(chrome *browser.Browser, width, height int64, theme string) *browser.Tab {
	st.t.Helper()
	tab := chrome.Tab(st.t, width, height, theme)
	tab.Open(st.http.URL + "/enter?pass=" + pass)
	return tab
}

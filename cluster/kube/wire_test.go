package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// A server gives canned answers: what a healthy API server does not do when
// it is asked to. How a healthy one behaves is tested with a real one.
type server struct {
	mu      sync.Mutex
	answers map[string][]answer // by path; the last is repeated
	asked   []*http.Request
	codes   []int // as observed
	slept   []time.Duration
}

type answer struct {
	code   int
	body   string
	header string // "Name: value"
	hang   bool   // until the client goes
}

const (
	coreKinds = `{"kind":"APIGroupDiscoveryList","items":[{"versions":[{"version":"v1","resources":[
		{"resource":"configmaps","scope":"Namespaced","responseKind":{"kind":"ConfigMap"}}]}]}]}`
	groupKinds = `{"kind":"APIGroupDiscoveryList","items":[
		{"metadata":{"name":"apps"},"versions":[{"version":"v1","resources":[{"resource":"deployments","scope":"Namespaced","responseKind":{"kind":"Deployment"}}]}]},
		{"metadata":{"name":"metrics.k8s.io"},"versions":[{"version":"v1","freshness":"Stale"}]}]}`
	fair = "X-Kubernetes-Pf-Flowschema-Uid: 1"
)

var (
	configMap = object.Kind{Name: "ConfigMap"}
	one       = object.ID{Kind: configMap, Namespace: "apps", Name: "one"}
	path      = "/api/v1/namespaces/apps/configmaps"
)

// start returns a client of a server that knows two kinds.
func start(t *testing.T, answers map[string][]answer) (*server, *Cluster) {
	s := &server{answers: map[string][]answer{"/api": {{body: coreKinds, header: fair}}, "/apis": {{body: groupKinds}}}}
	for path, a := range answers {
		s.answers[path] = a
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	c, err := New(&rest.Config{Host: srv.URL}, Options{Timeout: 5 * time.Second, Observe: s.observe})
	if err != nil {
		t.Fatal(err)
	}
	c.wire.sleep = s.sleep
	return s, c
}

func (s *server) observe(_, _ string, code int, _ time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes = append(s.codes, code)
}

func (s *server) sleep(ctx context.Context, d time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slept = append(s.slept, d)
	return ctx.Err() == nil
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := s.next(r)
	if name, value, ok := strings.Cut(a.header, ": "); ok {
		w.Header().Set(name, value)
	}
	if a.code != 0 {
		w.WriteHeader(a.code)
	}
	fmt.Fprint(w, a.body)
	if a.hang {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
}

func (s *server) next(r *http.Request) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r)
	list := s.answers[r.URL.Path]
	if len(list) == 0 {
		return answer{code: 404, body: "404 page not found"}
	}
	if len(list) > 1 {
		s.answers[r.URL.Path] = list[1:]
	}
	return list[0]
}

// queries returns one parameter of each request for a path.
func (s *server) queries(path, key string) (values []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.asked {
		if r.URL.Path == path {
			values = append(values, r.URL.Query().Get(key))
		}
	}
	return values
}

func TestRetry(t *testing.T) {
	busy := answer{code: 429, header: "Retry-After: 3", body: "Too many requests"}
	s, c := start(t, map[string][]answer{path + "/one": {busy, busy, {body: `{"kind":"ConfigMap"}`}}})
	if _, ok, err := c.Get(t.Context(), one); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if want := []int{200, 200, 429, 429, 200}; !slices.Equal(s.codes, want) {
		t.Errorf("answers %v, want %v", s.codes, want)
	}
	for _, d := range s.slept {
		if d < 3*time.Second || d > 4*time.Second {
			t.Errorf("waited %v; want 3 s and a little", d)
		}
	}
}

func TestRetryIsBounded(t *testing.T) {
	s, c := start(t, map[string][]answer{path + "/one": {{code: 429, header: "Retry-After: 100000"}}})
	_, _, err := c.Get(t.Context(), one)
	if !errors.Is(err, cluster.ErrBusy) || len(s.slept) != retries || s.slept[0] > 2*maxWait {
		t.Errorf("%v after waiting %v", err, s.slept)
	}
}

func TestTimeout(t *testing.T) {
	_, c := start(t, map[string][]answer{path + "/one": {{hang: true}}})
	c.Namespaced(t.Context(), configMap)
	c.wire.timeout = 10 * time.Millisecond
	_, _, err := c.Get(t.Context(), one)
	if !errors.Is(err, cluster.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) ||
		err.Error() != "get ConfigMap/apps/one: server is not available: no answer within 10ms" {
		t.Error(err)
	}
}

func TestNoServer(t *testing.T) {
	c, err := New(&rest.Config{Host: "http://127.0.0.1:1"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = c.Get(t.Context(), one)
	if !errors.Is(err, cluster.ErrUnavailable) || !strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), "http://") {
		t.Error(err)
	}
}

func TestFairness(t *testing.T) {
	_, c := start(t, nil)
	c.Namespaced(t.Context(), configMap)
	if c.wire.limit.Load() != nil {
		t.Error("a fair server's client limits itself")
	}
	_, c = start(t, map[string][]answer{"/api": {{body: coreKinds}}})
	c.Namespaced(t.Context(), configMap)
	if limit := c.wire.limit.Load(); limit == nil || (*limit).QPS() != 50 {
		t.Error("the client does not spare a server that is not fair")
	}
}

func TestAs(t *testing.T) {
	s, c := start(t, map[string][]answer{path + "/one": {{body: "{}"}}})
	deployer := cluster.Identity{User: "system:serviceaccount:apps:deployer", Groups: []string{"a", "b"}, Extra: map[string][]string{"example.com/é": {"x"}}}
	if _, _, err := c.As(deployer).Get(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	for _, r := range s.asked {
		user := r.Header.Get("Impersonate-User")
		if tenant := r.URL.Path == path+"/one"; tenant != (user != "") {
			t.Errorf("%s as %q", r.URL.Path, user)
		}
		if groups := r.Header.Values("Impersonate-Group"); user != "" && !slices.Equal(groups, deployer.Groups) {
			t.Errorf("%s as one of %q", r.URL.Path, groups)
		}
		if extra := r.Header.Get("Impersonate-Extra-Example.com%2f%C3%A9"); user != "" && extra != "x" {
			t.Errorf("%s with %q", r.URL.Path, r.Header)
		}
	}
	if agent := s.asked[0].UserAgent(); agent != "sane" {
		t.Errorf("user agent %q", agent)
	}
}

func TestDiscovery(t *testing.T) {
	s, c := start(t, nil)
	_, err := c.Namespaced(t.Context(), object.Kind{Group: "metrics.k8s.io", Name: "PodMetrics"})
	if !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("a kind of a group that does not answer: %v", err)
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := c.Namespaced(t.Context(), object.Kind{Name: "None"}); !errors.Is(err, cluster.ErrNoKind) {
				t.Error(err)
			}
			if in, err := c.Namespaced(t.Context(), configMap); !in || err != nil {
				t.Error(in, err)
			}
		})
	}
	wg.Wait()
	if n := len(s.queries("/apis", "")); n > 2 {
		t.Errorf("asked %d times", n)
	}
	before := len(s.queries("/apis", ""))
	c.Forget()
	c.Namespaced(t.Context(), object.Kind{Name: "None"})
	if n := len(s.queries("/apis", "")); n != before+1 {
		t.Errorf("asked %d times after Forget; want once", n-before)
	}
}

func TestDiscoveryFails(t *testing.T) {
	_, c := start(t, map[string][]answer{"/apis": {{code: 503, body: "starting"}, {body: groupKinds}}})
	_, _, err := c.Get(t.Context(), one)
	if !errors.Is(err, cluster.ErrUnavailable) || err.Error() != "get ConfigMap/apps/one: server is not available: discovery at "+strings.TrimPrefix(c.wire.base, "http://")+"/apis: starting" {
		t.Error(err)
	}
	_, c = start(t, map[string][]answer{"/apis": {{body: `{"kind":"APIGroupList"}`}}})
	if _, err = c.Namespaced(t.Context(), configMap); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("of a server without aggregated discovery: %v", err)
	}
}

// TestDefinitionTells holds that a kind is known from its definition, before
// discovery tells of it, until the server does not serve it.
func TestDefinitionTells(t *testing.T) {
	const definition = `{"kind":"CustomResourceDefinition","metadata":{"name":"widgets.example.com","resourceVersion":"6"},
		"spec":{"group":"example.com","scope":"Namespaced","versions":[{"name":"v1beta1","served":true},{"name":"v1","served":true},{"name":"v2","served":false}]},
		"status":{"acceptedNames":{"kind":"Widget","plural":"widgets"},"conditions":[{"type":"Established","status":"True"}]}}`
	at := "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	kinds := strings.TrimSuffix(groupKinds, "]}") + `,{"metadata":{"name":"apiextensions.k8s.io"},"versions":[{"version":"v1","resources":[
		{"resource":"customresourcedefinitions","scope":"Cluster","responseKind":{"kind":"CustomResourceDefinition"}}]}]}]}`
	s, c := start(t, map[string][]answer{
		"/apis": {{body: kinds}}, at: {list("5", ""), {body: event("MODIFIED", definition), hang: true}},
		"/apis/example.com/v1/namespaces/apps/widgets/w": {{body: `{"kind":"Widget"}`}, {code: 404, body: "404 page not found"}},
	})
	for change, err := range c.Watch(t.Context(), cluster.Selection{Kind: definitions}) {
		if err != nil {
			t.Fatal(err)
		}
		if change.Type == cluster.Put {
			break
		}
	}
	widget := object.ID{Kind: object.Kind{Group: "example.com", Name: "Widget"}, Namespace: "apps", Name: "w"}
	asked := len(s.queries("/apis", ""))
	if in, err := c.Namespaced(t.Context(), widget.Kind); !in || err != nil {
		t.Error(in, err)
	}
	c.Forget()
	if _, err := c.Namespaced(t.Context(), object.Kind{Name: "None"}); !errors.Is(err, cluster.ErrNoKind) {
		t.Error(err)
	}
	if _, there, err := c.Get(t.Context(), widget); !there || err != nil {
		t.Error("discovery does not know it, and so it is forgotten:", err)
	}
	if n := len(s.queries("/apis", "")); n != asked+1 {
		t.Errorf("the server was asked %d times, and once of another kind", n-asked)
	}
	if _, _, err := c.Get(t.Context(), widget); !errors.Is(err, cluster.ErrNoKind) {
		t.Error("it is not served any more:", err)
	}
}

func list(version, next string, names ...string) answer {
	var items []string
	for _, n := range names {
		items = append(items, item(n, "1"))
	}
	return answer{body: fmt.Sprintf(`{"items":[%s],"kind":"List","metadata":{"resourceVersion":%q,"continue":%q}}`, strings.Join(items, ","), version, next)}
}

func item(name, version string) string {
	return fmt.Sprintf(`{"metadata":{"name":%q,"namespace":"apps","resourceVersion":%q}}`, name, version)
}

func event(kind, object string) string {
	return fmt.Sprintf("{\"type\":%q,\"object\":%s}\n", kind, object)
}

func expired(next string) string {
	return fmt.Sprintf(`{"kind":"Status","status":"Failure","reason":"Expired","code":410,"message":"too old","metadata":{"continue":%q}}`, next)
}

func TestListPages(t *testing.T) {
	s, c := start(t, map[string][]answer{path: {
		list("5", "t1", "a", "b"), {code: 410, body: expired("t2")}, list("6", "", "c"),
	}})
	var names []string
	for o, err := range c.List(t.Context(), cluster.Selection{Kind: configMap, Namespace: "apps"}) {
		if err != nil {
			t.Fatal(err)
		}
		if o.ID().Kind != configMap || o.APIVersion() != "v1" {
			t.Errorf("%s %s", o.APIVersion(), o.ID())
		}
		names = append(names, o.Name())
	}
	if want := []string{"a", "b", "c"}; !slices.Equal(names, want) {
		t.Errorf("names %v, want %v", names, want)
	}
	if got, want := s.queries(path, "continue"), []string{"", "t1", "t2"}; !slices.Equal(got, want) {
		t.Errorf("tokens %q, want %q", got, want)
	}
}

// watched returns what a watch tells, up to a Put of "stop" or its end.
func watched(t *testing.T, c *Cluster) (told []string) {
	for change, err := range c.Watch(t.Context(), cluster.Selection{Kind: configMap, Namespace: "apps"}) {
		switch {
		case err != nil:
			told = append(told, "error: "+err.Error())
		case change.Type == cluster.Listing:
			told = append(told, "listing")
		case change.Type == cluster.Listed:
			told = append(told, "listed")
		case change.Type == cluster.Following:
			told = append(told, "following")
		case change.Object.Name() == "stop":
			return told
		case change.Type == cluster.Put:
			told = append(told, "put "+change.Object.Name())
		default:
			told = append(told, "gone "+change.Object.Name())
		}
	}
	return append(told, "end")
}

func check(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWatchGoesOn(t *testing.T) {
	s, c := start(t, map[string][]answer{path: {
		list("5", "", "a"),
		{body: event("ADDED", item("b", "6")) + event("BOOKMARK", item("", "8"))}, // and the connection ends
		{code: 503, body: "restarting"},
		{body: event("DELETED", item("a", "9"))},
		{body: event("ERROR", expired(""))},
		list("20", "", "c"),
		{body: event("MODIFIED", item("stop", "21")), hang: true},
	}})
	check(t, watched(t, c), "listing", "put a", "listed", "following", "put b",
		"error: watch ConfigMap in apps: restarting", "following", "gone a", "listing", "put c", "listed", "following")
	if got, want := s.queries(path, "resourceVersion"), []string{"", "5", "8", "8", "9", "", "20"}; !slices.Equal(got, want) {
		t.Errorf("versions %q, want %q", got, want)
	}
}

func TestWatchListExpires(t *testing.T) {
	_, c := start(t, map[string][]answer{path: {
		list("5", "t", "a"), {code: 410, body: expired("t2")},
		list("7", "", "a"), {body: event("MODIFIED", item("stop", "21")), hang: true},
	}})
	check(t, watched(t, c), "listing", "put a", "listing", "put a", "listed", "following")
}

func TestWatchEnds(t *testing.T) {
	denied := answer{code: 403, body: `{"kind":"Status","reason":"Forbidden","code":403,"message":"no"}`}
	_, c := start(t, map[string][]answer{path: {{code: 401, body: "Unauthorized"}, denied}})
	check(t, watched(t, c), "error: watch ConfigMap in apps: Unauthorized", "error: watch ConfigMap in apps: no", "end")
}

func TestWatchOfLostKind(t *testing.T) {
	s, c := start(t, map[string][]answer{"/api": {{body: coreKinds, header: fair}, {body: coreKinds}, {body: `{"kind":"APIGroupDiscoveryList"}`}}})
	check(t, watched(t, c),
		"error: watch ConfigMap in apps: server is not available: the kind is not served for the moment",
		"error: watch ConfigMap in apps: no such kind: the server does not know kind ConfigMap", "end")
	if len(s.slept) != 1 {
		t.Errorf("slept %v", s.slept)
	}
}

package web

import (
	"bufio"
	"context"
	"fmt"
	"html"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
)

// A page that is open hears of what changes in what it shows, once for what
// comes together, and of nothing else.
func TestStream(t *testing.T) {
	st := play(t, nil)
	web := unitBody("shop", "web", "apps", says("Ready", "True", "ReconciliationSucceeded", "Applied"))
	id := st.apply(web)
	lines := st.insider().stream("/live")
	for range 2 {
		for i := range 50 {
			st.world.SetStatus(id, map[string]any{"conditions": []any{says("Ready", "False", "BuildFailed", fmt.Sprint("no ", i))}})
		}
		if got := lines.event(); got != "event: change" {
			t.Fatalf("it hears %q", got)
		}
	}
}

// What changes after a page was made and before its stream follows is not lost: the
// page is told of it first, whatever it shows.
func TestBeforeTheStream(t *testing.T) {
	failed := func(message string) map[string]any {
		return map[string]any{"conditions": []any{says("Ready", "False", "BuildFailed", message)}}
	}
	pull := func(st *stage, message string) {
		st.world.SetStatus(object.ID{Kind: podKind, Namespace: "shop", Name: "web-6797f58d-khx80"}, map[string]any{
			"phase": "Pending", "containerStatuses": []any{map[string]any{
				"name": "main", "ready": false, "state": map[string]any{"waiting": map[string]any{"reason": "ImagePullBackOff", "message": message}},
			}},
		})
	}
	for _, tt := range []struct {
		name, path string
		change     func(st *stage, message string)
	}{
		{"fleet", "/?state=failed", func(st *stage, m string) { st.world.SetStatus(webID, failed(m)) }},
		{"sources", "/sources", func(st *stage, m string) { st.world.SetStatus(appsID, failed(m)) }},
		{"source", appsSource, func(st *stage, m string) { st.world.SetStatus(appsID, failed(m)) }},
		{"user of a source", appsSource, func(st *stage, m string) { st.world.SetStatus(webID, failed(m)) }},
		{"unit", webUnit, func(st *stage, m string) { st.world.SetStatus(webID, failed(m)) }},
		{"source of a unit", webUnit, func(st *stage, m string) {
			st.apply(map[string]any{
				"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": map[string]any{"namespace": "shop", "name": "apps"},
				"spec": map[string]any{"interval": "1m", "url": "https://example.com/" + m, "ref": map[string]any{"branch": "main"}},
			})
		}},
		{"after a unit", webUnit, func(st *stage, m string) {
			next := unitBody("shop", "next", "apps", says("Ready", "False", "BuildFailed", m))
			next["spec"].(map[string]any)["dependsOn"] = []any{map[string]any{"name": "web"}}
			st.apply(next)
		}},
		{"pod of a unit", webUnit, pull},
		{"object", "/object/Deployment.apps/shop/web", func(st *stage, m string) {
			st.world.SetStatus(deployID, map[string]any{"conditions": []any{map[string]any{"type": "Available", "status": "False", "reason": "Because", "message": m}}})
		}},
		{"pod of an object", "/object/Deployment.apps/shop/web", pull},
		{"timeline", "/timeline", func(st *stage, m string) {
			st.befalls(30, webID, report.Facts{Kind: report.Failed}, m)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := past(t, true)
			b := st.insider()
			_, live, _ := strings.Cut(b.get(tt.path).body, `data-live="`)
			live, _, _ = strings.Cut(live, `"`)
			tt.change(st, "what-nobody-saw")
			lines := b.stream(html.UnescapeString(live))
			if got := lines.event(); got != "event: change" {
				t.Fatalf("its stream begins with %q", got)
			}
			for !strings.Contains(b.get(tt.path).body, "what-nobody-saw") {
				lines.hears()
			}
			tt.change(st, "what-came-later")
			for !strings.Contains(b.get(tt.path).body, "what-came-later") {
				lines.hears()
			}
		})
	}
}

// A page of rows that is made when nothing changes any more hears nothing.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := stageOf(t, nil)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { st.register.run(ctx) })
		defer running.Wait()
		defer stop()
		st.apply(unitBody("shop", "web", "apps"))
		synctest.Wait()
		st.register.look(ctx, st.c.Language.Nouns)
		heard := make(map[string]int)
		hear := func(name string, turn int64) {
			running.Go(func() { st.register.changes(ctx, turn, func() { heard[name]++ }) })
			synctest.Wait()
		}
		turn := st.register.turn()
		hear("the same turn", turn)
		st.world.SetStatus(webID, map[string]any{"lastAttemptedRevision": "x"})
		synctest.Wait()
		hear("an old turn", turn)
		hear("none", 0)
		<-time.After(attention)
		want := map[string]int{"the same turn": 1, "an old turn": 1, "none": 1}
		if !maps.Equal(heard, want) {
			t.Errorf("heard %v, want %v", heard, want)
		}
	})
}

// Too many streams of one viewer are refused; those that are left make room.
func TestStreamLimit(t *testing.T) {
	st := play(t, nil)
	st.apply(unitBody("shop", "web", "apps"))
	b := st.insider()
	var open []*stream
	for range maxStreams {
		open = append(open, b.stream("/live"))
	}
	if a := b.get("/live"); a.status != http.StatusTooManyRequests || !strings.Contains(a.body, "not kept up to date") {
		t.Errorf("one more is answered with %v", a)
	}
	open[3].close()
	open[3].event() // until the end
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for st.open() == maxStreams {
		if ctx.Err() != nil {
			t.Fatal("the end of a stream is not noticed")
		}
	}
	b.stream("/live")
}

// open returns how many streams there are.
func (st *stage) open() (n int) {
	st.streams.mu.Lock()
	defer st.streams.mu.Unlock()
	for _, k := range st.streams.of {
		n += k
	}
	return n
}

// Who opens a stream and reads none of it is let go of, and costs one word until
// then, whatever happens in the cluster.
func TestSilentReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := stageOf(t, nil)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- st.Run(ctx) }()
		id := st.apply(unitBody("shop", "web", "apps"))

		in := httptest.NewRecorder()
		st.ServeHTTP(in, httptest.NewRequest("GET", "http://127.0.0.1/enter?pass="+pass, nil))
		client, server := net.Pipe()
		left := make(chan struct{})
		served := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			st.ServeHTTP(w, r)
			close(left)
		})}
		go func() { _ = served.Serve(&oneConn{conn: server, done: make(chan struct{})}) }()
		r := httptest.NewRequest("GET", "http://127.0.0.1/live", nil)
		for _, c := range in.Result().Cookies() {
			r.AddCookie(c)
		}
		go func() { _ = r.Write(client) }()
		synctest.Wait()
		if n := st.open(); n != 1 {
			t.Fatalf("%d streams are open", n)
		}
		for i := range 1000 {
			st.world.SetStatus(id, map[string]any{"lastAttemptedRevision": fmt.Sprint(i)})
		}
		asked := time.Now()
		<-left
		if d := time.Since(asked); d > patience {
			t.Errorf("it is let go of after %s", d)
		}
		if n := st.open(); n != 0 {
			t.Errorf("%d streams are open to who reads nothing", n)
		}
		client.Close()
		_ = served.Close()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A oneConn is a listener that has one connection to give.
type oneConn struct {
	conn  net.Conn
	given atomic.Bool
	done  chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if l.given.CompareAndSwap(false, true) {
		return l.conn, nil
	}
	<-l.done
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error {
	close(l.done)
	return nil
}

func (l *oneConn) Addr() net.Addr { return l.conn.LocalAddr() }

// An API server that is lost, or slow, does not take away what is known: the
// pages say since when it is not as things are, and why.
func TestLostCluster(t *testing.T) {
	st := play(t, nil)
	st.apply(unitBody("shop", "web", "apps", says("Ready", "True", "ReconciliationSucceeded", "Applied")))
	b := st.insider()
	if a := b.get("/"); a.status != 200 || !strings.Contains(a.body, "/shop/web") || strings.Contains(a.body, `class="stale"`) {
		t.Fatal(a)
	}
	lost := fmt.Errorf("%w: dial tcp 192.0.2.1:6443: connect: <connection refused>", cluster.ErrUnavailable)
	st.world.Fail(func(string, object.ID) error { return lost })
	lines := b.stream("/live")
	st.world.Lose()
	a := b.get("/")
	for !strings.Contains(a.body, "refused") { // at first the connection is what was lost
		lines.hears()
		a = b.get("/")
	}
	st.clock.pass(3 * time.Minute)
	a = b.get("/")
	for _, want := range []string{"/shop/web", `class="stale"`, "Kustomization: not as it is now, for 3m", "&lt;connection refused&gt;"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("no %q in\n%s", want, a.body)
		}
	}
	st.world.Fail(nil)
	for !strings.Contains(a.body, "Fleet") || strings.Contains(a.body, `class="stale"`) {
		lines.hears()
		a = b.get("/")
	}
}

// A stream is what a page hears.
type stream struct {
	t     testing.TB
	body  *bufio.Scanner
	close func()
}

// stream opens a stream that ends with the test, or after a while.
func (b *caller) stream(path string) *stream {
	b.st.t.Helper()
	ctx, cancel := context.WithTimeout(b.st.t.Context(), time.Minute)
	b.st.t.Cleanup(cancel)
	resp, err := b.Do(b.request("GET", path, "").WithContext(ctx))
	if err != nil {
		b.st.t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != eventStream {
		b.st.t.Fatalf("%s: %s", path, resp.Status)
	}
	shut := func() { _ = resp.Body.Close() }
	b.st.t.Cleanup(shut)
	return &stream{b.st.t, bufio.NewScanner(resp.Body), shut}
}

// event returns the next event's first line; "" is the end.
func (s *stream) event() string {
	for s.body.Scan() {
		if line := s.body.Text(); strings.HasPrefix(line, "event:") {
			return line
		}
	}
	return ""
}

// hears waits for the next event, and complains if there is none.
func (s *stream) hears() {
	s.t.Helper()
	if s.event() == "" {
		s.t.Fatal("it hears of nothing more")
	}
}

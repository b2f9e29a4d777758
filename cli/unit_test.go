package cli

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
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

// A directory that stands for a source holds what the source would hold.
func TestLocalTree(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/b/c.yaml", "d.yaml"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"out": "/etc", "in": "d.yaml", "a/up": "..", "a/b/dir": "../b"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := localTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	if err := fs.WalkDir(tree, ".", func(name string, _ fs.DirEntry, err error) error {
		names = append(names, name)
		return err
	}); err != nil {
		t.Error(err)
	}
	if got := strings.Join(names, " "); got != ". a a/b a/b/c.yaml d.yaml" {
		t.Errorf("the tree holds %s", got)
	}
	if data, err := fs.ReadFile(tree, "a/b/c.yaml"); string(data) != "a/b/c.yaml" {
		t.Errorf("ReadFile = %q, %v", data, err)
	}
	for _, name := range []string{"out", "out/passwd", "in", "a/up/d.yaml", "a/b/dir/c.yaml", "d.yaml/x"} {
		if _, err := fs.Stat(tree, name); !os.IsNotExist(err) {
			t.Errorf("Stat(%s) = %v, want that there is none", name, err)
		}
		if _, err := fs.ReadFile(tree, name); !os.IsNotExist(err) {
			t.Errorf("ReadFile(%s) = %v, want that there is none", name, err)
		}
	}
	if _, err := localTree(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a directory that is not there can be opened")
	}
}

func TestRefAt(t *testing.T) {
	const id = "1f0c3d2e4b5a69788796a5b4c3d2e1f00f1e2d3c"
	was := source.Ref{Branch: "main", Tag: "v1"}
	for _, tt := range []struct {
		revision string
		want     source.Ref
	}{
		{"", was},
		{"feature/x", source.Ref{Branch: "feature/x"}},
		{"refs/tags/v2", source.Ref{Name: "refs/tags/v2"}},
		{id, source.Ref{Branch: "main", Commit: id}},
		{"feature@sha1:" + id, source.Ref{Branch: "main", Commit: id}},
		{"sha1:" + id, source.Ref{Branch: "main", Commit: id}},
		{id[:12], source.Ref{Branch: id[:12]}},
	} {
		if got := refAt(source.Feed{Ref: was}, tt.revision); got != tt.want {
			t.Errorf("%q: got %+v, want %+v", tt.revision, got, tt.want)
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
	r.counts.kept(unit.Name{Kind: object.Kind{Name: "Kustomization"}, Namespace: "ns", Name: "web"}, time.Second)
	r.counts.request("apply", "deployments.apps", 200, time.Millisecond)
	_, page := get(r.metricsPages(), "/metrics")
	for _, line := range []string{
		`gotk_reconcile_duration_seconds_bucket{kind="Kustomization",name="web",namespace="ns",le="0.01"} 0`,
		`gotk_reconcile_duration_seconds_bucket{kind="Kustomization",name="web",namespace="ns",le="+Inf"} 1`,
		`gotk_reconcile_duration_seconds_sum{kind="Kustomization",name="web",namespace="ns"} 1`,
		`sane_api_requests_total{code="200",resource="deployments.apps",verb="apply"} 1`,
		`sane_queue_length 0`,
		`go_goroutines `,
		`process_resident_memory_bytes `,
	} {
		if !strings.Contains(page, line) {
			t.Errorf("metrics lack %s", line)
		}
	}
	if code, _ := get(r.metricsPages(), "/debug/pprof/heap"); code != 200 {
		t.Errorf("pprof answers %d", code)
	}
}

package journal

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
)

var noon = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

var units = object.Kind{Group: "kustomize.toolkit.fluxcd.io", Name: "Kustomization"}

func told(minute int, ns, name string, f report.Facts, message string) report.Event {
	return report.Event{
		About:   report.Object{APIVersion: units.Group + "/v1", Kind: units.Name, Namespace: ns, Name: name},
		At:      noon.Add(time.Duration(minute) * time.Minute),
		Message: message, Severity: report.Info, Reason: "Progressing", Facts: f,
	}
}

func opened(t *testing.T, c Config) *Journal {
	t.Helper()
	j, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

// tell has a journal write events as they would be on its way out.
func tell(j *Journal, all ...report.Event) {
	for _, e := range all {
		j.Report(e)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	_ = j.Run(ctx)
}

func list(t *testing.T, j *Journal, q Query) string {
	t.Helper()
	p, err := j.Read(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, x := range p.Entries {
		fmt.Fprintf(&b, "%s %s/%s %s", x.At.Format("15:04"), x.About.Namespace, x.About.Name, x.Kind)
		if x.Times > 1 {
			fmt.Fprintf(&b, " %d times", x.Times)
		}
		if x.Who != "" {
			b.WriteString(" by " + x.Who)
		}
		for _, c := range x.Changes {
			fmt.Fprintf(&b, " %s %s", c.ID, c.Done)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n%swant\n%s", what, got, want)
	}
}

func TestWritten(t *testing.T) {
	j := opened(t, Config{Path: filepath.Join(t.TempDir(), "a b?", "journal.db"), Now: func() time.Time { return noon }})
	made := report.Change{ID: object.ID{Kind: object.Kind{Name: "Service"}, Namespace: "shop", Name: "web"}, Done: "created"}
	undone := made
	undone.Undid, undone.By, undone.Done = true, "kubectl-edit", "configured"
	until := noon.Add(time.Hour)
	tell(j,
		told(0, "shop", "web", report.Facts{}, "nothing to be remembered"),
		told(1, "shop", "web", report.Facts{Kind: report.Applied, Changes: []report.Change{made, undone}}, "x"),
		told(2, "shop", "web", report.Facts{Kind: report.Failed}, "bad"),
		told(3, "shop", "web", report.Facts{Kind: report.Failed}, "bad"),
		told(4, "shop", "web", report.Facts{Kind: report.Failed}, "worse"),
		told(5, "shop", "web", report.Facts{Kind: report.Resumed}, "it was not suspended"),
		told(6, "shop", "web", report.Facts{Kind: report.Suspended, Who: "ada", Until: until}, "suspended"),
		told(7, "shop", "web", report.Facts{Kind: report.Suspended, Who: "ada", Until: until}, "suspended"),
		told(8, "shop", "web", report.Facts{Kind: report.Resumed, Who: "flux"}, "resumed"),
	)
	same(t, "all", list(t, j, Query{}), `12:08 shop/web resumed by flux
12:06 shop/web suspended by ada
12:04 shop/web failed
12:02 shop/web failed 2 times
12:01 shop/web drift by kubectl-edit Service/shop/web configured
12:01 shop/web applied Service/shop/web created
`)
	same(t, "some kinds", list(t, j, Query{Kinds: []report.Kind{report.Undone, report.Resumed}}), `12:08 shop/web resumed by flux
12:01 shop/web drift by kubectl-edit Service/shop/web configured
`)
}

func TestPages(t *testing.T) {
	j := opened(t, Config{Now: func() time.Time { return noon }})
	for i := range 10 {
		tell(j, told(i/2, fmt.Sprint("ns", i%2), "web", report.Facts{Kind: report.Settled}, ""))
	}
	scopes := []Scope{{units, "ns0", ""}, {units, "ns1", "web"}}
	p, err := j.Read(t.Context(), Query{Scopes: scopes, Limit: 4})
	if err != nil || len(p.Entries) != 4 || !p.Older || p.Newer {
		t.Fatal(p, err)
	}
	q, err := j.Read(t.Context(), Query{Scopes: scopes, Limit: 4, Before: ParseMark(p.Entries[3].Mark().String())})
	if err != nil || len(q.Entries) != 4 || !q.Older || !q.Newer || q.Entries[0].ID != p.Entries[3].ID-1 {
		t.Fatal(q, err)
	}
	back, err := j.Read(t.Context(), Query{Scopes: scopes, Limit: 4, After: q.Entries[0].Mark()})
	if err != nil || fmt.Sprint(back.Entries) != fmt.Sprint(p.Entries) || back.Newer {
		t.Fatal(back, err)
	}
	same(t, "nothing may be seen", list(t, j, Query{Scopes: []Scope{}}), "")
	same(t, "another namespace", list(t, j, Query{Scopes: []Scope{{units, "ns2", ""}}}), "")
}

// Whatever is asked for is read along an index, in its order.
func TestIndexes(t *testing.T) {
	j := opened(t, Config{})
	at := Mark{1, 1}
	for _, q := range []Query{
		{}, {Errors: true}, {Kinds: []report.Kind{report.Failed, report.Held}}, {From: noon, To: noon}, {Before: at}, {After: at},
		{Scopes: []Scope{{units, "", ""}, {units, "shop", ""}, {units, "shop", "web"}}, Before: at, Errors: true, Kinds: []report.Kind{report.Failed}},
	} {
		for _, p := range q.parts() {
			text, args := p.sql()
			rows, err := j.store.reader.Query("EXPLAIN QUERY PLAN "+text, args...)
			if err != nil {
				t.Fatal(text, err)
			}
			for rows.Next() {
				var id, parent, unused int
				var detail string
				if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(detail, "USING INDEX by_") {
					t.Errorf("%s: %s", text, detail)
				}
			}
			rows.Close()
		}
	}
}

func TestForgotten(t *testing.T) {
	j := opened(t, Config{Path: filepath.Join(t.TempDir(), "journal.db"), Age: time.Hour, Size: 300 << 10, Now: func() time.Time { return noon.Add(30 * time.Minute) }})
	tell(j, told(-60, "shop", "old", report.Facts{Kind: report.Settled}, ""), told(0, "shop", "web", report.Facts{Kind: report.Settled}, ""))
	j.trim()
	same(t, "by age", list(t, j, Query{}), "12:00 shop/web ready\n")
	for i := range 5000 {
		tell(j, told(i%20, "shop", fmt.Sprint("web-", i), report.Facts{Kind: report.Applied}, strings.Repeat("x", 200)))
		if i%2500 == 2499 {
			j.trim()
		}
	}
	p, err := j.Read(t.Context(), Query{Limit: 9999})
	if n := len(p.Entries); err != nil || n == 0 || n > 1500 {
		t.Error(n, err)
	}
}

func TestSetAside(t *testing.T) {
	for name, data := range map[string][]byte{"garbage": []byte(strings.Repeat("no database ", 1000)), "empty": nil} {
		path := filepath.Join(t.TempDir(), "journal.db")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		j := opened(t, Config{Path: path})
		if _, err := os.Stat(path + ".bad"); !j.Fresh() || (err == nil) != (data != nil) {
			t.Errorf("%s: fresh %v, set aside %v", name, j.Fresh(), err)
		}
	}
	path := filepath.Join(t.TempDir(), "journal.db")
	j := opened(t, Config{Path: path})
	if _, err := j.store.writer.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	j.Close()
	if j = opened(t, Config{Path: path}); !j.Fresh() {
		t.Error("the file of a later version is not set aside")
	}
	j.Close()
	if j = opened(t, Config{Path: path}); j.Fresh() {
		t.Error("our own file is set aside")
	}
}

// Who reports never waits.
func TestFull(t *testing.T) {
	j := opened(t, Config{Queue: 2})
	for range 5 {
		j.Report(told(0, "shop", "web", report.Facts{Kind: report.Settled}, ""))
	}
	if j.Dropped() != 3 {
		t.Error(j.Dropped())
	}
}

func BenchmarkTell(b *testing.B) {
	j, err := Open(Config{Path: filepath.Join(b.TempDir(), "journal.db"), Queue: 1000})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	for i := range b.N {
		j.Report(told(i, "shop", fmt.Sprint("web-", i%100), report.Facts{Kind: report.Applied}, "Deployment/shop/web configured"))
		if i%500 == 499 {
			j.take(<-j.queue)
		}
	}
}

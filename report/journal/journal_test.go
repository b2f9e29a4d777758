package journal

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
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
	if c.Now == nil {
		c.Now = func() time.Time { return noon }
	}
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
	j := opened(t, Config{Path: filepath.Join(t.TempDir(), "a b?", "journal.db")})
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
		told(5, "shop", "web", report.Facts{Kind: report.Resumed}, "by somebody"),
		told(6, "shop", "web", report.Facts{Kind: report.Suspended, Who: "ada", Until: until}, "suspended"),
		told(7, "shop", "web", report.Facts{Kind: report.Suspended, Who: "ada", Until: until}, "suspended"),
		told(8, "shop", "web", report.Facts{Kind: report.Resumed, Who: "flux"}, "resumed"),
	)
	same(t, "all", list(t, j, Query{}), `12:08 shop/web resumed by flux
12:06 shop/web suspended by ada
12:05 shop/web resumed
12:04 shop/web failed
12:02 shop/web failed 2 times
12:01 shop/web drift by kubectl-edit Service/shop/web configured
12:01 shop/web applied Service/shop/web created
`)
	same(t, "some kinds", list(t, j, Query{Kinds: []report.Kind{report.Undone, report.Resumed}}), `12:08 shop/web resumed by flux
12:05 shop/web resumed
12:01 shop/web drift by kubectl-edit Service/shop/web configured
`)
}

func TestPages(t *testing.T) {
	j := opened(t, Config{})
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

// Whatever is asked for is read along an index, in its order, and no further than
// within reach.
func TestIndexes(t *testing.T) {
	j := opened(t, Config{})
	at := Mark{1, 1}
	wide := []Scope{{units, "", ""}, {units, "shop", ""}, {units, "shop", "web"}}
	for _, q := range []Query{
		{}, {Kinds: []report.Kind{report.Failed, report.Held}}, {From: noon, To: noon}, {Before: at}, {After: at},
		{Scopes: wide[1:], Before: at, Kinds: []report.Kind{report.Failed}}, {Scopes: wide, Words: []string{"a"}},
		{Kinds: []report.Kind{report.Failed}, Within: wide, After: at, Words: []string{"a", "b"}},
	} {
		q.Limit, q.Reach = 10, 1000
		for _, p := range q.parts() {
			p.reach = 1000
			find, args := p.sql()
			planned(t, j, find, args)
			end, args := p.end()
			planned(t, j, end, args)
			if !p.sure() && !strings.Contains(find, "LIMIT 1000)") {
				t.Errorf("it reads all: %s", find)
			}
		}
	}
}

// planned is that a statement goes along an index of ours, and sorts nothing.
func planned(t *testing.T, j *Journal, text string, args []any) {
	t.Helper()
	rows, err := j.store.reader.Query("EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		t.Fatal(text, err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		all = append(all, detail)
	}
	plan := strings.Join(all, "\n")
	if !strings.Contains(plan, " happening USING ") || !strings.Contains(plan, "INDEX by_") || strings.Contains(plan, "TEMP B-TREE") || strings.Contains(plan, "MATERIALIZE") {
		t.Errorf("%s:\n%s", text, plan)
	}
}

// What no index answers is looked for within reach, and then from there.
func TestReach(t *testing.T) {
	j := opened(t, Config{Queue: 1000})
	var all []report.Event
	for i := range 100 {
		all = append(all, told(i, "shop", fmt.Sprint("web-", i), report.Facts{Kind: report.Settled}, "50% of "+strings.Repeat("x", i%50)))
	}
	tell(j, all...)
	q := Query{Words: []string{"WEB-7", "50%"}, Limit: 4, Reach: 25}
	var found []string
	for pages := 0; ; pages++ {
		p, err := j.Read(t.Context(), q)
		if err != nil || pages > 10 {
			t.Fatal(pages, err)
		}
		for _, x := range p.Entries {
			found = append(found, x.About.Name)
		}
		if !p.Older {
			break
		}
		q.Before = p.Reached
		if q.Before == (Mark{}) {
			q.Before = p.Entries[len(p.Entries)-1].Mark()
		}
	}
	if got := strings.Join(found, " "); got != "web-79 web-78 web-77 web-76 web-75 web-74 web-73 web-72 web-71 web-70 web-7" {
		t.Error(got)
	}
	for _, word := range []string{"5_%", `\`, "'", "0' OR 1 --"} {
		same(t, "words are not patterns: "+word, list(t, j, Query{Words: []string{word}}), "")
	}
	if p, err := j.Read(t.Context(), Query{Words: []string{"web-9"}, Limit: 1, Reach: 5}); err != nil || len(p.Entries) != 1 || !p.Older || p.Reached != (Mark{}) {
		t.Error(p, err)
	}
}

// Many scopes are no reason to read more.
func TestScopes(t *testing.T) {
	j := opened(t, Config{})
	var many []Scope
	for i := range 3 * maxParts {
		tell(j, told(i, fmt.Sprint("ns-", i), "web", report.Facts{Kind: report.Settled}, ""), told(i, fmt.Sprint("ns-", i), "db", report.Facts{Kind: report.Failed}, ""))
		if i%2 == 0 {
			many = append(many, Scope{units, fmt.Sprint("ns-", i), []string{"", "db"}[i/2%2]})
		}
	}
	same(t, "many", list(t, j, Query{Scopes: many, Limit: 4}), "12:46 ns-46/db failed\n12:44 ns-44/db failed\n12:44 ns-44/web ready\n12:42 ns-42/db failed\n")
	same(t, "some kinds", list(t, j, Query{Scopes: many, Kinds: []report.Kind{report.Settled}, Limit: 2}), "12:44 ns-44/web ready\n12:40 ns-40/web ready\n")
	same(t, "within", list(t, j, Query{Scopes: many[:2], Within: []Scope{{units, "ns-0", "db"}}}), "12:00 ns-0/db failed\n")
	all, err := j.Namespaces(t.Context(), units)
	if err != nil || len(all) != 3*maxParts || all[1] != "ns-1" {
		t.Error(all, err)
	}
	if all, err := j.Namespaces(t.Context(), object.Kind{Name: "Other"}); err != nil || len(all) > 0 {
		t.Error(all, err)
	}
}

func TestForgotten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := opened(t, Config{Path: path, Age: time.Hour, Size: 300 << 10, Queue: 5000, Now: func() time.Time { return noon.Add(30 * time.Minute) }})
	tell(j, told(-60, "shop", "old", report.Facts{Kind: report.Settled}, ""), told(0, "shop", "web", report.Facts{Kind: report.Settled}, ""))
	j.trim()
	same(t, "by age", list(t, j, Query{}), "12:00 shop/web ready\n")
	var all []report.Event
	for i := range 5000 {
		all = append(all, told(i%20, "shop", fmt.Sprint("web-", i), report.Facts{Kind: report.Applied}, strings.Repeat("x", 200)))
	}
	tell(j, all...)
	for j.trim() < time.Minute {
	}
	p, err := j.Read(t.Context(), Query{Limit: 9999})
	if n := len(p.Entries); err != nil || n == 0 || n > 1500 {
		t.Error(n, err)
	}
	j.Close() // and so the log of writes is in the file
	if info, err := os.Stat(path); err != nil || info.Size() > 400<<10 {
		t.Error(info.Size(), err)
	}
}

func TestSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	for name, data := range map[string][]byte{"garbage": []byte(strings.Repeat("no database ", 1000)), "empty": nil} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		j := opened(t, Config{Path: path})
		tell(j, told(0, "shop", "web", report.Facts{Kind: report.Settled}, ""))
		same(t, name, list(t, j, Query{}), "12:00 shop/web ready\n")
		j.Close()
		if _, err := os.Stat(path + ".bad"); (err == nil) != (data != nil) {
			t.Errorf("%s: set aside %v", name, err)
		}
		os.Remove(path)
		os.Remove(path + ".bad")
	}
	j := opened(t, Config{Path: path})
	tell(j, told(0, "shop", "web", report.Facts{Kind: report.Settled}, ""))
	j.Close()
	if j = opened(t, Config{Path: path}); list(t, j, Query{}) == "" {
		t.Error("our own file is set aside")
	}
	if _, err := j.store.writer.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	j.Close()
	if j = opened(t, Config{Path: path}); list(t, j, Query{}) != "" {
		t.Error("the file of a later version is not set aside")
	}
}

// A file that turns out to be damaged while it is used is set aside, too, whoever
// finds that out.
func TestDamagedLater(t *testing.T) {
	for _, by := range []string{"reader", "writer"} {
		path := filepath.Join(t.TempDir(), "journal.db")
		j := opened(t, Config{Path: path})
		var all []report.Event
		for i := range 500 {
			all = append(all, told(i, "shop", fmt.Sprint("web-", i), report.Facts{Kind: report.Settled}, strings.Repeat("x", 200)))
		}
		tell(j, all...)
		var root int
		if err := j.store.writer.QueryRow("SELECT rootpage FROM sqlite_schema WHERE name = 'by_time'").Scan(&root); err != nil {
			t.Fatal(err)
		}
		j.Close()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		copy(data[(root-1)<<12:], bytes.Repeat([]byte{0xa5}, 1<<12))
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if j = opened(t, Config{Path: path}); by == "reader" {
			if p, err := j.Read(t.Context(), Query{}); err == nil {
				t.Fatal("it can be read", p)
			}
			j.renew(<-j.broken)
		}
		tell(j, told(1, "shop", "web", report.Facts{Kind: report.Settled}, ""))
		same(t, by, list(t, j, Query{}), "12:01 shop/web ready\n")
		if _, err := os.Stat(path + ".bad"); err != nil || len(j.renewed) != 1 {
			t.Error(by, err)
		}
	}
}

// A disk that has no room, and then has some again, costs what happens in between
// and is said once.
func TestFullDisk(t *testing.T) {
	var log bytes.Buffer
	j := opened(t, Config{Path: filepath.Join(t.TempDir(), "journal.db"), Log: slog.New(slog.NewTextHandler(&log, nil))})
	room := func(pages int) {
		if _, err := j.store.writer.Exec(fmt.Sprint("PRAGMA max_page_count = ", pages)); err != nil {
			t.Fatal(err)
		}
	}
	room(1)
	for i := range 20 {
		tell(j, told(i, "shop", fmt.Sprint("lost-", i), report.Facts{Kind: report.Settled}, strings.Repeat("x", 4000)))
	}
	lost := j.Dropped()
	room(1 << 20)
	tell(j, told(1, "shop", "web", report.Facts{Kind: report.Settled}, ""))
	if lost < 10 || j.Dropped() != lost || !strings.Contains(list(t, j, Query{}), "12:01 shop/web ready\n") {
		t.Error(lost, j.Dropped(), list(t, j, Query{}))
	}
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Error(log.String())
	}
}

// Where there can be no file there is a journal none the less.
func TestNoFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	j := opened(t, Config{Path: filepath.Join(dir, "file", "journal.db")})
	tell(j, told(1, "shop", "web", report.Facts{Kind: report.Settled}, ""))
	same(t, "in memory", list(t, j, Query{}), "12:01 shop/web ready\n")
}

// Who reports never waits, even while the disk does not answer.
func TestSlowDisk(t *testing.T) {
	j := opened(t, Config{Queue: 2})
	hang, err := j.store.writer.Conn(t.Context()) // the only one
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = j.Run(ctx) })
	for i := range 50 {
		j.Report(told(i, "shop", "web", report.Facts{Kind: report.Settled}, ""))
	}
	dropped := j.Dropped()
	hang.Close()
	stop()
	all.Wait()
	p, err := j.Read(t.Context(), Query{})
	if err != nil || dropped < 40 || int64(len(p.Entries)) != 50-dropped {
		t.Error(len(p.Entries), dropped, err)
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

// BenchmarkMillion reads pages of a journal of a million entries.
func BenchmarkMillion(b *testing.B) {
	j, err := Open(Config{Path: filepath.Join(b.TempDir(), "journal.db"), Size: 4 << 30})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	var all []Entry
	for i := range 1_000_000 {
		k := report.Kinds[i%3]
		if i%1000 == 999 {
			k = report.Suspended
		}
		all = append(all, entriesOf(told(i/100, fmt.Sprint("ns-", i%200), fmt.Sprint("web-", i%10_000), report.Facts{Kind: k, Revision: "main@sha1:4204876ba8c7112864c0312481fb9a7d83985e91"}, "Deployment/shop/web configured"))...)
		if len(all) == 5000 {
			if err := j.write(all); err != nil {
				b.Fatal(err)
			}
			all = all[:0]
		}
	}
	var many []Scope
	for i := range 60 {
		many = append(many, Scope{units, fmt.Sprint("ns-", i), ""})
	}
	for name, q := range map[string]Query{
		"all": {}, "kind": {Kinds: []report.Kind{report.Suspended}}, "unit": {Scopes: []Scope{{units, "ns-7", "web-7"}}},
		"namespaces": {Scopes: many}, "namespace-and-kind": {Scopes: many[:1], Kinds: []report.Kind{report.Held}},
		"words": {Words: []string{"web-9999"}}, "no-words": {Words: []string{"nowhere"}}, "old": {Before: Mark{micros(noon.Add(24 * time.Hour)), 0}},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := j.Read(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
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
			j.take(*<-j.queue)
		}
	}
}

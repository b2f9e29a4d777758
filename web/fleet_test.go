package web

import (
	"slices"
	"strings"
	"testing"
)

func TestFleet(t *testing.T) {
	st := play(t, nil)
	st.apply(unitBody("shop", "web", "apps", says("Ready", "True", "ReconciliationSucceeded", "Applied revision: main@sha1:4204876b")))
	st.apply(unitBody("shop", "db", "apps", says("Ready", "False", "HealthCheckFailed", "the <b>database</b> is down")))
	a := st.insider().get("/")
	if a.status != 200 || !strings.Contains(a.body, "the &lt;b&gt;database&lt;/b&gt; is down") || strings.Index(a.body, "/shop/db") > strings.Index(a.body, "/shop/web") {
		t.Error(a)
	}
}

// TestSourceAddress opens what the pages of units link to as their source.
func TestSourceAddress(t *testing.T) {
	st := play(t, nil)
	id := st.apply(sourceBody("shop", "apps", says("Ready", "True", "Succeeded", "stored artifact")))
	if a := st.insider().get(st.address(id)); a.status != 200 || !strings.Contains(a.body, "apps") {
		t.Error(a)
	}
}

// What a page of a fleet of thousands weighs with all that it needs, before and
// while it is filtered.
func TestFleetWeight(t *testing.T) {
	st := play(t, nil)
	st.crowd(10000)
	b := st.insider()
	var assets int
	for _, path := range []string{"/static/sane.css", "/static/unit.css", "/static/sane.js", "/static/mark.svg"} {
		assets += len(b.get(path, "Accept-Encoding", "gzip").body)
	}
	b.get("/")
	b.get("/sources")
	asked := len(st.world.Calls())
	for _, path := range append(slices.Clone(fleets), "/sources", "/sources?sort=users&group=namespace") {
		a := b.get(path, "Accept-Encoding", "gzip")
		if n := len(st.world.Calls()); n != asked { // all that they show is at hand, and so are rights
			t.Errorf("%s asks the API server %d times", path, n-asked)
			asked = n
		}
		if sum := assets + len(a.body); a.status != 200 || sum > 200<<10 {
			t.Errorf("%s: %d, %d bytes", path, a.status, sum)
		}
	}
}

// fleets are ways to look at a fleet.
var fleets = []string{"/", "/?state=ready&page=50", "/?group=namespace", "/?q=gateway-1&sort=name", "/?namespace=payments&sort=moved"}

func BenchmarkFleet(b *testing.B) {
	st := play(b, nil)
	st.crowd(10000)
	in := st.insider()
	for _, path := range fleets {
		in.get(path) // when all is listed
		b.Run(path, func(b *testing.B) {
			for b.Loop() {
				if a := in.get(path, "Accept-Encoding", "gzip"); a.status != 200 {
					b.Fatal(a)
				}
			}
		})
	}
}

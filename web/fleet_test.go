package web

import (
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

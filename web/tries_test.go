package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
)

// Who fails to log in again and again has to wait, and the cluster is not asked for
// them; others need not.
func TestFailedLogins(t *testing.T) {
	asked := 0
	st := play(t, func(c *Config) {
		c.Door = Door{Review: func(_ context.Context, token string) (cluster.Identity, error) {
			asked++
			if token == "good" {
				return cluster.Identity{User: "ada"}, nil
			}
			return cluster.Identity{}, cluster.ErrForbidden
		}}
	})
	try := func(from, token string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "http://sane.example/login", strings.NewReader(url.Values{"token": {token}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		st.ServeHTTP(w, r)
		return w
	}
	for i := range maxTries {
		if w := try(fmt.Sprintf("[2001:db8::%d]:%d", i+1, i), "wrong"); w.Code != http.StatusForbidden {
			t.Fatalf("try %d: %d", i, w.Code)
		}
	}
	for range 2 * maxTries {
		if w := try("192.0.2.1:9", "good"); w.Code != http.StatusSeeOther {
			t.Fatalf("who does not fail: %d", w.Code)
		}
	}
	asked -= 2 * maxTries
	w := try("[2001:db8::1]:9", "good")
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "Too many logins have failed") || asked != maxTries {
		t.Errorf("one more: %d, asked %d times\n%s", w.Code, asked, w.Body)
	}
	if w := try("[2001:db8:0:1::1]:9", "good"); w.Code != http.StatusSeeOther {
		t.Errorf("from elsewhere: %d", w.Code)
	}
	st.clock.pass(tryEvery)
	if w := try("[2001:db8::1]:9", "good"); w.Code != http.StatusSeeOther {
		t.Errorf("after a while: %d", w.Code)
	}
}

// However many fail at once, there is another try soon; one that did not fail is
// there again.
func TestTriesAtOnce(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var all tries
	at := netip.MustParsePrefix("192.0.2.1/32")
	for range 1000 {
		all.take(at, now)
	}
	if wait := all.take(at, now); wait <= 0 || wait > tryEvery {
		t.Errorf("there is another try in %v", wait)
	}
	all.giveBack(at)
	if wait := all.take(at, now); wait > 0 {
		t.Errorf("a try that was given back is there in %v", wait)
	}
	if wait := all.take(at, now); wait <= 0 {
		t.Error("one that was given back is there twice")
	}
}

// What is remembered of logins and logouts is bounded, and what has run out goes first.
func TestTriesBounds(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var all tries
	at := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	for i := range 3 * maxTryers {
		all.take(at(i), now)
	}
	if n := len(all.full); n > maxTryers {
		t.Errorf("%d addresses are remembered", n)
	}
	now = now.Add(time.Hour)
	for i := range maxTryers + 1 {
		all.take(at(i), now)
	}
	for range maxTries {
		all.take(at(7), now)
	}
	if all.take(at(7), now) <= 0 || all.take(at(8), now) > 0 || all.take(at(7), now.Add(time.Hour)) > 0 {
		t.Error("whose tries they are is mixed up")
	}
	var outs signouts
	for i := range maxSignouts + 10 {
		outs.add(session{ID: fmt.Sprint(i)}, now)
	}
	if n := len(outs.until); n > maxSignouts || !outs.has(session{ID: fmt.Sprint(maxSignouts + 9)}, now) {
		t.Errorf("%d sessions are remembered", n)
	}
	if outs.has(session{ID: fmt.Sprint(maxSignouts + 9)}, now.Add(idle)) {
		t.Error("what has run out by itself is remembered")
	}
}

// A session that was ended is over for whoever has a copy of its cookie, and its
// streams end.
func TestSignedOut(t *testing.T) {
	st := play(t, reviewed(map[string]cluster.Identity{"ada": {User: "ada"}}))
	b := st.caller()
	b.login("ada", "/")
	site, err := url.Parse(st.http.URL)
	if err != nil {
		t.Fatal(err)
	}
	cookies := b.Jar.Cookies(site)
	thief := st.caller()
	thief.Jar.SetCookies(site, cookies)
	if a := thief.get("/"); a.status != http.StatusOK {
		t.Fatalf("the copy is not good: %v", a)
	}
	b.post("/logout", nil)
	thief.Jar.SetCookies(site, cookies)
	for path, want := range map[string]int{"/": http.StatusSeeOther, "/login": http.StatusOK} {
		if a := thief.get(path); a.status != want {
			t.Errorf("%s, after the logout: %v", path, a)
		}
	}
	var x session
	if err := st.seal.open("session", cookies[0].Value, &x); err != nil || st.recheck(t.Context(), x) == nil {
		t.Error("its streams go on")
	}
	b.login("ada", "/")
	if a := b.get("/"); a.status != http.StatusOK {
		t.Errorf("after another login: %v", a)
	}
}

// Cookies say that they are for https wherever browsers come by that.
func TestSecureCookies(t *testing.T) {
	st := play(t, func(c *Config) {
		reviewed(map[string]cluster.Identity{"ada": {User: "ada"}})(c)
		c.Door.URL = "https://sane.example"
	})
	do := func(method, path string, values url.Values, cookies []*http.Cookie) *http.Response {
		r := httptest.NewRequest(method, "http://sane.example"+path, strings.NewReader(values.Encode())) // a proxy took the https off
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		st.ServeHTTP(w, r)
		return w.Result()
	}
	in := do("POST", "/login", url.Values{"token": {"ada"}}, nil).Cookies()
	var x session
	if len(in) != 1 || st.seal.open("session", in[0].Value, &x) != nil {
		t.Fatalf("the cookies are %v", in)
	}
	form := url.Values{"form": {st.seal.token(x.ID)}, "theme": {"dark"}}
	for _, c := range append(in, append(do("POST", "/theme", form, in).Cookies(), do("POST", "/logout", form, in).Cookies()...)...) {
		if !c.Secure || !c.HttpOnly || c.Name == "" {
			t.Errorf("the cookie %v is not for https alone", c)
		}
	}
}

// What was asked for and not done is in the audit log, with who asked, wherever it was
// refused.
func TestAuditOfRefusals(t *testing.T) {
	st := shop(t, reviewed(map[string]cluster.Identity{"eve": {User: "eve"}}))
	st.world.Allow(func(who cluster.Identity, d cluster.Deed) bool { return who.User == "" })
	b := st.caller()
	b.login("eve", "/")
	form := b.form()
	for _, tt := range []struct {
		path   string
		values url.Values
		want   string
	}{
		{webUnit + "/reconcile", url.Values{"form": {"forged"}}, "user=eve did=reconcile object=" + webUnit},
		{webUnit + "/approve", url.Values{"form": {form}}, "user=eve did=approve object=Kustomization/shop/web"},
		{appsSource + "/suspend", url.Values{"form": {form}}, "user=eve did=suspend object=GitRepository/shop/apps"},
		{"/unit/kustomization/shop/none/resume", url.Values{"form": {form}}, "user=eve did=resume object=Kustomization/shop/none"},
		{"/object/Pod/shop/x/delete", url.Values{"form": {form}}, "user=eve did=delete object=Pod/shop/x"},
	} {
		before := len(st.log.String())
		if a := b.post(tt.path, tt.values); a.status != http.StatusForbidden {
			t.Errorf("%s: %v", tt.path, a)
		}
		if log := st.log.String()[before:]; strings.Count(log, "not done") != 1 || !strings.Contains(log, tt.want) || !strings.Contains(log, "from=127.0.0.1") {
			t.Errorf("%s: the log says\n%s", tt.path, log)
		}
	}
	before := len(st.log.String())
	b.post(webUnit+"/reconcile", url.Values{"form": {form}}, "Sec-Fetch-Site", "cross-site")
	if log := st.log.String()[before:]; !strings.Contains(log, "not done") || !strings.Contains(log, webUnit+"/reconcile") {
		t.Errorf("another site's page: the log says\n%s", log)
	}
}

// One viewer does not take all places of what is slow.
func TestSlowOfOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := stageOf(t, reviewed(nil))
		of := func(name string) *viewer { return st.viewerOf(session{Who: cluster.Identity{User: name}}) }
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan string, 20)
		work := func(name string, until context.Context) {
			go func() {
				_ = st.slowly(until, of(name), func(ctx context.Context, _ *ask.Desk) error {
					done <- name
					<-ctx.Done()
					return nil
				})
			}()
		}
		for range 10 {
			work("eager", ctx)
		}
		synctest.Wait()
		if n := len(done); n != slowOfOne {
			t.Errorf("one viewer has %d places", n)
		}
		work("ada", ctx)
		work("bob", ctx)
		synctest.Wait()
		if n := len(done); n != slowAtATime {
			t.Errorf("all have %d places", n)
		}
		stop()
		synctest.Wait()
		if n := len(st.errand.of); n != 0 || len(st.errand.places) != 0 {
			t.Errorf("%d viewers have places still", n)
		}
	})
}

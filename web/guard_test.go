package web

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/cluster"
)

// TestHeaders looks whether no page lets anything of others in.
func TestHeaders(t *testing.T) {
	st := play(t, nil)
	for _, path := range []string{"/", "/login", "/enter?pass=wrong", "/unit/kustomization/a/b", "/nowhere"} {
		a := st.insider().get(path)
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
		} {
			if got := a.header.Get(name); !strings.Contains(got, want) {
				t.Errorf("%s: %s is %q, want %q in it", path, name, got, want)
			}
		}
		if p := a.header.Get("Content-Security-Policy"); strings.Contains(p, "unsafe") {
			t.Errorf("%s: %s", path, p)
		}
	}
}

// TestStrangers tries to come in without a pass, by another name, and from
// another site.
func TestStrangers(t *testing.T) {
	st := play(t, nil)
	b := st.caller()
	if a := b.get("/?q=x"); a.status != http.StatusSeeOther || a.header.Get("Location") != "/login?to="+url.QueryEscape("/?q=x") {
		t.Errorf("without a session: %v", a)
	}
	if a := b.get("/enter?pass=wrong"); a.status != http.StatusForbidden || len(a.header.Values("Set-Cookie")) > 0 {
		t.Errorf("with another pass: %v", a)
	}
	if a := b.get("/", "Accept", eventStream); a.status != http.StatusUnauthorized {
		t.Errorf("a stream without a session: %v", a)
	}
	in := st.insider()
	for host, want := range map[string]int{"evil.example": http.StatusMisdirectedRequest, "127.0.0.1:80": 0, "localhost:1": 0, "[::1]:80": 0} {
		r := in.request("GET", "/login", "")
		r.Host = host
		if a := in.do(r); want != 0 && a.status != want || want == 0 && a.status >= 400 {
			t.Errorf("by the name %s: %d", host, a.status)
		}
	}
	for _, tt := range []struct {
		name   string
		values url.Values
		header []string
		want   int
	}{
		{"its own form", nil, nil, http.StatusSeeOther},
		{"from another site", nil, []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{"from another origin", nil, []string{"Sec-Fetch-Site", "", "Origin", "https://evil.example"}, http.StatusForbidden},
		{"without a token", url.Values{"form": {""}}, nil, http.StatusForbidden},
		{"another session's token", url.Values{"form": {st.insider().form()}}, nil, http.StatusForbidden},
	} {
		in := st.insider()
		if a := in.post("/logout", tt.values, tt.header...); a.status != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, a.status, tt.want)
		}
	}
}

// TestAddresses looks whether a login leads to no other site.
func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"/unit/a?b=c": "/unit/a?b=c", "": "/", "//evil.example": "/", "https://evil.example/": "/", "/\\evil.example": "/", "/a\r\nb": "/", "x": "/",
	} {
		if got := local(in); got != want {
			t.Errorf("%q leads to %q, want %q", in, got, want)
		}
	}
}

// reviewed lets in who has one of some tokens.
func reviewed(tokens map[string]cluster.Identity) func(*Config) {
	return func(c *Config) {
		c.Door = Door{Review: func(_ context.Context, token string) (cluster.Identity, error) {
			if who, ok := tokens[token]; ok {
				return who, nil
			}
			return cluster.Identity{}, cluster.ErrForbidden
		}}
	}
}

// login sends a token.
func (b *caller) login(token, to string) answer {
	return b.do(b.request("POST", "/login", url.Values{"token": {token}, "to": {to}}.Encode(),
		"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin"))
}

// TestSessions logs in by tokens, and sees sessions end: by time, by logout, and
// because a token is not accepted any more.
func TestSessions(t *testing.T) {
	tokens := map[string]cluster.Identity{"ada's": {User: "ada"}, "nobody's": {}}
	st := play(t, reviewed(tokens))
	for token, want := range map[string]int{"": http.StatusBadRequest, "wrong": http.StatusForbidden, "nobody's": http.StatusForbidden} {
		if a := st.caller().login(token, "/"); a.status != want || len(a.header.Values("Set-Cookie")) > 0 {
			t.Errorf("token %q: %d %v, want %d", token, a.status, a.header, want)
		}
	}
	in := func() *caller {
		t.Helper()
		b := st.caller()
		a := b.login("ada's", "/?state=failed")
		if a.status != http.StatusSeeOther || a.header.Get("Location") != "/?state=failed" {
			t.Fatalf("ada's token: %v", a)
		}
		if c := a.header.Get("Set-Cookie"); !strings.Contains(c, "HttpOnly") || !strings.Contains(c, "SameSite=Lax") || strings.Contains(c, "ada") {
			t.Errorf("the cookie is %s", c)
		}
		return b
	}
	is := func(when string, b *caller, want bool) {
		t.Helper()
		if a := b.get("/login"); (a.status == http.StatusSeeOther) != want {
			t.Errorf("%s: inside is %v, want %v", when, !want, want)
		}
	}
	b := in()
	st.clock.pass(idle - time.Second)
	is("before the hour is over", b, true)
	st.clock.pass(2 * time.Second)
	is("after an hour without a look", b, false)

	b = in()
	for range 12 {
		st.clock.pass(most/12 - time.Second)
		b.get("/")
	}
	is("before the day is over", b, true)
	st.clock.pass(time.Minute)
	is("after the day, though there was a look each hour", b, false)

	b = in()
	if a := b.post("/logout", nil); a.status != http.StatusSeeOther {
		t.Errorf("logout: %v", a)
	}
	is("after logout", b, false)

	b = in()
	delete(tokens, "ada's")
	if a := b.get("/"); a.status != http.StatusOK {
		t.Errorf("within the minute: %d", a.status)
	}
	st.clock.pass(reviewEvery)
	if a := b.get("/"); a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), "/login") {
		t.Errorf("when the token is not accepted any more: %v", a)
	}
	if a := b.get("/login?to=%2F"); a.status != http.StatusOK || !strings.Contains(a.body, "Bearer token") {
		t.Errorf("the way back in: %v", a)
	}
	if log := st.log.String(); strings.Contains(log, "ada's") || !strings.Contains(log, "user=ada") {
		t.Errorf("the log has the token, or not who logged in:\n%s", log)
	}
}

// TestLongToken logs in by a token that is too long for a cookie to keep: as
// nobody can be asked of it again, its session is short however often it is used.
func TestLongToken(t *testing.T) {
	token := strings.Repeat("long", 1000)
	st := play(t, reviewed(map[string]cluster.Identity{token: {User: "ada"}}))
	b := st.caller()
	if a := b.login(token, "/"); a.status != http.StatusSeeOther {
		t.Fatal(a)
	}
	for i, want := range []int{200, 200, http.StatusSeeOther} {
		st.clock.pass(vouched * 2 / 5)
		if a := b.get("/"); a.status != want {
			t.Errorf("look %d: %d, want %d", i, a.status, want)
		}
	}
}

// TestForgedSessions tries cookies that this server has not sealed.
func TestForgedSessions(t *testing.T) {
	st, other := play(t, nil), play(t, nil)
	for name, text := range map[string]string{
		"empty": "", "no text of ours": "e30", "another server's": other.seal.close("session", other.begin(cluster.Identity{}, "")),
		"for something else": st.seal.close("flash", st.begin(cluster.Identity{}, "")),
	} {
		b := st.caller()
		r := b.request("GET", "/", "")
		r.AddCookie(&http.Cookie{Name: st.cookie(r, "session"), Value: text})
		if a := b.do(r); a.status != http.StatusSeeOther {
			t.Errorf("%s: %d", name, a.status)
		}
	}
}

package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/web"
)

// tokenSlack is how long before its end a token is not used any more.
const tokenSlack = 5 * time.Minute

// An office hands out tokens by which to get in at a Git server.
type office struct {
	name string // who asks for them, for people
	key  string // of what it takes to get one
	ask  func(ctx context.Context) (token string, until time.Time, err error)
	use  func(a *source.Access, token string) // has a hold the token instead of what it takes
}

// A token is what an office has handed out last.
type token struct {
	mu    sync.Mutex // held while it is asked for
	value string
	until time.Time
}

// tokens are those of all offices. They are nowhere but in memory.
type tokens struct {
	mu  sync.Mutex
	all map[string]*token // guarded by mu
}

// of returns the token of an office, which may be empty or too old.
func (ts *tokens) of(o *office) *token {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.all == nil {
		ts.all = make(map[string]*token)
	}
	if ts.all[o.key] == nil {
		ts.all[o.key] = new(token)
	}
	return ts.all[o.key]
}

// sweep forgets the tokens that are not good any more.
func (ts *tokens) sweep(now time.Time) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for key, t := range ts.all {
		if t.mu.TryLock() { // or it is being asked for
			if t.until.Before(now) {
				delete(ts.all, key)
			}
			t.mu.Unlock()
		}
	}
}

// office returns where p gets its tokens from, or nil if it needs none.
func (s *Source) office(p place) *office {
	if p.access.App != nil {
		return s.githubOffice(p)
	}
	return nil
}

// login returns p with the token by which it gets in, if it is by one.
func (s *Source) login(ctx context.Context, p place) (place, error) {
	if p.access.Cloud.Cloud != "" {
		return s.cloudLogin(ctx, p)
	}
	o := s.office(p)
	if o == nil {
		return p, nil
	}
	t := s.tokens.of(o)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value == "" || !s.Now().Before(t.until.Add(-tokenSlack)) {
		value, until, err := o.ask(ctx)
		if err != nil {
			return place{}, fmt.Errorf("log in as %s: %w", o.name, err)
		}
		t.value, t.until = value, until
	}
	o.use(&p.access, t.value)
	return p, nil
}

// logout forgets the token by which a server did not let used in, so that the
// next is a new one. It reports whether there was one.
func (s *Source) logout(p, used place) bool {
	if id := p.access.Cloud; id.Cloud != "" {
		s.Office.ForgetGit(id)
		return true
	}
	o := s.office(p)
	if o == nil {
		return false
	}
	t := s.tokens.of(o)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value == used.access.Password || t.value == used.access.Bearer {
		t.value = ""
	}
	return true
}

func denied(text string) error { return &failure{text: text, kind: source.ErrAuth} }

// client returns a client on the same terms as git: whom to trust, and by which
// way to go. It goes nowhere else than where it is sent.
func (p place) client() (*http.Client, error) {
	tr, err := web.Transport(p.access)
	if err != nil {
		return nil, err
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: tr, CheckRedirect: stay}, nil
}

// maxAnswer is how much of an answer is read, in bytes.
const maxAnswer = 1 << 20

// send makes a request and returns the whole answer. Its errors give nothing of
// the request away but the server.
func send(client *http.Client, req *http.Request) (*http.Response, []byte, error) {
	server := req.URL.Scheme + "://" + req.URL.Host
	resp, err := client.Do(req)
	if ctx := req.Context(); err != nil && ctx.Err() != nil {
		return nil, nil, stopped(ctx)
	}
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, nil, &failure{text: server + " can't be reached: " + err.Error(), kind: source.ErrNetwork}
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, nil, &failure{text: server + " breaks off: " + err.Error(), kind: source.ErrNetwork}
	}
	return resp, data, nil
}

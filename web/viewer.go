package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// A viewer is who looks at a page.
type viewer struct {
	Name    string          // "" is ourselves
	cluster cluster.Cluster // as they see it
	session session
	rights  *rights

	about object.ID   // what is looked at
	facts []any       // what the audit log says of what they do to it
	keep  func(frame) // keeps a page that was made; nil if it need not be
}

// A page answers a request of somebody who was let in. Its error is shown in
// its place; until then it must not have written anything.
type page func(w http.ResponseWriter, r *http.Request, v *viewer) error

// get serves a page at a pattern such as "/unit/{kind}".
func (s *Server) get(pattern string, p page) { s.mux.HandleFunc("GET "+pattern, s.inside(p)) }

// post serves what a form asks to be done. What is not done is in the audit log,
// whatever it was refused for.
func (s *Server) post(pattern string, p page) {
	s.mux.HandleFunc("POST "+pattern, s.inside(func(w http.ResponseWriter, r *http.Request, v *viewer) (err error) {
		if s.seal.vouches(v.session.ID, r.PostFormValue("form")) {
			err = p(w, r, v)
		} else {
			err = &refusal{http.StatusForbidden, "This form is not of your session. Open its page again, and send it from there."}
		}
		if err != nil {
			s.log.Warn("not done", append(v.note(path.Base(r.URL.Path), r), "err", err)...)
		}
		return err
	}))
}

// note returns what the audit log says of something that a viewer asked for.
func (v *viewer) note(did string, r *http.Request) []any {
	about := r.URL.Path
	if v.about.Name != "" {
		about = v.about.String()
	}
	return append([]any{"user", v.Name, "did", did, "object", about, "from", r.RemoteAddr}, v.facts...)
}

// inside has a page see only those who were let in. Others are sent to the
// login and, from there, back.
func (s *Server) inside(p page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := s.viewer(w, r)
		if errors.Is(err, errStranger) {
			s.toLogin(w, r)
			return
		}
		if err == nil {
			err = p(w, r, v)
		}
		if err != nil {
			s.sayError(w, r, v, err)
		}
	}
}

// errStranger is that nobody knows who is asking.
var errStranger = errors.New("not logged in")

// viewer returns who is asking.
func (s *Server) viewer(w http.ResponseWriter, r *http.Request) (*viewer, error) {
	x, ok := s.sessionOf(r)
	if !ok {
		return nil, errStranger
	}
	if err := s.recheck(r.Context(), x); err != nil {
		return nil, err
	}
	if now := s.now(); x.Until.Sub(now) < idle/2 && r.Header.Get("Accept") != eventStream {
		x.Until = now.Add(idle)
		s.remember(w, r, x)
	}
	return s.viewerOf(x), nil
}

func (s *Server) viewerOf(x session) *viewer {
	c := s.c.Cluster
	if x.Who.User != "" {
		c = c.As(x.Who)
	}
	return &viewer{Name: x.Who.User, cluster: c, session: x, rights: s.rights.of(x.Who)}
}

// recheck says whether a session was ended meanwhile, and asks from time to time
// whether its token is still good. If nobody can say, it is.
func (s *Server) recheck(ctx context.Context, x session) error {
	if s.signouts.has(x, s.now()) {
		return errStranger
	}
	if x.Token == "" || s.c.Door.Review == nil || !s.reviews.due(x.ID, s.now()) {
		return nil
	}
	who, err := s.c.Door.Review(ctx, x.Token)
	if errors.Is(err, cluster.ErrForbidden) || err == nil && who.User != x.Who.User {
		s.log.Info("the token of a session is not accepted any more", "user", x.Who.User)
		return errStranger
	}
	if err == nil {
		s.reviews.done(x.ID, s.now())
	}
	return nil
}

// reviews are when the tokens of sessions were found to be good.
type reviews struct {
	mu sync.Mutex
	at map[string]time.Time // by session
}

const (
	reviewEvery = time.Minute
	maxReviews  = 1 << 14
)

func (r *reviews) due(id string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return now.Sub(r.at[id]) >= reviewEvery
}

func (r *reviews) done(id string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.at) >= maxReviews || r.at == nil {
		r.at = make(map[string]time.Time)
	}
	r.at[id] = now
}

// toLogin sends somebody to the login, from where they come back.
func (s *Server) toLogin(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || r.Header.Get(fragmentHeader) != "" || r.Header.Get("Accept") == eventStream {
		s.refuse(w, r, nil, http.StatusUnauthorized, "Your session has ended. Log in again, please.")
		return
	}
	login := "/login"
	if s.oidc != nil && s.c.Door.Review == nil {
		login = "/login/oidc" // there is nothing to be chosen
	}
	http.Redirect(w, r, login+"?to="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
}

// local returns a path of ours that was asked for, or "/".
func local(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	return path
}

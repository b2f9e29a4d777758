package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"

	"github.com/sane-gitops/sane/cluster"
)

// A door is what the login page shows.
type door struct {
	To    string // where to go from there
	Token bool   // a token can be given
	OIDC  bool   // there is another to vouch
	Wrong string // what was wrong with the last try
}

func (s *Server) loginPages() {
	s.mux.HandleFunc("GET /login", s.login)
	s.post("/logout", s.logout)
	if s.c.Door.Pass != "" {
		s.mux.HandleFunc("GET /enter", s.enter)
	}
	if s.c.Door.Review != nil {
		s.mux.HandleFunc("POST /login", s.tokenLogin)
	}
	if s.oidc != nil {
		s.mux.HandleFunc("GET /login/oidc", s.depart)
		s.mux.HandleFunc("GET /login/callback", s.arrive)
	}
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	to := local(r.FormValue("to"))
	if x, ok := s.sessionOf(r); ok && s.recheck(r.Context(), x) == nil {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	s.askIn(w, r, http.StatusOK, "")
}

// askIn shows the login page.
func (s *Server) askIn(w http.ResponseWriter, r *http.Request, status int, wrong string) {
	d := door{To: local(r.FormValue("to")), Token: s.c.Door.Review != nil, OIDC: s.oidc != nil, Wrong: wrong}
	if err := s.showWith(w, r, nil, status, "login", frame{Title: "Log in", Main: d}); err != nil {
		s.sayError(w, r, nil, err)
	}
}

// enter lets in who shows the pass.
func (s *Server) enter(w http.ResponseWriter, r *http.Request) {
	if !s.try(w, r) {
		return
	}
	given, want := sha256.Sum256([]byte(r.FormValue("pass"))), sha256.Sum256([]byte(s.c.Door.Pass))
	if !hmac.Equal(given[:], want[:]) {
		s.log.Info("login refused", "from", r.RemoteAddr)
		s.askIn(w, r, http.StatusForbidden, "This is not the address that was printed last.")
		return
	}
	s.tries.giveBack(remote(r))
	s.welcome(w, r, cluster.Identity{}, "")
}

// tokenLogin lets in whom the server knows by their token.
func (s *Server) tokenLogin(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimSpace(r.PostFormValue("token"))
	if token == "" {
		s.askIn(w, r, http.StatusBadRequest, "No token was given.")
		return
	}
	if !s.try(w, r) {
		return
	}
	who, err := s.c.Door.Review(r.Context(), token)
	if !errors.Is(err, cluster.ErrForbidden) {
		s.tries.giveBack(remote(r))
	}
	switch {
	case errors.Is(err, cluster.ErrForbidden):
		s.log.Info("login refused", "from", r.RemoteAddr)
		s.askIn(w, r, http.StatusForbidden, "The cluster does not accept this token.")
	case err != nil:
		s.log.Error("login failed", "err", err)
		s.askIn(w, r, http.StatusServiceUnavailable, "The cluster could not be asked whose token this is: "+plainly(err))
	case who.User == "":
		s.askIn(w, r, http.StatusForbidden, "The cluster does not say whose token this is.")
	default:
		s.welcome(w, r, who, token)
	}
}

// welcome begins a session, and goes to where somebody came from.
func (s *Server) welcome(w http.ResponseWriter, r *http.Request, who cluster.Identity, token string) {
	x := s.begin(who, token)
	s.remember(w, r, x)
	s.reviews.done(x.ID, s.now())
	s.log.Info("logged in", "user", who.User, "from", r.RemoteAddr)
	http.Redirect(w, r, local(r.FormValue("to")), http.StatusSeeOther)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request, v *viewer) error {
	s.signouts.add(v.session, s.now())
	s.setCookie(w, r, "session", "", 0)
	s.log.Info("logged out", "user", v.Name)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

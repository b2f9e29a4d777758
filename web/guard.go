package web

import (
	"net"
	"net/http"
	"strings"
)

// policy is the content security policy of all pages: nothing comes from
// elsewhere, and nothing in a page is a script or a style.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-store")
	if s.secure() {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	if !s.knows(r.Host) {
		http.Error(w, "this server does not go by the name "+strings.ToValidUTF8(r.Host, "?"), http.StatusMisdirectedRequest)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := s.cross.Check(r); err != nil {
		s.log.Warn("not done", "object", r.URL.Path, "from", r.RemoteAddr, "err", err)
		s.refuse(w, r, nil, http.StatusForbidden, "The request came from another site's page, so nothing was done.")
		return
	}
	s.mux.ServeHTTP(w, r)
}

// maxForm bounds what may be sent to us at a time.
const maxForm = 1 << 16

// knows reports whether a request may call us by a name. A name that another's
// DNS has pointed at loopback is not ours.
func (s *Server) knows(host string) bool {
	if s.url != nil {
		return strings.EqualFold(host, s.url.Host)
	}
	return s.c.Door.Pass == "" || loopback(host)
}

func loopback(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	ip := net.ParseIP(strings.Trim(name, "[]"))
	return strings.EqualFold(name, "localhost") || ip != nil && ip.IsLoopback()
}

// secure reports whether browsers come by https.
func (s *Server) secure() bool { return s.url != nil && s.url.Scheme == "https" }

package web

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/sane-gitops/sane/cluster"
)

// A session is that somebody has been let in. It lives in a cookie, sealed, so
// that every replica that knows the seal can read it and nobody else can.
type session struct {
	ID    string           `json:"i"`
	Who   cluster.Identity `json:"w"`           // the zero identity has shown the pass
	Token string           `json:"t,omitempty"` // a bearer token, to be reviewed again
	Began time.Time        `json:"b"`
	Until time.Time        `json:"u"` // unless it is used before
}

// How long a session lasts: it ends when nobody has come for idle, and in any
// case after most. One of somebody of whom nobody can be asked again lasts for
// vouched: then they come by the issuer again, who may not know them any more.
const (
	idle    = time.Hour
	most    = 12 * time.Hour
	vouched = time.Hour
)

// begin returns a new session.
func (s *Server) begin(who cluster.Identity, token string) session {
	now := s.now()
	return session{ID: rand.Text(), Who: who, Token: token, Began: now, Until: now.Add(idle)}
}

// end returns when a session is over in any case.
func (x session) end() time.Time {
	if x.Who.User != "" && x.Token == "" {
		return x.Began.Add(vouched)
	}
	return x.Began.Add(most)
}

// over reports whether a session has come to its end.
func (x session) over(now time.Time) bool {
	return !now.Before(x.Until) || !now.Before(x.end())
}

// A seal closes values so that only who has it can make or read them.
type seal struct {
	box  cipher.AEAD
	mark []byte
}

// newSeal returns the seal that is made of a secret. nil means a fresh one.
func newSeal(secret []byte) (*seal, error) {
	if secret == nil {
		secret = make([]byte, 32)
		rand.Read(secret) // it never fails
	}
	if len(secret) < 32 {
		return nil, errors.New("the seal of sessions is too short: want 32 bytes of randomness or more")
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "sane session", 32)
	if err != nil {
		return nil, err
	}
	mark, err := hkdf.Key(sha256.New, secret, nil, "sane form", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	box, err := cipher.NewGCMWithRandomNonce(block)
	return &seal{box, mark}, err
}

// close returns v as text that only open can read. what it is for has to be the
// same then.
func (s *seal) close(what string, v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // of values of our own
	}
	return base64.RawURLEncoding.EncodeToString(s.box.Seal(nil, nil, data, []byte(what)))
}

// open reads what close has returned into v.
func (s *seal) open(what, text string, v any) error {
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return err
	}
	if data, err = s.box.Open(nil, nil, data, []byte(what)); err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// token returns what the forms of a session carry, so that no other site can
// have them filled in.
//
// It is another one each time: pages are compressed, and what is the same in
// all of them could be guessed by their lengths.
func (s *seal) token(id string) string {
	salt := rand.Text()
	return salt + "." + s.sum(salt, id)
}

// vouches reports whether token is one of a session.
func (s *seal) vouches(id, token string) bool {
	salt, sum, _ := strings.Cut(token, ".")
	return hmac.Equal([]byte(sum), []byte(s.sum(salt, id)))
}

func (s *seal) sum(salt, id string) string {
	m := hmac.New(sha256.New, s.mark)
	m.Write([]byte(salt + "." + id))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// maxCookie is how long a cookie may be for browsers to keep it.
const maxCookie = 3900

// remember has the browser carry a session.
func (s *Server) remember(w http.ResponseWriter, r *http.Request, x session) {
	text := s.seal.close("session", x)
	if len(text) > maxCookie { // the token can't be reviewed again, then
		x.Token = ""
		text = s.seal.close("session", x)
	}
	s.setCookie(w, r, "session", text, x.end().Sub(s.now()))
}

// setCookie sets a cookie that no script can read. "" takes it away.
func (s *Server) setCookie(w http.ResponseWriter, r *http.Request, what, value string, lasts time.Duration) {
	c := &http.Cookie{
		Name: s.cookie(r, what), Value: value, Path: "/", MaxAge: int(lasts.Seconds()),
		HttpOnly: true, Secure: s.secure() || r.TLS != nil, SameSite: http.SameSiteLaxMode,
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// cookie returns the name of a cookie. Ports of one host share their cookies.
func (s *Server) cookie(r *http.Request, what string) string {
	if s.secure() {
		return "__Host-sane-" + what
	}
	return "sane-" + what + "-" + port(r.Host)
}

func port(host string) string {
	for i := len(host) - 1; i >= 0; i-- {
		switch c := host[i]; {
		case c == ':':
			return host[i+1:]
		case c < '0' || c > '9':
			return "80"
		}
	}
	return "80"
}

// sessionOf returns the session that a request belongs to.
func (s *Server) sessionOf(r *http.Request) (session, bool) {
	var x session
	c, err := r.Cookie(s.cookie(r, "session"))
	if err != nil || s.seal.open("session", c.Value, &x) != nil || x.over(s.now()) || s.signouts.has(x, s.now()) {
		return session{}, false
	}
	return x, true
}

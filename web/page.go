package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sane-gitops/sane/cluster"
)

//go:embed templates/*.html
var templates embed.FS

//go:embed static
var static embed.FS

// A frame is what surrounds what a page has to show.
type frame struct {
	Title   string // of the page, and of its heading where it has no other
	Section string // of the navigation: "fleet" or "sources"
	Live    string // the path of the page's stream; "" means that it stays as it is
	Stale   []stale
	Main    any // what the page's own template is given

	Body template.HTML // what that has made of it

	Viewer  *viewer // nil before the login
	Form    string  // what a form has to carry
	Theme   string  // "light", "dark", or "" for what the browser prefers
	Here    string  // the path and query of the page
	Local   bool
	Assets  string // names the version of the assets
	Version string
}

// A stale is something that is not shown as it is now, and since when.
type stale struct {
	What string
	Why  string
	when
}

// keyForOld returns a key for what is not as it is now: for how long is all the same.
func keyForOld(old []stale) string {
	old = slices.Clone(old)
	for i := range old {
		old[i].Ago = ""
	}
	return keyFor(old)
}

// fragmentHeader is set by our script, which wants a page without its frame.
const fragmentHeader = "Sane-Fragment"

// looks are the templates by the name of the page.
type looks struct {
	pages  map[string]*template.Template
	assets string // the digest of all assets
}

// readTemplates reads all pages: each defines "main", with the parts that they
// share.
func readTemplates() (*looks, error) {
	shared, err := template.New("").Funcs(funcs).ParseFS(templates, "templates/layout.html", "templates/parts*.html")
	if err != nil {
		return nil, err
	}
	l := &looks{pages: make(map[string]*template.Template)}
	files, err := fs.Glob(templates, "templates/*.html")
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		name := strings.TrimSuffix(path.Base(f), ".html")
		if name == "layout" || strings.HasPrefix(name, "parts") {
			continue
		}
		t, err := shared.Clone()
		if err != nil {
			return nil, err
		}
		if l.pages[name], err = t.ParseFS(templates, f); err != nil {
			return nil, err
		}
	}
	l.assets, err = digestOf(static)
	return l, err
}

func digestOf(files fs.FS) (string, error) {
	h := sha256.New()
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
		return err
	})
	return hex.EncodeToString(h.Sum(nil))[:12], err
}

// funcs are what templates can do.
var funcs = template.FuncMap{
	"count": count,
	"short": shortRevision,
	"lower": strings.ToLower,
	"mark":  markClass,
	"clock": clockTime,
}

// show answers with a page, or with what is in its frame if our script asks.
func (s *Server) show(w http.ResponseWriter, r *http.Request, v *viewer, look string, f frame) error {
	return s.showWith(w, r, v, http.StatusOK, look, f)
}

func (s *Server) showWith(w http.ResponseWriter, r *http.Request, v *viewer, status int, look string, f frame) error {
	t := s.looks.pages[look]
	if t == nil {
		return fmt.Errorf("there is no template %q", look)
	}
	f.Viewer, f.Theme, f.Here, f.Assets, f.Version = v, themeOf(r), r.URL.RequestURI(), s.looks.assets, s.c.Version
	f.Local = s.c.Door.Pass != ""
	if v != nil {
		f.Form = s.seal.token(v.session.ID)
	}
	part := "layout"
	if r.Header.Get(fragmentHeader) != "" {
		part = "fragment"
	}
	b := pageBuffers.Get().(*bytes.Buffer)
	defer pageBuffers.Put(b)
	b.Reset()
	if err := t.ExecuteTemplate(b, "main", f); err != nil {
		return err
	}
	f.Body = template.HTML(b.String()) // as our own template has made it
	if v != nil && v.keep != nil && status == http.StatusOK {
		v.keep(f)
	}
	b.Reset()
	if err := t.ExecuteTemplate(b, part, f); err != nil {
		return err
	}
	send(w, r, status, "text/html; charset=utf-8", b.Bytes())
	return nil
}

var pageBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// send answers with data, compressed if that is understood.
func send(w http.ResponseWriter, r *http.Request, status int, kind string, data []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Add("Vary", "Accept-Encoding, "+fragmentHeader+", Cookie")
	if len(data) < 1000 || !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Length", strconv.Itoa(len(data)))
		w.WriteHeader(status)
		_, _ = w.Write(data) // whoever asked has gone
		return
	}
	h.Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	z := packers.Get().(*gzip.Writer)
	defer packers.Put(z)
	z.Reset(w)
	_, _ = z.Write(data)
	_ = z.Close()
}

var packers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // a level that there is
	return z
}}

// A refusal is an answer that a person can do something with.
type refusal struct {
	status int
	words  string
}

func (e *refusal) Error() string { return e.words }

// sayError shows what went wrong in place of a page.
func (s *Server) sayError(w http.ResponseWriter, r *http.Request, v *viewer, err error) {
	if r.Context().Err() != nil {
		return // nobody is there to read it
	}
	var known *refusal
	switch {
	case errors.As(err, &known):
		s.refuse(w, r, v, known.status, known.words)
	case errors.Is(err, cluster.ErrForbidden):
		s.refuse(w, r, v, http.StatusForbidden, "Your rights in the cluster do not allow it: "+plainly(err))
	case errors.Is(err, cluster.ErrNotFound), errors.Is(err, cluster.ErrNoKind):
		s.refuse(w, r, v, http.StatusNotFound, "The cluster does not have it: "+plainly(err))
	case errors.Is(err, cluster.ErrUnavailable), errors.Is(err, cluster.ErrBusy):
		s.refuse(w, r, v, http.StatusServiceUnavailable, "The cluster does not answer: "+plainly(err))
	case errors.Is(err, cluster.ErrConflict), errors.Is(err, cluster.ErrInvalid), errors.Is(err, cluster.ErrTerminating):
		s.refuse(w, r, v, http.StatusConflict, "The cluster refuses it: "+plainly(err))
	default:
		s.log.Error("a page could not be made", "path", r.URL.Path, "err", err)
		s.refuse(w, r, v, http.StatusInternalServerError, "This page could not be made: "+plainly(err))
	}
}

// refuse says why not.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, v *viewer, status int, words string) {
	f := frame{Title: http.StatusText(status), Main: refused{status, words}}
	if err := s.showWith(w, r, v, status, "refused", f); err != nil {
		http.Error(w, words, status)
	}
}

type refused struct {
	Status int
	Words  string
}

// absent is that there is nothing at an address.
func absent(what string) error {
	return &refusal{http.StatusNotFound, what + " is not there, or you may not see it."}
}

// assets serves what pages are made with.
func (s *Server) assets() {
	s.mux.HandleFunc("GET /static/{name}", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		data, err := static.ReadFile("static/" + name)
		kind := map[string]string{
			".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
		}[path.Ext(name)]
		if err != nil || kind == "" {
			http.NotFound(w, r)
			return
		}
		if r.URL.Query().Get("v") == s.looks.assets {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		send(w, r, http.StatusOK, kind, data)
	})
	s.mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/static/mark.svg?v="+s.looks.assets, http.StatusFound)
	})
	s.get("/", func(http.ResponseWriter, *http.Request, *viewer) error { return absent("This page") })
	s.post("/theme", s.setTheme)
}

// themeOf returns the theme that was chosen in this browser.
func themeOf(r *http.Request) string {
	if c, err := r.Cookie("sane-theme"); err == nil && (c.Value == "light" || c.Value == "dark") {
		return c.Value
	}
	return ""
}

func (s *Server) setTheme(w http.ResponseWriter, r *http.Request, _ *viewer) error {
	http.SetCookie(w, &http.Cookie{
		Name: "sane-theme", Value: r.PostFormValue("theme"), Path: "/", MaxAge: int((365 * 24 * time.Hour).Seconds()),
		HttpOnly: true, Secure: s.secure(), SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, local(r.PostFormValue("to")), http.StatusSeeOther)
	return nil
}

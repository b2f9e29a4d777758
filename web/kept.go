package web

import (
	"bytes"
	"compress/gzip"
	queue "container/list"
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sane-gitops/sane/cluster"
)

// What bounds the pages that are kept for when the API server is lost or slow.
const (
	pageLasts = 10 * time.Second // to be made
	maxKept   = 32               // pages of one session
	maxBytes  = 32 << 20         // of all, packed
)

// A kept page is how a page was shown to somebody last. As long as stale rights
// stand it is shown again where the API server can't be asked: to nobody else, and
// only if nothing but that went wrong since.
type keptPage struct {
	key    keptKey
	frame  frame // without what is in it
	packed []byte
	at     time.Time
}

type keptKey struct{ session, address string }

func (k keptKey) path() string {
	path, _, _ := strings.Cut(k.address, "?")
	return path
}

// kept are the pages that are kept.
type kept struct {
	mu    sync.Mutex
	by    map[keptKey]*queue.Element // guarded by mu
	order queue.List                 // guarded by mu; of *keptPage, the newest first
	of    map[string]int             // guarded by mu; pages of a session
	bytes int                        // guarded by mu
}

// put keeps a page in place of what it was before, and the oldest no longer.
func (k *kept) put(p *keptPage) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.by == nil {
		k.by, k.of = make(map[keptKey]*queue.Element), make(map[string]int)
	}
	k.drop(k.by[p.key])
	k.by[p.key] = k.order.PushFront(p)
	k.bytes += len(p.packed)
	k.of[p.key.session]++
	for e := k.order.Back(); e != nil && k.of[p.key.session] > maxKept; {
		next := e.Prev()
		if e.Value.(*keptPage).key.session == p.key.session {
			k.drop(e)
		}
		e = next
	}
	for k.bytes > maxBytes || k.order.Len() > 0 && p.at.Sub(k.order.Back().Value.(*keptPage).at) > rightStands {
		k.drop(k.order.Back())
	}
}

// drop keeps a page no longer. The caller holds mu.
func (k *kept) drop(e *queue.Element) {
	if e == nil {
		return
	}
	p := k.order.Remove(e).(*keptPage)
	delete(k.by, p.key)
	k.bytes -= len(p.packed)
	if k.of[p.key.session]--; k.of[p.key.session] == 0 {
		delete(k.of, p.key.session)
	}
}

// forget keeps pages of a session no longer: those at a path, or at any if that is "".
func (k *kept) forget(session, path string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for e := k.order.Front(); e != nil; {
		next, key := e.Next(), e.Value.(*keptPage).key
		if key.session == session && (path == "" || path == key.path()) {
			k.drop(e)
		}
		e = next
	}
}

func (k *kept) get(key keptKey) *keptPage {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.by[key]; e != nil {
		return e.Value.(*keptPage)
	}
	return nil
}

// look serves a page that is read from the API server at a pattern: within a time,
// and as it was shown last where that server does not answer.
func (s *Server) look(pattern string, p page) {
	s.get(pattern, func(w http.ResponseWriter, r *http.Request, v *viewer) error {
		ctx, cancel := context.WithTimeoutCause(r.Context(), pageLasts, errSlow)
		defer cancel()
		key, began := keptKey{v.session.ID, backOf(r.URL)}, s.now()
		v.keep = func(f frame) { s.keep(key, began, f) }
		err := p(w, r.WithContext(ctx), v)
		if err == nil || r.Context().Err() != nil {
			return err
		}
		if !silent(ctx, err) {
			path := key.path()
			if errors.Is(err, cluster.ErrForbidden) {
				path = "" // what else they may not see any more is not known
			}
			s.kept.forget(v.session.ID, path)
			return err
		}
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		v.keep = nil
		if f, ok := s.again(key, err); ok {
			return s.show(w, r, v, "again", f)
		}
		if r.Header.Get(fragmentHeader) != "" {
			return err // our script leaves what is there, which is more
		}
		return s.scant(w, r.WithContext(ctx), v, err)
	})
}

// errSlow is that a page could not be made in time.
var errSlow = fmt.Errorf("%w: it has not answered within %v", cluster.ErrUnavailable, pageLasts)

// silent reports whether an error is that the API server does not answer, or not
// before ctx was done.
func silent(ctx context.Context, err error) bool {
	var known *refusal
	switch {
	case errors.Is(err, cluster.ErrUnavailable) || errors.Is(err, cluster.ErrBusy):
		return true
	case errors.As(err, &known) || errors.Is(err, errUnread) || errors.Is(err, cluster.ErrForbidden) || errors.Is(err, cluster.ErrNotFound) || errors.Is(err, cluster.ErrNoKind):
		return false
	}
	return errors.Is(ctx.Err(), context.DeadlineExceeded)
}

// keep keeps a page whose making began at a time.
func (s *Server) keep(key keptKey, began time.Time, f frame) {
	if len(f.Stale) > 0 {
		return // what was kept before is as good, and its time is known
	}
	var b bytes.Buffer
	z := packers.Get().(*gzip.Writer)
	defer packers.Put(z)
	z.Reset(&b)
	_, _ = io.WriteString(z, string(f.Body)) // it goes to memory
	_ = z.Close()
	if b.Len() > maxBytes/maxKept {
		s.kept.forget(key.session, key.path())
		return
	}
	s.kept.put(&keptPage{key: key, frame: frame{Title: f.Title, Section: f.Section, Live: f.Live}, packed: b.Bytes(), at: began})
}

// again returns a page as it was last, with since when, and why, it is not as it is
// now. There is none if that is too long ago.
func (s *Server) again(key keptKey, why error) (frame, bool) {
	p := s.kept.get(key)
	if p == nil || s.now().Sub(p.at) > rightStands {
		return frame{}, false
	}
	z, err := gzip.NewReader(bytes.NewReader(p.packed))
	if err != nil {
		return frame{}, false
	}
	body, err := io.ReadAll(z)
	f := p.frame
	f.Main = template.HTML(body) // as our own template has made it
	f.Stale = []stale{{"This page", unanswered(why), s.when(p.at)}}
	return f, err == nil
}

func unanswered(why error) string { return "The cluster does not answer: " + plainly(why) }

// A scantPage is what lists know of a unit or a source that can't be asked for.
type scantPage struct {
	line
	Noun string
}

// scant shows as much of the unit or the source that was looked for as the viewer may
// see of it in a list, or returns why nothing can be shown.
func (s *Server) scant(w http.ResponseWriter, r *http.Request, v *viewer, why error) error {
	id := v.about
	n, ours := s.c.Language.Noun(id.Kind)
	if !ours {
		return why
	}
	rows, old, err := s.visible(r.Context(), v, n.Feed)
	if err != nil {
		return why
	}
	i := slices.IndexFunc(rows, func(x *row) bool { return x.ID == id })
	if i < 0 {
		return why
	}
	x := stale{What: id.String(), Why: unanswered(why) + ". This is what lists know of it."}
	if i := slices.IndexFunc(old, func(o stale) bool { return o.What == id.Kind.Name }); i >= 0 {
		x.when = old[i].when
	}
	section := "fleet"
	if n.Feed {
		section = "sources"
	}
	return s.show(w, r, v, "scant", frame{
		Title: id.Name + " in " + id.Namespace, Section: section, Live: s.address(id) + "/live", Stale: []stale{x}, Main: scantPage{s.line(rows[i]), id.Kind.Name},
	})
}

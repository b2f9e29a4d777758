// Package web is the pages: what a browser shows of units, of their sources and
// of the objects that they keep, as whoever looks at them may see it.
package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/commit"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report/journal"
	"github.com/sane-gitops/sane/source"
)

// A Config says what there is to be seen, and who is let in. Fields without a
// comment about their zero value must be set.
type Config struct {
	// Desk is where questions are asked as ourselves. Those of viewers are asked
	// at one like it, with the cluster as they see it.
	ask.Desk

	// Kind returns the kind of object that goes by a word, as kubectl has it.
	// That none does is [cluster.ErrNoKind].
	Kind func(ctx context.Context, word string) (object.Kind, error)

	// Elsewhere names the cluster in which a unit's objects live. nil, and "",
	// mean the one that we run in.
	Elsewhere func(object.Object) string

	// Journal holds what happened. nil means that nobody remembers.
	Journal *journal.Journal

	// Told reports whether the journal is told of all that happens. nil means
	// that it is made up of what the cluster tells.
	Told func() bool

	// Lend returns the way in at a repository by a remote's credentials, for who
	// pushes there, and what gives it back. nil means that nothing is pushed but by
	// who looks as ourselves, with their own Git configuration.
	Lend func(ctx context.Context, gear *ask.Gear, at source.Remote) (commit.Way, func(), error)

	Door    Door
	Version string
}

// A Door says who is let in. There is Pass, or one or both of Review and OIDC.
type Door struct {
	// Pass is for a server on loopback: whoever brings it looks as ourselves.
	Pass string

	// Review returns whose a bearer token is; [cluster.ErrForbidden] is that it
	// is nobody's. nil means that tokens let nobody in.
	Review func(ctx context.Context, token string) (cluster.Identity, error)

	OIDC *OIDC // who else vouches for people; nil means nobody

	URL  string // where browsers find us: "https://sane.example.com"; "" means that they may come by any name
	Seal []byte // 32 bytes or more that seal sessions; nil means fresh ones, which no other replica knows
}

// A Server serves the pages. It must be run, too.
type Server struct {
	c        Config
	log      *slog.Logger
	now      func() time.Time
	url      *url.URL // nil if browsers may come by any name
	seal     *seal
	oidc     *voucher // nil if nobody else vouches for people
	issuers  *http.Client
	looks    *looks
	register *register
	mux      *http.ServeMux
	streams  streams
	closing  chan struct{} // closed when Run ends
	rights   viewers
	reviews  reviews
	cross    *http.CrossOriginProtection
	errand   *errand
	kept     kept
	tries    tries
	signouts signouts
	commits  commits
}

// New returns a server that asks nothing yet.
func New(c Config) (*Server, error) {
	s := &Server{c: c, log: cmp.Or(c.Log, slog.Default()), now: c.Now, mux: http.NewServeMux(), cross: http.NewCrossOriginProtection(), closing: make(chan struct{})}
	if s.now == nil {
		s.now = time.Now
	}
	s.c.Now, s.c.Log = s.now, s.log
	if err := s.hang(c.Door); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	var err error
	if s.looks, err = readTemplates(); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	s.streams.of = make(map[string]int)
	s.register = newRegister(s)
	s.errand = newErrand()
	s.assets()
	s.loginPages()
	s.fleetPages()
	s.unitPages()
	s.sourcePages()
	s.objectPages()
	s.timelinePages()
	s.actions()
	s.rollbackPages()
	return s, nil
}

// hang makes the door.
func (s *Server) hang(d Door) (err error) {
	if (d.Pass == "") == (d.Review == nil && d.OIDC == nil) {
		return errors.New("somebody has to be let in: by a pass, or by tokens and OIDC")
	}
	if d.URL != "" {
		if s.url, err = url.Parse(d.URL); err != nil {
			return err
		}
		if s.url.Host == "" || s.url.Scheme != "http" && s.url.Scheme != "https" || s.url.Path != "" && s.url.Path != "/" {
			return fmt.Errorf("%q is no address of a site: want https://HOST", d.URL)
		}
	}
	if d.OIDC != nil {
		s.issuers = &http.Client{Timeout: patience}
		if s.oidc, err = newVoucher(*d.OIDC, d.URL); err != nil {
			return err
		}
	}
	s.seal, err = newSeal(d.Seal)
	return err
}

// Run does what is to be done behind the pages, until ctx is done.
func (s *Server) Run(ctx context.Context) error {
	s.register.run(ctx)
	close(s.closing)
	s.errand.close()
	return nil
}

// desk returns where questions of a viewer are asked. What sources refer to, such
// as the Secret with a password, is looked up in our own name.
func (s *Server) desk(v *viewer) *ask.Desk {
	d := s.c.Desk
	d.Cluster, d.References, d.Equip = v.cluster, s.c.Cluster, s.equip
	return &d
}

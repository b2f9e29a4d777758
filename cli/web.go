package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/report/journal"
)

// A Site serves pages while it runs.
type Site interface {
	http.Handler
	Run(ctx context.Context) error
}

// A Showing is what is asked of [Program.Site].
type Showing struct {
	Desk *ask.Desk // where questions are asked, as ourselves
	Door Door

	Journal *journal.Journal // of what happened; nil if nobody remembers
	Told    func() bool      // whether it is told of all that happens; nil means that it is made up of what the cluster tells
}

// A Door says who is let in: who has the pass, and looks as ourselves, or else
// whom the cluster, or another, knows.
type Door struct {
	Pass string // "" means that everybody looks as themselves
	URL  string // where browsers find us; "" means that they may come by any name
	Seal []byte // of sessions; nil means a fresh one
	OIDC OIDC   // without an issuer nobody else vouches for people
}

// OIDC says who else vouches for people.
type OIDC struct {
	Issuer, ClientID, ClientSecret string
	Scopes                         []string
	UsernameClaim, UsernamePrefix  string
	GroupsClaim, GroupsPrefix      string
}

// A webbing is one `sane web`.
type webbing struct {
	*desk
	port int
}

func webCommand(d *desk) *cobra.Command {
	w := &webbing{desk: d}
	cmd := &cobra.Command{
		Use:   "web",
		Short: "Show units, sources and what they keep in a browser, by your own rights",
		Long: `Web serves pages on this machine alone, until it is interrupted. All is asked of the
cluster that the kubeconfig names, by your own rights. The address that it prints has a
pass in it: nobody else on this machine gets in without.

In a cluster, ` + "`sane run --web-addr`" + ` serves the same pages, where everybody looks as
themselves.`,
		Args: alone,
		RunE: func(cmd *cobra.Command, _ []string) error { return w.run(cmd.Context()) },
	}
	cmd.Flags().IntVar(&w.port, "port", 8010, "`PORT` on 127.0.0.1; 0 for any")
	return cmd
}

func (w *webbing) run(ctx context.Context) error {
	at, err := w.place()
	if err != nil {
		return err
	}
	says, err := w.spoken()
	if err != nil {
		return err
	}
	gear := &sharedGear{equip: func() (*ask.Gear, error) { return w.equip(at) }}
	defer gear.close()
	q := w.questions(at, says)
	q.Equip = gear.lend
	site, err := w.openSite(at, Showing{Desk: q, Door: Door{Pass: rand.Text()}}, net.JoinHostPort("127.0.0.1", strconv.Itoa(w.port)))
	if err != nil {
		return fmt.Errorf("web: %w; choose another port with --port", err)
	}
	fmt.Fprintf(w.out, "%s\n", site.address)
	if w.out.live {
		fmt.Fprintln(w.err, "Open it in a browser. Ctrl-C ends it.")
	}
	return site.serve(ctx)
}

// A sharedGear is what several questions at a time share, as the directories that it
// works in can be used once at a time.
type sharedGear struct {
	equip func() (*ask.Gear, error)

	mu   sync.Mutex
	gear *ask.Gear // guarded by mu
}

func (g *sharedGear) lend() (*ask.Gear, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gear == nil {
		gear, err := g.equip()
		if err != nil {
			return nil, err
		}
		g.gear = gear
	}
	return lent(g.gear), nil
}

// lent returns gear that stays when it is given back.
func lent(g *ask.Gear) *ask.Gear {
	return &ask.Gear{Sources: g.Sources, Renderer: g.Renderer, Close: func() error { return nil }}
}

func (g *sharedGear) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gear != nil {
		_ = g.gear.Close() // it was only read from
	}
}

// A localSite are pages for who has started us.
type localSite struct {
	Site
	address string // with the pass
	l       net.Listener
	past    *journal.Journal
	memory  journal.Memory
}

// openSite begins to listen for who is to see what s says.
func (d *desk) openSite(at *Place, s Showing, addr string) (*localSite, error) {
	past, err := journal.Open(journal.Config{Log: s.Desk.Log})
	if err != nil {
		return nil, err
	}
	s.Journal, s.Desk.Remote = past, nil // the pages show what is here
	site, err := d.Site(at, s)
	if err != nil {
		return nil, errors.Join(err, past.Close())
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, errors.Join(err, past.Close())
	}
	address := "http://" + l.Addr().String() + "/enter?pass=" + url.QueryEscape(s.Door.Pass)
	return &localSite{site, address, l, past, memory(at, s.Desk.Dialect)}, nil
}

// serve serves until ctx is done.
func (s *localSite) serve(ctx context.Context) error {
	server := webServer(s.Site)
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	all.Go(func() { _ = s.Run(ctx) })
	all.Go(func() { _ = recall(ctx, s.past, s.memory) }) // it is in memory, and ends with ctx
	stop := context.AfterFunc(ctx, func() { hangUp(server) })
	defer stop()
	if err := server.Serve(s.l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func webServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: patience, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 1 << 16,
		ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
}

// hangUp lets who is being answered have the answer, if that is soon.
func hangUp(s *http.Server) {
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	if s.Shutdown(ctx) != nil {
		s.Close()
	}
}

// A front is the pages of a daemon, as its flags have them.
type front struct {
	addr, sealFile, secretFile string
	door                       Door
}

func (f *front) flags(fs *pflag.FlagSet) {
	o := &f.door.OIDC
	fs.StringVar(&f.addr, "web-addr", "", "`ADDRESS` of pages for people, such as :8443, where everybody sees and does what they may; \"\" for none")
	fs.StringVar(&f.door.URL, "web-external-url", "", "`URL` by which browsers come to the pages, such as https://sane.example.com")
	fs.StringVar(&f.sealFile, "web-session-key-file", "", "`FILE` with 32 random bytes or more that seal sessions, for replicas to share (default a fresh key)")
	fs.StringVar(&o.Issuer, "web-oidc-issuer", "", "`URL` of the OpenID Connect issuer that people log in at (default none: by bearer tokens)")
	fs.StringVar(&o.ClientID, "web-oidc-client-id", "", "`ID` of the pages there")
	fs.StringVar(&f.secretFile, "web-oidc-client-secret-file", "", "`FILE` with the secret of that id (default none: a public client)")
	fs.StringSliceVar(&o.Scopes, "web-oidc-scopes", nil, "`SCOPES` to ask for beside openid (default profile,email,groups)")
	fs.StringVar(&o.UsernameClaim, "web-oidc-username-claim", "sub", "`CLAIM` with the name of the user, as the API server has it")
	fs.StringVar(&o.UsernamePrefix, "web-oidc-username-prefix", "", "`PREFIX` of that name; - for none (default none for email, the issuer and # for others)")
	fs.StringVar(&o.GroupsClaim, "web-oidc-groups-claim", "groups", "`CLAIM` with the user's groups")
	fs.StringVar(&o.GroupsPrefix, "web-oidc-groups-prefix", "", "`PREFIX` of their names")
}

// check complains about flags that say nothing without others, or nothing at all.
func (f *front) check(flags *pflag.FlagSet) (err error) {
	if f.addr == "0" {
		f.addr = ""
	}
	lacks := func(prefix, other string) {
		flags.Visit(func(x *pflag.Flag) {
			if err == nil && x.Name != other && strings.HasPrefix(x.Name, prefix) {
				err = fmt.Errorf("--%s says nothing without --%s", x.Name, other)
			}
		})
	}
	o := f.door.OIDC
	switch {
	case f.addr == "":
		lacks("web-", "web-addr")
	case o.Issuer == "":
		lacks("web-oidc-", "web-oidc-issuer")
	case !isSite(o.Issuer, "https"):
		return fmt.Errorf("--web-oidc-issuer %q: want https://HOST, as the issuer calls itself", o.Issuer)
	case o.ClientID == "":
		return errors.New("--web-oidc-issuer: want --web-oidc-client-id with it, by which the issuer knows the pages")
	case f.door.URL == "":
		return errors.New("--web-oidc-issuer: want --web-external-url with it, for the issuer to send browsers back to")
	}
	if u := f.door.URL; err == nil && u != "" && (!isSite(u, "https", "http") || strings.Count(strings.TrimSuffix(u, "/"), "/") > 2) {
		return fmt.Errorf("--web-external-url %q: want https://HOST", u)
	}
	return err
}

// isSite reports whether text is a URL with a host and one of the schemes.
func isSite(text string, schemes ...string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && slices.Contains(schemes, u.Scheme) && u.RawQuery == "" && u.Fragment == ""
}

// read reads the files that the flags name.
func (f *front) read() (err error) {
	if f.addr == "" {
		return nil
	}
	if f.sealFile != "" {
		const least = 32 // bytes
		switch f.door.Seal, err = os.ReadFile(f.sealFile); {
		case err != nil:
			return fmt.Errorf("--web-session-key-file: %w", err)
		case len(f.door.Seal) < least:
			return fmt.Errorf("--web-session-key-file: %s is too short: want %d random bytes or more", f.sealFile, least)
		}
	}
	if f.secretFile != "" {
		secret, err := os.ReadFile(f.secretFile)
		if err != nil {
			return fmt.Errorf("--web-oidc-client-secret-file: %w", err)
		}
		f.door.OIDC.ClientSecret = strings.TrimSpace(string(secret))
	}
	return nil
}

// show serves the pages that the flags ask for until ctx is done, beside what
// else is served.
func (r *daemon) show(ctx context.Context, p *pages, place *Place, says dialect.Dialect) error {
	if err := r.front.read(); err != nil || r.front.addr == "" {
		return err
	}
	desk := &ask.Desk{
		Cluster: place.Cluster, Namespace: place.Namespace, Dialect: says, Language: r.Language,
		Equip: r.lend, Now: r.now, Log: r.log,
	}
	told := func() bool { return r.engine.Load() != nil }
	site, err := r.Site(place, Showing{Desk: desk, Door: r.front.door, Journal: r.past.journal, Told: told})
	if err != nil {
		return err
	}
	if !strings.HasPrefix(r.front.door.URL, "https://") && !onLoopback(r.front.addr) {
		r.log.Warn("the pages are served without --web-external-url=https://HOST: if browsers come by http, tokens and sessions can be read on the way; if they come by https, their cookies do not say so",
			"web-addr", r.front.addr)
	}
	p.serving.Go(func() { _ = site.Run(ctx) }) // it ends with ctx
	return p.add("web", r.front.addr, site)
}

// onLoopback reports whether only this host can reach an address.
func onLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// lend returns what the controller works with, to be read with.
func (r *daemon) lend() (*ask.Gear, error) {
	gear := r.gear.Load()
	if gear == nil {
		return nil, errors.New("what lies in repositories is known only to the replica that leads")
	}
	return lent(&ask.Gear{Sources: gear.Sources, Renderer: gear.Renderer}), nil
}

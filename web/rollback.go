package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/commit"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/engine"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
)

func (s *Server) rollbackPages() {
	const at = "/unit/{kind}/{namespace}/{name}"
	s.get(at+"/rollback", s.ofUnit(s.rollback))
	s.get(at+"/rolled", s.ofUnit(s.rolled))
	s.post(at+"/rollback", s.ofUnit(s.doing("rollback", s.rollBack)))
}

// A rollbackPage is a plan that is made of a tree of which no commit is made yet.
type rollbackPage struct {
	planPage
	To, From revisionLine
	Branch   string
	Path     string
	Files    []string
	MoreOf   int      // files that are not shown
	Notes    []string // what to know before it is done
	Strayed  string   // the address of the same with what is read outside of the path; "" if nothing is
	Reads    bool     // that is put back, too
	Was      string   // names what was shown
	Same     bool     // there is nothing to do
	Command  string   // that does the same
	Load     string   // the address of all this, which comes later
}

// A revisionLine is a commit as it is shown.
type revisionLine struct {
	Revision string
	Commit   commitLine
}

// maxNames is how many files a page names.
const maxNames = 50

// rollback says what would be put back, and leaves it to the page to load what
// that would change.
func (s *Server) rollback(w http.ResponseWriter, r *http.Request, v *viewer, o object.Object) error {
	u, err := s.unitOf(o)
	if err != nil {
		return err
	}
	rev := r.FormValue("to")
	if err := among(s.revisions(r.Context(), v, o, u), rev); err != nil {
		return &refusal{http.StatusNotFound, plainly(err)} // a link that somebody made up
	}
	p := rollbackPage{planPage: planPage{Unit: s.thing(o.ID())}, To: revisionLine{Revision: rev}, Command: s.rollbackCommand(o, rev)}
	p.Load = p.Unit.URL + "/rolled?" + r.URL.RawQuery
	return s.show(w, r, v, "rollback", frame{Title: "Roll back " + o.ID().Name, Section: "fleet", Main: &p})
}

// rollbackCommand is what whoever has a clone may do instead. It is made to be
// pasted into a shell, and a branch may be called anything.
func (s *Server) rollbackCommand(o object.Object, rev string) string {
	if strings.ContainsFunc(rev, func(c rune) bool {
		return !strings.ContainsRune("@:/._-+", c) && (c > unicode.MaxASCII || !unicode.IsLetter(c) && !unicode.IsDigit(c))
	}) {
		rev = "'" + strings.ReplaceAll(rev, "'", `'\''`) + "'"
	}
	return "sane rollback " + s.c.Language.Sayable(o.ID()) + " " + rev
}

// rolled shows what putting a unit's files back would change.
func (s *Server) rolled(w http.ResponseWriter, r *http.Request, v *viewer, o object.Object) error {
	rev := r.FormValue("to")
	p := rollbackPage{
		planPage: planPage{Unit: s.thing(o.ID()), Back: s.address(o.ID()), Form: s.seal.token(v.session.ID)},
		To:       revisionLine{Revision: rev}, Command: s.rollbackCommand(o, rev), Reads: r.FormValue("reads") != "",
	}
	err := s.goBack(r.Context(), v, o, rev, func(ctx context.Context, b *wayBack) error {
		d, err := b.draft(ctx, p.Reads)
		if err != nil {
			return err
		}
		s.fillRolled(&p, b, d)
		if d.Same() {
			return nil
		}
		pre, failed, err := b.plan(ctx, d)
		if err != nil {
			return err
		}
		if len(pre.Plan.All()) == 0 && failed != nil {
			return failed
		}
		return s.fillPlan(ctx, v, o, &p.planPage, pre, failed)
	})
	if err != nil {
		p.Err = plainly(err)
	}
	if p.Err != "" {
		p.Was = "" // what can't be planned is not done from here
	}
	p.Digest = "" // what is held now is approved elsewhere
	return s.show(w, r, v, "rolled", frame{Title: "Roll back " + o.ID().Name, Section: "fleet", Main: &p})
}

func (s *Server) fillRolled(p *rollbackPage, b *wayBack, d *commit.Draft) {
	p.To = s.revisionLine(b.home, d.Old)
	p.From = s.revisionLine(b.home, d.Base)
	p.Branch, p.Path, p.Was, p.Same = b.home.Branch, b.home.Path, d.Was, d.Same()
	p.Files = d.Diff[:min(len(d.Diff), maxNames)]
	p.MoreOf = len(d.Diff) - len(p.Files)
	p.Notes = b.notes
	if b.strayed && !p.Reads {
		p.Strayed = p.Unit.URL + "/rollback?" + query("to", b.to, "reads", "1")
	}
}

func (s *Server) revisionLine(home ask.Home, c commit.Commit) revisionLine {
	rev := ask.RevisionOf(home.Branch, c.ID)
	return revisionLine{rev, s.lineOf(&c.Commit, home.Feed.Name, rev)}
}

// pushes is how often a push is begun anew because others were faster.
const pushes = 5

// rollBack puts a unit's files back to what they were, if that is still what the
// viewer was shown.
func (s *Server) rollBack(r *http.Request, v *viewer, o object.Object) ([]any, error) {
	rev, branch := r.PostFormValue("revision"), strings.TrimSpace(r.PostFormValue("branch"))
	facts := []any{"revision", rev, "branch", branch}
	err := s.goBack(r.Context(), v, o, rev, func(ctx context.Context, b *wayBack) error {
		for try := 0; ; try++ {
			d, err := b.draft(ctx, r.PostFormValue("reads") != "")
			switch {
			case err != nil:
				return err
			case d.Same():
				return &refusal{http.StatusConflict, "There is nothing to do: all is as it was."}
			case d.Was != r.PostFormValue("was"):
				return &refusal{http.StatusConflict, "Somebody has changed what is to be put back since you were shown it. Look again, and do it if it is still meant."}
			}
			id, err := b.push(ctx, d, o, branch, r.PostFormValue("reason"))
			facts = append(facts[:4:4], "commit", id, "from", d.Base.ID)
			if !errors.Is(err, commit.ErrMoved) || try >= pushes {
				return err
			}
		}
	})
	if errors.Is(err, commit.ErrRefused) || errors.Is(err, commit.ErrInWay) {
		err = &refusal{http.StatusConflict, plainly(err) + ". With a key of your own, which may push, it can be done by: " + s.rollbackCommand(o, rev)}
	}
	if err == nil && branch == "" {
		s.lookAtSource(r.Context(), v, o)
	}
	return facts, err
}

// lookAtSource asks for a look at a unit's source, if the viewer may ask that: or
// else it is looked at when its time has come.
func (s *Server) lookAtSource(ctx context.Context, v *viewer, o object.Object) {
	u, err := s.unitOf(o)
	if err != nil || !s.mays(ctx, v, "patch", s.sourceID(u)) {
		return
	}
	if err := change(ctx, v, s.sourceID(u), annotations(map[string]any{s.c.Language.Request: s.now().Format("2006-01-02T15:04:05.999999999Z07:00")})); err != nil {
		s.log.Warn("a source was not asked to look at what was pushed", "source", s.sourceID(u).String(), "err", err)
	}
}

// A wayBack is what it takes to put a unit's files back in a viewer's name.
type wayBack struct {
	unit    object.Object
	home    ask.Home
	to      string // the revision
	repo    *commit.Repo
	reading *ask.Reading

	notes   []string // about the last draft
	strayed bool     // what it reads outside of its path has changed, too
}

// own reports whether repositories are written to as whoever runs us, with their
// own Git configuration: who looks as ourselves.
func (s *Server) own() bool { return s.c.Door.Pass != "" }

// goBack has a unit's files put back to what they were at a revision. The viewer
// must be allowed to read what gets in at the repository: it is by that that we
// push.
func (s *Server) goBack(ctx context.Context, v *viewer, o object.Object, rev string, do func(context.Context, *wayBack) error) error {
	u, err := s.unitOf(o)
	if err != nil {
		return err
	}
	if ask.Afar(u) {
		return &refusal{http.StatusConflict, "Its objects are in another cluster, which is not asked from here: " + s.rollbackCommand(o, rev) + " --no-plan does it."}
	}
	if err := s.maySource(ctx, v, u); err != nil {
		return err
	}
	if err := among(s.revisions(ctx, v, o, u), rev); err != nil {
		return &refusal{http.StatusNotFound, plainly(err)}
	}
	if ask.CommitID(rev) == "" {
		return &refusal{http.StatusConflict, rev + " is no commit."}
	}
	var refs dialect.Reader = asViewer{ctx, v}
	if s.own() {
		refs = dialect.Nothing{}
	}
	home, err := s.desk(v).Home(ctx, o, refs)
	if err != nil {
		return &refusal{http.StatusConflict, plainly(err)}
	}
	if err := s.mayWrite(ctx, v, o.ID(), home.Feed); err != nil {
		return err
	}
	return s.slowly(ctx, v, func(ctx context.Context, d *ask.Desk) error {
		repo, back, err := s.repository(ctx, v, home.Feed.Remote)
		if err != nil {
			return err
		}
		defer back()
		if home.Feed.Remote.Proof != nil && !repo.Signs(ctx) {
			return &refusal{http.StatusConflict, "Its source takes signed commits only, and yours would not be signed: git config --global commit.gpgsign true, with a key that the source knows."}
		}
		d.Cluster = s.c.Cluster // as for any plan, of which only what the viewer may get is shown
		reading := d.Read(ask.At{})
		defer reading.Close()
		return do(ctx, &wayBack{unit: o, home: home, to: rev, repo: repo, reading: reading})
	})
}

// mayWrite is an error if we may not write to a repository in a viewer's name.
func (s *Server) mayWrite(ctx context.Context, v *viewer, unit object.ID, f source.Feed) error {
	if s.own() {
		return nil
	}
	switch a := f.Remote.Access; {
	case s.c.Lend == nil:
		return &refusal{http.StatusConflict, "This server writes to no repositories."}
	case f.Err != nil:
		return &refusal{http.StatusConflict, fmt.Sprintf("What gets in at %s can't be read: %v", f.Name, f.Err)}
	case a.Cloud != (cloud.Identity{}):
		return &refusal{http.StatusConflict, "The controller gets in at the repository as itself, and not as you."}
	case f.Remote.Proof != nil:
		return &refusal{http.StatusConflict, "Its source takes signed commits only, and this server has no key to sign by."}
	case a.Username+a.Password+a.Bearer != "" || len(a.Identity) > 0 || len(a.Cert) > 0 || a.App != nil:
		return nil // the viewer has just read it
	}
	if !s.mays(ctx, v, "patch", unit) {
		return &refusal{http.StatusForbidden, "Its source has no credentials that say who may push, and you may not change the unit."}
	}
	return nil
}

// mayRollBack reports whether going back is offered: the viewer may read what gets
// in at the repository or, if nobody has to get in, change the unit.
func (s *Server) mayRollBack(ctx context.Context, v *viewer, o object.Object) bool {
	if !s.own() && s.c.Lend == nil {
		return false
	}
	refs := new(noting)
	home, err := s.desk(v).Home(ctx, o, refs)
	if err != nil || s.own() {
		return err == nil
	}
	for _, id := range refs.asked {
		if !s.mays(ctx, v, "get", id) {
			return false
		}
	}
	return home.Feed.Remote.Proof == nil && (len(refs.asked) > 0 || s.mays(ctx, v, "patch", o.ID()))
}

// asViewer reads what a source refers to as a viewer may.
type asViewer struct {
	ctx context.Context
	v   *viewer
}

func (a asViewer) Get(id object.ID) (object.Object, bool, error) { return a.v.cluster.Get(a.ctx, id) }

// A noting notes what it is asked for, and has nothing.
type noting struct{ asked []object.ID }

func (n *noting) Get(id object.ID) (object.Object, bool, error) {
	n.asked = append(n.asked, id)
	return object.Object{}, false, nil
}

// repository returns a repository to write to, and what ends that. What is written
// is by the viewer.
func (s *Server) repository(ctx context.Context, v *viewer, at source.Remote) (*commit.Repo, func(), error) {
	c := commit.Config{Way: commit.Way{URL: at.URL}, Quiet: true}
	back := func() {}
	if !s.own() {
		gear, err := s.equip()
		if err != nil {
			return nil, nil, err
		}
		if c.Way, back, err = s.c.Lend(ctx, gear, at); err != nil {
			return nil, nil, err
		}
		c.Author, c.Committer = s.person(v.Name), &commit.Person{Name: "Sane", Email: "noreply@" + s.host()}
	}
	repo, err := commit.Open(ctx, c)
	if err == nil {
		err = repo.Check(ctx)
	}
	if err != nil {
		if repo != nil {
			_ = repo.Close() // nothing is there yet
		}
		back()
		return nil, nil, err
	}
	return repo, func() {
		_ = repo.Close() // it was only fetched to
		back()
	}, nil
}

// person returns a viewer as Git has people. Where his name is no address, none is
// made up for him.
func (s *Server) person(name string) *commit.Person {
	if at := strings.LastIndexByte(name, '@'); at > 0 && at < len(name)-1 && !strings.ContainsAny(name, "<> \t\r\n") {
		return &commit.Person{Name: name, Email: name}
	}
	return &commit.Person{Name: name, Email: "noreply@" + s.host()}
}

func (s *Server) host() string {
	if s.url == nil {
		return "localhost"
	}
	return s.url.Hostname()
}

// draft makes the tree that would be committed, with what the unit read outside of
// its path, or without.
func (b *wayBack) draft(ctx context.Context, reads bool) (*commit.Draft, error) {
	c := commit.Change{Branch: b.home.Branch, To: ask.CommitID(b.to), Paths: []string{b.home.Path}}
	d, err := b.repo.Prepare(ctx, c)
	if err != nil {
		return nil, err
	}
	b.notes, b.strayed = nil, false
	names, listings, err := b.reading.Outside(ctx, b.unit, b.home, b.repo, d)
	switch {
	case err != nil && reads:
		return nil, fmt.Errorf("what it read then is not known: %w", err)
	case err != nil:
		b.notes = append(b.notes, fmt.Sprintf("What it read then outside of %s is not known: %v", b.home.Path, err))
	case len(names) > 0 && reads:
		c.Paths = append(c.Paths, names...)
		b.notes = append(b.notes, "Put back, too: "+fewOf(names))
		if d, err = b.repo.Prepare(ctx, c); err != nil {
			return nil, err
		}
	case len(names) > 0:
		b.strayed = true
		b.notes = append(b.notes, fmt.Sprintf("What it reads outside of %s has changed, too, and stays as it is: %s", b.home.Path, fewOf(names)))
	}
	if len(listings) > 0 {
		b.notes = append(b.notes, fmt.Sprintf("It looks at what there is in %s, which has changed and stays as it is.", fewOf(listings)))
	}
	return d, nil
}

func fewOf(names []string) string {
	const most = 8
	if n := len(names) - most; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n)
	}
	return strings.Join(names, ", ")
}

// plan returns what a draft would change in the cluster and, apart from why that
// can't be said, what the server refuses of it.
func (b *wayBack) plan(ctx context.Context, d *commit.Draft) (pre engine.Preview, refused, err error) {
	tree, err := b.repo.Tree(ctx, d.Tree)
	if err != nil {
		return pre, nil, err
	}
	defer tree.Close()
	pre, refused = b.reading.At(ask.At{Tree: tree}).Plan(ctx, b.unit)
	return pre, refused, ctx.Err()
}

// push makes the commit, and pushes it to the branch or to a new one.
func (b *wayBack) push(ctx context.Context, d *commit.Draft, o object.Object, branch, reason string) (id string, err error) {
	if id, err = b.repo.Commit(ctx, d, b.home.Message(o.ID(), d, reason)); err != nil {
		return "", err
	}
	if branch != "" {
		return id, b.repo.PushNew(ctx, branch, id)
	}
	return id, b.repo.Push(ctx, d, id)
}

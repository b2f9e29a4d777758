package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/commit"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
)

// A rolling is one `sane rollback`.
type rolling struct {
	*desk
	yes, withReads, noPush, noPlan, brief bool
	branch, remote, message               string

	in      io.Reader
	asked   *ask.Desk
	reading *ask.Reading
	unit    object.Object
	home    ask.Home
	to      string // the revision
	repo    *commit.Repo
	notes   []string // about the last draft
}

// errDeclined says that whoever was asked does not want it.
var errDeclined = errors.New("nothing was changed")

// errNoPlan says that no plan could be made, so that nothing was done.
var errNoPlan = errors.New("no plan can be made of it, so nothing was done")

func rollbackCommand(d *desk) *cobra.Command {
	r := &rolling{desk: d}
	cmd := &cobra.Command{
		Use:   "rollback UNIT REVISION",
		Short: "Put a unit's directory back to what it was, in a new commit",
		Long: `Rollback makes a commit on the branch that the unit's source follows. In it the unit's
path is exactly what it was at REVISION, and all else is as it is in the newest commit.
First it shows what that would change in the cluster, and asks. No work tree is needed:
the repository is fetched with your own Git configuration and credentials, and the commit
is made and signed by your own name and key. It is pushed only if the branch is still
where it was; what others push meanwhile is never lost.

REVISION is one that 'sane history' shows, or the beginning of its id; HEAD~1 is the one
before the last there, and "previous" the last before the present one of which all went
well. Any other commit goes by its whole id.

The exit status is 0 if it is done, or there is nothing to do; 1 if it is not; 2 if no
plan can be made; and 3 if somebody else has changed the path meanwhile.`,
		Example: `  sane rollback apps previous
  sane rollback apps 1f0c3d2e --branch back-to-1f0c3d2e   # for a pull request
  sane rollback apps HEAD~2 --with-reads --yes -m 'the new limits are too low'`,
		ValidArgsFunction: d.completeRevisions(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.in = cmd.InOrStdin()
			return r.run(cmd.Context(), args)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&r.yes, "yes", "y", false, "do not ask")
	f.BoolVar(&r.withReads, "with-reads", false, "put back, too, what it read outside of its path: bases and components")
	f.StringVar(&r.branch, "branch", "", "leave the commit on a new branch of this `NAME`, for a pull request")
	f.BoolVar(&r.noPush, "no-push", false, "write the commit to a file for git to fetch, and push nothing")
	f.BoolVar(&r.noPlan, "no-plan", false, "do not plan first")
	f.StringVar(&r.remote, "remote", "", "`URL` by which you reach the repository, if that is not the source's")
	f.StringVarP(&r.message, "message", "m", "", "`TEXT` for the commit that says why")
	f.BoolVar(&r.brief, "brief", false, "show the objects, not their fields")
	return cmd
}

func (r *rolling) run(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New("rollback: to what? name a unit and a revision")
	}
	if r.noPush && r.branch != "" {
		return errors.New("rollback: --branch is pushed and --no-push is not: leave out one of the two")
	}
	n := len(args) - 1
	q, id, err := r.askedUnit("rollback", args[:n])
	if err != nil {
		return err
	}
	if r.unit, err = ask.Must(ctx, q.Cluster, id); err != nil {
		return err
	}
	r.asked = q
	defer func() {
		if r.repo != nil {
			_ = r.repo.Close() // it was only fetched to
		}
	}()
	if err := r.begin(ctx, args[n]); err != nil {
		return fmt.Errorf("rollback %s: %w", id, err)
	}
	r.reading = q.Read(ask.At{})
	defer r.reading.Close()
	if err = r.roll(ctx); err != nil && !errors.Is(err, errDeclined) {
		err = fmt.Errorf("rollback %s: %w", id, err)
	}
	return err
}

// begin finds out what is to be put back to what.
func (r *rolling) begin(ctx context.Context, said string) (err error) {
	if r.home, err = r.asked.Home(ctx, r.unit, dialect.Nothing{}); err != nil {
		return err
	}
	if r.to, err = r.asked.Earlier(r.unit, said); err != nil {
		return err
	}
	if ask.CommitID(r.to) == "" {
		return fmt.Errorf("%s is no commit", r.to)
	}
	url := r.home.Feed.Remote.URL
	if r.remote != "" {
		url = r.remote
	}
	if r.repo, err = commit.Open(ctx, commit.Config{Way: commit.Way{URL: url}, From: "."}); err != nil {
		return err
	}
	if err := r.repo.Check(ctx); err != nil {
		return err
	}
	if r.home.Feed.Remote.Proof != nil && r.branch == "" && !r.noPush && !r.repo.Signs(ctx) {
		return errors.New("its source takes signed commits only (spec.verify), and yours would not be signed: git config --global commit.gpgsign true, or leave it on a --branch")
	}
	return nil
}

// tries is how often a push is begun anew because others were faster.
const tries = 8

// roll shows what would come of it, asks, and does it.
func (r *rolling) roll(ctx context.Context) error {
	d, err := r.draft(ctx)
	for try := 0; ; try++ {
		if err != nil {
			return err
		}
		if d.Same() {
			r.note()
			_, err := fmt.Fprintf(r.out, "Nothing to do: on %s, %s is what it was at %s.\n", safe(r.home.Branch), safe(r.home.Path), safe(ask.ShortRevision(r.to)))
			return err
		}
		if err := r.propose(ctx, d); err != nil {
			return err
		}
		for {
			id, err := r.repo.Commit(ctx, d, r.text(d))
			if err != nil {
				return err
			}
			if err = r.hand(ctx, d, id); !errors.Is(err, commit.ErrMoved) || try >= tries {
				return err
			}
			try++
			was := d
			if d, err = r.draft(ctx); err != nil {
				return err
			}
			fmt.Fprintf(r.err, "Somebody has pushed meanwhile: %s\n", r.says(d.Base))
			if d.Was != was.Was {
				break
			}
		}
		if r.yes {
			return fmt.Errorf("%s or what it reads has been changed by that: look again: %w", r.home.Path, commit.ErrMoved)
		}
		fmt.Fprintf(r.err, "%s or what it reads has been changed by that, so look again.\n\n", safe(r.home.Path))
	}
}

// draft makes the tree that is to be committed.
func (r *rolling) draft(ctx context.Context) (*commit.Draft, error) {
	change := commit.Change{Branch: r.home.Branch, To: ask.CommitID(r.to), Paths: []string{r.home.Path}}
	d, err := r.repo.Prepare(ctx, change)
	if err != nil {
		return nil, err
	}
	names, listings, err := r.reading.Outside(ctx, r.unit, r.home, r.repo, d)
	r.notes = nil
	note := func(format string, args ...any) { r.notes = append(r.notes, fmt.Sprintf(format, args...)) }
	path := safe(r.home.Path)
	switch {
	case err != nil && r.withReads:
		return nil, fmt.Errorf("what it read then is not known: %w", err)
	case err != nil:
		note("What it read then outside of %s is not known: %s", path, safe(err.Error()))
	case len(names) > 0 && r.withReads:
		note("Beside %s, this is put back: %s", path, fewNames(names))
		change.Paths = append(change.Paths, names...)
		if d, err = r.repo.Prepare(ctx, change); err != nil {
			return nil, err
		}
	case len(names) > 0:
		note("What it reads outside of %s has changed, too, and stays as it is: %s (--with-reads puts that back)", path, fewNames(names))
	}
	if len(listings) > 0 {
		note("It looks at what there is in %s, which has changed and stays as it is.", fewNames(listings))
	}
	return d, nil
}

func fewNames(names []string) string {
	const most = 5
	n := len(names) - most
	if n > 0 {
		names = names[:most]
	}
	text := safe(strings.Join(names, ", "))
	if n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// propose shows what a draft would change, and asks whether that is meant.
func (r *rolling) propose(ctx context.Context, d *commit.Draft) error {
	fmt.Fprintf(r.out, "%s: %s on branch %s of %s\n", safe(r.unit.String()), safe(r.home.Path), safe(r.home.Branch), safe(r.home.Feed.Remote.URL))
	fmt.Fprintf(r.out, "from  %s\nto    %s\n", r.says(d.Base), r.says(d.Old))
	fmt.Fprintf(r.out, "files %s\n", fewNames(d.Diff))
	r.note()
	fmt.Fprintln(r.out)
	if err := r.plan(ctx, d); err != nil {
		return err
	}
	r.warn()
	if r.yes {
		return nil
	}
	what := "push it to " + r.home.Branch
	switch {
	case r.noPush:
		what = "write it to a file"
	case r.branch != "":
		what = "push it to the new branch " + r.branch
	}
	fmt.Fprintf(r.out, "\nMake this commit and %s? [y/N] ", safe(what))
	answer, _ := bufio.NewReader(r.in).ReadString('\n')  // its end is no answer
	if !r.out.live || !strings.HasSuffix(answer, "\n") { // nobody has pressed Return there
		fmt.Fprintln(r.out)
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return errDeclined
	}
	return nil
}

// note prints what there is to say about the last draft.
func (r *rolling) note() {
	for _, n := range r.notes {
		fmt.Fprintln(r.err, n)
	}
}

// says says in a line what a commit is.
func (r *rolling) says(c commit.Commit) string {
	return fmt.Sprintf("%s  %s, %s ago: %s", safe(r.short(c.ID)), safe(c.Author), r.age(c.When), safe(strconv.Quote(c.Subject)))
}

func (r *rolling) short(id string) string {
	return ask.ShortRevision(ask.RevisionOf(r.home.Branch, id))
}

// plan prints what a draft would change in the cluster or, for who may not try
// that there, in what the unit wants.
func (r *rolling) plan(ctx context.Context, d *commit.Draft) error {
	if r.noPlan {
		return nil
	}
	tree, err := r.repo.Tree(ctx, d.Tree)
	if err != nil {
		return err
	}
	defer tree.Close()
	v, err := r.reading.At(ask.At{Tree: tree}).Plan(ctx, r.unit)
	switch {
	case err == nil:
		r.preview(v, r.brief)
		return nil
	case !errors.Is(err, cluster.ErrForbidden):
		return fmt.Errorf("%w: %w", errNoPlan, err)
	}
	fmt.Fprintln(r.err, "You may not try it in the cluster, so this is how it differs from what is wanted now:")
	now, err := r.repo.Tree(ctx, d.Base.ID)
	if err != nil {
		return err
	}
	defer now.Close()
	all, err := r.reading.CompareAt(ctx, r.unit, ask.At{Tree: now}, ask.At{Tree: tree})
	if err != nil {
		return fmt.Errorf("%w: %w", errNoPlan, err)
	}
	r.differences(all, r.brief)
	return nil
}

// warn says why what is committed might not arrive.
func (r *rolling) warn() {
	if r.Language.Paused(r.unit) {
		fmt.Fprintf(r.err, "%s is suspended, and will not follow before it is resumed.\n", safe(r.unit.String()))
	}
	if r.home.Feed.Paused {
		fmt.Fprintf(r.err, "Its source %s is suspended, and will not see it before it is resumed.\n", safe(r.home.Feed.Name.String()))
	}
	if r.home.Feed.Remote.Submodules && !r.noPlan {
		fmt.Fprintln(r.err, "The plan is made without submodules.")
	}
}

// text returns the commit's message, which names both revisions.
func (r *rolling) text(d *commit.Draft) string { return r.home.Message(r.unit.ID(), d, r.message) }

// hand gives the commit to where it is wanted.
func (r *rolling) hand(ctx context.Context, d *commit.Draft, id string) error {
	switch {
	case r.noPush:
		return r.bundle(ctx, d, id)
	case r.branch != "":
		if err := r.repo.PushNew(ctx, r.branch, id); err != nil {
			return err
		}
		_, err := fmt.Fprintf(r.out, "Pushed %s to the new branch %s, for a pull request into %s.\n", safe(r.short(id)), safe(r.branch), safe(r.home.Branch))
		return err
	}
	if err := r.repo.Push(ctx, d, id); err != nil {
		if errors.Is(err, commit.ErrRefused) {
			return fmt.Errorf("%w; leave it on another branch by --branch NAME, or say by --remote URL where you may push", err)
		}
		return err
	}
	_, err := fmt.Fprintf(r.out, "Pushed %s to %s. See it arrive: sane reconcile %s --with-source\n", safe(r.short(id)), safe(r.home.Branch), safe(r.Language.Sayable(r.unit.ID())))
	return err
}

// bundle writes the commit to a file here.
func (r *rolling) bundle(ctx context.Context, d *commit.Draft, id string) error {
	name := "rollback-" + r.unit.Name() + "-" + id[:8] + ".bundle"
	file, err := filepath.Abs(name)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("there is a %s already", name)
	}
	if err := r.repo.Bundle(ctx, d, id, r.home.Branch, file); err != nil {
		return err
	}
	_, err = fmt.Fprintf(r.out, "Wrote %s; nothing was pushed. In a clone:\n  git fetch %[1]s %s && git push origin FETCH_HEAD:refs/heads/%[2]s\n", quoted(name), quoted(r.home.Branch))
	return err
}

// quoted returns text as a shell takes it for one word.
func quoted(text string) string {
	if strings.ContainsFunc(text, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_./@:+", c))
	}) {
		return "'" + strings.ReplaceAll(safe(text), "'", `'\''`) + "'"
	}
	return text
}

// completeRevisions completes a unit, and after it that many revisions of its
// history.
func (d *desk) completeRevisions(n int) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		noun, names, err := named(d.Language, args)
		switch {
		case err != nil || len(names) > n:
			return nil, cobra.ShellCompDirectiveNoFileComp
		case len(names) == 0:
			return d.completeUnits(cmd, nil, "")
		}
		return d.revisionsOf(cmd.Context(), noun.Kind, names[0]), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// completeFlagRevision completes a flag whose value is a revision of the one unit
// that is named.
func (d *desk) completeFlagRevision(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	noun, names, err := named(d.Language, args)
	if err != nil || len(names) != 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return d.revisionsOf(cmd.Context(), noun.Kind, names[0]), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// revisionsOf returns the revisions that the status of a unit remembers, by the
// beginnings of their ids: a shell may take the rest for several words.
func (d *desk) revisionsOf(ctx context.Context, kind object.Kind, name string) []string {
	ctx, cancel := soon(ctx)
	defer cancel()
	p, err := d.place()
	if err != nil {
		return nil
	}
	o, _, err := p.Cluster.Get(ctx, object.ID{Kind: kind, Namespace: p.Namespace, Name: name})
	if err != nil {
		return nil
	}
	var out []string
	for _, a := range ask.History(o) {
		id := ask.CommitID(a.Revision)
		if id == "" || slices.ContainsFunc(out, func(s string) bool { return strings.HasPrefix(s, id[:8]) }) {
			continue
		}
		out = append(out, fmt.Sprintf("%s\t%s, %s ago", id[:8], safe(a.Result), d.age(a.Last)))
	}
	return out
}

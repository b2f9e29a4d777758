package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/diff"
	"github.com/sane-gitops/sane/engine"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/source"
)

// A planning is one `sane plan`.
type planning struct {
	*desk
	all      bool
	path     string
	revision string
	source   string
	from     string
	output   string
	brief    bool

	at      *Place
	says    dialect.Dialect
	reading *ask.Reading
}

func planCommand(d *desk) *cobra.Command {
	p := &planning{desk: d}
	cmd := &cobra.Command{
		Use:   "plan [UNIT...]",
		Short: "Show what a directory, a commit or a branch would change in the cluster",
		Long: `Plan shows what units would change in the cluster if their source were at another
revision: a line for each object, and then the fields that would differ. Values of
Secrets are not shown. Nothing is changed.

A revision of the unit's history goes by what 'sane history' shows of it, or by HEAD~1
for the one before the last there.

Without --path and --to it shows what reconciling now would change. With --from it
shows what going from that revision to the other would do if the cluster was as the
first has it, which is what a pull request changes: the cluster is asked for no
objects then, and the server refuses nothing.

The exit status is 0 if nothing would change, 1 if something would, 2 if that can't
be said, and 3 if deletions would be held until somebody approves them, whatever else
would change.`,
		Example: `  sane plan apps --path .             # this work tree
  sane plan apps --to my-branch
  sane plan apps --from main --to my-branch -o markdown   # for a comment on a pull request
  sane plan --all`,
		ValidArgsFunction: d.completeUnits,
		RunE:              func(cmd *cobra.Command, args []string) error { return p.run(cmd.Context(), args) },
	}
	d.allNamespaces(cmd)
	f := cmd.Flags()
	f.BoolVar(&p.all, "all", false, "all units of the namespace")
	f.StringVar(&p.path, "path", "", "`DIR` that stands for the root of the source")
	f.StringVar(&p.revision, "to", "", "`COMMIT`, branch or whole ref name to fetch from the source")
	f.StringVar(&p.revision, "revision", "", "the same as --to")
	f.StringVar(&p.from, "from", "", "`COMMIT`, branch or whole ref name to compare with, in place of the cluster")
	f.StringVarP(&p.output, "output", "o", "", "`FORMAT`: markdown")
	f.StringVar(&p.source, "source", "", "with --all: only units of the source of this `NAME`")
	f.BoolVar(&p.brief, "brief", false, "show the objects, not their fields")
	_ = cmd.MarkFlagDirname("path")
	cmd.MarkFlagsMutuallyExclusive("to", "revision")
	for _, name := range []string{"from", "to", "revision"} {
		_ = cmd.RegisterFlagCompletionFunc(name, d.completeFlagRevision)
	}
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"markdown"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (p *planning) run(ctx context.Context, args []string) (err error) {
	if p.path != "" && p.revision != "" {
		return errors.New("plan: the tree is either at --path or at --to: leave out one of the two")
	}
	if p.output != "" && p.output != "markdown" {
		return fmt.Errorf("plan: unknown output format %q: want markdown", p.output)
	}
	if p.at, err = p.place(); err != nil {
		return err
	}
	if p.says, err = p.spoken(); err != nil {
		return err
	}
	wanted, err := p.wanted(ctx, args)
	if err != nil {
		return err
	}
	if p.from, err = meant(wanted, p.from); err != nil {
		return err
	}
	if p.revision, err = meant(wanted, p.revision); err != nil {
		return err
	}
	p.reading = p.questions(p.at, p.says).Read(ask.At{Dir: p.path, Revision: p.revision})
	defer p.reading.Close()
	return p.show(ctx, wanted)
}

// meant returns the revision that a word means to each of several units.
func meant(units []object.Object, said string) (string, error) {
	rev := said
	for i, o := range units {
		switch own := ask.Meant(o, said); {
		case i == 0:
			rev = own
		case own != rev:
			return "", fmt.Errorf("plan: %s is %s to %s and %s to %s: name one unit, or a revision", said, rev, units[0], own, o)
		}
	}
	return rev, nil
}

// wanted returns the objects of the units that args name.
func (p *planning) wanted(ctx context.Context, args []string) ([]object.Object, error) {
	noun, names, err := named(p.Language, args)
	switch {
	case err != nil:
		return nil, fmt.Errorf("plan: %w", err)
	case noun.Feed:
		return nil, fmt.Errorf("plan: a %s is no unit: name one of the units that use it", noun.Kind.Name)
	case (p.all || p.everywhere) == (len(names) > 0):
		return nil, errors.New("plan: which unit? name some, or say --all")
	}
	var out []object.Object
	for _, name := range names {
		o, err := ask.Must(ctx, p.at.Cluster, noun.ID(p.at.Namespace, name))
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	if len(names) == 0 {
		if out, err = ask.List(ctx, p.at.Cluster, cluster.Selection{Kind: noun.Kind, Namespace: p.scope(p.at)}); err != nil {
			return nil, err
		}
	}
	return p.narrowed(out)
}

// narrowed leaves the units of the source that is asked for. A directory or a
// revision can stand for one source only.
func (p *planning) narrowed(objects []object.Object) ([]object.Object, error) {
	var out []object.Object
	feeds := make(map[source.FeedName]bool)
	for _, o := range objects {
		asked, err := p.says.Read(o, dialect.Nothing{})
		if err != nil {
			return nil, err
		}
		for _, u := range asked.Units {
			if p.source == "" || u.Source.Name == p.source {
				out, feeds[u.Source] = append(out, o), true
			}
		}
	}
	if len(feeds) > 1 && (p.path != "" || p.revision != "" || p.from != "") {
		var names []string
		for f := range feeds {
			names = append(names, f.String())
		}
		slices.Sort(names)
		return nil, fmt.Errorf("plan: the units have %d sources (%s): say by --source which one is meant", len(feeds), strings.Join(names, ", "))
	}
	return out, nil
}

// show plans each unit and prints what comes of it. It goes on after one could
// not be planned.
func (p *planning) show(ctx context.Context, wanted []object.Object) error {
	if len(wanted) == 0 {
		fmt.Fprintf(p.err, "No resources found in %s namespace.\n", p.at.Namespace)
	}
	var errs []error
	var comment *markdown
	if p.output == "markdown" {
		comment = new(markdown)
		comment.begin("plan")
	}
	changes, held := false, false
	for i, o := range wanted {
		if len(wanted) > 1 && comment == nil {
			if i > 0 {
				fmt.Fprintln(p.out)
			}
			fmt.Fprintln(p.out, p.out.paint(bold, o.String()))
		}
		v, err := p.plan(ctx, o)
		if err != nil {
			errs = append(errs, fmt.Errorf("plan %s: %w", o, err))
		}
		changes = changes || !v.Plan.Empty()
		held = held || holds(v.Plan)
		switch title := "Plan of " + coded(o.String()); {
		case comment != nil && err != nil:
			comment.section(title, "It can't be planned: "+coded(err.Error()), nil)
		case comment != nil:
			comment.planned(title, v)
		case err == nil || !v.Plan.Empty():
			p.preview(v, p.brief)
		}
	}
	if comment != nil {
		if err := comment.write(p.out); err != nil {
			return err
		}
	}
	if err := failed(errs); err != nil {
		return err
	}
	switch {
	case held:
		return errHeld
	case changes:
		return errChanges
	}
	return nil
}

// plan returns what keeping a unit would do, or going from one revision to another.
func (p *planning) plan(ctx context.Context, o object.Object) (engine.Preview, error) {
	if p.from == "" {
		return p.reading.Plan(ctx, o)
	}
	return p.reading.Between(ctx, o, ask.At{Revision: p.from}, ask.At{Dir: p.path, Revision: p.revision})
}

// holds reports whether a plan holds deletions until somebody approves them.
func holds(p plan.Plan) bool {
	return slices.ContainsFunc(p.All(), func(s plan.Step) bool { return s.Verb == plan.Hold })
}

// A line is a step of a plan with the difference that it makes.
type line struct {
	plan.Step
	diff.Difference
}

// why says why the step is taken: for an update, what it changes.
func (l line) why() string {
	if l.Verb != plan.Update || len(l.Fields) == 0 {
		return l.Why
	}
	return fewFields(l.Fields)
}

// fewFields names the first of many fields.
func fewFields(fields []string) string {
	const most = 3
	if n := len(fields) - most; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(fields[:most], ", "), n)
	}
	return strings.Join(fields, ", ")
}

// linesOf returns the steps that are worth a line: those that change something,
// or would if they were not held.
func linesOf(v engine.Preview) []line {
	var out []line
	for _, s := range v.Plan.All() {
		if !s.Changes() && s.Verb != plan.Hold {
			continue
		}
		live, would := diff.Masked(engine.Content(v.Live[s.ID]), engine.Content(wouldBe(s, v)))
		live, would = diff.Discreet(live, would, v.Secrets)
		out = append(out, line{s, diff.Of(live, would)})
	}
	return out
}

// wouldBe returns an object as it would be after a step.
func wouldBe(s plan.Step, v engine.Preview) object.Object {
	if s.Verb == plan.Delete || s.Verb == plan.Hold {
		return object.Object{}
	}
	if o := v.Would[s.ID]; !o.IsZero() {
		return o
	}
	return s.Want
}

// preview prints a preview: a line for each object, and the fields that differ.
func (d *desk) preview(v engine.Preview, brief bool) {
	lines := linesOf(v)
	if v.Plan.Empty() {
		fmt.Fprintln(d.out, "Nothing would change.")
	}
	if len(lines) == 0 {
		return
	}
	t := table{head: []string{"VERB", "OBJECT", "WHY"}, paint: verbColour}
	for _, l := range lines {
		t.add(string(l.Verb), shown(l.ID.String()), shown(l.why()))
	}
	_ = t.write(d.out)
	for _, l := range lines {
		if !brief && l.Changes() {
			d.printFields(l)
		}
	}
}

func (d *desk) printFields(l line) {
	if len(l.Lines) == 0 {
		return
	}
	fmt.Fprintf(d.out, "\n%s\n", d.out.paint(bold, string(l.Verb)+" "+shown(l.ID.String())))
	for _, x := range l.Lines {
		io.WriteString(d.out, d.out.paint(markColour(x.Mark), string(x.Mark)+" "+shown(x.Text))+"\n")
	}
}

func markColour(mark byte) colour {
	switch mark {
	case '+':
		return green
	case '-':
		return red
	}
	return plain
}

func verbColour(column, cell string) colour {
	if column != "VERB" {
		return plain
	}
	switch plan.Verb(cell) {
	case plan.Create:
		return green
	case plan.Delete, plan.Recreate:
		return red
	}
	return yellow
}

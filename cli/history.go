package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
)

// A remembering is one `sane history`.
type remembering struct {
	*desk
	output string
	brief  bool
}

// An entry is an attempt with the commit that was attempted, if that is known.
type entry struct {
	ask.Attempt
	Author  string    `json:"author,omitempty"`
	Subject string    `json:"subject,omitempty"`
	When    time.Time `json:"when,omitzero"`
}

func historyCommand(d *desk) *cobra.Command {
	h := &remembering{desk: d}
	cmd := &cobra.Command{
		Use:   "history UNIT",
		Short: "Show the revisions that a unit has had, with their commits",
		Long: `History shows what the status of a unit remembers: each revision with when it was
applied first and last, how long that took, how often it was done, and what came of it.
Revisions of which the same objects were made are one line. Who wrote a revision is read
from the repository, if that can be read from here.`,
		Example: `  sane history apps
  sane history apps --brief     # without asking the repository
  sane diff apps REV1 REV2      # any two of them`,
		ValidArgsFunction: d.completeUnits,
		RunE:              func(cmd *cobra.Command, args []string) error { return h.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.StringVarP(&h.output, "output", "o", "", "`FORMAT`: wide, with digests of the objects, or json")
	f.BoolVar(&h.brief, "brief", false, "do not read the repository")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"wide", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (h *remembering) run(ctx context.Context, args []string) error {
	if h.output != "" && h.output != "json" && h.output != "wide" {
		return fmt.Errorf("history: unknown output format %q: want wide or json", h.output)
	}
	q, id, err := h.askedUnit("history", args)
	if err != nil {
		return err
	}
	o, err := ask.Must(ctx, q.Cluster, id)
	if err != nil {
		return err
	}
	all := make([]entry, 0)
	for _, a := range ask.History(o) {
		all = append(all, entry{Attempt: a})
	}
	var unread error
	if !h.brief {
		unread = commits(ctx, q, o, all)
	}
	if h.output == "json" {
		err = h.printJSON(all)
	} else {
		err = h.print(o, all)
	}
	if unread != nil {
		fmt.Fprintln(h.err, "sane: who wrote them is not known:", safe(unread.Error()))
	}
	return err
}

// commits reads who wrote each revision. It ends at the first that can't be read.
func commits(ctx context.Context, q *ask.Desk, o object.Object, all []entry) error {
	asked, err := q.Dialect.Read(o, dialect.Nothing{})
	if err != nil || len(asked.Units) == 0 {
		return err
	}
	r := q.Read(ask.At{})
	defer r.Close()
	for i := range all {
		c, err := commitOf(ctx, r, asked.Units[0].Source, all[i].Revision)
		if err != nil {
			return err
		}
		all[i].Author, all[i].Subject, all[i].When = c.Author, c.Subject, c.When
	}
	return nil
}

func commitOf(ctx context.Context, r *ask.Reading, from source.FeedName, revision string) (source.Commit, error) {
	const patience = 45 * time.Second
	if revision == "" {
		return source.Commit{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	snap, err := r.At(ask.At{Revision: revision}).Snapshot(ctx, from)
	if err != nil || snap == nil {
		return source.Commit{}, err
	}
	return snap.Commit, nil
}

func (h *remembering) print(o object.Object, all []entry) error {
	if len(all) == 0 {
		_, err := fmt.Fprintf(h.err, "The status of %s remembers nothing.\n", o.ID())
		return err
	}
	t := table{head: []string{"REVISION", "RESULT", "FIRST", "LAST", "TOOK", "TIMES", "AUTHOR", "SUBJECT"}, paint: resultColour}
	if h.output == "wide" {
		t.head = append(t.head, "DIGEST")
	}
	for _, e := range all {
		cells := []string{safe(ask.ShortRevision(e.Revision)), safe(e.Result), h.age(e.First), h.age(e.Last), took(e.Took),
			strconv.FormatInt(e.Times, 10), safe(e.Author), safe(e.Subject)}
		if h.output == "wide" {
			cells[0] = safe(e.Revision)
			cells = append(cells, safe(e.Digest))
		}
		t.add(cells...)
	}
	return t.write(h.out)
}

func took(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.Round(time.Millisecond).String()
}

func resultColour(column, cell string) colour {
	switch {
	case column != "RESULT":
		return plain
	case cell == "ReconciliationSucceeded":
		return green
	}
	return red
}

// A comparing is one `sane diff`.
type comparing struct {
	*desk
	output string
	brief  bool
}

// A difference is how an object differs, for programs.
type difference struct {
	Object string     `json:"object"`
	Verb   string     `json:"verb"`
	Fields []string   `json:"fields,omitempty"`
	Lines  []diffLine `json:"lines"`
}

type diffLine struct {
	Mark string `json:"mark"` // "+", "-" or " "
	Text string `json:"text"`
}

func diffCommand(d *desk) *cobra.Command {
	c := &comparing{desk: d}
	cmd := &cobra.Command{
		Use:   "diff UNIT REV1 REV2",
		Short: "Show how the objects of a unit differ between two revisions",
		Long: `Diff renders a unit at two revisions of its source and shows how the objects differ:
a line for each object, and then the fields. Values of Secrets are not shown. What is in
the cluster counts for nothing; ` + "`sane plan`" + ` compares with that.

The exit status is 0 if nothing differs, 1 if something does, and 2 if that can't be said.`,
		Example: `  sane diff apps main my-branch
  sane diff apps 60c2fe93 84321bf8     # two of those that history shows
  sane diff apps 1f0c3d2e4b5a69788796a5b4c3d2e1f00f1e2d3c main`,
		ValidArgsFunction: d.completeRevisions(2),
		RunE:              func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.BoolVar(&c.brief, "brief", false, "show the objects, not their fields")
	f.StringVarP(&c.output, "output", "o", "", "`FORMAT`: json, or markdown for a comment on a pull request")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "markdown"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (c *comparing) run(ctx context.Context, args []string) error {
	if c.output != "" && c.output != "json" && c.output != "markdown" {
		return fmt.Errorf("diff: unknown output format %q: want json or markdown", c.output)
	}
	if len(args) < 3 {
		return fmt.Errorf("diff: between what? name a unit and two revisions")
	}
	n := len(args) - 2
	q, id, err := c.askedUnit("diff", args[:n])
	if err != nil {
		return err
	}
	o, err := ask.Must(ctx, q.Cluster, id)
	if err != nil {
		return err
	}
	r := q.Read(ask.At{})
	defer r.Close()
	all, err := r.Compare(ctx, o, ask.Meant(o, args[n]), ask.Meant(o, args[n+1]))
	if err != nil {
		return fmt.Errorf("diff %s: %w", id, err)
	}
	switch {
	case c.output == "json":
		err = c.printJSON(differencesOf(all))
	case c.output == "markdown":
		var m markdown
		m.begin("diff")
		m.compared(fmt.Sprintf("%s from %s to %s", coded(id.String()), coded(args[n]), coded(args[n+1])), all)
		err = m.write(c.out)
	case len(all) == 0:
		_, err = fmt.Fprintln(c.out, "Nothing differs.")
	default:
		c.differences(all, c.brief)
	}
	if err != nil || len(all) == 0 {
		return err
	}
	return errChanges
}

// differencesOf returns how objects differ as programs read it.
func differencesOf(all []ask.Comparison) []difference {
	out := make([]difference, 0, len(all))
	for _, x := range all {
		d := difference{Object: x.ID.String(), Verb: x.Verb, Fields: x.Fields, Lines: make([]diffLine, 0, len(x.Lines))}
		for _, l := range x.Lines {
			d.Lines = append(d.Lines, diffLine{string(l.Mark), l.Text})
		}
		out = append(out, d)
	}
	return out
}

// differences prints how objects differ: a line for each, and the fields.
func (d *desk) differences(all []ask.Comparison, brief bool) {
	t := table{head: []string{"VERB", "OBJECT", "WHY"}, paint: verbColour}
	for _, x := range all {
		why := ""
		if x.Verb == "update" {
			why = fewFields(x.Fields)
		}
		t.add(x.Verb, safe(x.ID.String()), safe(why))
	}
	_ = t.write(d.out)
	for _, x := range all {
		if brief {
			break
		}
		fmt.Fprintf(d.out, "\n%s\n", d.out.paint(bold, x.Verb+" "+safe(x.ID.String())))
		for _, l := range x.Lines {
			io.WriteString(d.out, d.out.paint(markColour(l.Mark), string(l.Mark)+" "+shown(l.Text))+"\n")
		}
	}
}

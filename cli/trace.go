package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
)

// A tracing is one `sane trace`.
type tracing struct {
	*desk
	output string

	q *ask.Desk
}

// A way is how an object came to be, from itself back to a commit.
type way struct {
	Object  string      `json:"object"`
	Says    string      `json:"says"`
	MadeBy  []string    `json:"madeBy,omitempty"`
	Unit    string      `json:"unit,omitempty"` // "" if nobody keeps it
	State   string      `json:"unitState,omitempty"`
	Doubt   string      `json:"doubt,omitempty"`
	Origin  *ask.Origin `json:"origin,omitempty"`
	Changed *entryOf    `json:"changed,omitempty"` // by which commit its file came to be as it is
	Unknown []string    `json:"unknown,omitempty"`
}

// An entryOf is a commit that changed a file.
type entryOf struct {
	Commit  string    `json:"commit"`
	Author  string    `json:"author,omitempty"`
	Subject string    `json:"subject,omitempty"`
	When    time.Time `json:"when,omitzero"`
}

func traceCommand(d *desk) *cobra.Command {
	c := &tracing{desk: d}
	cmd := &cobra.Command{
		Use:   "trace KIND/NAME",
		Short: "Show where an object comes from: unit, source, commit, file and line",
		Long: `Trace follows an object back to where it comes from: what made it, the unit that keeps
it, the source of that and its revision with author and subject, the file and the line
in which it is written, and the last commit that changed this file.

What can't be read from here is said, and the rest shown. ` + "`sane why`" + ` says in which
fields an object differs from there.`,
		Example: `  sane trace deploy/web -n apps
  sane trace pod/web-6797f58d-khx8t`,
		ValidArgsFunction: d.completeWhy,
		RunE:              func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args) },
	}
	cmd.Flags().StringVarP(&c.output, "output", "o", "", "`FORMAT`: json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (c *tracing) run(ctx context.Context, args []string) error {
	if c.output != "" && c.output != "json" {
		return fmt.Errorf("trace: unknown output format %q: want json", c.output)
	}
	kind, name, err := about(c.Language, args)
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	var at *Place
	if c.q, at, err = c.questioning(); err != nil {
		return err
	}
	id, err := c.find(ctx, at, kind, name)
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	answer, err := c.q.Why(ctx, id)
	if err != nil {
		return err
	}
	w := wayOf(id, answer)
	if err := c.changed(ctx, w); err != nil {
		w.Unknown = append(w.Unknown, "which commit changed its file: "+err.Error())
	}
	if c.output == "json" {
		return c.printJSON(w)
	}
	return c.print(w)
}

func wayOf(id object.ID, a *ask.Answer) *way {
	w := &way{Object: id.String(), Says: a.State.Says, MadeBy: a.MadeBy, Origin: a.Origin, Unknown: a.Unknown}
	if a.Keeper != nil {
		w.Unit, w.State, w.Doubt = a.Keeper.Unit, a.Keeper.State, a.Keeper.Doubt
	}
	return w
}

// changed finds out which commit changed the file last.
func (c *tracing) changed(ctx context.Context, w *way) error {
	const patience = 45 * time.Second
	if w.Origin == nil || w.Origin.File == "" || w.Origin.Revision == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := c.q.Read(ask.At{Revision: w.Origin.Revision})
	defer r.Close()
	parts := strings.SplitN(w.Origin.Source, "/", 3)
	if len(parts) < 3 {
		return nil
	}
	log, err := r.History(ctx, source.FeedName{Kind: parts[0], Namespace: parts[1], Name: parts[2]}, source.Query{Path: w.Origin.File, Most: 1})
	switch {
	case errors.Is(err, ask.ErrNoHistory):
		return nil
	case err != nil:
		return err
	case len(log.Entries) > 0:
		e := log.Entries[0]
		w.Changed = &entryOf{string(e.ID), e.Author, e.Subject, e.When}
	case log.More:
		return fmt.Errorf("none of the last %d", log.Looked)
	}
	return nil
}

func (c *tracing) print(w *way) error {
	t := table{bare: true}
	line := func(name, text string) {
		if text != "" {
			t.add(name, safe(text))
		}
	}
	line("object", w.Object+": "+w.Says)
	for _, m := range w.MadeBy {
		line("made by", m)
	}
	switch {
	case w.Unit != "":
		line("unit", w.Unit+": "+w.State)
	case w.Origin == nil:
		line("unit", "nobody keeps it")
	}
	line("but", w.Doubt)
	if o := w.Origin; o != nil {
		line("source", strings.TrimSuffix(o.Source+", "+o.URL, ", "))
		line("revision", strings.TrimSuffix(ask.ShortRevision(o.Revision)+c.written(o.Author, o.Subject, o.When), ", "))
		line("made of", o.MadeOf)
		file := o.File
		if o.Line > 0 {
			file += ":" + strconv.Itoa(o.Line)
		}
		line("file", file)
	}
	if e := w.Changed; e != nil {
		line("changed in", ask.ShortRevision(e.Commit)+c.written(e.Author, e.Subject, e.When))
	}
	if err := t.write(c.out); err != nil {
		return err
	}
	if len(w.Unknown) == 0 {
		return nil
	}
	io.WriteString(c.out, "\nWhat could not be learnt:\n")
	for _, u := range w.Unknown {
		io.WriteString(c.out, "  "+safe(u)+"\n")
	}
	return nil
}

// written says who wrote a commit, when, and what they called it.
func (c *tracing) written(author, subject string, when time.Time) string {
	if author == "" {
		return ""
	}
	s := ", by " + author
	if !when.IsZero() {
		s += ", " + c.ago(when)
	}
	return s + ": " + strconv.Quote(subject)
}

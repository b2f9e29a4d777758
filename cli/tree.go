package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/object"
)

// A climbing is one `sane tree`.
type climbing struct {
	*desk
	output string
	watch  bool
	ill    bool
}

func treeCommand(d *desk) *cobra.Command {
	c := &climbing{desk: d}
	cmd := &cobra.Command{
		Use:   "tree UNIT",
		Short: "Show a unit's objects and what they own, and how each is doing",
		Long: `Tree shows the objects of a unit and what these own, such as ReplicaSets and pods,
each with its health, since when, and why. What is missing is shown, too. Old ReplicaSets
that run nothing are left out.

With --watch it goes on: on a terminal the tree is drawn anew, and elsewhere each change
is a line.`,
		Example: `  sane tree apps
  sane tree apps -w
  sane tree apps --problems     # only what is not healthy, and what it is in`,
		ValidArgsFunction: d.completeUnits,
		RunE:              func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.StringVarP(&c.output, "output", "o", "", "`FORMAT`: json")
	f.BoolVarP(&c.watch, "watch", "w", false, "go on showing how it changes")
	f.BoolVar(&c.ill, "problems", false, "only what is not healthy, and what it is in")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (c *climbing) run(ctx context.Context, args []string) error {
	if c.output != "" && c.output != "json" {
		return fmt.Errorf("tree: unknown output format %q: want json", c.output)
	}
	if c.watch && c.output != "" {
		return errors.New("tree: --watch prints text only")
	}
	q, id, err := c.askedUnit("tree", args)
	if err != nil {
		return err
	}
	if c.watch {
		return c.follow(ctx, q, id)
	}
	o, err := ask.Must(ctx, q.Cluster, id)
	if err != nil {
		return err
	}
	n, err := q.Tree(ctx, o)
	if err != nil {
		return err
	}
	if c.output == "json" {
		return c.printJSON(n)
	}
	lines := c.lines(n)
	_, err = io.WriteString(c.out, strings.Join(lines, ""))
	return err
}

// askedUnit returns where to ask, and the one unit that args name.
func (d *desk) askedUnit(command string, args []string) (*ask.Desk, object.ID, error) {
	n, names, err := named(d.Language, args)
	switch {
	case err != nil:
		return nil, object.ID{}, fmt.Errorf("%s: %w", command, err)
	case n.Feed:
		return nil, object.ID{}, fmt.Errorf("%s: a %s is no unit: name one of the units that use it", command, n.Kind.Name)
	case len(names) != 1:
		return nil, object.ID{}, fmt.Errorf("%s: which unit? name one", command)
	}
	q, at, err := d.questioning()
	if err != nil {
		return nil, object.ID{}, err
	}
	return q, n.ID(at.Namespace, names[0]), nil
}

// questioning returns where questions about the place are asked that the flags name.
func (d *desk) questioning() (*ask.Desk, *Place, error) {
	at, err := d.place()
	if err != nil {
		return nil, nil, err
	}
	says, err := d.spoken()
	if err != nil {
		return nil, nil, err
	}
	return d.questions(at, says), at, nil
}

// lines returns the tree as text.
func (c *climbing) lines(n *ask.Node) []string {
	t := table{head: []string{"OBJECT", "HEALTH", "FOR", "WHY"}, paint: healthColour}
	c.branch(&t, n, n.ID.Namespace, "", "")
	var b strings.Builder
	_ = t.write(screen{Writer: &b, colour: c.out.colour})
	lines := slices.Collect(strings.Lines(b.String()))
	for i, u := range n.Unknown {
		if i == 0 {
			lines = append(lines, "\n", "What could not be learnt:\n")
		}
		lines = append(lines, "  "+safe(u)+"\n")
	}
	return lines
}

// branch adds n, and what is below it, to a table. The first line begins with one
// text, and those below it with the other.
func (c *climbing) branch(t *table, n *ask.Node, namespace, first, below string) {
	t.put(first+safe(called(n.ID, namespace)), healthWord(n), c.age(n.Since), safe(reasonOf(n)))
	var shown []*ask.Node
	for _, b := range n.Below {
		if !c.ill || b.Worst() != health.Healthy || b.Paused {
			shown = append(shown, b)
		}
	}
	for i, b := range shown {
		if i < len(shown)-1 {
			c.branch(t, b, namespace, below+"├─ ", below+"│  ")
		} else {
			c.branch(t, b, namespace, below+"└─ ", below+"   ")
		}
	}
}

// called returns an object's name, with the namespace if it is another.
func called(id object.ID, namespace string) string {
	if id.Namespace == namespace {
		id.Namespace = ""
	}
	return id.String()
}

func healthWord(n *ask.Node) string {
	if n.Paused {
		return n.Health.String() + ", suspended"
	}
	return n.Health.String()
}

func reasonOf(n *ask.Node) string {
	if n.Why == "" && n.Revision != "" {
		return "at " + ask.ShortRevision(n.Revision)
	}
	return n.Why
}

func healthColour(column, cell string) colour {
	word, _, suspended := strings.Cut(cell, ",")
	switch {
	case column != "HEALTH":
		return plain
	case suspended:
		return yellow
	case word == health.Healthy.String():
		return green
	case word == health.Progressing.String():
		return yellow
	}
	return red
}

// follow shows the tree and how it changes until ctx is done.
func (c *climbing) follow(ctx context.Context, q *ask.Desk, id object.ID) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type look struct {
		*ask.Node
		err error
	}
	looks := make(chan look)
	go func() {
		defer close(looks)
		for n, err := range q.Trees(ctx, id) {
			select {
			case looks <- look{n, err}:
			case <-ctx.Done():
			}
		}
	}()
	older := time.NewTicker(5 * time.Second)
	defer older.Stop()
	var last *ask.Node
	for {
		select {
		case l, ok := <-looks:
			if !ok || ctx.Err() != nil {
				return nil
			}
			if l.err != nil {
				return l.err
			}
			c.show(last, l.Node)
			last = l.Node
		case <-older.C:
			if last != nil && c.out.live {
				c.show(last, last)
			}
		}
	}
}

// show shows a tree after another, which may be nil.
func (c *climbing) show(last, now *ask.Node) {
	switch lines := c.lines(now); {
	case c.out.live:
		io.WriteString(c.out, redrawn(lines, c.out.width(), c.out.height()))
	case last == nil:
		io.WriteString(c.out, strings.Join(lines, ""))
	default:
		for _, l := range turns(last, now) {
			fmt.Fprintln(c.out, safe(l))
		}
	}
}

// redrawn returns what draws lines over all that is on a terminal.
func redrawn(lines []string, width, height int) string {
	var b strings.Builder
	b.WriteString("\x1b[H")
	room := max(height-1, 2)
	for i, l := range lines {
		if i == room-1 && len(lines) > room {
			fmt.Fprintf(&b, "… and %d more lines\x1b[K\n", len(lines)-i)
			break
		}
		b.WriteString(cropped(strings.TrimSuffix(l, "\n"), width) + "\x1b[K\n")
	}
	return b.String() + "\x1b[J"
}

// cropped returns the part of a painted line that fits in a width.
func cropped(line string, width int) string {
	var b strings.Builder
	n, escape := 0, false
	for _, r := range line {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		case n == width:
			return b.String() + reset
		default:
			n++
		}
		b.WriteRune(r)
	}
	return b.String()
}

// turns returns what differs between two trees, a line for each object.
func turns(last, now *ask.Node) []string {
	was := make(map[object.ID]*ask.Node)
	last.All(func(n *ask.Node) bool { was[n.ID] = n; return true })
	var out []string
	now.All(func(n *ask.Node) bool {
		old, known := was[n.ID]
		delete(was, n.ID)
		switch {
		case !known:
			out = append(out, "new "+n.Object+": "+said(n))
		case said(old) != said(n):
			out = append(out, n.Object+": "+said(n))
		}
		return true
	})
	last.All(func(n *ask.Node) bool {
		if was[n.ID] != nil {
			out = append(out, "gone "+n.Object)
		}
		return true
	})
	for _, u := range now.Unknown {
		if !slices.Contains(last.Unknown, u) {
			out = append(out, "not known: "+u)
		}
	}
	return out
}

func said(n *ask.Node) string {
	if why := reasonOf(n); why != "" {
		return healthWord(n) + ": " + why
	}
	return healthWord(n)
}

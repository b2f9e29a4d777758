package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// A telling is one `sane events`.
type telling struct {
	*desk
	watch  bool
	output string

	q *ask.Desk
}

// An ear is what hears events of a cluster.
type ear struct {
	at         cluster.Cluster
	namespaces []string
	known      map[object.ID]bool // whose events are shown, or not; nil means those of units and sources
}

// maxTold is how many events of a namespace are read.
const maxTold = 20_000

var eventKind = object.Kind{Name: "Event"}

func eventsCommand(d *desk) *cobra.Command {
	e := &telling{desk: d}
	cmd := &cobra.Command{
		Use:   "events [UNIT]",
		Short: "Show what was done and what was said, of a unit and its objects",
		Long: `Events shows the cluster's events in order of time: of a unit, of its objects and of what
these have made or, if none is named, those about units and sources themselves. The
cluster forgets events after a while, most often an hour.

With --watch it goes on with what happens.`,
		Example: `  sane events apps
  sane events -A
  sane events apps -w`,
		ValidArgsFunction: d.completeUnits,
		RunE:              func(cmd *cobra.Command, args []string) error { return e.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	d.allNamespaces(cmd)
	f.BoolVarP(&e.watch, "watch", "w", false, "go on with what happens")
	f.StringVarP(&e.output, "output", "o", "", "`FORMAT`: json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// A happening is an event.
type happening struct {
	Last    time.Time `json:"last,omitzero"`
	Count   int64     `json:"count,omitempty"`
	Warning bool      `json:"warning,omitempty"`
	Reason  string    `json:"reason"`
	About   string    `json:"about"`
	Message string    `json:"message"`
	By      string    `json:"by,omitempty"`

	about object.ID
	key   string // another one after each change
}

func (e *telling) run(ctx context.Context, args []string) (err error) {
	switch {
	case e.output != "" && e.output != "json":
		return fmt.Errorf("events: unknown output format %q: want json", e.output)
	case e.watch && e.output != "":
		return errors.New("events: --watch prints text only")
	case len(args) > 0 && e.everywhere:
		return errors.New("events: name a unit, or ask for all namespaces")
	}
	var ears []*ear
	var at *Place
	if len(args) > 0 {
		ears, err = e.aboutUnit(ctx, args)
	} else if e.q, at, err = e.questioning(); err == nil {
		ears = []*ear{{at: e.q.Cluster, namespaces: []string{e.scope(at)}}}
	}
	if err != nil {
		return err
	}
	all := make([]happening, 0)
	for _, x := range ears {
		for _, ns := range x.namespaces {
			found, err := e.read(ctx, x, ns)
			if err != nil {
				return err
			}
			all = append(all, found...)
		}
	}
	slices.SortStableFunc(all, func(a, b happening) int { return cmp.Or(a.Last.Compare(b.Last), strings.Compare(a.About, b.About)) })
	if e.output == "json" {
		return e.printJSON(all)
	}
	if err := e.print(all); err != nil || !e.watch {
		return err
	}
	return e.follow(ctx, ears, all)
}

// aboutUnit finds out what belongs to a unit, and returns what hears of that: where
// the unit is and, if that is another cluster, where its objects are.
func (e *telling) aboutUnit(ctx context.Context, args []string) ([]*ear, error) {
	var id object.ID
	var err error
	if e.q, id, err = e.askedUnit("events", args); err != nil {
		return nil, err
	}
	o, err := ask.Must(ctx, e.q.Cluster, id)
	if err != nil {
		return nil, err
	}
	n, err := e.q.Tree(ctx, o)
	if err != nil {
		return nil, err
	}
	for _, u := range n.Unknown {
		fmt.Fprintln(e.err, "sane:", safe(u))
	}
	here := &ear{at: e.q.Cluster, known: make(map[object.ID]bool)}
	here.listen(id)
	ears, there := []*ear{here}, here
	where, err := e.q.Where(ctx, o)
	switch {
	case err != nil: // it has been said
		return ears, nil
	case where != here.at:
		there = &ear{at: where, known: make(map[object.ID]bool)}
		ears = append(ears, there)
	}
	for _, b := range n.Below {
		b.All(func(n *ask.Node) bool { there.listen(n.ID); return true })
	}
	return ears, nil
}

// listen has events about an object heard.
func (x *ear) listen(id object.ID) {
	x.known[id] = true
	if ns := cmp.Or(id.Namespace, "default"); !slices.Contains(x.namespaces, ns) { // where events about what has none are
		x.namespaces = append(x.namespaces, ns)
	}
}

// read returns the events of a namespace that are asked for.
func (e *telling) read(ctx context.Context, x *ear, namespace string) ([]happening, error) {
	var all []happening
	n := 0
	for o, err := range x.at.List(ctx, cluster.Selection{Kind: eventKind, Namespace: namespace}) {
		if err != nil {
			return nil, err
		}
		if n++; n > maxTold {
			fmt.Fprintf(e.err, "sane: there are more than %d events in %s, and the rest was not read\n", maxTold, cmp.Or(namespace, "all namespaces"))
			break
		}
		if t := toldBy(o); e.wants(ctx, x, t) {
			all = append(all, t)
		}
	}
	return all, nil
}

func toldBy(o object.Object) happening {
	about := object.Of(map[string]any{"apiVersion": o.Text("involvedObject", "apiVersion"), "kind": o.Text("involvedObject", "kind")}).ID()
	about.Namespace, about.Name = o.Text("involvedObject", "namespace"), o.Text("involvedObject", "name")
	return happening{
		Last: ask.LastSeen(o), Count: max(o.Number("count"), o.Number("series", "count")), Warning: o.Text("type") == "Warning",
		Reason: o.Text("reason"), About: about.String(), Message: o.Text("message"),
		By: cmp.Or(o.Text("reportingComponent"), o.Text("source", "component")), about: about, key: o.UID() + "/" + o.Text("metadata", "resourceVersion"),
	}
}

// wants reports whether an event is asked for.
func (e *telling) wants(ctx context.Context, x *ear, t happening) bool {
	if x.known == nil {
		_, ours := e.Language.Noun(t.about.Kind)
		return ours
	}
	return x.belongs(ctx, t.about, 0)
}

// belongs reports whether an object is one of the unit's, or was made by one, however
// many makers there are between them.
func (x *ear) belongs(ctx context.Context, id object.ID, depth int) bool {
	const most = 4
	yes, known := x.known[id]
	if known || depth == most || id.Name == "" || !made[id.Kind.Group] {
		return yes
	}
	if o, there, err := x.at.Get(ctx, id); err == nil && there {
		if owner := ask.Controller(o); owner.Name != "" {
			yes = x.belongs(ctx, owner, depth+1)
		}
		x.known[id] = yes
	}
	return yes
}

// made are the groups of what others make most often: to ask for the makers of all
// that there are events about would be too much.
var made = map[string]bool{"": true, "apps": true, "batch": true}

func (e *telling) print(all []happening) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(e.err, "The cluster remembers no events about it.")
		return err
	}
	t := table{head: []string{"LAST", "COUNT", "REASON", "OBJECT", "MESSAGE"}, paint: reasonColour}
	for _, x := range all {
		t.add(e.age(x.Last), countCell(x.Count), reasonCell(x), safe(x.About), safe(x.Message))
	}
	return t.write(e.out)
}

func countCell(n int64) string {
	if n <= 1 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// reasonCell returns the reason of an event; a warning has a mark.
func reasonCell(t happening) string {
	if t.Warning {
		return "! " + safe(t.Reason)
	}
	return safe(t.Reason)
}

func reasonColour(column, cell string) colour {
	if column == "REASON" && strings.HasPrefix(cell, "! ") {
		return red
	}
	return plain
}

// follow prints what happens after what has been printed, until ctx is done.
func (e *telling) follow(ctx context.Context, ears []*ear, had []happening) error {
	printed := make(map[string]bool)
	for _, t := range had {
		printed[t.key] = true
	}
	ctx, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	type word struct {
		happening
		by *ear
	}
	news := make(chan word)
	refused := make(chan error)
	for _, x := range ears {
		for _, ns := range x.namespaces {
			all.Go(func() {
				for ch, err := range x.at.Watch(ctx, cluster.Selection{Kind: eventKind, Namespace: ns}) {
					if errors.Is(err, cluster.ErrForbidden) {
						select {
						case refused <- err:
						case <-ctx.Done():
						}
					}
					if err != nil || ch.Type != cluster.Put {
						continue
					}
					select {
					case news <- word{toldBy(ch.Object), x}:
					case <-ctx.Done():
					}
				}
			})
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-refused:
			return err
		case t := <-news:
			if !printed[t.key] && e.wants(ctx, t.by, t.happening) {
				e.printLine(t.happening)
			}
			printed[t.key] = true
		}
	}
}

func (e *telling) printLine(t happening) {
	reason := reasonCell(t)
	fmt.Fprintf(e.out, "%s %s %s: %s\n", t.Last.Local().Format(time.TimeOnly), e.out.paint(reasonColour("REASON", reason), reason), safe(t.About), safe(t.Message))
}

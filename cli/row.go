package cli

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// A listing is a table of units or of sources.
type listing struct {
	table
	g       *getting
	columns []column
	prefix  string // before every name
}

// A column is what a table says of each object.
type column struct {
	head string
	wide bool // only in a wide table
	cell func(s subject) string
}

// A subject is an object, what it asks for, and how it stands.
type subject struct {
	object.Object
	ask.Standing
	pause    dialect.Pause
	unit     unit.Unit
	feed     source.Feed
	revision string
	waits    string
	now      time.Time
	wide     bool
}

func (g *getting) tableOf(n ask.Noun, prefix bool) *listing {
	l := &listing{g: g}
	if prefix {
		l.prefix = n.Names[0] + "/"
	}
	all := []column{
		{"NAMESPACE", false, func(s subject) string { return s.Namespace() }},
		{"NAME", false, func(s subject) string { return l.prefix + s.Name() }},
		{"READY", false, func(s subject) string { return cmp.Or(s.Ready, "Unknown") }},
		{"REVISION", false, revisionCell},
		{"MESSAGE", false, func(s subject) string { return s.Message }},
		{"AGE", false, ageCell},
	}
	if n.Feed {
		all = append(all, feedColumns...)
	} else {
		all = append(all, unitColumns...)
	}
	for _, c := range all {
		if c.wide && g.output != "wide" || c.head == "NAMESPACE" && !g.everywhere {
			continue
		}
		l.columns = append(l.columns, c)
		l.head = append(l.head, c.head)
	}
	l.paint = readyColour
	return l
}

var unitColumns = []column{
	{"WAITS ON", false, func(s subject) string { return s.waits }},
	{"PATH", true, func(s subject) string { return "./" + strings.TrimPrefix(s.unit.Recipe.Dir, ".") }},
	{"SOURCE", true, func(s subject) string { return s.sourceName() }},
	{"SUSPENDED", true, pauseCell},
}

var feedColumns = []column{
	{"URL", true, func(s subject) string { return s.feed.Remote.URL }},
	{"REF", true, func(s subject) string { return s.feed.RefText() }},
	{"SUSPENDED", true, pauseCell},
}

// pauseCell says whether an object is suspended, and what is said of that.
func pauseCell(s subject) string {
	cell := truth(s.pause.On)
	if !s.pause.Until.IsZero() {
		cell += ", " + s.left() + " left"
	}
	if s.pause.Why != "" {
		cell += ": " + s.pause.Why
	}
	return cell
}

// left says how long an object stays suspended that goes on by itself.
func (s subject) left() string { return duration.HumanDuration(max(s.pause.Until.Sub(s.now), 0)) }

func truth(b bool) string {
	s := strconv.FormatBool(b)
	return strings.ToUpper(s[:1]) + s[1:]
}

// sourceName returns "GitRepository/apps", with the namespace if it is another.
func (s subject) sourceName() string {
	f := s.unit.Source
	if f.Namespace == s.Namespace() {
		return f.Kind + "/" + f.Name
	}
	return f.String()
}

// row returns the cells for o.
func (l *listing) row(ctx context.Context, o object.Object) []string {
	s := l.g.subject(ctx, o)
	var cells []string
	for _, c := range l.columns {
		cells = append(cells, c.cell(s))
	}
	return cells
}

// sort brings rows that have not been written into order.
func (l *listing) sort() { slices.SortFunc(l.rows, slices.Compare) }

func (g *getting) subject(ctx context.Context, o object.Object) subject {
	s := subject{Object: o, Standing: ask.StandingOf(o), pause: g.says.Pause(o), now: g.now(), wide: g.output == "wide"}
	asked, err := g.says.Read(o, dialect.Nothing{})
	if err != nil {
		return s
	}
	for _, u := range asked.Units {
		s.unit, s.revision = u, g.says.RecallUnit(o).Applied.Name
	}
	for _, f := range asked.Feeds {
		s.feed, s.revision = f, g.says.RecallFeed(o).Revision.Name
	}
	s.waits = g.waits(ctx, s)
	return s
}

// waits returns what a unit waits for, or "".
func (g *getting) waits(ctx context.Context, s subject) string {
	switch {
	case s.unit.Paused && !s.pause.Until.IsZero():
		return "resume in " + s.left()
	case s.unit.Paused:
		return "resume"
	case s.unit.Name.Name == "" || s.Ready == "True":
		return ""
	}
	var on []string
	for _, dep := range s.unit.After {
		if o, ok, err := g.at.Cluster.Get(ctx, dep.ID()); err == nil && (!ok || ask.StandingOf(o).Ready != "True") {
			on = append(on, shortName(dep, s.Namespace()))
		}
	}
	switch {
	case len(on) > 0:
	case !g.fetched(ctx, s.unit.Source):
		on = append(on, s.sourceName())
	case s.Object.Condition("Healthy").Text("status") == "Unknown":
		on = append(on, "health")
	}
	return strings.Join(on, ",")
}

// fetched reports whether a source has a revision. What can't be known counts
// as fetched.
func (g *getting) fetched(ctx context.Context, name source.FeedName) bool {
	n, err := g.Language.Named(name.Kind)
	if err != nil {
		return true
	}
	o, ok, err := g.at.Cluster.Get(ctx, n.ID(name.Namespace, name.Name))
	return err != nil || ok && !g.says.RecallFeed(o).Revision.IsZero()
}

func shortName(n unit.Name, namespace string) string {
	if n.Namespace == namespace {
		return n.Name
	}
	return n.Namespace + "/" + n.Name
}

func revisionCell(s subject) string {
	if s.wide {
		return s.revision
	}
	return ask.ShortRevision(s.revision)
}

func ageCell(s subject) string {
	since := s.Object.Time("metadata", "creationTimestamp")
	if since.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(s.now.Sub(since))
}

func readyColour(column, cell string) colour {
	switch {
	case column == "WAITS ON":
		return yellow
	case column != "READY":
		return plain
	case cell == "True":
		return green
	case cell == "False":
		return red
	}
	return yellow
}

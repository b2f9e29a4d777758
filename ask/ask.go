// Package ask answers what people ask of a cluster: why a thing is as it is, where
// it comes from, and what a unit wants or would change. It changes nothing.
package ask

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/engine"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// A Desk is where questions are asked. All fields must be set, but for those that
// say otherwise. It is safe for use by several goroutines at once.
type Desk struct {
	Cluster   cluster.Cluster // as whoever asks sees it
	Namespace string          // that of names without one, and where to look if all may not be seen
	Dialect   dialect.Dialect
	Language  Language

	// References is read for what sources and units refer to, such as the
	// Secret with a password, where that may be more than whoever asks may see.
	// What it says is not told. nil means Cluster.
	References cluster.Reader

	// Remote connects to another cluster in which a unit is kept, by what whoever
	// asks may read. It returns the same one for the same place. nil means that no
	// other is asked.
	Remote func(unit.Place) (cluster.Cluster, error)

	// Equip returns what it takes to read repositories. It is called when a
	// question needs that, and put back with the Reading.
	Equip func() (*Gear, error)

	Now func() time.Time // nil means time.Now
	Log *slog.Logger     // nil means slog.Default()
}

// Gear is what it takes to read repositories.
type Gear struct {
	Sources  map[string]source.Source // by source.Remote.Type
	Renderer engine.Renderer
	Close    func() error // gives it back
}

// A Language is what people call things.
type Language struct {
	Nouns    []Noun
	Request  string   // the annotation that asks for a look now
	Pause    []string // the path of the field that says to leave alone
	Away     []string // the path of the field that names another cluster to keep it in
	Approve  string   // the annotation that approves of what is held
	Approver string   // the annotation that says who does; "" if there is none
	Gates    []string // features that only a controller can be without
}

// A Noun is a kind of object that people name.
type Noun struct {
	Kind  object.Kind
	Names []string // in lower case: "kustomization", "ks"
	Feed  bool     // it asks for a feed rather than a unit
}

// ID returns the ID of an object of the noun's kind.
func (n Noun) ID(namespace, name string) object.ID {
	return object.ID{Kind: n.Kind, Namespace: namespace, Name: name}
}

// Named returns the noun that goes by a name.
func (l Language) Named(name string) (Noun, error) {
	name = strings.ToLower(name)
	var all []string
	for _, n := range l.Nouns {
		if slices.Contains(n.Names, name) || name == strings.ToLower(n.Kind.String()) {
			return n, nil
		}
		all = append(all, n.Names[0])
	}
	return Noun{}, fmt.Errorf("%q is no kind that is kept: want %s", name, strings.Join(all, " or "))
}

// Units returns the nouns of units.
func (l Language) Units() []Noun { return l.those(false) }

// Feeds returns the nouns of feeds.
func (l Language) Feeds() []Noun { return l.those(true) }

func (l Language) those(feed bool) []Noun {
	return slices.DeleteFunc(slices.Clone(l.Nouns), func(n Noun) bool { return n.Feed != feed })
}

// Noun returns the noun of a kind.
func (l Language) Noun(k object.Kind) (Noun, bool) {
	i := slices.IndexFunc(l.Nouns, func(n Noun) bool { return n.Kind == k })
	if i < 0 {
		return Noun{}, false
	}
	return l.Nouns[i], true
}

// Paused reports whether an object asks to be left alone.
func (l Language) Paused(o object.Object) bool {
	v, _ := o.Get(l.Pause...)
	b, _ := v.(bool)
	return b
}

// Sayable returns how to name an object on the command line.
func (l Language) Sayable(id object.ID) string {
	n, _ := l.Noun(id.Kind)
	name := id.Name
	if n.Feed {
		name = n.Names[0] + "/" + id.Name
	}
	return name + " -n " + id.Namespace
}

// List returns the objects of a selection, in order of namespace and name.
func List(ctx context.Context, c cluster.Reader, sel cluster.Selection) ([]object.Object, error) {
	var out []object.Object
	for o, err := range c.List(ctx, sel) {
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b object.Object) int {
		return cmp.Or(strings.Compare(a.Namespace(), b.Namespace()), strings.Compare(a.Name(), b.Name()))
	})
	return out, nil
}

// Must returns an object that has to be there.
func Must(ctx context.Context, c cluster.Reader, id object.ID) (object.Object, error) {
	o, ok, err := c.Get(ctx, id)
	if err == nil && !ok {
		return o, fmt.Errorf("get %s: there is none of that name in namespace %s", id, id.Namespace)
	}
	return o, err
}

// A reader reads what the dialect asks for from a cluster.
type reader struct {
	ctx context.Context
	c   cluster.Reader
}

func (r reader) Get(id object.ID) (object.Object, bool, error) { return r.c.Get(r.ctx, id) }

// references returns where what sources and units refer to is looked up.
func (d *Desk) references(ctx context.Context) dialect.Reader {
	if d.References == nil {
		return reader{ctx, d.Cluster}
	}
	return reader{ctx, d.References}
}

func (d *Desk) now() time.Time {
	if d.Now == nil {
		return time.Now()
	}
	return d.Now()
}

// Feed returns the name of the object that asks for a feed; zero if its kind is
// not known.
func (d *Desk) Feed(name source.FeedName) object.ID {
	for _, k := range d.Dialect.Kinds() {
		if k.Name == name.Kind {
			return object.ID{Kind: k, Namespace: name.Namespace, Name: name.Name}
		}
	}
	return object.ID{}
}

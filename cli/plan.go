package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/engine"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// A planning is one `sane plan`.
type planning struct {
	*desk
	all      bool
	path     string
	revision string
	source   string
	brief    bool

	at    *Place
	says  dialect.Dialect
	gear  *Gear
	keep  *engine.Engine
	trees map[source.FeedName]fs.FS // fetched so far

	snaps map[source.FeedName]*source.Snapshot // as they were fetched
}

func newPlanning(d *desk) *planning {
	return &planning{desk: d, trees: make(map[source.FeedName]fs.FS), snaps: make(map[source.FeedName]*source.Snapshot)}
}

func planCommand(d *desk) *cobra.Command {
	p := newPlanning(d)
	cmd := &cobra.Command{
		Use:   "plan [UNIT...]",
		Short: "Show what a directory, a commit or a branch would change in the cluster",
		Long: `Plan shows what units would change in the cluster if their source were at another
revision: a line for each object, and then the fields that would differ. Values of
Secrets are not shown. Nothing is changed.

Without --path and --revision it shows what reconciling now would change.
The exit status is 0 if nothing would change, 1 if something would, and 2 if that
can't be said.`,
		Example: `  sane plan apps --path .             # this work tree
  sane plan apps --revision my-branch
  sane plan --all`,
		ValidArgsFunction: d.completeUnits,
		RunE:              func(cmd *cobra.Command, args []string) error { return p.run(cmd.Context(), args) },
	}
	d.allNamespaces(cmd)
	f := cmd.Flags()
	f.BoolVar(&p.all, "all", false, "all units of the namespace")
	f.StringVar(&p.path, "path", "", "`DIR` that stands for the root of the source")
	f.StringVar(&p.revision, "revision", "", "`COMMIT`, branch or whole ref name to fetch from the source")
	f.StringVar(&p.source, "source", "", "with --all: only units of the source of this `NAME`")
	f.BoolVar(&p.brief, "brief", false, "show the objects, not their fields")
	_ = cmd.MarkFlagDirname("path")
	return cmd
}

func (p *planning) run(ctx context.Context, args []string) (err error) {
	if p.path != "" && p.revision != "" {
		return errors.New("plan: the tree is either at --path or at --revision: leave out one of the two")
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
	stop, err := p.equip()
	if err != nil {
		return err
	}
	defer stop()
	return p.show(ctx, wanted)
}

// wanted returns the objects of the units that args name.
func (p *planning) wanted(ctx context.Context, args []string) ([]object.Object, error) {
	noun, names, err := p.Language.named(args)
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
		o, err := must(ctx, p.at.Cluster, noun.in(p.at.Namespace, name))
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	if len(names) == 0 {
		if out, err = list(ctx, p.at.Cluster, cluster.Selection{Kind: noun.Kind, Namespace: p.scope(p.at)}); err != nil {
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
		asked, err := p.says.Read(o, none{})
		if err != nil {
			return nil, err
		}
		for _, u := range asked.Units {
			if p.source == "" || u.Source.Name == p.source {
				out, feeds[u.Source] = append(out, o), true
			}
		}
	}
	if len(feeds) > 1 && (p.path != "" || p.revision != "") {
		var names []string
		for f := range feeds {
			names = append(names, f.String())
		}
		slices.Sort(names)
		return nil, fmt.Errorf("plan: the units have %d sources (%s): say by --source which one is meant", len(feeds), strings.Join(names, ", "))
	}
	return out, nil
}

// equip gets what it takes to plan.
func (p *planning) equip() (stop func(), err error) {
	dir, remove, err := cacheDir()
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	if p.gear, err = p.Equip(p.at, Equipment{Dir: dir, Quiet: true, Log: p.quietLog()}); err != nil {
		remove()
		if dir, remove, err = tempDir(); err != nil {
			return nil, fmt.Errorf("plan: %w", err)
		}
		if p.gear, err = p.Equip(p.at, Equipment{Dir: dir, Quiet: true, Log: p.quietLog()}); err != nil {
			remove()
			return nil, fmt.Errorf("plan: %w", err)
		}
	}
	p.keep, err = engine.New(engine.Config{
		Cluster: p.at.Cluster, Sources: p.gear.Sources, Renderer: p.gear.Renderer, Dialect: p.says, Log: p.quietLog(),
	})
	stop = func() { _ = p.gear.Close(); remove() } // all it held is a cache
	if err != nil {
		stop()
	}
	return stop, err
}

// cacheDir returns where mirrors are kept from one plan to the next.
func cacheDir() (dir string, remove func(), err error) {
	if dir, err = os.UserCacheDir(); err != nil {
		return tempDir()
	}
	return filepath.Join(dir, "sane"), func() {}, nil
}

func tempDir() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp("", "sane-plan-")
	return dir, func() { os.RemoveAll(dir) }, err
}

// show plans each unit and prints what comes of it. It goes on after one could
// not be planned.
func (p *planning) show(ctx context.Context, wanted []object.Object) error {
	if len(wanted) == 0 {
		fmt.Fprintf(p.err, "No resources found in %s namespace.\n", p.at.Namespace)
	}
	var errs []error
	changes := false
	for i, o := range wanted {
		if len(wanted) > 1 {
			if i > 0 {
				fmt.Fprintln(p.out)
			}
			fmt.Fprintln(p.out, p.out.paint(bold, o.String()))
		}
		v, err := p.preview(ctx, o)
		if err != nil {
			errs = append(errs, fmt.Errorf("plan %s: %w", o, err))
		}
		changes = changes || !v.Plan.Empty()
		if err == nil || !v.Plan.Empty() {
			p.print(v)
		}
	}
	if err := failed(errs); err != nil {
		return err
	}
	if changes {
		return errChanges
	}
	return nil
}

// preview plans the unit that o asks for.
func (p *planning) preview(ctx context.Context, o object.Object) (engine.Preview, error) {
	asked, err := p.says.Read(o, reader{ctx, p.at.Cluster})
	if err != nil {
		return engine.Preview{}, err
	}
	u := asked.Units[0]
	if u.Err != nil {
		return engine.Preview{}, u.Err
	}
	tree, err := p.tree(ctx, u)
	if err != nil {
		return engine.Preview{}, err
	}
	return p.keep.Plan(ctx, u, p.says.RecallUnit(o).Owned, tree)
}

// tree returns what stands for the tree of a unit's source.
func (p *planning) tree(ctx context.Context, u unit.Unit) (fs.FS, error) {
	if t, ok := p.trees[u.Source]; ok {
		return t, nil
	}
	var r dialect.Reader = none{}
	if p.path == "" {
		r = reader{ctx, p.at.Cluster}
	}
	feed, err := p.feed(ctx, u.Source, r)
	if err != nil {
		return nil, err
	}
	var tree fs.FS
	if p.path != "" {
		tree, err = localTree(p.path)
	} else {
		tree, err = p.fetch(ctx, feed, p.revision)
	}
	if err != nil {
		return nil, err
	}
	if p.path != "" || !foreign(feed) { // or else whoever made it has shaped it
		if tree, err = p.shape(ctx, feed, tree, nil); err != nil {
			return nil, fmt.Errorf("its source %s: %w", feed.Name, err)
		}
	}
	p.trees[u.Source] = tree
	return tree, nil
}

// shape returns a feed's tree as units see it, with what it includes of others
// as these stand now. By is what includes it.
func (p *planning) shape(ctx context.Context, feed source.Feed, tree fs.FS, by []source.FeedName) (fs.FS, error) {
	by = append(slices.Clip(by), feed.Name)
	var parts []fs.FS
	for _, inc := range feed.Include {
		if slices.Contains(by, inc.Feed) {
			return nil, fmt.Errorf("include '%s': they include each other in a circle", inc.Feed.Name)
		}
		other, err := p.feed(ctx, inc.Feed, reader{ctx, p.at.Cluster})
		if err != nil {
			return nil, fmt.Errorf("include '%s': %w", inc.Feed.Name, err)
		}
		part, err := p.fetch(ctx, other, "")
		if err != nil {
			return nil, fmt.Errorf("include '%s': %w", inc.Feed.Name, err)
		}
		if part, err = p.shape(ctx, other, part, by); err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return feed.Shape(tree, parts)
}

// feed returns what the object of a source asks for.
func (p *planning) feed(ctx context.Context, name source.FeedName, r dialect.Reader) (source.Feed, error) {
	kinds := p.says.Kinds()
	i := slices.IndexFunc(kinds, func(k object.Kind) bool { return k.Name == name.Kind })
	if i < 0 {
		return source.Feed{}, fmt.Errorf("its source %s is of a kind that is not supported", name)
	}
	o, ok, err := p.at.Cluster.Get(ctx, object.ID{Kind: kinds[i], Namespace: name.Namespace, Name: name.Name})
	if err != nil {
		return source.Feed{}, err
	}
	if !ok {
		if _, local := r.(none); local { // then only the ignore rules are missing
			return source.Feed{Name: name}, nil
		}
		return source.Feed{}, fmt.Errorf("its source %s is not there", name)
	}
	asked, err := p.says.Read(o, r)
	if err != nil {
		return source.Feed{}, err
	}
	if len(asked.Feeds) == 0 {
		return source.Feed{}, fmt.Errorf("%s is no source", name)
	}
	return asked.Feeds[0], nil
}

// A reader reads what the dialect asks for from a cluster.
type reader struct {
	ctx context.Context
	c   cluster.Reader
}

func (r reader) Get(id object.ID) (object.Object, bool, error) { return r.c.Get(r.ctx, id) }

// foreign reports whether a feed is of content that others keep.
func foreign(f source.Feed) bool { return f.Remote.Type == "artifact" }

// fetch fetches the tree of a source at a revision, as [refAt] reads it.
func (p *planning) fetch(ctx context.Context, f source.Feed, revision string) (fs.FS, error) {
	if f.Err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name, f.Err)
	}
	src, ok := p.gear.Sources[f.Remote.Type]
	if !ok {
		return nil, fmt.Errorf("%s: sources of type %q are not supported", f.Name, f.Remote.Type)
	}
	if foreign(f) && revision != "" {
		return nil, fmt.Errorf("%s: others keep it, at %s alone: leave out --revision, or let --path stand for it", f.Name, f.Ref.Name)
	}
	ref := refAt(f, revision)
	rev, err := src.Resolve(ctx, f.Remote, ref)
	if err != nil {
		return nil, err
	}
	snap, err := src.Fetch(ctx, f.Remote, ref, rev)
	if err != nil {
		return nil, err
	}
	p.snaps[f.Name] = snap
	return snap.Tree, nil
}

var commitID = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// refAt returns what people mean by a revision: a commit, with or without the
// words that Flux has before it, a whole ref name, or a branch; of an image a
// digest or a tag. "" leaves the feed's ref as it is.
func refAt(f source.Feed, revision string) source.Ref {
	ref := f.Ref
	if f.Remote.Type == "oci" && revision != "" {
		ref.Digest, ref.Semver, ref.Tag = "", "", revision
		if i := strings.LastIndex(revision, "sha256:"); i >= 0 {
			ref.Digest = digest.Digest(revision[i:])
		}
		return ref
	}
	id := revision[strings.LastIndexAny(revision, ":@")+1:]
	switch {
	case revision == "":
		return ref
	case commitID.MatchString(id):
		return source.Ref{Branch: ref.Branch, Commit: id}
	case strings.HasPrefix(revision, "refs/"):
		return source.Ref{Name: revision}
	}
	return source.Ref{Branch: revision}
}

// A line is a step of a plan with the difference that it makes.
type line struct {
	plan.Step
	difference
}

// why says why the step is taken: for an update, what it changes.
func (l line) why() string {
	if l.Verb != plan.Update || len(l.fields) == 0 {
		return l.Why
	}
	const most = 3
	if n := len(l.fields) - most; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(l.fields[:most], ", "), n)
	}
	return strings.Join(l.fields, ", ")
}

// linesOf returns the steps that are worth a line: those that change something,
// or would if they were not held.
func linesOf(v engine.Preview) []line {
	var out []line
	for _, s := range v.Plan.All() {
		if !s.Changes() && s.Verb != plan.Hold {
			continue
		}
		live, would := masked(content(v.Live[s.ID]), content(wouldBe(s, v)))
		live, would = discreet(live, would, v.Secrets)
		out = append(out, line{s, diffOf(body(live), body(would))})
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

// print prints a preview: a line for each object, and the fields that differ.
func (p *planning) print(v engine.Preview) {
	lines := linesOf(v)
	if v.Plan.Empty() {
		fmt.Fprintln(p.out, "Nothing would change.")
	}
	if len(lines) == 0 {
		return
	}
	t := table{head: []string{"VERB", "OBJECT", "WHY"}, paint: verbColour}
	for _, l := range lines {
		t.add(string(l.Verb), l.ID.String(), l.why())
	}
	_ = t.write(p.out)
	for _, l := range lines {
		if !p.brief && l.Changes() {
			p.printFields(l)
		}
	}
}

func (p *planning) printFields(l line) {
	if len(l.lines) == 0 {
		return
	}
	fmt.Fprintf(p.out, "\n%s\n", p.out.paint(bold, string(l.Verb)+" "+l.ID.String()))
	for _, d := range l.lines {
		io.WriteString(p.out, p.out.paint(markColour(d.mark), string(d.mark)+" "+d.text)+"\n")
	}
}

func content(o object.Object) object.Object {
	if o.IsZero() {
		return o
	}
	return engine.Content(o)
}

// body returns o's JSON form; nil for an object that is not there.
func body(o object.Object) any {
	if o.IsZero() {
		return nil
	}
	return o.Body()
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

package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
)

// manager is the field manager of what people change by the command line.
const manager = "sane"

// An order is a command to the controller about some objects.
type order struct {
	*desk
	all     bool
	wait    bool
	source  bool
	timeout time.Duration
	why     string
	period  time.Duration // of a suspension; 0 means until somebody resumes

	at   *Place
	says dialect.Dialect
}

func (o *order) patience(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long to wait")
}

func reconcileCommand(d *desk) *cobra.Command {
	o := &order{desk: d}
	cmd := &cobra.Command{
		Use:   "reconcile [KIND/]NAME...",
		Short: "Have units or sources looked at now, and wait for what comes of it",
		Example: `  sane reconcile apps
  sane reconcile apps --with-source
  sane reconcile source git apps
  sane reconcile gitrepository/apps`,
		ValidArgsFunction: d.completeNamed,
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args, o.reconcile) },
	}
	cmd.Flags().BoolVar(&o.source, "with-source", false, "first the unit's source")
	cmd.Flags().BoolVar(&o.all, "all", false, "all of the kind in the namespace")
	o.patience(cmd)
	return cmd
}

func suspendCommand(d *desk) *cobra.Command {
	o := &order{desk: d}
	cmd := &cobra.Command{
		Use:   "suspend [KIND/]NAME...",
		Short: "Leave units or sources alone until they are resumed",
		Long: `Suspend leaves units or sources alone until they are resumed. With --for the controller
resumes them by itself. What is suspended already takes on the reason and the time that are given.`,
		Example: `  sane suspend apps
  sane suspend apps --reason 'migration of the database' --for 2h
  sane suspend source git apps
  sane suspend --all -n team-a`,
		ValidArgsFunction: d.completeNamed,
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args, o.suspend) },
	}
	cmd.Flags().BoolVar(&o.all, "all", false, "all of the kind in the namespace")
	cmd.Flags().StringVar(&o.why, "reason", "", "`TEXT` that says why, for others to read")
	cmd.Flags().DurationVar(&o.period, "for", 0, "`DURATION` after which the controller resumes them")
	return cmd
}

func resumeCommand(d *desk) *cobra.Command {
	o := &order{desk: d}
	cmd := &cobra.Command{
		Use:               "resume [KIND/]NAME...",
		Short:             "Go on with suspended units or sources",
		Example:           "  sane resume apps --wait\n  sane resume source git apps",
		ValidArgsFunction: d.completeNamed,
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args, o.resume) },
	}
	cmd.Flags().BoolVar(&o.all, "all", false, "all of the kind in the namespace")
	cmd.Flags().BoolVar(&o.wait, "wait", false, "wait until they are ready")
	o.patience(cmd)
	return cmd
}

// run does something to every object that args name. It goes on after one has
// failed.
func (o *order) run(ctx context.Context, args []string, do func(context.Context, object.ID) error) error {
	noun, names, err := named(o.Language, args)
	switch {
	case err != nil:
		return err
	case o.all && len(names) > 0:
		return errors.New("name objects or say --all, not both")
	case !o.all && len(names) == 0:
		return fmt.Errorf("which %s? name one, or say --all", noun.Kind.Name)
	}
	if o.at, err = o.place(); err != nil {
		return err
	}
	if o.says, err = o.spoken(); err != nil {
		return err
	}
	if o.all {
		if names, err = o.everyone(ctx, noun); err != nil {
			return err
		}
	}
	var errs []error
	for _, name := range names {
		if err := do(ctx, noun.ID(o.at.Namespace, name)); err != nil {
			errs = append(errs, err)
		}
	}
	return failed(errs)
}

func (o *order) everyone(ctx context.Context, n ask.Noun) ([]string, error) {
	objects, err := ask.List(ctx, o.at.Cluster, cluster.Selection{Kind: n.Kind, Namespace: o.at.Namespace})
	if err == nil && len(objects) == 0 {
		fmt.Fprintf(o.err, "No resources found in %s namespace.\n", o.at.Namespace)
	}
	var names []string
	for _, obj := range objects {
		names = append(names, obj.Name())
	}
	return names, err
}

// reconcile asks for a look at an object now and waits for the outcome.
func (o *order) reconcile(ctx context.Context, id object.ID) error {
	obj, err := ask.Must(ctx, o.at.Cluster, id)
	if err != nil {
		return err
	}
	if o.Language.Paused(obj) {
		return fmt.Errorf("reconcile %s: it is suspended; resume it with `sane resume %s`", id, o.Language.Sayable(id))
	}
	if o.source {
		if err := o.reconcileSource(ctx, obj); err != nil {
			return err
		}
	}
	token := o.now().Format(time.RFC3339Nano)
	patch := map[string]any{"metadata": map[string]any{"annotations": map[string]any{o.Language.Request: token}}}
	if err := o.change(ctx, id, patch); err != nil {
		return err
	}
	return o.await(ctx, "reconcile", id, func(obj object.Object) bool { return o.heeded(obj) == token })
}

// reconcileSource reconciles the source of a unit.
func (o *order) reconcileSource(ctx context.Context, obj object.Object) error {
	asked, err := o.says.Read(obj, dialect.Nothing{})
	if err != nil {
		return err
	}
	if len(asked.Units) == 0 {
		return fmt.Errorf("reconcile %s: it has no source of its own: leave out --with-source", obj)
	}
	name := asked.Units[0].Source
	noun, err := o.Language.Named(name.Kind)
	if err != nil {
		return fmt.Errorf("reconcile %s: its source %s: %w", obj, name, err)
	}
	first := *o
	first.source = false
	return first.reconcile(ctx, noun.ID(name.Namespace, name.Name))
}

// heeded returns the last request that an object's controller has heeded.
func (o *order) heeded(obj object.Object) string {
	if n, _ := o.Language.Noun(obj.ID().Kind); n.Feed {
		return o.says.RecallFeed(obj).Token
	}
	return o.says.RecallUnit(obj).Token
}

func (o *order) change(ctx context.Context, id object.ID, patch map[string]any) error {
	data, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	_, err = o.at.Cluster.Patch(ctx, id, cluster.Patch{Type: cluster.MergePatch, Data: data}, cluster.How{Manager: manager})
	return err
}

// pause has an object say how it is to be left alone. It reports whether that is
// new.
func (o *order) pause(ctx context.Context, id object.ID, p dialect.Pause) (changed bool, err error) {
	obj, err := ask.Must(ctx, o.at.Cluster, id)
	if err != nil {
		return false, err
	}
	was := o.says.Pause(obj)
	if was.On == p.On && p.Why == "" && p.Until.IsZero() {
		return false, nil
	}
	if was.On && p.On { // what is not said stays as it is
		p.Why = cmp.Or(p.Why, was.Why)
		p.Until = cmp.Or(p.Until, was.Until)
	}
	return true, o.change(ctx, id, o.says.SetPause(p))
}

func (o *order) suspend(ctx context.Context, id object.ID) error {
	if o.period < 0 {
		return fmt.Errorf("suspend %s: --for %s: want a time to come", id, o.period)
	}
	p := dialect.Pause{On: true, Why: o.why, By: o.self(ctx)}
	if o.period > 0 {
		p.Until = o.now().Add(o.period).Truncate(time.Second)
	}
	changed, err := o.pause(ctx, id, p)
	if err != nil {
		return err
	}
	what := "suspended"
	if !p.Until.IsZero() {
		what += " until " + p.Until.UTC().Format(time.RFC3339)
	}
	return o.say(id, what, changed)
}

// self returns who we are to the cluster, as far as it says that.
func (o *order) self(ctx context.Context) string {
	got, err := o.at.Cluster.Create(ctx, object.Of(map[string]any{
		"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview",
	}), cluster.How{Manager: manager})
	if err != nil { // then the field manager has to do
		return ""
	}
	return got.Text("status", "userInfo", "username")
}

func (o *order) resume(ctx context.Context, id object.ID) error {
	changed, err := o.pause(ctx, id, dialect.Pause{})
	if err != nil {
		return err
	}
	if err := o.say(id, "resumed", changed); err != nil || !o.wait {
		return err
	}
	return o.await(ctx, "resume", id, func(object.Object) bool { return true })
}

func (o *order) say(id object.ID, what string, changed bool) error {
	if !changed {
		what = "already " + what
	}
	_, err := fmt.Fprintf(o.out, "%s %s\n", kubectlName(id), what)
	return err
}

// await waits until the controller has come to an end with an object of which
// heeded holds, shows what it is doing, and says what came of it.
func (o *order) await(ctx context.Context, verb string, id object.ID, heeded func(object.Object) bool) error {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	line := progress{to: o.err}
	defer line.done()
	last := "the controller has not answered: is it running? (`kubectl get pods -A -l app=sane`)"
	sel := cluster.Selection{Kind: id.Kind, Namespace: id.Namespace, Name: id.Name}
	for ch, err := range o.at.Cluster.Watch(ctx, sel) {
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, cluster.ErrNoKind), errors.Is(err, cluster.ErrForbidden):
			return err
		case err != nil:
			line.show(err.Error())
		case ch.Type == cluster.Gone:
			return fmt.Errorf("%s %s: it has been deleted", verb, id)
		case ch.Type == cluster.Put:
			s := ask.StandingOf(ch.Object)
			over, state := o.over(ch.Object, s, heeded(ch.Object))
			if over {
				line.done()
				return o.outcome(verb, ch.Object, s)
			}
			line.show(id.Kind.Name + "/" + id.Name + ": " + state)
			if s.Current {
				last = "last seen: " + state
			}
		}
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s %s: not done after %s; %s", verb, id, o.timeout, last)
	}
	return fmt.Errorf("%s %s: interrupted; %s", verb, id, last)
}

// over reports whether the controller has come to an end with an object, and
// what it is doing if not.
func (o *order) over(obj object.Object, s ask.Standing, heeded bool) (bool, string) {
	switch {
	case !heeded || !s.Current:
		if s.Ready == "Unknown" && s.Doing != "" {
			return false, s.Doing
		}
		return false, "waiting for the controller"
	case s.Ready == "True":
		return s.Doing == "", s.Message
	case s.Ready == "Unknown":
		if s.Doing != "" {
			return false, s.Doing
		}
		return false, s.Message
	}
	if n, _ := o.Language.Noun(obj.ID().Kind); n.Feed {
		return true, s.Message
	}
	return o.says.RecallUnit(obj).Waits.On == "", s.Message
}

// outcome says what came of an object.
func (o *order) outcome(verb string, obj object.Object, s ask.Standing) error {
	if s.Ready != "True" {
		return fmt.Errorf("%s %s: %s", verb, obj, s.Message)
	}
	done := s.Message
	if n, _ := o.Language.Noun(obj.ID().Kind); n.Feed {
		done = fetchedWords(o.says.RecallFeed(obj))
	}
	_, err := fmt.Fprintf(o.out, "%s: %s\n", kubectlName(obj.ID()), o.out.paint(green, done))
	return err
}

func fetchedWords(st source.Status) string { return "Fetched revision: " + st.Revision.Name }

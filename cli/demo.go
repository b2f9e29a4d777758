package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
)

// A demo is one `sane demo`: a control plane, a Git server with a sample
// repository, and the controller.
type demo struct {
	*desk
	devcluster string
	dir        string
	keep       bool
	once       bool
	timeout    time.Duration

	story *story
	plane *plane
	at    *Place
	shop  *shop
	board *board
	pages string            // their address
	logs  map[string]string // files, by who writes them
}

func demoCommand(d *desk) *cobra.Command {
	m := &demo{desk: d}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a push become healthy, on a control plane and a Git server of its own",
		Long: `Demo starts a Kubernetes control plane, a Git server with a sample repository of
three applications in two environments, and the controller, all on loopback. It shows
how everything becomes healthy, pushes a change and shows how that arrives. Then it
says what else to try, and goes on until it is interrupted. Nothing is left behind.`,
		Args: alone,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if d.kubeconfig != "" || d.context != "" {
				return errors.New("demo: it starts a cluster of its own: leave out --kubeconfig and --context")
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP) // of a terminal that is closed
			defer stop()
			return m.run(ctx)
		},
	}
	f := cmd.Flags()
	f.StringVar(&m.devcluster, "devcluster", besideUs("devcluster"), "`PROGRAM` that starts a control plane")
	f.StringVar(&m.dir, "data", "", "`DIR` for everything, empty or absent (default a fresh temporary one)")
	f.BoolVar(&m.keep, "keep", false, "leave the directory, with logs and repositories, when it is over")
	f.BoolVar(&m.once, "once", false, "try by itself what it would suggest, and end: with an error if something does not come out as it should")
	f.DurationVar(&m.timeout, "timeout", 3*time.Minute, "how long each step may take")
	return cmd
}

const (
	syncFile = "cluster/sync.yaml" // of the sample repository; it is applied by hand
	home     = "flux-system"       // the namespace of its units
)

func (d *demo) run(ctx context.Context) (err error) {
	remove, err := d.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	d.story = newStory(d.out, d.now)

	ctx, broken := context.WithCancelCause(ctx)
	if err = d.start(ctx, broken); err == nil {
		err = d.play(ctx)
	}
	cause := context.Cause(ctx)
	broken(nil)
	d.end()
	return d.whole(err, cause)
}

// open makes the directory. remove takes it away unless it is to be kept.
func (d *demo) open() (remove func() error, err error) {
	if d.dir == "" {
		d.dir, err = os.MkdirTemp("", "sane-demo-")
	} else if d.dir, err = filepath.Abs(d.dir); err == nil {
		err = os.MkdirAll(d.dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	if list, err := os.ReadDir(d.dir); err != nil || len(list) > 0 {
		return nil, cmp.Or(err, fmt.Errorf("demo: --data %s is not empty", d.dir))
	}
	d.logs = map[string]string{
		planeName:      filepath.Join(d.dir, "control-plane.log"),
		controllerName: filepath.Join(d.dir, "controller.log"),
	}
	return func() error {
		if d.keep {
			fmt.Fprintf(d.err, "left in %s\n", d.dir)
			return nil
		}
		return os.RemoveAll(d.dir)
	}, nil
}

// start starts everything and waits until all of it works. What is started
// calls broken if it ends too soon.
func (d *demo) start(ctx context.Context, broken context.CancelCauseFunc) (err error) {
	d.story.chapter("Kubernetes")
	if d.plane, err = d.startPlane(ctx, broken); err != nil {
		return err
	}
	log, err := d.logger()
	if err != nil {
		return err
	}
	if d.at, err = d.Connect(Dial{Kubeconfig: d.plane.kubeconfig, Log: log}); err != nil {
		return err
	}
	if err := d.define(ctx); err != nil {
		return err
	}
	if d.shop, err = openShop(filepath.Join(d.dir, "git"), d.pushed); err != nil {
		return err
	}
	d.story.say(green, "Git server", d.shop.url)
	d.board = newBoard(d.story.heard)
	for _, k := range d.kinds() {
		d.board.watch(ctx, d.at.Cluster, k)
	}
	return d.keepUnits(ctx, log, broken)
}

// show serves the pages about all that until ctx is done, for who has the pass.
func (d *demo) show(ctx context.Context, r *daemon, says dialect.Dialect) error {
	q := d.questions(d.at, says)
	q.Equip, q.Log = r.lend, r.log
	site, err := d.openSite(d.at, Showing{Desk: q, Door: Door{Pass: rand.Text()}}, "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.pages = site.address
	d.board.all.Go(func() { _ = site.serve(ctx) }) // it ends with ctx
	return nil
}

// kinds are those of the objects that are looked at.
func (d *demo) kinds() []object.Kind {
	all := []object.Kind{deployments}
	for _, n := range d.Language.Nouns {
		all = append(all, n.Kind)
	}
	return all
}

var deployments = object.Kind{Group: "apps", Name: "Deployment"}

// end stops whatever start has started.
func (d *demo) end() {
	if d.board != nil {
		d.board.close()
	}
	if d.shop != nil {
		d.shop.close()
	}
	if d.plane != nil {
		d.plane.stop()
	}
}

// define installs the custom resource definitions and makes the units' namespace.
func (d *demo) define(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, d.timeout)
	defer stop()
	i := &installing{desk: &desk{Program: d.Program, out: screen{Writer: io.Discard}, now: d.now}, Installation: Installation{CRDsOnly: true}}
	objects, err := d.Manifests(i.Installation)
	if err != nil {
		return err
	}
	for _, o := range append(objects, namespace(home)) {
		if err := i.put(ctx, d.at.Cluster, o); err != nil {
			return err
		}
	}
	d.story.say(green, "definitions", "GitRepository and Kustomization, as Flux has them")
	return nil
}

func namespace(name string) object.Object {
	return object.Of(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}})
}

// logger returns the log of the controller.
func (d *demo) logger() (*slog.Logger, error) {
	f, err := os.OpenFile(d.logs[controllerName], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelDebug})), nil
}

// keepUnits runs the controller until ctx is done. The story is told of its
// events.
func (d *demo) keepUnits(ctx context.Context, log *slog.Logger, broken context.CancelCauseFunc) error {
	says, err := d.spoken()
	if err != nil {
		return err
	}
	told := *d.desk
	told.Equip = func(p *Place, e Equipment) (*Gear, error) {
		gear, err := d.Equip(p, e)
		if err == nil {
			gear.Sinks["demo"] = d.story
		}
		return gear, err
	}
	r := &daemon{desk: &told, log: log}
	r.flags(&cobra.Command{}) // for their defaults
	r.dir = filepath.Join(d.dir, "controller")
	r.counts = newMeters(r.busy)
	d.board.all.Go(func() {
		if err := r.keep(ctx, d.at, says); ctx.Err() == nil {
			broken(&partError{controllerName, cmp.Or(err, errors.New("it has ended"))})
		}
	})
	return d.show(ctx, r, says)
}

// pushed is told of every push. It does what a webhook would: it asks for a
// look at the source now.
func (d *demo) pushed(ctx context.Context, at time.Time) {
	d.story.pushed(at)
	o := &order{desk: d.desk, at: d.at}
	patch := map[string]any{"metadata": map[string]any{"annotations": map[string]any{
		d.Language.Request: at.Format(time.RFC3339Nano),
	}}}
	if err := o.change(ctx, d.feed(), patch); err != nil {
		d.story.say(yellow, "Git server", "could not tell the controller: "+err.Error())
	}
}

// feed returns the name of the sample's source.
func (d *demo) feed() object.ID { return d.Language.Feeds()[0].ID(home, sample) }

// whole returns err with what is known of it: what broke, if anything did, and
// the end of the log of who is to blame. cause is why the demo was to end early, if it was; that
// people end it is no error.
func (d *demo) whole(err, cause error) error {
	switch {
	case err == nil, errors.Is(cause, context.Canceled) && !d.once:
		return nil
	case cause != nil:
		err = cause
	}
	part := &partError{controllerName, err}
	_ = errors.As(err, &part)
	if end := tail(d.logs[part.who], 12); end != "" {
		return fmt.Errorf("demo: %w\nThe end of what %s said:\n%s", err, part.who, end)
	}
	return fmt.Errorf("demo: %w", err)
}

// A partError is what went wrong in a part of the demo.
type partError struct {
	who string
	err error
}

const (
	planeName      = "the control plane"
	controllerName = "the controller"
)

func (e *partError) Error() string { return e.who + ": " + e.err.Error() }
func (e *partError) Unwrap() error { return e.err }

// tail returns the last n lines of a file that say more than the rest.
func tail(file string, n int) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return l == "" || strings.Contains(l, "level=DEBUG") })
	return strings.Join(lines[max(len(lines)-n, 0):], "\n")
}

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/sane-gitops/sane/delay"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/engine"
	"github.com/sane-gitops/sane/object"
)

// A daemon is one `sane run`.
type daemon struct {
	*desk
	units, feeds, applies int

	everyNamespace bool
	selector       string
	noCross        bool
	account        string
	guard          string
	controllers    []string
	over           []string
	early          string
	ageSecret      string
	kubeAccount    string
	keyAccount     string
	vaults         string
	tokens         int
	tokensFor      time.Duration
	gates          map[string]string
	kex, hostKeys  []string

	jitter             int
	retryMin, retryMax time.Duration

	dir     string
	events  string
	metrics string
	health  string
	elect   bool
	lease   Lease // its times
	offer   offer
	front   front
	past    timeline

	level, encoding string

	counts *meters
	log    *slog.Logger
	engine atomic.Pointer[engine.Engine] // nil while another process leads
	gear   atomic.Pointer[Gear]          // nil then, too
}

func runCommand(d *desk) *cobra.Command {
	r := &daemon{desk: d}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Keep the cluster as its units say: the controller",
		Long: `Run keeps the cluster as its Kustomizations and their sources say, until it is
asked to stop. In a cluster it keeps that one; elsewhere the one that the kubeconfig names.`,
		Args: alone,
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd) },
	}
	r.flags(cmd)
	return cmd
}

func (r *daemon) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&r.units, "concurrent", 8, "units kept at a time")
	f.IntVar(&r.feeds, "concurrent-sources", 16, "sources looked at at a time")
	f.IntVar(&r.applies, "concurrent-ssa", 4, "requests at a time for one unit")
	f.BoolVar(&r.everyNamespace, "watch-all-namespaces", true, "keep the objects of all namespaces, not only of our own ($RUNTIME_NAMESPACE)")
	f.StringVar(&r.selector, "watch-label-selector", "", "keep only objects with these `LABELS`, as one shard of several; what they refer to is read whatever its labels are")
	f.BoolVar(&r.noCross, "no-cross-namespace-refs", false, "refuse sources, and expressions over Kustomizations, in other namespaces")
	f.StringVar(&r.account, "default-service-account", "", "`NAME` of the service account that Kustomizations act as which name none")
	f.StringVar(&r.kubeAccount, "default-kubeconfig-service-account", "", "`NAME` of the service account that gets in at other clusters where spec.kubeConfig.configMapRef names none")
	f.StringVar(&r.keyAccount, "default-decryption-service-account", "", "`NAME` of the service account that gets in where keys are kept, where spec.decryption names none")
	f.StringVar(&r.vaults, "sops-vault-configmap", "", "`NAME` of a ConfigMap beside us ($RUNTIME_NAMESPACE) that says at which Vaults, and where there, to log in by tokens of service accounts")
	f.IntVar(&r.tokens, "token-cache-max-size", 100, "tokens of service accounts and clouds that are remembered, of each sort; 0 for none")
	f.DurationVar(&r.tokensFor, "token-cache-max-duration", time.Hour, "how long a token is remembered at most")
	f.StringVar(&r.guard, "deletion-guard", "on", "hold the deletion of all objects of a Kustomization, or of most of many, until it is approved: on or off")
	f.StringSliceVar(&r.controllers, "controllers", nil, "do the work of these of Flux's controllers, or that on these kinds, only: source-controller, kustomize-controller, GitRepository, OCIRepository, Bucket, Kustomization (default all)")
	f.StringArrayVar(&r.over, "override-manager", nil, "field `MANAGER` whose fields of our objects become ours, beside kubectl's; may be given more than once")
	f.StringVar(&r.early, "custom-apply-stage-kinds", "", "`KINDS` to be applied and waited for before most others: rbac.authorization.k8s.io/Role,example.com/Widget")
	f.StringToStringVar(&r.gates, "feature-gates", nil, "Flux's feature gates, such as ExternalArtifact=true")
	f.StringVar(&r.ageSecret, "sops-age-secret", "", "`NAME` of a Secret beside us ($RUNTIME_NAMESPACE) with age keys, for Kustomizations with decryption and no secretRef")
	f.StringSliceVar(&r.kex, "ssh-kex-algos", nil, "`ALGORITHMS` by which SSH may agree on keys (default those of ssh)")
	f.StringSliceVar(&r.hostKeys, "ssh-hostkey-algos", nil, "`ALGORITHMS` of keys that SSH may know hosts by (default those of ssh)")
	r.offer.flags(f)
	r.front.flags(f)
	r.past.flags(f)
	f.StringVar(&r.dir, "data-dir", "/data", "`DIR` for mirrors and kept results")
	f.StringVar(&r.events, "events-addr", "", "`URL` to post events to")
	f.StringVar(&r.metrics, "metrics-addr", ":8080", "`ADDRESS` of /metrics and /debug/pprof; \"\" or 0 for none")
	f.StringVar(&r.health, "health-addr", ":9440", "`ADDRESS` of /healthz and /readyz; \"\" or 0 for none")
	f.BoolVar(&r.elect, "enable-leader-election", false, "work only while no other replica does; with --serve-artifacts one that waits is not ready")
	f.DurationVar(&r.lease.Lasts, "leader-election-lease-duration", 35*time.Second, "how long a lease lasts that is not renewed")
	f.DurationVar(&r.lease.Deadline, "leader-election-renew-deadline", 30*time.Second, "how long to try to renew it before it is given up")
	f.DurationVar(&r.lease.Retry, "leader-election-retry-period", 5*time.Second, "how often to look at it")
	f.StringVar(&r.level, "log-level", "info", "`LEVEL`: debug, info, warn or error")
	f.StringVar(&r.encoding, "log-encoding", "", "`FORMAT`: json or text (default text on a terminal, json elsewhere)")
	f.IntVar(&r.jitter, "interval-jitter-percentage", 5, "by how many percent, at random, intervals are longer or shorter")
	f.DurationVar(&r.retryMin, "min-retry-delay", 750*time.Millisecond, "how long to wait after a first failure that may pass by itself")
	f.DurationVar(&r.retryMax, "max-retry-delay", 15*time.Minute, "how long to wait after many")
	unneededFlags(f)
}

func (r *daemon) run(cmd *cobra.Command) (err error) {
	if r.log, err = r.logger(); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if r.guard != "on" && r.guard != "off" {
		return fmt.Errorf("run: --deletion-guard %q: want on or off", r.guard)
	}
	slog.SetDefault(r.log)
	if err := r.offer.check(); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if err := r.past.check(); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if err := r.front.check(cmd.Flags()); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if err := r.checkTimes(); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if _, err := r.selected(); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if err := sayUnneeded(cmd.Flags(), r.log); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	beThrifty(cmd.Context())
	return r.serve(cmd.Context())
}

// checkTimes complains about times that can't be kept.
func (r *daemon) checkTimes() error {
	switch {
	case r.jitter < 0 || r.jitter > 100:
		return fmt.Errorf("--interval-jitter-percentage %d: want 0 to 100", r.jitter)
	case r.retryMin <= 0 || r.retryMax < r.retryMin:
		return fmt.Errorf("--min-retry-delay %s, --max-retry-delay %s: want more than nothing, and the second not less than the first", r.retryMin, r.retryMax)
	case r.lease.Retry <= 0 || r.lease.Deadline <= r.lease.Retry || r.lease.Lasts <= r.lease.Deadline:
		return fmt.Errorf("--leader-election-lease-duration %s, --leader-election-renew-deadline %s, --leader-election-retry-period %s: want each longer than the next", r.lease.Lasts, r.lease.Deadline, r.lease.Retry)
	}
	return nil
}

// beThrifty trades time for memory, unless the environment says otherwise: of
// the memory that the cluster allows, a part is left to git and to renderers.
func beThrifty(ctx context.Context) {
	if limit := allowance(); limit > 0 && !env("GOMEMLIMIT") {
		debug.SetMemoryLimit(limit / 10 * 6)
	}
	if !env("GOGC") {
		go tuneGC(ctx)
	}
}

// How much garbage there may be: much in proportion while little is alive, since
// collecting then frees next to nothing, and little once it is much.
const (
	spare   = 20 << 20 // bytes of garbage that are always all right
	thrifty = 40       // percent of what is alive that always are
	lavish  = 150      // percent of what is alive that never are
)

// tuneGC says after each collection when the next one is due, until ctx is done.
func tuneGC(ctx context.Context) {
	collected := make(chan struct{}, 1)
	alive := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for {
		metrics.Read(alive)
		debug.SetGCPercent(min(max(int(100*spare/max(alive[0].Value.Uint64(), 1)), thrifty), lavish))
		runtime.AddCleanup(new([64]byte), func(c chan struct{}) { c <- struct{}{} }, collected)
		select {
		case <-collected:
		case <-ctx.Done():
			return
		}
	}
}

// tidy gives memory back when nothing is to be done, until ctx is done: what
// was needed to bring up many units is not needed to watch over them. It takes
// time to give and to take again, so it is done after much work only.
func (r *daemon) tidy(ctx context.Context) {
	const much = 64 << 20 // bytes that were allocated since it was last done
	use := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"},
	}
	var done uint64
	for delay.For(ctx, 5*time.Second) {
		metrics.Read(use)
		held := use[0].Value.Uint64() + use[1].Value.Uint64() + use[2].Value.Uint64()
		work := use[4].Value.Uint64()
		if r.busy() == 0 && work-done > much && held > use[3].Value.Uint64()+spare/2 {
			debug.FreeOSMemory()
			done = work
		}
	}
}

// allowance returns the bytes of memory that this process and its children may
// use, or 0 if there is no bound.
func allowance() int64 {
	data, err := os.ReadFile("/sys/fs/cgroup/memory.max")
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64) // "max" is no bound
	return n
}

// serve keeps units until ctx is done, beside the pages that tell of it.
func (r *daemon) serve(ctx context.Context) (err error) {
	r.counts = newMeters(r.busy)
	place, err := r.Connect(Dial{
		Kubeconfig: r.kubeconfig, Context: r.context, Log: r.log, Observe: r.counts.request,
		Tokens: cmp.Or(r.tokens, -1), TokensFor: r.tokensFor, Token: r.counts.token,
	})
	if err != nil {
		return err
	}
	if place.Office != nil {
		r.counts.remembers(place.Office.Remembered)
	}
	place.Namespace = cmp.Or(r.namespace, os.Getenv("RUNTIME_NAMESPACE"), place.Namespace, "flux-system")
	forget, err := r.past.open(r.dir, r.log)
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	defer func() { err = errors.Join(err, forget()) }()
	if r.past.journal != nil {
		r.counts.sinks(map[string]Sink{"timeline": r.past.journal})
	}
	pages, err := r.open()
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	defer pages.close()
	speech, err := r.speech(pages, place.Namespace)
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	says, err := r.Dialect(speech)
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := r.show(ctx, pages, place, says); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	r.log.Info("started", "version", r.Version, "metrics", pages.at("metrics"), "health", pages.at("health"))
	if at := pages.at("web"); at != "" {
		r.log.Info("serving pages", "web", at, "url", r.front.door.URL)
	}
	if at := pages.at("storage"); at != "" {
		r.log.Info("serving artifacts", "storage", at)
	}
	defer r.log.Info("stopped")
	if !r.elect {
		return r.keep(ctx, place, says)
	}
	lease, err := r.leads(says, speech)
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	return r.lead(ctx, place, says, lease)
}

// speech returns how the flags ask for the dialect to be spoken, by a controller in
// a namespace.
func (r *daemon) speech(pages *pages, namespace string) (s Speech, err error) {
	base, err := r.offer.base(pages.at("storage"))
	if err != nil {
		return s, err
	}
	early, err := kindsIn(r.early)
	if err != nil {
		return s, fmt.Errorf("--custom-apply-stage-kinds: %w", err)
	}
	age := ""
	if r.ageSecret != "" {
		age = namespace + "/" + r.ageSecret
	}
	vaults := ""
	if r.vaults != "" {
		vaults = namespace + "/" + r.vaults
	}
	gates := make(map[string]bool)
	for name, v := range r.gates {
		if gates[name], err = strconv.ParseBool(v); err != nil {
			return s, fmt.Errorf("--feature-gates %s=%s: want true or false", name, v)
		}
	}
	return Speech{
		NoCrossNamespace: r.noCross, DefaultServiceAccount: r.account, Guard: r.guard != "off", Controllers: r.controllers,
		Gates: gates, Early: early, ArtifactBase: base, AgeSecret: age, KubeconfigAccount: r.kubeAccount, DecryptionAccount: r.keyAccount, VaultConfigMap: vaults, Log: r.log,
	}, nil
}

// leads returns the name of the lease of whoever speaks so.
func (r *daemon) leads(says dialect.Dialect, speech Speech) (string, error) {
	speech.Controllers, speech.Log = nil, slog.New(slog.DiscardHandler)
	whole, err := r.Dialect(speech)
	if err != nil {
		return "", err
	}
	return leaseName(r.selector, keptBy(says), keptBy(whole)), nil
}

// kindsIn reads a list of kinds such as "Service,apps/Deployment".
func kindsIn(list string) ([]object.Kind, error) {
	var kinds []object.Kind
	for _, s := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		group, name, ok := strings.Cut(s, "/")
		if !ok {
			group, name = "", s
		}
		if name == "" || strings.Contains(name, "/") {
			return nil, fmt.Errorf("%q is not a kind: want GROUP/KIND, without a version", s)
		}
		kinds = append(kinds, object.Kind{Group: group, Name: name})
	}
	return kinds, nil
}

// lead keeps units while no other process does that has a lease of that name.
func (r *daemon) lead(ctx context.Context, place *Place, says dialect.Dialect, lease string) error {
	host, _ := os.Hostname()
	l := r.lease
	l.Namespace, l.Name, l.Identity = place.Namespace, lease, fmt.Sprintf("%s_%d_%d", host, os.Getpid(), r.now().UnixNano())
	r.log.Info("waiting to lead", "lease", l.Namespace+"/"+l.Name)
	var kept error
	stop := func() {}
	if r.front.addr != "" { // somebody may look at what another does
		stop = r.past.during(ctx, func(ctx context.Context) { r.past.journal.Follow(ctx, memory(place, says)) })
	}
	defer func() { stop() }()
	began := r.now()
	err := place.Lead(ctx, l, func(ctx context.Context) {
		stop()
		r.past.others = r.now().Sub(began) > l.Retry // somebody has led meanwhile
		r.log.Info("leading", "lease", l.Namespace+"/"+l.Name)
		kept = r.keep(ctx, place, says)
	})
	return cmp.Or(kept, err)
}

// leaseName is that of all processes that would keep the same objects: those of some
// labels and kinds, of all the kinds that there are.
func leaseName(selector string, kinds, all []object.Kind) string {
	which := selector
	if work := spelled(kinds); work != spelled(all) {
		which += "\n" + work
	}
	if which == "" {
		return "sane-leader"
	}
	return "sane-leader-" + shortSum(which)
}

func spelled(kinds []object.Kind) string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.String())
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

// keptBy returns the kinds whose objects a dialect sees to itself.
func keptBy(says dialect.Dialect) []object.Kind {
	return slices.DeleteFunc(slices.Clone(says.Kinds()), says.Foreign)
}

// selected returns which objects are kept, by their labels; nil means all.
func (r *daemon) selected() (func(map[string]string) bool, error) {
	sel, err := labels.Parse(r.selector)
	if err != nil {
		return nil, fmt.Errorf("--watch-label-selector %q: %w", r.selector, err)
	}
	if sel.Empty() {
		return nil, nil
	}
	return func(has map[string]string) bool { return sel.Matches(labels.Set(has)) }, nil
}

// keep keeps units until ctx is done.
func (r *daemon) keep(ctx context.Context, place *Place, says dialect.Dialect) (err error) {
	gear, err := r.Equip(place, Equipment{Dir: r.dir, Events: r.events, KeyExchange: r.kex, HostKey: r.hostKeys, Log: r.log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, gear.Close()) }()
	r.gear.Store(gear)
	defer r.gear.Store(nil)
	shelf, closeShelf, err := r.openShelf()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeShelf()) }()
	c := engine.Config{
		Cluster: place.Cluster, Remote: place.Remote, Sources: gear.Sources, Renderer: gear.Renderer, Dialect: says,
		Dir:   filepath.Join(r.dir, "units"),
		Units: r.units, Feeds: r.feeds, Applies: r.applies,
		Jitter: cmp.Or(r.jitter, -1), RetryMin: r.retryMin, RetryMax: r.retryMax,
		Over: r.over, Took: r.counts.seenTo, Left: r.counts.left, Rendered: r.counts.rendered, Log: r.log,
	}
	if c.Selected, err = r.selected(); err != nil {
		return err
	}
	if shelf != nil {
		c.Publisher = shelf
	}
	if !r.everyNamespace {
		c.Namespace = place.Namespace
	}
	for _, s := range gear.Sinks {
		c.Sinks = append(c.Sinks, s)
	}
	if j := r.past.journal; j != nil {
		c.Sinks = append(c.Sinks, j)
		defer r.past.during(ctx, func(ctx context.Context) { j.Keep(ctx, memory(place, says), r.past.others) })()
	}
	e, err := engine.New(c)
	if err != nil {
		return err
	}
	r.counts.sinks(gear.Sinks)
	r.engine.Store(e)
	go r.tidy(ctx)
	return runWith(ctx, gear.Sinks, e.Run)
}

// runWith runs sinks as long as run does, so that they hear all of it.
func runWith(ctx context.Context, sinks map[string]Sink, run func(context.Context) error) error {
	later, stop := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	for _, s := range sinks {
		all.Go(func() { _ = s.Run(later) }) // it ends when it is told to
	}
	return run(ctx)
}

// unready returns why this process does not do what it is to do, or "". One that
// waits to lead does, unless others come to it for artifacts: those are on the
// disk of who leads alone, and as with Flux only who is ready is asked for them.
func (r *daemon) unready() string {
	switch e := r.engine.Load(); {
	case e == nil && r.elect && r.offer.wanted:
		return "this replica does not lead, and has no artifacts"
	case e == nil && r.elect || e != nil && e.Ready():
		return ""
	}
	return "the custom resources have not all been listed"
}

func (r *daemon) busy() float64 {
	if e := r.engine.Load(); e != nil {
		return float64(e.Busy())
	}
	return 0
}

// logger returns the log that the flags ask for.
func (r *daemon) logger() (*slog.Logger, error) {
	var level slog.Level
	if strings.EqualFold(r.level, "trace") { // Flux has it below debug
		level = slog.LevelDebug
	} else if err := level.UnmarshalText([]byte(r.level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: want debug, info, warn or error", r.level)
	}
	opts := &slog.HandlerOptions{Level: level}
	switch strings.ToLower(r.encoding) {
	case "json":
		return slog.New(slog.NewJSONHandler(r.err, opts)), nil
	case "text", "console":
		return slog.New(slog.NewTextHandler(r.err, opts)), nil
	case "":
		if r.err.live {
			return slog.New(slog.NewTextHandler(r.err, opts)), nil
		}
		return slog.New(slog.NewJSONHandler(r.err, opts)), nil
	}
	return nil, fmt.Errorf("--log-encoding %q: want json or text", r.encoding)
}

// patience is how long a connection to our own pages may take.
const patience = 10 * time.Second

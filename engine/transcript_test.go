package engine_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/engine"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/render/kustomize"
	"github.com/sane-gitops/sane/render/plain"
	"github.com/sane-gitops/sane/render/substitute"
	"github.com/sane-gitops/sane/report"
	"github.com/sane-gitops/sane/source"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata/*.txt")

// TestTranscripts plays the commands in testdata/*.txt to an engine over a
// cluster and a source in memory, and compares what it does. A transcript is a
// sequence of commands, a line each, and below "----" what came of them; an
// empty line ends an answer. See [play.do] for the commands.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			synctest.Test(t, func(t *testing.T) { got = transcribe(t, string(want)) })
			if got == string(want) {
				return
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("answers differ; run with -update and review the difference\ngot:\n%s", got)
		})
	}
}

// transcribe plays a transcript's commands and returns it with the answers that
// were given.
func transcribe(t *testing.T, text string) string {
	p := newPlay(t)
	p.start()
	defer func() { p.stop() }()
	var out strings.Builder
	var commands []string
	answer := func() {
		for _, c := range commands {
			p.do(c)
		}
		commands = nil
		p.rest()
		fmt.Fprintf(&out, "----\n%s\n", p.said())
	}
	inAnswer := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "----":
			inAnswer = true
			answer()
		case inAnswer:
			inAnswer = line != ""
		default:
			fmt.Fprintln(&out, line)
			if line != "" && !strings.HasPrefix(line, "#") {
				commands = append(commands, line)
			}
		}
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}

// A play is an engine and the world around it.
type play struct {
	t         *testing.T
	world     *memory.Cluster
	far       *memory.Cluster // the cluster of the kubeconfig "far"
	sources   *branches
	offers    *offers
	speaks    flux.Config
	publisher engine.Publisher // nil: nobody else is to have what feeds hold
	dir       string
	stop      func()
	down      *downfall     // nil: none is to come
	turn      chan struct{} // held by who settles
	renders   atomic.Bool   // are told

	mu    sync.Mutex
	lines []string                              // guarded by mu
	rules []func(op string, id object.ID) error // guarded by mu
}

func newPlay(t *testing.T) *play {
	kinds := append(memory.Kinds("source.toolkit.fluxcd.io/v1", "GitRepository"),
		memory.Kinds("kustomize.toolkit.fluxcd.io/v1", "Kustomization")...)
	p := &play{t: t, world: memory.New(kinds...), far: memory.New(), dir: t.TempDir(), turn: make(chan struct{}, 1)}
	p.sources = &branches{trees: make(map[string][]fstest.MapFS), broken: make(map[string]error)}
	p.offers = &offers{say: p.say, there: make(map[digest.Digest]fstest.MapFS)}
	p.world.Fail(func(op string, id object.ID) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, rule := range p.rules {
			if err := rule(op, id); err != nil {
				return err
			}
		}
		return nil
	})
	return p
}

// start runs an engine, as after a restart of the program.
func (p *play) start() {
	keeper, err := render.NewKeeper(substitute.Renderer{Next: render.First(plain.Renderer{}, kustomize.Renderer{})}, render.Config{Dir: filepath.Join(p.dir, "render")})
	if err != nil {
		p.t.Fatal(err)
	}
	e, err := engine.New(engine.Config{
		Cluster:   &recorder{Cluster: p.world, p: p},
		Remote:    p.remote,
		Sources:   map[string]source.Source{"git": p.sources, "artifact": p.offers},
		Renderer:  keeper,
		Dialect:   flux.New(p.speaks),
		Rendered:  p.rendered,
		Sinks:     []report.Sink{p},
		Publisher: p.publisher,
		Dir:       p.dir,
		Units:     1, Feeds: 1, Applies: 1, Jitter: -1,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	p.stop = func() {
		cancel()
		defer keeper.Close()
		if err := <-done; err != nil {
			p.t.Error(err)
		}
	}
}

// rest returns when there is nothing left to do but to wait.
func (p *play) rest() { <-time.After(time.Millisecond) }

// settle returns when everybody but the caller waits: what a write has set going
// has come to rest, so that the story is the same each time it is played.
func (p *play) settle() {
	p.turn <- struct{}{}
	synctest.Wait()
	<-p.turn
}

func (p *play) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, approvals.ReplaceAllString(fmt.Sprintf(format, args...), "approve=DIGEST"))
}

// said returns what happened since it was last called.
func (p *play) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Feeds and units have workers of their own: feeds first.
	slices.SortStableFunc(p.lines, func(a, b string) int {
		return cmp.Compare(b2i(!strings.Contains(a, " GitRepository/")), b2i(!strings.Contains(b, " GitRepository/")))
	})
	s := strings.Join(p.lines, "\n")
	p.lines = nil
	if s != "" {
		s += "\n"
	}
	return s
}

// Report implements report.Sink.
func (p *play) Report(e report.Event) {
	if e.Minor {
		return
	}
	p.say("event   %s/%s %s %s: %s", e.About.Kind, e.About.Name, e.Severity, e.Reason, oneLine(e.Message))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " | ") }

// do carries out one command:
//
//	feed NAME [spec...]           a GitRepository
//	unit NAME [spec...]           a Kustomization
//	kubeconfig SECRET NAME        puts a Secret with the kubeconfig of a cluster; there is one, "far"
//	commit FEED FILE=OBJECTS...   to the feed's branch; see files
//	secret NAME KEY=VALUE...      a Secret in flux-system
//	break FEED MESSAGE            the feed's server answers with an error; without a message it does not
//	edit OBJECT PATH=VALUE [by MANAGER]
//	delete OBJECT
//	status OBJECT healthy|progressing|failed
//	apply OBJECT PATH=VALUE by MANAGER     server-side, with force
//	field OBJECT PATH                      shows a field
//	owners OBJECT                          shows who owns fields of it
//	pod NAME KEY=VALUE STATUS              a Pod with a label, and how it is
//	state OBJECT WORD                      as its controller says in status.state
//	fail OP OBJECT invalid|busy|down|forbidden [N]   the cluster refuses, N times; see memory.Cluster.Fail; "try" is a dry run
//	heal                          the cluster refuses nothing any more
//	annotate OBJECT KEY=VALUE
//	keep CONTROLLERS...           restart, and do the work of these of Flux's controllers only
//	offer FEED REVISION FILE=OBJECTS...   somebody else has a tarball for it; without files it is not there
//	withdraw FEED                 somebody else has none any more
//	publish [MESSAGE]             restart, and let others have what feeds hold; with a message that fails
//	wait DURATION
//	guard                         restarts the engine so that it holds surprising deletions
//	approve NAME                  approves what a Kustomization holds
//	config NAME KEY=VALUE...      a ConfigMap beside the units
//	secret NAME KEY=VALUE...      a Secret beside the units
//	renders                       from now on, tell what is rendered anew, and not what is read beside the units
//	restart
//	lose                          restart without what was on disk
//	show OBJECT                   its status
//	list                          all objects but custom resources
func (p *play) do(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	args := strings.Fields(rest)
	switch verb {
	case "feed":
		p.put("source.toolkit.fluxcd.io/v1", "GitRepository", args[0], feedSpec, args[1:])
	case "unit":
		p.put("kustomize.toolkit.fluxcd.io/v1", "Kustomization", args[0], unitSpec, args[1:])
	case "kubeconfig":
		p.kubeconfig(args[0], args[1])
	case "commit":
		p.sources.commit(args[0], args[1:])
	case "break":
		p.sources.fail(args[0], strings.Join(args[1:], " "))
	case "edit":
		p.edit(p.world, args)
	case "edit-far":
		p.edit(p.far, args)
	case "delete":
		p.check(p.world.Delete(p.t.Context(), id(args[0]), cluster.Where{}))
	case "status":
		p.world.SetStatus(id(args[0]), statuses[args[1]])
	case "pod":
		p.pod(args[0], args[1], args[2])
	case "apply":
		p.apply(args)
	case "field":
		p.field(id(args[0]), args[1])
	case "owners":
		p.owners(id(args[0]))
	case "state":
		p.world.SetStatus(id(args[0]), map[string]any{"state": args[1]})
	case "fail":
		p.fail(args)
	case "heal":
		p.mu.Lock()
		p.rules = nil
		p.mu.Unlock()
	case "annotate":
		k, v, _ := strings.Cut(args[1], "=")
		p.world.Edit(id(args[0]), "somebody", func(o object.Object) object.Object {
			return o.WithAnnotations(map[string]string{k: v})
		})
	case "keep":
		p.rest()
		p.stop()
		p.speaks.Controllers = args
		p.start()
	case "offer":
		p.world.SetStatus(id("GitRepository/"+args[0]), map[string]any{"artifact": p.offers.put(args[0], args[1], args[2:])})
	case "publish":
		p.rest()
		p.stop()
		p.publisher = &publisher{p, rest}
		p.start()
	case "withdraw":
		p.world.SetStatus(id("GitRepository/"+args[0]), map[string]any{})
	case "wait":
		d, err := time.ParseDuration(args[0])
		p.check(err)
		p.rest()
		<-time.After(d)
	case "guard":
		p.rest()
		p.stop()
		p.speaks.Guard = true
		p.start()
	case "approve":
		p.rest()
		p.approve(args[0])
	case "config", "secret":
		p.hold(verb, args[0], args[1:])
	case "renders":
		p.renders.Store(true)
	case "restart":
		p.rest()
		p.stop()
		p.start()
	case "lose":
		p.rest()
		p.stop()
		p.check(os.RemoveAll(p.dir))
		p.start()
	case "show":
		p.rest()
		p.show(id(args[0]))
	case "list":
		p.rest()
		p.list()
	default:
		p.t.Fatalf("no such command: %s", line)
	}
}

func (p *play) check(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// id reads "Deployment/web" (in namespace default) or "Namespace/apps".
func id(s string) object.ID {
	kind, name, _ := strings.Cut(s, "/")
	k, known := kinds[kind]
	if !known {
		panic("unknown kind in transcript: " + s)
	}
	ns := k.namespace
	if a, b, ok := strings.Cut(name, "/"); ok {
		ns, name = a, b
	}
	return object.ID{Kind: object.Kind{Group: k.group, Name: kind}, Namespace: ns, Name: name}
}

var kinds = map[string]struct{ group, version, namespace string }{
	"Deployment":               {"apps", "v1", "default"},
	"Job":                      {"batch", "v1", "default"},
	"ConfigMap":                {"", "v1", "default"},
	"Secret":                   {"", "v1", "default"},
	"Service":                  {"", "v1", "default"},
	"Namespace":                {"", "v1", ""},
	"GitRepository":            {"source.toolkit.fluxcd.io", "v1", "flux-system"},
	"Kustomization":            {"kustomize.toolkit.fluxcd.io", "v1", "flux-system"},
	"Widget":                   {"example.com", "v1", "default"},
	"CustomResourceDefinition": {"apiextensions.k8s.io", "v1", ""},
}

func feedSpec(name string) map[string]any {
	return map[string]any{"url": "https://git.example/" + name, "interval": "1m", "ref": map[string]any{"branch": "main"}}
}

func unitSpec(name string) map[string]any {
	return map[string]any{
		"interval": "10m", "retryInterval": "30s", "timeout": "1m", "prune": true, "path": "./" + name,
		"sourceRef": map[string]any{"kind": "GitRepository", "name": "apps"},
	}
}

// put applies a custom resource with a spec changed by key=value arguments.
func (p *play) put(apiVersion, kind, name string, spec func(string) map[string]any, args []string) {
	s := spec(name)
	for _, a := range args {
		k, v, _ := strings.Cut(a, "=")
		s[k] = value(k, v)
	}
	o := object.Of(map[string]any{
		"apiVersion": apiVersion, "kind": kind,
		"metadata": map[string]any{"namespace": "flux-system", "name": name}, "spec": s,
	})
	if _, err := p.world.Apply(p.t.Context(), namespace("flux-system"), cluster.How{Manager: "kubectl"}); err != nil {
		p.t.Fatal(err)
	}
	_, err := p.world.Apply(p.t.Context(), o, cluster.How{Manager: "kubectl", Force: true})
	p.check(err)
}

func namespace(name string) object.Object {
	return object.Of(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}})
}

// value reads a field's value: JSON, the names of dependencies, or a string.
func value(key, v string) any {
	if key == "dependsOn" && !strings.HasPrefix(v, "[") {
		var list []any
		for _, n := range strings.Split(v, ",") {
			list = append(list, map[string]any{"name": n})
		}
		return list
	}
	var out any
	if json.Unmarshal([]byte(v), &out) == nil {
		if f, ok := out.(float64); ok {
			return int64(f)
		}
		return out
	}
	return v
}

var statuses = map[string]map[string]any{
	"healthy": {"observedGeneration": int64(1), "replicas": int64(1), "updatedReplicas": int64(1), "readyReplicas": int64(1), "availableReplicas": int64(1),
		"conditions": []any{map[string]any{"type": "Available", "status": "True"}, map[string]any{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}}},
	"progressing": {"observedGeneration": int64(1)},
	"failed": {"observedGeneration": int64(1),
		"conditions": []any{map[string]any{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "time is up"}}},
	"established": {"acceptedNames": map[string]any{"kind": "Widget", "plural": "widgets"},
		"conditions": []any{map[string]any{"type": "NamesAccepted", "status": "True"}, map[string]any{"type": "Established", "status": "True"}}},
}

func (p *play) edit(c *memory.Cluster, args []string) {
	path, v, _ := strings.Cut(args[1], "=")
	by := "somebody"
	if len(args) == 4 {
		by = args[3]
	}
	c.Edit(id(args[0]), by, func(o object.Object) object.Object {
		if v == "" {
			return o.Without(strings.Split(path, ".")...)
		}
		return o.With(value("", v), strings.Split(path, ".")...)
	})
}

func (p *play) fail(args []string) {
	errs := map[string]error{
		"invalid": fmt.Errorf("%w: spec is wrong", cluster.ErrInvalid),
		"tells":   fmt.Errorf("%w: value \"hunter-the-third\" is wrong", cluster.ErrInvalid),
		"busy":    cluster.ErrBusy, "down": cluster.ErrUnavailable, "conflict": cluster.ErrConflict, "forbidden": cluster.ErrForbidden,
	}
	left := -1
	if len(args) == 4 {
		fmt.Sscan(args[3], &left)
	}
	op, target, err := strings.Replace(args[0], "try", "dry-run apply", 1), args[1], errs[args[2]]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, func(o string, i object.ID) error {
		if o != op || i.Kind.Name+"/"+i.Name != target || left == 0 {
			return nil
		}
		left--
		return err
	})
}

// approve approves what a Kustomization holds.
func (p *play) approve(name string) {
	o, _, err := p.world.Get(p.t.Context(), id("Kustomization/"+name))
	p.check(err)
	_, digest, _ := strings.Cut(summary(o), "approve=")
	digest, _, _ = strings.Cut(digest, ")")
	p.do("annotate Kustomization/" + name + " sane-gitops.io/approve=" + digest)
}

var approvals = regexp.MustCompile("approve=sha256:[0-9a-f]+")

func (p *play) show(id object.ID) {
	o, ok, err := p.world.Get(p.t.Context(), id)
	p.check(err)
	if !ok {
		p.say("%s: not there", id)
		return
	}
	st, _ := o.Get("status")
	data, err := json.MarshalIndent(st, "", "  ")
	p.check(err)
	p.say("%s", hideTimes(string(data)))
}

var times = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`)

func hideTimes(s string) string { return times.ReplaceAllString(s, "TIME") }

func (p *play) list() {
	p.listOf(p.world, "")
	p.listOf(p.far, " in far")
}

func (p *play) listOf(c *memory.Cluster, where string) {
	for _, o := range c.Objects() {
		k := o.ID().Kind
		if strings.HasSuffix(k.Group, "toolkit.fluxcd.io") || k.Name == "Namespace" && o.Name() != "apps" || o.Namespace() == "flux-system" {
			continue
		}
		p.say("there   %s%s", o.ID(), where)
	}
}

// A recorder says what is written to a cluster, and what is asked about single
// objects.
type recorder struct {
	cluster.Cluster
	p    *play
	note string // about whose requests they are
}

func (r *recorder) As(user string) cluster.Cluster {
	if user == "" {
		return r
	}
	return &recorder{r.Cluster.As(user), r.p, r.note + " as " + user}
}

// remote connects to the cluster that a kubeconfig names.
func (p *play) remote(kubeconfig string) (cluster.Cluster, error) {
	if kubeconfig != "far" {
		return nil, errors.New("the kubeconfig is not valid")
	}
	return &recorder{p.far, p, " in far"}, nil
}

// kubeconfig puts a Secret with a kubeconfig.
func (p *play) kubeconfig(secret, text string) {
	_, err := p.world.Apply(p.t.Context(), object.Of(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"namespace": "flux-system", "name": secret},
		"data": map[string]any{"value": base64.StdEncoding.EncodeToString([]byte(text))},
	}), cluster.How{Manager: "kubectl", Force: true})
	p.check(err)
}

func (r *recorder) tell(op string, id object.ID, how cluster.How, err error) {
	if how.DryRun {
		op = "try"
	}
	failed := ""
	if err != nil {
		failed = " refused"
	}
	if op != "get" || id.Namespace != "flux-system" || !r.p.renders.Load() {
		r.p.say("%-7s %s%s%s", op, id, failed, r.note)
	}
	r.p.settle()
}

func (r *recorder) Get(ctx context.Context, id object.ID) (object.Object, bool, error) {
	o, ok, err := r.Cluster.Get(ctx, id)
	if id.Kind.Name != "Secret" { // when that is, is not the same each time
		r.tell("get", id, cluster.How{}, err)
	}
	return o, ok, err
}

func (r *recorder) List(ctx context.Context, sel cluster.Selection) iter.Seq2[object.Object, error] {
	r.p.say("list    %s in %s of %s", sel.Kind, sel.Namespace, sel.Labels)
	return r.Cluster.List(ctx, sel)
}

func (r *recorder) Apply(ctx context.Context, o object.Object, how cluster.How) (object.Object, error) {
	got, err := r.p.down.during(how.DryRun, func() (object.Object, error) { return r.Cluster.Apply(ctx, o, how) })
	r.tell("apply", o.ID(), how, err)
	return got, err
}

func (r *recorder) Delete(ctx context.Context, id object.ID, w cluster.Where) error {
	_, err := r.p.down.during(false, func() (object.Object, error) { return object.Object{}, r.Cluster.Delete(ctx, id, w) })
	r.tell("delete", id, cluster.How{}, err)
	return err
}

func (r *recorder) Patch(ctx context.Context, id object.ID, patch cluster.Patch, how cluster.How) (object.Object, error) {
	o, err := r.p.down.during(how.DryRun, func() (object.Object, error) { return r.Cluster.Patch(ctx, id, patch, how) })
	defer r.p.settle()
	switch {
	case how.Subresource == "status" && err == nil:
		whole, _, _ := r.Cluster.Get(ctx, id)
		r.p.say("status  %s/%s %s", id.Kind.Name, id.Name, summary(whole))
	case how.Subresource == "status":
		r.p.say("status  %s/%s refused", id.Kind.Name, id.Name)
	default:
		r.p.say("patch   %s", id)
	}
	return o, err
}

func (r *recorder) Watch(ctx context.Context, sel cluster.Selection) iter.Seq2[cluster.Change, error] {
	return r.Cluster.Watch(ctx, sel)
}

// summary returns the conditions of an object in a line.
func summary(o object.Object) string {
	v, _ := o.Get("status", "conditions")
	list, _ := v.([]any)
	var b bytes.Buffer
	for _, c := range list {
		m := c.(map[string]any)
		if m["type"] == "ArtifactInStorage" {
			continue
		}
		fmt.Fprintf(&b, "%v=%v %v", m["type"], m["status"], m["reason"])
		if m["type"] == "Ready" {
			fmt.Fprintf(&b, " (%v)", oneLine(fmt.Sprint(m["message"])))
		}
		b.WriteString("; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

// branches is a source.Source in memory: a branch main for each URL, whose
// revisions are numbered.
type branches struct {
	mu     sync.Mutex
	trees  map[string][]fstest.MapFS // guarded by mu; by the last element of the URL
	broken map[string]error          // guarded by mu
}

// commit adds a revision: FILE=OBJECTS with objects such as
// "Deployment/web,ConfigMap/x@data.a=b", FILE=- to remove one, or FILE="text".
func (b *branches) commit(name string, files []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	tree := fstest.MapFS{}
	if all := b.trees[name]; len(all) > 0 {
		for k, v := range all[len(all)-1] {
			tree[k] = v
		}
	}
	for _, f := range files {
		path, content, _ := strings.Cut(f, "=")
		if content == "-" {
			delete(tree, path)
			continue
		}
		tree[path] = &fstest.MapFile{Data: []byte(manifest(content))}
	}
	b.trees[name] = append(b.trees[name], tree)
}

// manifest returns YAML documents for "Deployment/web@spec.replicas=2,…", or
// the text between quotes as it is.
func manifest(spec string) string {
	if text, ok := strings.CutPrefix(spec, "'"); ok {
		return strings.NewReplacer("_", " ", "|", "\n").Replace(strings.TrimSuffix(text, "'")) + "\n"
	}
	var out strings.Builder
	for _, s := range strings.Split(spec, ",") {
		parts := strings.Split(s, "@")
		i := id(parts[0])
		k := kinds[i.Kind.Name]
		version := k.version
		if k.group != "" {
			version = k.group + "/" + version
		}
		o := object.Of(map[string]any{"apiVersion": version, "kind": i.Kind.Name, "metadata": map[string]any{"name": i.Name}})
		if i.Namespace != "" {
			o = o.With(i.Namespace, "metadata", "namespace")
		}
		if body, ok := bodies[i.Kind.Name]; ok {
			o = o.With(body(i.Name), "spec")
		}
		for _, p := range parts[1:] {
			path, v, _ := strings.Cut(p, "=")
			o = o.With(value("", v), strings.Split(path, ".")...)
		}
		fmt.Fprintf(&out, "---\n%s\n", o.JSON())
	}
	return out.String()
}

var bodies = map[string]func(name string) map[string]any{
	"Deployment": func(name string) map[string]any {
		labels := map[string]any{"app": name}
		return map[string]any{
			"replicas": int64(1),
			"selector": map[string]any{"matchLabels": labels},
			"template": map[string]any{
				"metadata": map[string]any{"labels": labels},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "c", "image": name + ":1"}}},
			},
		}
	},
	"CustomResourceDefinition": func(string) map[string]any {
		return map[string]any{
			"group": "example.com", "scope": "Namespaced",
			"names": map[string]any{"kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}},
		}
	},
}

func (b *branches) fail(name, message string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken[name] = nil
	if message != "" {
		b.broken[name] = fmt.Errorf("git: %w: %s", source.ErrNetwork, message)
	}
}

func (b *branches) Resolve(_ context.Context, at source.Remote, _ source.Ref) (source.Revision, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	name := filepath.Base(at.URL)
	if err := b.broken[name]; err != nil {
		return source.Revision{}, err
	}
	n := len(b.trees[name])
	if n == 0 {
		return source.Revision{}, fmt.Errorf("git: %s: %w", at.URL, source.ErrEmpty)
	}
	return source.Revision{Name: fmt.Sprintf("main@sha1:%d", n), Digest: digest.Digest(fmt.Sprintf("sha1:%d", n))}, nil
}

func (b *branches) Fetch(_ context.Context, at source.Remote, _ source.Ref, rev source.Revision) (*source.Snapshot, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var n int
	fmt.Sscanf(string(rev.Digest), "sha1:%d", &n)
	all := b.trees[filepath.Base(at.URL)]
	if n < 1 || n > len(all) {
		return nil, errors.New("no such revision")
	}
	snap := &source.Snapshot{Revision: rev, Tree: all[n-1], Commit: source.Commit{Subject: fmt.Sprintf("commit %d", n)}}
	if at.Proof != nil {
		return snap, prove(snap, *at.Proof)
	}
	return snap, nil
}

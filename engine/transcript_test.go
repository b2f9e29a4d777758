package engine_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
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
	selected  func(map[string]string) bool
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
		Selected:  p.selected,
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
	verb := "event"
	switch {
	case e.Minor && e.Facts.Kind == "":
		return
	case e.Minor:
		verb = "aside" // which only who keeps account is told
	}
	undid := ""
	for _, c := range e.Facts.Changes {
		if c.Undid {
			undid += " (undid " + cmp.Or(c.By, "somebody") + ")"
		}
	}
	p.say("%-7s %s/%s %s %s: %s%s", verb, e.About.Kind, e.About.Name, e.Severity, e.Reason, hideTimes(oneLine(e.Message)), undid)
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
//	fail OP OBJECT invalid|busy|down|forbidden|nokind [N]   the cluster refuses, N times; see memory.Cluster.Fail; "try" is a dry run
//	confine NAMESPACE...          nothing may be watched but in these
//	heal                          the cluster refuses nothing any more
//	annotate OBJECT KEY=VALUE
//	suspend OBJECT BY [DURATION [WHY]]   by a field manager, and until then
//	resume OBJECT BY
//	keep CONTROLLERS...           restart, and do the work of these of Flux's controllers only
//	shard KEY=VALUE               restart, and keep what bears this label only
//	label OBJECT KEY=VALUE
//	tell UNIT REVISION [IDS...]   others have brought it there; IDS are as in an inventory
//	offer FEED REVISION FILE=OBJECTS...   somebody else has a tarball for it; without files it is not there
//	withdraw FEED                 somebody else has none any more
//	publish [MESSAGE]             restart, and let others have what feeds hold; with a message that fails
//	wait DURATION
//	gate NAME                     restart with one of Flux's feature gates
//	guard                         restarts the engine so that it holds surprising deletions
//	approve NAME                  approves what a Kustomization holds
//	config NAME KEY=VALUE...      a ConfigMap beside the units
//	secret NAME KEY=VALUE...      a Secret beside the units
//	renders                       from now on, tell what is rendered anew, and not what is read beside the units
//	restart [COMMAND]             and do that meanwhile
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
	case "confine":
		p.confine(args)
	case "heal":
		p.mu.Lock()
		p.rules = nil
		p.mu.Unlock()
	case "annotate":
		k, v, _ := strings.Cut(args[1], "=")
		p.world.Edit(id(args[0]), "somebody", func(o object.Object) object.Object {
			return o.WithAnnotations(map[string]string{k: v})
		})
	case "suspend", "resume":
		p.pause(id(args[0]), verb == "suspend", args[1:])
	case "keep":
		p.rest()
		p.stop()
		p.speaks.Controllers = args
		p.start()
	case "shard":
		p.rest()
		p.stop()
		k, v, _ := strings.Cut(args[0], "=")
		p.selected = func(labels map[string]string) bool { return labels[k] == v }
		p.start()
	case "label":
		k, v, _ := strings.Cut(args[1], "=")
		p.world.Edit(id(args[0]), "somebody", func(o object.Object) object.Object {
			return o.WithLabels(map[string]string{k: v})
		})
	case "tell":
		p.tell(id("Kustomization/"+args[0]), args[1], args[2:])
	case "offer":
		p.world.SetStatus(id("GitRepository/"+args[0]), map[string]any{"artifact": p.offers.put(args[0], args[1], args[2:])})
	case "publish":
		p.rest()
		p.stop()
		p.publisher, p.speaks.ArtifactBase = &publisher{p, rest}, "http://us"
		p.start()
	case "withdraw":
		p.world.SetStatus(id("GitRepository/"+args[0]), map[string]any{})
	case "wait":
		d, err := time.ParseDuration(args[0])
		p.check(err)
		p.rest()
		<-time.After(d)
	case "gate":
		p.rest()
		p.stop()
		p.speaks.Gates = map[string]bool{args[0]: true}
		p.start()
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
		if rest != "" {
			p.do(rest)
		}
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

package flux_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/inventory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// No object makes the dialect panic, and what it is told twice it says once.
func FuzzRead(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		data, _ := os.ReadFile(file)
		for _, part := range txtar.Parse(data).Files {
			objects, err := object.Parse(part.Data)
			if part.Name == "objects" && err == nil {
				f.Add(objects[0].JSON())
			}
		}
	}
	now := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	d := flux.New(flux.Config{NoCrossNamespace: true})
	other := flux.New(flux.Config{Controllers: []string{"kustomize"}, Gates: map[string]bool{"ExternalArtifact": true}})
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := object.FromJSON(data)
		if err != nil {
			return
		}
		if other.Foreign(o.ID().Kind) {
			offered(t, other, o)
		}
		d.Exempt(o)
		d.RecallFeed(o)
		asked, err := d.Read(o, objects{})
		if err != nil {
			return
		}
		for _, u := range asked.Units {
			st := d.RecallUnit(o)
			told, _ := d.TellUnit(o, u, unit.Status{}, st, now)
			again, events := d.TellUnit(told, u, st, st, now.Add(time.Hour))
			if !bytes.Equal(told.JSON(), again.JSON()) || len(events) > 0 {
				t.Errorf("told %s\nthen %s\n%v", told.JSON(), again.JSON(), events)
			}
		}
		for _, feed := range asked.Feeds {
			st := d.RecallFeed(o)
			told, _ := d.TellFeed(o, feed, source.Status{}, st, now)
			again, events := d.TellFeed(told, feed, st, st, now.Add(time.Hour))
			if !bytes.Equal(told.JSON(), again.JSON()) || len(events) > 0 {
				t.Errorf("told %s\nthen %s\n%v", told.JSON(), again.JSON(), events)
			}
		}
	})
}

// Whatever a status says that revisions were is what they are said to have been,
// and telling it again changes nothing.
func FuzzRecallRevision(f *testing.F) {
	sum := strings.Repeat("1f", 20)
	for _, name := range []string{
		"main@sha1:" + sum, "sha1:" + sum, "refs/pull/1/head@sha1:" + sum, "refs/tags/v1^{}@sha1:" + sum, "v1@sha256:" + sum + strings.Repeat("0", 24),
		"sha256:" + sum, "main/" + sum, "a@b@sha1:x", "@", "@@", "", "--upload-pack=x@sha1:y", "\x00@\n", "\xff@sha1:\xff",
	} {
		f.Add(name, "main@sha1:"+sum)
	}
	now := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	d := flux.New(flux.Config{})
	f.Fuzz(func(t *testing.T, name, other string) {
		is := func(what string, r source.Revision, want string) {
			if r.Name != want || r.IsZero() != (want == "") || !strings.HasSuffix(want, string(r.Digest)) {
				t.Errorf("%s is %+v, want %q", what, r, want)
			}
		}
		at := func(kind string, group string, spec, status map[string]any) object.Object {
			status["conditions"] = []any{map[string]any{"type": "Ready", "status": "True", "reason": "Succeeded", "message": "", "lastTransitionTime": "2026-09-01T12:00:00Z"}}
			return object.Of(map[string]any{
				"apiVersion": group + ".toolkit.fluxcd.io/v1", "kind": kind, "metadata": map[string]any{"name": "x", "namespace": "y"}, "spec": spec, "status": status,
			})
		}
		ks := at("Kustomization", "kustomize", map[string]any{"interval": "1m", "prune": true, "sourceRef": map[string]any{"kind": "GitRepository", "name": "x"}},
			map[string]any{"lastAppliedRevision": name, "lastAttemptedRevision": other})
		st := d.RecallUnit(ks)
		is("what was applied", st.Applied, name)
		is("what was attempted", st.Attempted, other)
		asked, err := d.Read(ks, objects{})
		must(t, err)
		for _, u := range asked.Units {
			told, _ := d.TellUnit(ks, u, st, st, now)
			if again := d.RecallUnit(told); again.Applied != st.Applied || again.Attempted != st.Attempted {
				t.Errorf("%s is told as %s", ks.JSON(), told.JSON())
			}
		}
		repo := at("GitRepository", "source", map[string]any{"interval": "1m", "url": "https://example.com/x"},
			map[string]any{"artifact": map[string]any{"revision": name, "digest": other}})
		is("the artifact", d.RecallFeed(repo).Revision, name)
		asked, err = d.Read(repo, objects{})
		must(t, err)
		for _, feed := range asked.Feeds {
			was := d.RecallFeed(repo)
			told, _ := d.TellFeed(repo, feed, was, was, now)
			if again := d.RecallFeed(told); again.Revision != was.Revision {
				t.Errorf("%s is told as %s", repo.JSON(), told.JSON())
			}
		}
		repo = repo.With([]any{map[string]any{"revision": other, "digest": name}}, "status", "includedArtifacts")
		is("its own part", d.RecallFeed(repo).Own, name)
	})
}

// offered reads what somebody else's status offers: it can be asked for, or it
// is said why not.
func offered(t *testing.T, d dialect.Dialect, o object.Object) {
	asked, err := d.Read(o, objects{})
	if err != nil {
		return
	}
	feed := asked.Feeds[0]
	if there := feed.Remote.URL != "" && feed.Ref.Name != "" && feed.Ref.Digest != ""; there == (feed.Err != nil) {
		t.Errorf("it is at %q, %+v: %v", feed.Remote.URL, feed.Ref, feed.Err)
	}
}

// Whatever becomes of a unit: told twice it is said once, and what must outlive
// a restart is recalled.
func TestUnitProperties(t *testing.T) {
	d := flux.New(flux.Config{})
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		u := unit.Unit{
			Name: unit.Name{Kind: flux.Kustomization, Namespace: "apps", Name: "web"}, Generation: 1,
			Wait: r.IntN(2) == 0, Source: source.FeedName{Kind: "GitRepository", Name: "apps"},
		}
		o := object.Of(map[string]any{
			"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
			"metadata": map[string]any{"name": "web", "namespace": "apps"},
		})
		was, now := unit.Status{}, time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
		for step := range 6 {
			now = now.Add(time.Minute)
			st := anyStatus(r, now)
			told, _ := d.TellUnit(o, u, was, st, now)
			again, events := d.TellUnit(told, u, st, st, now.Add(time.Second))
			if !bytes.Equal(told.JSON(), again.JSON()) || len(events) > 0 {
				t.Fatalf("seed %d step %d: told %s\nthen %s\n%v", seed, step, told.JSON(), again.JSON(), events)
			}
			if got, want := facts(d.RecallUnit(told)), facts(st); !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d step %d: recalled %+v\nwant %+v", seed, step, got, want)
			}
			o, was = told, st
		}
	}
}

var phases = []unit.Phase{unit.Admitting, unit.Fetching, unit.Rendering, unit.Planning, unit.Applying, unit.Observing, unit.Pruning}

func anyStatus(r *rand.Rand, now time.Time) unit.Status {
	pick := func(n int) string { return fmt.Sprintf("%c%d", 'a'+r.IntN(n), r.IntN(2)) }
	rev := revision("main@sha1:" + pick(3))
	st := unit.Status{
		Phase: unit.Done, Generation: 1 + r.Int64N(3), Attempted: rev, Applied: rev,
		Rendered: digest.Digest("sha256:" + pick(3)), Token: pick(2), Owned: inventory.Set{},
		Began: now.Add(-time.Second), Ended: now,
	}
	for range r.IntN(4) {
		st.Owned[id("Role.rbac.authorization.k8s.io/apps/"+strings.Repeat("x_:"[r.IntN(3):], 2)+pick(3)+"y")] = "v1"
	}
	if r.IntN(2) == 0 {
		st.Changes = []unit.Change{{ID: id("Service/apps/web"), Done: []string{"created", "unchanged", "deleted"}[r.IntN(3)]}}
	}
	if r.IntN(2) == 0 {
		st.Phase = phases[r.IntN(len(phases))]
		st.Err = anyError(r)
		st.Applied = revision("main@sha1:old")
	}
	return st
}

func anyError(r *rand.Rand) error {
	is := []error{nil, unit.ErrAccess, render.ErrNoPath, unit.ErrHealth, unit.ErrCanceled, unit.ErrDependencies}[r.IntN(6)]
	err := fmt.Errorf("it failed%w", silent{is})
	if r.IntN(2) == 0 {
		err = fault.Input(err)
	}
	return err
}

// facts returns what must outlive a restart.
func facts(st unit.Status) []any {
	words := st.Waits.What
	if st.Err != nil {
		words = st.Err.Error()
	}
	access := errors.Is(st.Err, unit.ErrAccess)
	return []any{st.Generation, st.Attempted.Name, st.Applied.Name, st.Owned, st.Token, st.Ready(), words, access, slices.Contains(phases, st.Phase)}
}

func TestExempt(t *testing.T) {
	d := flux.New(flux.Config{})
	for _, tt := range []struct {
		where, key, value string
		want              unit.Exemption
	}{
		{"labels", "reconcile", "disabled", unit.Exemption{Ignore: true}},
		{"annotations", "reconcile", "Disabled", unit.Exemption{Ignore: true}},
		{"annotations", "reconcile", "enabled", unit.Exemption{}},
		{"annotations", "ssa", "Ignore", unit.Exemption{Ignore: true}},
		{"labels", "ssa", "IfNotPresent", unit.Exemption{Once: true}},
		{"annotations", "ssa", "merge", unit.Exemption{Merge: true}},
		{"annotations", "prune", "disabled", unit.Exemption{Keep: true}},
		{"labels", "force", "enabled", unit.Exemption{Force: true}},
		{"annotations", "force", "disabled", unit.Exemption{}},
	} {
		o := object.Object{}.With("kustomize", "kind").With(tt.value, "metadata", tt.where, "kustomize.toolkit.fluxcd.io/"+tt.key)
		if got := d.Exempt(o); got != tt.want {
			t.Errorf("%s %s=%s: %+v, want %+v", tt.where, tt.key, tt.value, got, tt.want)
		}
	}
}

func TestOwner(t *testing.T) {
	d := flux.New(flux.Config{})
	labels := map[string]string{"kustomize.toolkit.fluxcd.io/name": "web", "kustomize.toolkit.fluxcd.io/namespace": "apps"}
	want := unit.Name{Kind: flux.Kustomization, Namespace: "apps", Name: "web"}
	if got, ok := d.Owner(labels); got != want || !ok {
		t.Errorf("Owner = %v, %v", got, ok)
	}
	delete(labels, "kustomize.toolkit.fluxcd.io/name")
	if got, ok := d.Owner(labels); ok {
		t.Errorf("Owner without a name = %v", got)
	}
}

// A reader that can't answer is Read's error, not the feed's.
func TestReaderFails(t *testing.T) {
	o, _ := object.FromJSON([]byte(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":"a","namespace":"b"},
		"spec":{"url":"https://example.com/x","interval":"1m","secretRef":{"name":"s"}}}`))
	down := errors.New("down")
	if _, err := flux.New(flux.Config{}).Read(o, broken{down}); !errors.Is(err, down) {
		t.Errorf("Read = %v, want %v", err, down)
	}
}

type broken struct{ err error }

func (b broken) Get(object.ID) (object.Object, bool, error) { return object.Object{}, false, b.err }

// A message is never longer than a condition may hold, and is cut between
// characters.
func TestLongMessage(t *testing.T) {
	o := object.Object{}.With("kustomize.toolkit.fluxcd.io/v1", "apiVersion").With("Kustomization", "kind")
	st := unit.Status{Phase: unit.Applying, Err: errors.New(strings.Repeat("ä", 1<<15))}
	told, events := flux.New(flux.Config{}).TellUnit(o, unit.Unit{}, unit.Status{}, st, time.Now())
	if n := len(events[0].Message); n > 20000 || n < 19990 {
		t.Errorf("the event's message has %d bytes", n)
	}
	if n := len(statusOf(told)); n > 45000 || strings.ContainsRune(string(statusOf(told)), '\uFFFD') {
		t.Errorf("the status has %d bytes: %.100s", n, statusOf(told))
	}
	if again := flux.New(flux.Config{}).RecallUnit(told).Err; again == nil {
		t.Error("the error was not recalled")
	}
}

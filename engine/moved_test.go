package engine

import (
	"context"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/trace"
	"github.com/sane-gitops/sane/unit"
)

// A sketch is a tree of which nothing is known but what differs from the one
// before.
type sketch struct{ differs map[string]bool }

func (sketch) Open(name string) (fs.File, error)              { return nil, fs.ErrNotExist }
func (sketch) Answer(trace.Op, string) (digest.Digest, error) { return "same", nil }
func (s *sketch) Diff(fs.FS, int) (map[string]bool, bool)     { return s.differs, true }

// A reading reads the files that units of the benchmark are made of.
type reading struct{}

func (reading) Render(_ context.Context, in render.Input) ([]object.Object, error) {
	for _, file := range []string{"kustomization.yaml", "deployment.yaml", "serviceaccount.yaml", "service.yaml", "ingress.yaml"} {
		fs.ReadFile(in.Tree, in.Recipe.Dir+"/"+file) //nolint:errcheck // that it was asked for is enough
	}
	return nil, nil
}

// many returns an engine with n units of one feed, all ready, and what becomes of
// that feed by a commit that touches one of them.
func many(t testing.TB, n int) (e *Engine, was feed, now made, touched unit.Name) {
	k, err := render.NewKeeper(reading{}, render.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	if e, err = New(Config{Cluster: memory.New(), Renderer: k, Dialect: flux.New(flux.Config{})}); err != nil {
		t.Fatal(err)
	}
	old, at := &source.Snapshot{Tree: &sketch{}}, func(i int) string { return fmt.Sprintf("units/%05d", i) }
	was = feed{want: source.Feed{Name: source.FeedName{Kind: "GitRepository", Namespace: "flux-system", Name: "apps"}}, made: made{tree: old}}
	f := was
	e.feeds[was.want.Name] = &f
	for i := range n {
		u := unit.Unit{Name: unit.Name{Kind: flux.Kustomization, Namespace: "flux-system", Name: fmt.Sprintf("unit-%05d", i)}, Source: was.want.Name}
		u.Recipe.Dir = at(i)
		if _, _, err := k.Render(t.Context(), u.Name.String(), render.Input{Tree: old.Tree, Recipe: u.Recipe}); err != nil {
			t.Fatal(err)
		}
		e.units[u.Name] = &keeping{standing: standing{want: u, status: &unit.Status{Phase: unit.Done}}}
		e.users.add(u.Source, u.Name)
		touched = u.Name
	}
	file := at(n-1) + "/deployment.yaml"
	return e, was, made{tree: &source.Snapshot{Tree: &sketch{map[string]bool{file: true}}}}, touched
}

// next returns what is handed out next.
func next(t testing.TB, e *Engine) unit.Name {
	name, ok := e.unitQ.Next(t.Context())
	if !ok {
		t.Fatal("nothing is handed out")
	}
	return name
}

// Whom a commit concerns goes first, and everybody has a turn.
func TestConcernedFirst(t *testing.T) {
	const n = 50
	e, was, now, touched := many(t, n)
	failed := unit.Name{Kind: flux.Kustomization, Namespace: "flux-system", Name: "unit-00030"}
	e.units[failed].status = &unit.Status{Phase: unit.Applying}
	lost := unit.Name{Kind: flux.Kustomization, Namespace: "flux-system", Name: "unit-00040"}
	e.c.Renderer.Forget(lost.String())
	e.moved(was.want.Name, was, source.Status{}, now, time.Time{})
	seen := make(map[unit.Name]bool)
	for i, want := range []unit.Name{touched, failed, lost} {
		got := next(t, e)
		seen[got] = true
		if got != want {
			t.Errorf("%d: %s is handed out, want %s", i, got, want)
		}
		e.unitQ.Done(got, time.Time{}, unchanged)
	}
	for range n - 3 {
		got := next(t, e)
		seen[got] = true
		e.unitQ.Done(got, time.Time{}, unchanged)
	}
	if len(seen) != n {
		t.Errorf("%d of %d have had a turn", len(seen), n)
	}
}

// BenchmarkMoved measures how long it takes from a new tree until the one unit
// that it concerns is handed out, and until all others are queued.
func BenchmarkMoved(b *testing.B) {
	for _, n := range []int{100, 1000, 3000, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			e, was, now, touched := many(b, n)
			var first time.Duration
			for b.Loop() {
				handed := make(chan time.Duration)
				began := time.Now()
				go func() {
					name, _ := e.unitQ.Next(b.Context())
					d := time.Since(began)
					if name != touched {
						panic(name)
					}
					e.unitQ.Done(name, time.Time{}, unchanged)
					handed <- d
				}()
				e.moved(was.want.Name, was, source.Status{}, now, time.Time{})
				first += <-handed
				b.StopTimer()
				for e.unitQ.Len() > 0 {
					e.unitQ.Done(next(b, e), time.Time{}, unchanged)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(first.Nanoseconds())/float64(b.N), "ns/first")
		})
	}
}

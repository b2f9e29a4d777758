package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// TestCrash ends the engine at each of its writes in turn, once before and once
// after the write has its effect, while one revision is brought up after
// another. Whenever it was, a new engine must get to the same end, and nothing
// must be left when the unit is deleted, but for what is not its own.
func TestCrash(t *testing.T) {
	const most = 100
	for _, when := range []string{"before", "after"} {
		for n := 1; ; n++ {
			if n == most {
				t.Fatalf("still writing after %d writes", most)
			}
			crashed := false
			synctest.Test(t, func(t *testing.T) { crashed = crash(t, n, when) })
			if !crashed {
				if n < 10 {
					t.Fatalf("only %d writes: the test does not test", n)
				}
				break
			}
		}
	}
}

// crash plays the story with a crash at the nth write and reports whether there
// was one.
func crash(t *testing.T, n int, when string) (crashed bool) {
	p := newPlay(t)
	down := &downfall{left: n, after: when == "after"}
	p.down = down
	p.start()
	defer func() { p.stop() }()
	story := [][]string{
		{"feed apps", "unit web"},
		{"commit apps web/ns.yaml=Namespace/apps web/a.yaml=ConfigMap/apps/a,ConfigMap/b web/w.yaml=Deployment/w"},
		{"commit apps web/a.yaml=ConfigMap/apps/a2,ConfigMap/b@data={\"x\":\"y\"} web/w.yaml=-"},
	}
	if _, err := p.world.Apply(t.Context(), object.Of(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "foreign", "namespace": "default"},
	}), cluster.How{Manager: "somebody"}); err != nil {
		t.Fatal(err)
	}
	for _, commands := range story {
		for _, c := range commands {
			p.do(c)
		}
		p.revive(down)
	}
	name := fmt.Sprintf("crash %s write %d", when, n)
	want := "ConfigMap/apps/a2 ConfigMap/default/b ConfigMap/default/foreign Namespace/apps"
	if got := p.there(); got != want {
		t.Errorf("%s: there is %s; want %s", name, got, want)
	}
	if got, want := p.owned(), "apps_a2__ConfigMap default_b__ConfigMap _apps__Namespace"; got != want {
		t.Errorf("%s: inventory %q; want %q", name, got, want)
	}
	p.do("delete Kustomization/web")
	p.revive(down)
	if got, want := p.there(), "ConfigMap/default/foreign"; got != want {
		t.Errorf("%s: after deletion there is %s; want %s", name, got, want)
	}
	if _, there, _ := p.world.Get(t.Context(), id("Kustomization/web")); there {
		t.Errorf("%s: the Kustomization is still there", name)
	}
	return down.happened()
}

// A downfall is a crash of the program at one of its writes.
type downfall struct {
	after bool // the write has its effect

	mu    sync.Mutex
	left  int  // guarded by mu; writes until it happens
	down  bool // guarded by mu; it has happened, and nobody has started a new engine
	ended bool // guarded by mu; it has happened
}

func (d *downfall) happened() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ended
}

var errDown = errors.New("the program has ended")

// during makes a request, unless the program has ended or ends with it.
func (d *downfall) during(dry bool, request func() (object.Object, error)) (object.Object, error) {
	if d == nil {
		return request()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down {
		return object.Object{}, errDown
	}
	if !dry && !d.ended {
		if d.left--; d.left == 0 {
			d.down, d.ended = true, true
			if d.after {
				request() //nolint:errcheck // nobody is there to hear
			}
			return object.Object{}, errDown
		}
	}
	return request()
}

// revive lets the engine work, starts a new one if it has crashed, and lets
// that work.
func (p *play) revive(d *downfall) {
	<-time.After(2 * time.Minute)
	d.mu.Lock()
	was := d.down
	d.mu.Unlock()
	if !was {
		return
	}
	p.stop()
	d.mu.Lock()
	d.down = false
	d.mu.Unlock()
	p.start()
	<-time.After(2 * time.Minute)
}

// there returns all objects but custom resources.
func (p *play) there() string {
	var names []string
	for _, o := range p.world.Objects() {
		k := o.ID().Kind
		if strings.HasSuffix(k.Group, "toolkit.fluxcd.io") || k.Name == "Namespace" && o.Name() != "apps" {
			continue
		}
		names = append(names, o.ID().String())
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// owned returns the ids in the unit's inventory.
func (p *play) owned() string {
	o, _, err := p.world.Get(p.t.Context(), id("Kustomization/web"))
	p.check(err)
	v, _ := o.Get("status", "inventory", "entries")
	list, _ := v.([]any)
	var ids []string
	for _, e := range list {
		ids = append(ids, fmt.Sprint(e.(map[string]any)["id"]))
	}
	return strings.Join(ids, " ")
}

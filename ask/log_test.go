package ask

import (
	"slices"
	"testing"

	"github.com/sane-gitops/sane/engine"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// A reader of a few names, of a unit called "kept".
type readsOf struct {
	engine.Renderer
	names []string
}

func (r readsOf) Kept(key string) bool { return key == (unit.Name{Name: "kept"}).String() }

func (r readsOf) Touched(names map[string]bool) map[string]bool {
	touched := slices.ContainsFunc(r.names, func(n string) bool { return names[n] })
	return map[string]bool{unit.Name{Name: "kept"}.String(): touched}
}

func TestConcerns(t *testing.T) {
	entry := func(changes ...source.Change) source.Entry { return source.Entry{Changes: changes} }
	cut := entry(source.Change{Verb: source.Modified, Path: "z"})
	cut.Cut = true
	p := (&Desk{}).Read(At{})
	p.gear, p.keep = &Gear{Renderer: readsOf{names: []string{"base/a.yaml", "apps", "apps/web"}}}, new(engine.Engine)
	for _, tt := range []struct {
		name      string
		unit      string
		entry     source.Entry
		yes, sure bool
	}{
		{"a file that it reads", "kept", entry(source.Change{Verb: source.Modified, Path: "base/a.yaml"}), true, true},
		{"a file that it does not", "kept", entry(source.Change{Verb: source.Modified, Path: "apps/web/README"}), false, true},
		{"a file that is new where it looked", "kept", entry(source.Change{Verb: source.Added, Path: "apps/web/b.yaml"}), true, true},
		{"a directory that is new where it looked", "kept", entry(source.Change{Verb: source.Added, Path: "apps/new/b.yaml"}), true, true},
		{"a file that went from where it looked", "kept", entry(source.Change{Verb: source.Renamed, Path: "x", From: "apps/web/b.yaml"}), true, true},
		{"nothing", "kept", entry(), false, true},
		{"more than is known", "kept", cut, false, false},
		{"below the path of one that nobody has rendered", "new", entry(source.Change{Verb: source.Modified, Path: "apps/web/x/y"}), true, false},
		{"beside its path", "new", entry(source.Change{Verb: source.Modified, Path: "apps/website"}), false, false},
		{"from below its path", "new", entry(source.Change{Verb: source.Renamed, Path: "x", From: "apps/web/y"}), true, false},
	} {
		u := unit.Unit{Name: unit.Name{Name: tt.unit}, Recipe: render.Recipe{Dir: "apps/web"}}
		if yes, sure := p.Concerns(tt.entry)(u); yes != tt.yes || sure != tt.sure {
			t.Errorf("%s: %v, sure: %v", tt.name, yes, sure)
		}
	}
	if yes, _ := p.Concerns(cut)(unit.Unit{Recipe: render.Recipe{Dir: "."}}); !yes {
		t.Error("what lies anywhere is not below the root")
	}
}

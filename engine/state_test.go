package engine

import (
	"strings"
	"testing"

	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
)

// What is kept of a custom resource gives it back, and is small where it is as
// most are.
func TestStates(t *testing.T) {
	e, err := New(Config{Cluster: memory.New(), Renderer: new(render.Keeper), Dialect: flux.New(flux.Config{})})
	if err != nil {
		t.Fatal(err)
	}
	usual := e.c.Dialect.Sample().With("apps", "metadata", "name").With("7f3c2d60-8f6c-4f16-9b3f-6c9c7f3e2d11", "metadata", "uid")
	for _, tt := range []struct {
		name string
		o    object.Object
		most int
	}{
		{"as most are", usual, 200},
		{"long", usual.With(strings.Repeat("0123456789abcdef", 10_000), "spec", "path"), 20_000},
		{"of another kind", object.Of(map[string]any{"kind": "Bucket", "metadata": map[string]any{"name": "b"}}), 100},
	} {
		s := e.stateOf(tt.o.With([]any{"x"}, "metadata", "managedFields"))
		if len(s.data) > tt.most {
			t.Errorf("%s: %d bytes are kept, want %d at the most", tt.name, len(s.data), tt.most)
		}
		if got := e.unpack(s); string(got.JSON()) != string(tt.o.JSON()) {
			t.Errorf("%s: it was %s, and is %s", tt.name, tt.o.JSON(), got.JSON())
		}
	}
}

package engine

import (
	"errors"
	"testing"

	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/unit"
)

// TestToldOfOthers holds that why a unit has failed is told in its namespace
// only.
func TestToldOfOthers(t *testing.T) {
	e := asker(t, memory.New())
	e.take(t.Context(), kustomization("u", "1", 1, "./web"), 1)
	k := e.units[site]
	k.status = &unit.Status{Generation: 1, Phase: unit.Rendering, Err: errors.New("line 3 of payroll.yaml")}
	for namespace, want := range map[string]string{site.Namespace: k.status.Err.Error(), "tenant": "it has failed"} {
		for_ := unit.Unit{Name: unit.Name{Kind: site.Kind, Namespace: namespace, Name: "next"}}
		if got := e.notReady(site, for_); got != want {
			t.Errorf("in namespace %s: %q, want %q", namespace, got, want)
		}
	}
}

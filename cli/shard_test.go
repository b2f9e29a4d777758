package cli

import (
	"testing"

	"github.com/sane-gitops/sane/object"
)

// Processes that keep the same objects share a lease, and no others.
func TestLeaseName(t *testing.T) {
	git, bucket, unit := object.Kind{Name: "GitRepository"}, object.Kind{Name: "Bucket"}, object.Kind{Name: "Kustomization"}
	all := []object.Kind{git, bucket, unit}
	name := func(selector string, kinds ...object.Kind) string { return leaseName(selector, kinds, all) }
	seen := make(map[string]bool)
	for _, n := range []string{
		name("", all...), name("a=b", all...), name("!a", all...), name("", git, bucket), name("", unit), name("a=b", unit), name("", git),
	} {
		if seen[n] {
			t.Errorf("%s is the lease of two", n)
		}
		seen[n] = true
	}
	if name("", unit, git, bucket) != "sane-leader" || name("", bucket, git) != name("", git, bucket) {
		t.Error("it is not one lease")
	}
}

func TestSelected(t *testing.T) {
	is := map[string]string{"sharding.fluxcd.io/key": "two"}
	for _, tt := range []struct {
		selector    string
		two, others bool
	}{
		{"sharding.fluxcd.io/key=two", true, false},
		{"sharding.fluxcd.io/key notin (one, two)", false, true},
		{"!sharding.fluxcd.io/key", false, true},
	} {
		got, err := (&daemon{selector: tt.selector}).selected()
		if err != nil || got(is) != tt.two || got(nil) != tt.others {
			t.Errorf("%s: %v, %v, %v", tt.selector, got(is), got(nil), err)
		}
	}
	if got, err := (&daemon{}).selected(); got != nil || err != nil {
		t.Errorf("no selector: %v, want none: all is kept", err)
	}
	if _, err := (&daemon{selector: "a in"}).selected(); err == nil {
		t.Error("an unreadable selector is accepted")
	}
}

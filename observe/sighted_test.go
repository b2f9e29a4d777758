package observe

import (
	"testing"

	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/unit"
)

func TestPackedUIDs(t *testing.T) {
	for _, text := range []string{
		"", "a", "0b5a5e0c-8c0e-4b9b-9c5e-3d2f1a0b9c8d", "00000000-0000-0000-0000-000000000000",
		"0B5A5E0C-8C0E-4B9B-9C5E-3D2F1A0B9C8D", "0b5a5e0c-8c0e-4b9b-9c5e-3d2f1a0b9cxx",
		"0b5a5e0c_8c0e_4b9b_9c5e_3d2f1a0b9c8d", "a string of thirty-six bytes, no UUID",
	} {
		s := pack(Sighting{UID: text}, 1)
		if got := s.unpack().UID; got != text {
			t.Errorf("%q comes back as %q", text, got)
		}
		if !s.of(text) || s.of(text+"x") || s.of("0b5a5e0c-8c0e-4b9b-9c5e-000000000000") {
			t.Errorf("%q is taken for another, or another for it", text)
		}
	}
}

func TestPackedSightings(t *testing.T) {
	full := Sighting{
		UID: "0b5a5e0c-8c0e-4b9b-9c5e-3d2f1a0b9c8d", Version: 7, Entry: Entry{1, 2},
		Owner:  unit.Name{Kind: object.Kind{Group: "g", Name: "K"}, Namespace: "ns", Name: "n"},
		Exempt: plan.Exemption{Once: true, Keep: true}, Health: health.Verdict{Status: health.Degraded, Why: "no"},
		Deleting: true, Usurped: Entry{3}, Rival: "kubectl", Gone: true,
	}
	for _, s := range []Sighting{{}, full} {
		if got := pack(s, 3).unpack(); got != s {
			t.Errorf("%+v comes back as %+v", s, got)
		}
	}
	later := full
	later.Version = 8
	if pack(later, 4).news(pack(full, 3)) {
		t.Error("a new version is news")
	}
	later.Deleting = false
	if !pack(later, 4).news(pack(full, 3)) {
		t.Error("another sighting is no news")
	}
}

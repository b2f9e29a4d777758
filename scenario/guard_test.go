package scenario

import (
	"strings"
	"testing"

	"github.com/sane-gitops/sane/internal/gitserver"
)

// TestGuard: a push that would delete everything is held until that is approved.
func TestGuard(t *testing.T) {
	s := open(t)
	s.commit(map[string]string{"x/a.yaml": configMap("a"), "x/b.yaml": configMap("b")})
	s.feed()
	s.unit("apps", "path: x")
	s.ready("apps", "")
	empty := s.push(map[string]string{"x/a.yaml": gitserver.Delete, "x/b.yaml": gitserver.Delete, "x/README": "nothing here"})
	o := s.refused(s.unitID("apps"), "DeletionHeld", "2 of 2", "ConfigMap/$NS/a", "sane-gitops.io/approve=sha256:")
	s.is(o, empty, "status", "lastAttemptedRevision")
	s.here(s.id(configMaps, "a"))
	_, _, message := condition(o, "Ready")
	_, digest, _ := strings.Cut(message, "sane-gitops.io/approve=")
	s.patch(s.unitID("apps"), "somebody", `{"metadata":{"annotations":{"sane-gitops.io/approve":"`+digest+`"}}}`)
	s.ready("apps", empty)
	s.gone(s.id(configMaps, "a"))
	s.gone(s.id(configMaps, "b"))
}

// TestHandOver: an object that goes from one unit to another in one push is the
// same object afterwards.
func TestHandOver(t *testing.T) {
	s := open(t)
	s.commit(map[string]string{"x/a.yaml": configMap("a"), "x/b.yaml": configMap("b"), "z/c.yaml": configMap("c")})
	s.feed()
	s.unit("from", "path: x")
	s.unit("to", "path: z")
	s.ready("from", "")
	s.ready("to", "")
	uid := s.here(s.id(configMaps, "a")).UID()
	for _, push := range []map[string]string{
		{"x/a.yaml": gitserver.Delete, "z/a.yaml": configMap("a")},
		{"z/a.yaml": gitserver.Delete, "x/a.yaml": configMap("a")},
	} {
		rev := s.push(push)
		s.ready("from", rev)
		s.ready("to", rev)
		if got := s.here(s.id(configMaps, "a")).UID(); got != uid {
			t.Fatal("the object was deleted and made again")
		}
	}
}

package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/unit"
)

// afterOthers reports whether all units before this one are ready.
func (r *run) afterOthers() bool { return r.inOrder() && r.admitted() }

// inOrder reports whether those are that no expression speaks for.
func (r *run) inOrder() bool {
	e := r.e
	e.mu.Lock()
	defer e.mu.Unlock()
	if cycle := e.cycle(r.u); cycle != "" {
		return r.fail(fault.Input(fmt.Errorf("%w: units wait for each other in a circle: %s", unit.ErrDependencies, cycle)))
	}
	for _, name := range r.u.After {
		if r.terms.replaces(name) {
			continue
		}
		if why := e.notReady(name, r.u); why != "" {
			return r.wait(unit.OnUnit, "dependency '%s/%s' is not ready: %s", name.Namespace, name.Name, why)
		}
	}
	return true
}

// notReady says why a unit is not ready for another to come after it, or "".
// Where both use the same source, it must have got to the same revision.
// e.mu is held.
func (e *Engine) notReady(name unit.Name, for_ unit.Unit) string {
	k := e.stands(name)
	switch {
	case k == nil:
		return "not found"
	case k.status.Generation != k.want.Generation:
		return "it has changed"
	case !k.status.Ready() && k.status.Err != nil && name.Namespace != for_.Name.Namespace:
		return "it has failed" // why is for those who may see it
	case !k.status.Ready() && k.status.Err != nil:
		return k.status.Err.Error()
	case !k.status.Ready():
		return "it is being brought up"
	case k.want.Source != for_.Source:
		return ""
	}
	if f := e.feeds[for_.Source]; f != nil && k.status.Applied.Name != f.status.Revision.Name {
		return "it has not got to " + f.status.Revision.Name
	}
	return ""
}

// cycle returns the circle of units that wait for each other that u is in, in
// words, or "". e.mu is held.
func (e *Engine) cycle(u unit.Unit) string {
	seen := make(map[unit.Name]bool)
	var walk func(n unit.Name, path []string) string
	walk = func(n unit.Name, path []string) string {
		path = append(path, n.Namespace+"/"+n.Name)
		if n == u.Name && len(path) > 1 {
			return strings.Join(path, " → ")
		}
		k := e.stands(n)
		if k == nil || seen[n] {
			return ""
		}
		seen[n] = true
		for _, a := range k.want.After {
			if c := walk(a, slices.Clip(path)); c != "" {
				return c
			}
		}
		return ""
	}
	if len(u.After) == 0 {
		return ""
	}
	return walk(u.Name, nil)
}

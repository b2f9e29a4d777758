package plan

import (
	"fmt"
	"strings"
)

// String returns the plan as text: a line for each step that does something,
// by stage.
func (p Plan) String() string {
	if p.Empty() {
		return "nothing to do\n"
	}
	var b strings.Builder
	for _, s := range append(append([]Stage(nil), p.Stages...), p.Prune...) {
		for _, step := range s.Steps {
			if step.Changes() || step.Verb == Hold {
				fmt.Fprintf(&b, "%-12s %-8s %s: %s\n", s.Name, step.Verb, step.ID, step.Why)
			}
		}
	}
	return b.String()
}

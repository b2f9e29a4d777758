package plan

import (
	"strings"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/object"
)

// few is the number of objects up to which only the deletion of all of them is
// surprising, and only if not each has a successor of its kind: a generated
// ConfigMap gets another name whenever its content changes.
const few = 20

// guard turns the deletions of a plan into holds if they are surprising and have
// not been approved.
func (p Plan) guard(s State, policy Policy) {
	n := p.count(Delete)
	all := n > 0 && n == len(s.Owned) && !p.succeeded()
	surprising := all || len(s.Owned) > few && 2*n > len(s.Owned)
	if !policy.Guard || !surprising || policy.Approved == string(p.Deletions()) {
		return
	}
	for i := range p.Prune {
		for j := range p.Prune[i].Steps {
			if step := &p.Prune[i].Steps[j]; step.Verb == Delete {
				step.Verb, step.Why = Hold, "not in the source any more; held until that is approved"
			}
		}
	}
}

// succeeded reports whether as many objects of each kind are created as deleted.
func (p Plan) succeeded() bool {
	left := make(map[object.Kind]int)
	for _, s := range p.All() {
		switch s.Verb {
		case Create:
			left[s.ID.Kind]++
		case Delete:
			left[s.ID.Kind]--
		}
	}
	for _, n := range left {
		if n < 0 {
			return false
		}
	}
	return true
}

// Deletions names what the plan would delete, held or not: whoever approves it
// approves these objects and no others.
func (p Plan) Deletions() digest.Digest {
	var b strings.Builder
	for _, s := range p.Prune {
		for _, step := range s.Steps {
			if step.Verb == Delete || step.Verb == Hold {
				b.WriteString(step.ID.Kind.String() + "\x00" + step.ID.Namespace + "\x00" + step.ID.Name + "\x00" + step.UID + "\n")
			}
		}
	}
	return digest.Of([]byte(b.String()))
}

// Held returns the steps that wait for somebody's approval.
func (p Plan) Held() []Step {
	var held []Step
	for _, s := range p.Prune {
		for _, step := range s.Steps {
			if step.Verb == Hold {
				held = append(held, step)
			}
		}
	}
	return held
}

func (p Plan) count(v Verb) int {
	n := 0
	for _, s := range p.All() {
		if s.Verb == v {
			n++
		}
	}
	return n
}

package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// A Call is a request that was made of the cluster, whatever became of it.
type Call struct {
	Op   string // "get", "list", "watch", "apply", "create", "patch", "delete", or "ask" for a right
	ID   object.ID
	User string // see [Cluster.As]
	cluster.How
}

// op returns what is done, and that it is not.
func (c Call) op() string {
	if c.DryRun {
		return "dry-run " + c.Op
	}
	return c.Op
}

// String returns "dry-run apply Deployment/apps/web as kustomize-controller".
// What is as usual is left out; a list or watch names its kind.
func (c Call) String() string {
	s := c.op() + " "
	if c.Subresource != "" {
		s += c.Subresource + " of "
	}
	if c.ID.Name == "" {
		s += c.ID.Kind.String()
		if c.ID.Namespace != "" {
			s += " in " + c.ID.Namespace
		}
	} else {
		s += c.ID.String()
	}
	if c.Manager != "" {
		s += " as " + c.Manager
	}
	if c.User != "" {
		s += " for " + c.User
	}
	return s
}

// Calls returns the requests made since the last [Cluster.ForgetCalls].
// Hooks such as [Cluster.SetStatus] make none.
func (c *Cluster) Calls() []Call {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	return slices.Clone(c.w.calls)
}

// ForgetCalls empties the log of requests.
func (c *Cluster) ForgetCalls() {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.calls = nil
}

// maxCalls bounds the log of requests: of more, the older half is forgotten.
const maxCalls = 1 << 16

// Fail has f asked about every request, in place of who was asked before; nil
// means nobody. An error of f becomes the answer.
//
// f is asked with op "get", "list", "watch", "apply", "create", "patch",
// "delete" or "ask", with "dry-run " before it for a dry run, before the request
// has any effect, and, of writes that were done and are no dry run, again with
// "applied", "created", "patched" or "deleted": then only the answer is lost.
// f may use the cluster.
func (c *Cluster) Fail(f func(op string, id object.ID) error) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.fail = f
}

// begin notes a request and returns the error that it is to fail with.
func (c *Cluster) begin(ctx context.Context, call Call) error {
	call.User = c.who.User
	c.w.mu.Lock()
	if len(c.w.calls) >= maxCalls {
		c.w.calls = slices.Clone(c.w.calls[maxCalls/2:])
	}
	c.w.calls = append(c.w.calls, call)
	c.w.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return cluster.Refused(call.op(), call.ID, err)
	}
	if call.Op != "ask" && !c.allowed(call.deed()) {
		err := fmt.Errorf("%w: user %q cannot %s it", cluster.ErrForbidden, c.who.User, call.deed().Verb)
		return cluster.Refused(call.op(), call.ID, err)
	}
	return c.ask(call, call.op())
}

// Allow has f asked who may do what; nil means that everybody may do all.
// Ourselves, the zero identity, may do all anyway.
func (c *Cluster) Allow(f func(who cluster.Identity, d cluster.Deed) bool) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.allow = f
}

func (c *Cluster) allowed(d cluster.Deed) bool {
	c.w.mu.Lock()
	allow := c.w.allow
	c.w.mu.Unlock()
	return allow == nil || c.who.User == "" || allow(c.who, d)
}

// deed returns what a call does, as rights have it.
func (c Call) deed() cluster.Deed {
	d := cluster.Deed{Verb: c.Op, Object: c.ID, Subresource: c.Subresource}
	if c.Op == "apply" {
		d.Verb = "patch"
	}
	return d
}

var past = map[string]string{"apply": "applied", "create": "created", "patch": "patched", "delete": "deleted"}

// end returns the error that a request is to fail with after its effect.
func (c *Cluster) end(call Call) error {
	if call.DryRun {
		return nil
	}
	return c.ask(call, past[call.Op])
}

func (c *Cluster) ask(call Call, op string) error {
	c.w.mu.Lock()
	fail := c.w.fail
	c.w.mu.Unlock()
	if fail == nil {
		return nil
	}
	if err := fail(op, call.ID); err != nil {
		return cluster.Refused(call.op(), call.ID, err)
	}
	return nil
}

// SetStatus makes status the whole status of an object, as its controller
// would. It panics if there is no such object.
func (c *Cluster) SetStatus(id object.ID, status map[string]any) object.Object {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	return c.w.setStatus(id, status, "controller")
}

func (w *world) setStatus(id object.ID, status map[string]any, manager string) object.Object {
	live, ok := w.objects[id]
	if !ok {
		panic("memory: SetStatus of " + id.String() + ", which is not there")
	}
	r := request{op: "update", id: id, how: cluster.How{Manager: manager}}
	if !w.kinds[id.Kind].NoStatus {
		r.how.Subresource = "status"
	}
	err := w.aim(&r, "")
	if err == nil {
		live, err = normal(live.With(status, "status"))
	}
	if err == nil {
		live, err = w.commit(r, w.objects[id], live)
	}
	if err != nil {
		panic("memory: SetStatus of " + id.String() + ": " + err.Error())
	}
	return live
}

// Edit changes an object in another's name, past all hooks: f gets it and
// returns how it is to be. It panics if there is no such object or the server
// would refuse the change.
func (c *Cluster) Edit(id object.ID, manager string, f func(object.Object) object.Object) object.Object {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	live, ok := c.w.objects[id]
	if !ok {
		panic("memory: Edit of " + id.String() + ", which is not there")
	}
	r := request{op: "update", id: id, how: cluster.How{Manager: manager}}
	err := c.w.aim(&r, "")
	next := object.Object{}
	if err == nil {
		next, err = normal(f(live))
	}
	if err == nil {
		next, err = c.w.commit(r, live, next)
	}
	if err != nil {
		panic("memory: Edit of " + id.String() + ": " + err.Error())
	}
	return next
}

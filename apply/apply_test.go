package apply_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/apply"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
)

const us = "us"

func parse(t *testing.T, yaml string) object.Object {
	t.Helper()
	list, err := object.Parse([]byte(yaml))
	if err != nil || len(list) != 1 {
		t.Fatal(err, len(list))
	}
	return list[0]
}

const job = `{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: default}, spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: "IMAGE"}]}}}}`

const configMap = `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: default}, data: {a: VALUE}}`

func cm(t *testing.T, value string) object.Object {
	return parse(t, strings.Replace(configMap, "VALUE", value, 1))
}

// one runs f on a single step and returns its outcome.
func one(f func(context.Context, cluster.Cluster, []plan.Step, apply.By) func(func(apply.Outcome) bool), c cluster.Cluster, s plan.Step) (out apply.Outcome) {
	for o := range f(context.Background(), c, []plan.Step{s}, apply.By{Manager: us}) {
		out = o
	}
	return out
}

func run(ctx context.Context, c cluster.Cluster, s []plan.Step, by apply.By) func(func(apply.Outcome) bool) {
	return apply.Run(ctx, c, s, by)
}

func check(ctx context.Context, c cluster.Cluster, s []plan.Step, by apply.By) func(func(apply.Outcome) bool) {
	return apply.Check(ctx, c, s, by)
}

func step(v plan.Verb, o object.Object) plan.Step { return plan.Step{Verb: v, ID: o.ID(), Want: o} }

func TestRun(t *testing.T) {
	c := memory.New()
	if o := one(run, c, step(plan.Create, cm(t, "x"))); o.Err != nil || o.Done != apply.Created {
		t.Fatalf("create: %q, %v", o.Done, o.Err)
	}
	// The dry run tells what is there, and with that whether anything changed.
	again := one(check, c, step(plan.Create, cm(t, "x"))).Step
	if again.Verb != plan.Update || again.UID == "" {
		t.Errorf("check of what is there: %+v", again)
	}
	if o := one(run, c, again); o.Done != apply.Unchanged {
		t.Errorf("the same again: %q, %v", o.Done, o.Err)
	}
	if o := one(run, c, step(plan.Update, cm(t, "z"))); o.Done != apply.Configured {
		t.Errorf("another value: %q, %v", o.Done, o.Err)
	}
	del := plan.Step{Verb: plan.Delete, ID: cm(t, "").ID(), UID: "another"}
	if o := one(run, c, del); !errors.Is(o.Err, cluster.ErrConflict) {
		t.Errorf("deletion of an object that is another now: %q, %v", o.Done, o.Err)
	}
	del.UID = again.UID
	if o := one(run, c, del); o.Done != apply.Deleted || o.Err != nil {
		t.Errorf("deletion: %q, %v", o.Done, o.Err)
	}
	if o := one(run, c, del); o.Err != nil {
		t.Errorf("deletion of what is not there: %v", o.Err)
	}
}

func TestTakeOver(t *testing.T) {
	c := memory.New()
	theirs := cm(t, "x").With(map[string]any{"a": "x", "b": "theirs"}, "data")
	if _, err := c.Create(t.Context(), theirs, cluster.How{Manager: "kubectl-create"}); err != nil {
		t.Fatal(err)
	}
	s := step(plan.Create, cm(t, "x"))
	s.Exempt.Merge = true
	if o := one(run, c, s); o.Err != nil || data(o.Live)["b"] != "theirs" {
		t.Errorf("merge: %v, %v", data(o.Live), o.Err)
	}
	s.Exempt.Merge = false
	if o := one(run, c, s); o.Err != nil || data(o.Live)["b"] != nil {
		t.Errorf("take over: %v, %v", data(o.Live), o.Err)
	}
}

func data(o object.Object) map[string]any {
	v, _ := o.Get("data")
	m, _ := v.(map[string]any)
	return m
}

func TestRecreate(t *testing.T) {
	c := memory.New()
	old := parse(t, strings.Replace(job, "IMAGE", "a:1", 1))
	before := one(run, c, step(plan.Create, old)).Live
	s := step(plan.Update, parse(t, strings.Replace(job, "IMAGE", "a:2", 1)))
	if o := one(check, c, s); !errors.Is(o.Err, cluster.ErrInvalid) {
		t.Fatalf("a change of what can't be changed: %v", o.Err)
	}
	s.Replace = true
	if o := one(check, c, s); !errors.Is(o.Err, cluster.ErrInvalid) {
		t.Fatalf("with leave, of what is not known to be ours: %v", o.Err)
	}
	s.UID = before.UID()
	o := one(check, c, s)
	if o.Err != nil || o.Step.Verb != plan.Recreate {
		t.Fatalf("with leave to replace: %s, %v", o.Step.Verb, o.Err)
	}
	if o = one(run, c, o.Step); o.Err != nil || o.Live.UID() == before.UID() {
		t.Errorf("recreate: %v", o.Err)
	}
	// What a policy refuses stays, though it would not if it were new.
	c.Fail(func(op string, id object.ID) error {
		if op == "dry-run apply" && id.Name == "j" {
			return cluster.ErrInvalid
		}
		return nil
	})
	s.UID = o.Live.UID()
	if o := one(check, c, s); !errors.Is(o.Err, cluster.ErrInvalid) || o.Step.Verb == plan.Recreate {
		t.Errorf("of an object that a policy refuses: %s, %v", o.Step.Verb, o.Err)
	}
	// What would be refused even if it were new stays as it is.
	c.Fail(func(op string, id object.ID) error {
		if op == "dry-run apply" {
			return cluster.ErrInvalid
		}
		return nil
	})
	if o := one(check, c, s); !errors.Is(o.Err, cluster.ErrInvalid) || o.Step.Verb == plan.Recreate {
		t.Errorf("of an object that is invalid anyway: %s, %v", o.Step.Verb, o.Err)
	}
}

func TestOnce(t *testing.T) {
	c := memory.New()
	s := step(plan.Create, cm(t, "x"))
	s.Exempt.Once = true
	if o := one(check, c, s); o.Err != nil || o.Step.Verb != plan.Create {
		t.Errorf("what is not there: %s, %v", o.Step.Verb, o.Err)
	}
	if _, err := c.Create(t.Context(), cm(t, "theirs"), cluster.How{Manager: "them"}); err != nil {
		t.Fatal(err)
	}
	if o := one(check, c, s); o.Err != nil || o.Step.Verb != plan.Keep {
		t.Errorf("what is there: %s, %v", o.Step.Verb, o.Err)
	}
}

func TestOverruled(t *testing.T) {
	c := memory.New()
	theirs := cm(t, "x").With(map[string]any{"a": "x", "b": "theirs"}, "data")
	if _, err := c.Create(t.Context(), theirs, cluster.How{Manager: "legacy"}); err != nil {
		t.Fatal(err)
	}
	s := step(plan.Create, cm(t, "x"))
	if o := one(run, c, s); o.Err != nil || data(o.Live)["b"] != "theirs" {
		t.Errorf("usually: %v, %v", data(o.Live), o.Err)
	}
	for o := range apply.Run(t.Context(), c, []plan.Step{s}, apply.By{Manager: us, Over: []string{"legacy"}}) {
		if o.Err != nil || data(o.Live)["b"] != nil {
			t.Errorf("overruled: %v, %v", data(o.Live), o.Err)
		}
	}
}

func TestStop(t *testing.T) {
	c := memory.New()
	var steps []plan.Step
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		steps = append(steps, step(plan.Create, cm(t, "x").With(name, "metadata", "name")))
	}
	n := 0
	for range apply.Run(t.Context(), c, steps, apply.By{Manager: us, Parallel: 1}) {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 || len(c.Objects()) > 2+4 { // the namespaces, and at most one more under way
		t.Errorf("went on after a stop: %d outcomes, %d objects", n, len(c.Objects()))
	}
}

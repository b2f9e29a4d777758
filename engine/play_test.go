package engine_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/object"
)

func (p *play) apply(args []string) {
	i := id(args[0])
	path, v, _ := strings.Cut(args[1], "=")
	k := kinds[i.Kind.Name]
	version := strings.TrimPrefix(k.group+"/"+k.version, "/")
	o := object.Of(map[string]any{"apiVersion": version, "kind": i.Kind.Name, "metadata": map[string]any{"name": i.Name, "namespace": i.Namespace}})
	_, err := p.world.Apply(p.t.Context(), o.With(value("", v), strings.Split(path, ".")...), cluster.How{Manager: args[3], Force: true})
	p.check(err)
}

func (p *play) field(id object.ID, path string) {
	o, _, err := p.world.Get(p.t.Context(), id)
	p.check(err)
	v, _ := o.Get(strings.Split(path, ".")...)
	p.say("field   %s %s is %v", id, path, v)
}

func (p *play) owners(id object.ID) {
	o, _, err := p.world.Get(p.t.Context(), id)
	p.check(err)
	v, _ := o.Get("metadata", "managedFields")
	for _, e := range v.([]any) {
		m := e.(map[string]any)
		data, err := json.Marshal(m["fieldsV1"])
		p.check(err)
		p.say("owner   %v %v %s", m["manager"], m["operation"], data)
	}
}

func (p *play) pod(name, label, status string) {
	k, v, _ := strings.Cut(label, "=")
	o := object.Of(map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"namespace": "default", "name": name, "labels": map[string]any{k: v}},
		"spec":     map[string]any{"containers": []any{map[string]any{"name": "c", "image": "c"}}},
	})
	_, err := p.world.Apply(p.t.Context(), o, cluster.How{Manager: "kubelet", Force: true})
	p.check(err)
	p.world.SetStatus(o.ID(), value("", status).(map[string]any))
}

func (p *play) edit(c *memory.Cluster, args []string) {
	path, v, _ := strings.Cut(args[1], "=")
	by := "somebody"
	if len(args) == 4 {
		by = args[3]
	}
	c.Edit(id(args[0]), by, func(o object.Object) object.Object {
		if v == "" {
			return o.Without(strings.Split(path, ".")...)
		}
		return o.With(value("", v), strings.Split(path, ".")...)
	})
}

// pause has a manager suspend an object, or resume it.
func (p *play) pause(id object.ID, on bool, args []string) {
	is := dialect.Pause{On: on, Why: strings.Join(args[min(len(args), 2):], " ")}
	if len(args) > 1 {
		d, err := time.ParseDuration(args[1])
		p.check(err)
		is.Until = time.Now().Add(d)
	}
	patch := flux.New(p.speaks).SetPause(is)
	if args[0] == "flux" { // which knows nothing of annotations
		delete(patch, "metadata")
	}
	data, err := json.Marshal(patch)
	p.check(err)
	_, err = p.world.Patch(p.t.Context(), id, cluster.Patch{Type: cluster.MergePatch, Data: data}, cluster.How{Manager: args[0]})
	p.check(err)
}

func (p *play) fail(args []string) {
	errs := map[string]error{
		"invalid": fmt.Errorf("%w: spec is wrong", cluster.ErrInvalid),
		"tells":   fmt.Errorf("%w: value \"hunter-the-third\" is wrong", cluster.ErrInvalid),
		"busy":    cluster.ErrBusy, "down": cluster.ErrUnavailable, "conflict": cluster.ErrConflict, "forbidden": cluster.ErrForbidden, "nokind": cluster.ErrNoKind,
	}
	left := -1
	if len(args) == 4 {
		fmt.Sscan(args[3], &left)
	}
	op, target, err := strings.Replace(args[0], "try", "dry-run apply", 1), args[1], errs[args[2]]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, func(o string, i object.ID) error {
		if o != op || i.Kind.Name+"/"+i.Name != target || left == 0 {
			return nil
		}
		left--
		return err
	})
}

// confine forbids to watch what is in none of some namespaces, but for what is
// about units.
func (p *play) confine(namespaces []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, func(op string, i object.ID) error {
		if op != "watch" || strings.HasSuffix(i.Kind.Group, ".toolkit.fluxcd.io") || i.Namespace == "flux-system" || slices.Contains(namespaces, i.Namespace) {
			return nil
		}
		return cluster.ErrForbidden
	})
}

// approve approves what a Kustomization holds.
func (p *play) approve(name string) {
	o, _, err := p.world.Get(p.t.Context(), id("Kustomization/"+name))
	p.check(err)
	_, digest, _ := strings.Cut(summary(o), "approve=")
	digest, _, _ = strings.Cut(digest, ")")
	p.do("annotate Kustomization/" + name + " sane-gitops.io/approve=" + digest)
}

var approvals = regexp.MustCompile("approve=sha256:[0-9a-f]+")

func (p *play) show(id object.ID) {
	o, ok, err := p.world.Get(p.t.Context(), id)
	p.check(err)
	if !ok {
		p.say("%s: not there", id)
		return
	}
	st, _ := o.Get("status")
	data, err := json.MarshalIndent(st, "", "  ")
	p.check(err)
	p.say("%s", hideTimes(string(data)))
}

// tell has others tell of a unit that it is ready at a revision, and what it owns.
func (p *play) tell(id object.ID, rev string, owned []string) {
	o, _, err := p.world.Get(p.t.Context(), id)
	p.check(err)
	entries := []any{}
	for _, e := range owned {
		entries = append(entries, map[string]any{"id": e, "v": "v1"})
	}
	p.world.SetStatus(id, map[string]any{
		"observedGeneration": o.Generation(), "lastAppliedRevision": rev, "lastAttemptedRevision": rev, "inventory": map[string]any{"entries": entries},
		"conditions": []any{map[string]any{
			"type": "Ready", "status": "True", "reason": "ReconciliationSucceeded", "message": "Applied revision: " + rev,
			"observedGeneration": o.Generation(), "lastTransitionTime": "2000-01-01T00:00:00Z",
		}},
	})
}

var times = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`)

func hideTimes(s string) string { return times.ReplaceAllString(s, "TIME") }

func (p *play) list() {
	p.listOf(p.world, "")
	p.listOf(p.far, " in far")
}

func (p *play) listOf(c *memory.Cluster, where string) {
	for _, o := range c.Objects() {
		k := o.ID().Kind
		if strings.HasSuffix(k.Group, "toolkit.fluxcd.io") || k.Name == "Namespace" && o.Name() != "apps" || o.Namespace() == "flux-system" {
			continue
		}
		p.say("there   %s%s", o.ID(), where)
	}
}

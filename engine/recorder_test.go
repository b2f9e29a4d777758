package engine_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/unit"
)

// A recorder says what is written to a cluster, and what is asked about single
// objects.
type recorder struct {
	cluster.Cluster
	p    *play
	note string // about whose requests they are
}

func (r *recorder) As(who cluster.Identity) cluster.Cluster {
	if who.User == "" {
		return r
	}
	return &recorder{r.Cluster.As(who), r.p, r.note + " as " + who.User}
}

// remote connects to the cluster that a kubeconfig names.
func (p *play) remote(at unit.Place) (cluster.Cluster, error) {
	if at.Kubeconfig != "far" {
		return nil, errors.New("the kubeconfig is not valid")
	}
	return &recorder{p.far, p, " in far"}, nil
}

// kubeconfig puts a Secret with a kubeconfig.
func (p *play) kubeconfig(secret, text string) {
	_, err := p.world.Apply(p.t.Context(), object.Of(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"namespace": "flux-system", "name": secret},
		"data": map[string]any{"value": base64.StdEncoding.EncodeToString([]byte(text))},
	}), cluster.How{Manager: "kubectl", Force: true})
	p.check(err)
}

func (r *recorder) tell(op string, id object.ID, how cluster.How, err error) {
	if how.DryRun {
		op = "try"
	}
	failed := ""
	if err != nil {
		failed = " refused"
	}
	if op != "get" || id.Namespace != "flux-system" || !r.p.renders.Load() {
		r.p.say("%-7s %s%s%s", op, id, failed, r.note)
	}
	r.p.settle()
}

func (r *recorder) Get(ctx context.Context, id object.ID) (object.Object, bool, error) {
	o, ok, err := r.Cluster.Get(ctx, id)
	if id.Kind.Name != "Secret" { // when that is, is not the same each time
		r.tell("get", id, cluster.How{}, err)
	}
	return o, ok, err
}

func (r *recorder) List(ctx context.Context, sel cluster.Selection) iter.Seq2[object.Object, error] {
	r.p.say("list    %s in %s of %s", sel.Kind, sel.Namespace, sel.Labels)
	return r.Cluster.List(ctx, sel)
}

func (r *recorder) Apply(ctx context.Context, o object.Object, how cluster.How) (object.Object, error) {
	got, err := r.p.down.during(how.DryRun, func() (object.Object, error) { return r.Cluster.Apply(ctx, o, how) })
	r.tell("apply", o.ID(), how, err)
	return got, err
}

func (r *recorder) Delete(ctx context.Context, id object.ID, w cluster.Where) error {
	_, err := r.p.down.during(false, func() (object.Object, error) { return object.Object{}, r.Cluster.Delete(ctx, id, w) })
	r.tell("delete", id, cluster.How{}, err)
	return err
}

func (r *recorder) Patch(ctx context.Context, id object.ID, patch cluster.Patch, how cluster.How) (object.Object, error) {
	if how.Subresource == "" { // before anybody hears of it
		r.p.say("patch   %s", id)
	}
	o, err := r.p.down.during(how.DryRun, func() (object.Object, error) { return r.Cluster.Patch(ctx, id, patch, how) })
	defer r.p.settle()
	switch {
	case how.Subresource == "status" && err == nil:
		whole, _, _ := r.Cluster.Get(ctx, id)
		r.p.say("status  %s/%s %s", id.Kind.Name, id.Name, summary(whole))
	case how.Subresource == "status":
		r.p.say("status  %s/%s refused", id.Kind.Name, id.Name)
	}
	return o, err
}

func (r *recorder) Watch(ctx context.Context, sel cluster.Selection) iter.Seq2[cluster.Change, error] {
	return r.Cluster.Watch(ctx, sel)
}

// summary returns the conditions of an object in a line.
func summary(o object.Object) string {
	v, _ := o.Get("status", "conditions")
	list, _ := v.([]any)
	var b bytes.Buffer
	for _, c := range list {
		m := c.(map[string]any)
		if m["type"] == "ArtifactInStorage" {
			continue
		}
		fmt.Fprintf(&b, "%v=%v %v", m["type"], m["status"], m["reason"])
		if m["type"] == "Ready" {
			fmt.Fprintf(&b, " (%v)", oneLine(fmt.Sprint(m["message"])))
		}
		b.WriteString("; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

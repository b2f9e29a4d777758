package engine_test

import (
	"encoding/base64"
	"strings"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/unit"
)

// hold applies a ConfigMap or a Secret with the given data.
func (p *play) hold(what, name string, args []string) {
	kind, data := "ConfigMap", make(map[string]any)
	for _, a := range args {
		k, v, _ := strings.Cut(a, "=")
		if data[k] = v; what == "secret" {
			kind, data[k] = "Secret", base64.StdEncoding.EncodeToString([]byte(v))
		}
	}
	_, err := p.world.Apply(p.t.Context(), namespace("flux-system"), cluster.How{Manager: "kubectl"})
	p.check(err)
	_, err = p.world.Apply(p.t.Context(), object.Of(map[string]any{
		"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"namespace": "flux-system", "name": name}, "data": data,
	}), cluster.How{Manager: "kubectl", Force: true})
	p.check(err)
}

// rendered is told of each unit that was rendered anew.
func (p *play) rendered(u unit.Name) {
	if p.renders.Load() {
		p.say("render  %s/%s", u.Kind.Name, u.Name)
	}
}

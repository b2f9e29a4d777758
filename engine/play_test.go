package engine_test

import (
	"encoding/json"
	"strings"

	"github.com/sane-gitops/sane/cluster"
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

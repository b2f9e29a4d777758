package observe_test

import (
	"strings"
	"testing"

	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/observe"
)

func TestBelow(t *testing.T) {
	const set = `{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: NAME, namespace: default, labels: {app: web, tier: a}OWNER}, spec: {
  selector: {matchLabels: {app: web, hash: NAME}}, template: {metadata: {labels: {app: web, hash: NAME}}, spec: {containers: [{name: main, image: i}]}}}}`
	replicas := func(name, owner string) string {
		if owner != "" {
			owner = `, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: other, uid: ` + owner + `, controller: true}]`
		}
		return strings.NewReplacer("NAME", name, "OWNER", owner).Replace(set)
	}
	c := memory.New()
	for _, text := range []string{web, replicas("web-a", ""), replicas("web-b", "another"), pod("p", `{phase: Running}`)} {
		put(t, c, text)
	}
	for _, tt := range []struct {
		of   object.ID
		want string
	}{
		{object.ID{Kind: object.Kind{Group: "apps", Name: "Deployment"}, Namespace: "default", Name: "web"}, "ReplicaSet/default/web-a"},
		{object.ID{Kind: object.Kind{Group: "apps", Name: "ReplicaSet"}, Namespace: "default", Name: "web-a"}, ""},
		{object.ID{Kind: object.Kind{Name: "Pod"}, Namespace: "default", Name: "p"}, ""},
	} {
		o, there, err := c.Get(t.Context(), tt.of)
		if err != nil || !there {
			t.Fatal(tt.of, err)
		}
		below, err := observe.Below(t.Context(), c, o)
		var got []string
		for _, b := range below {
			got = append(got, b.String())
		}
		if err != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %s, %v; want %s", tt.of, got, err, tt.want)
		}
	}
}

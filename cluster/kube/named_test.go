package kube

import (
	"errors"
	"testing"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

func TestKind(t *testing.T) {
	kinds := map[object.Kind]resource{
		{Name: "Pod"}:                               {plural: "pods", singular: "pod", short: []string{"po"}},
		{Name: "Event"}:                             {plural: "events", singular: "event", short: []string{"ev"}},
		{Group: "events.k8s.io", Name: "Event"}:     {group: "events.k8s.io", plural: "events", singular: "event"},
		{Group: "apps", Name: "Deployment"}:         {group: "apps", plural: "deployments", singular: "deployment", short: []string{"deploy"}},
		{Group: "a.example.com", Name: "Database"}:  {group: "a.example.com", plural: "databases", singular: "database", short: []string{"db"}},
		{Group: "b.example.com", Name: "Database"}:  {group: "b.example.com", plural: "databases"},
		{Group: "c.example.com", Name: "PodButler"}: {group: "c.example.com", plural: "podbutlers", short: []string{"po"}},
	}
	c := &Cluster{kinds: &discovery{kinds: kinds}}
	kinds[object.Kind{Name: "Namespace"}] = resource{plural: "namespaces"}
	for _, tt := range []struct{ word, want string }{
		{"po", "Pod"},
		{"Pod", "Pod"},
		{"PODS", "Pod"},
		{"deploy", "Deployment.apps"},
		{"deployments.apps", "Deployment.apps"},
		{"Deployment.apps", "Deployment.apps"},
		{"event", "Event"},
		{"events.events.k8s.io", "Event.events.k8s.io"},
		{"db", "Database.a.example.com"},
		{"database.b.example.com", "Database.b.example.com"},
		{"databases", `"databases" may be Database.a.example.com or Database.b.example.com: say which`},
		{"nothing", `"nothing" is no kind of object: no such kind is called that by the server`},
		{"", `"" is no kind of object: no such kind is called that by the server`},
	} {
		k, err := c.Kind(t.Context(), tt.word)
		got := k.String()
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%q: %s, want %s", tt.word, got, tt.want)
		}
	}
	if _, err := c.Kind(t.Context(), "nothing"); !errors.Is(err, cluster.ErrNoKind) {
		t.Error(err)
	}
}

package plantest

import (
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
)

// testEvict holds what Evict proposes against a server that refuses our apply
// because of what somebody else has left.
func testEvict(t *testing.T, s *server) {
	for _, tt := range []struct {
		name, want, edit string
		refused, evicts  bool
	}{
		{
			"the only port of a Service renumbered",
			`{apiVersion: v1, kind: Service, metadata: {name: NAME, labels: {a: b}}, spec: {selector: {a: b}, ports: [{name: http, port: 80}]}}`,
			`[{"op":"replace","path":"/spec/ports/0/port","value":81}]`, true, true,
		},
		{
			"one of two ports of a Service renumbered",
			`{apiVersion: v1, kind: Service, metadata: {name: NAME, labels: {a: b}}, spec: {ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}]}}`,
			`[{"op":"replace","path":"/spec/ports/1/port","value":54}]`, true, true,
		},
		{
			"protocol of a Service's port changed",
			`{apiVersion: v1, kind: Service, metadata: {name: NAME, labels: {a: b}}, spec: {ports: [{name: dns, port: 53, protocol: UDP}]}}`,
			`[{"op":"replace","path":"/spec/ports/0/protocol","value":"TCP"}]`, true, true,
		},
		{
			"container port renumbered",
			`{apiVersion: apps/v1, kind: Deployment, metadata: {name: NAME, labels: {a: b}}, spec: {replicas: 0, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i, ports: [{name: http, containerPort: 80}]}]}}}}`,
			`[{"op":"replace","path":"/spec/template/spec/containers/0/ports/0/containerPort","value":81}]`, true, true,
		},
		{
			"mount moved",
			`{apiVersion: apps/v1, kind: Deployment, metadata: {name: NAME, labels: {a: b}}, spec: {replicas: 0, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {volumes: [{name: v, emptyDir: {}}], containers: [{name: c, image: i, volumeMounts: [{name: v, mountPath: /a}]}]}}}}`,
			`[{"op":"replace","path":"/spec/template/spec/containers/0/volumeMounts/0/mountPath","value":"/b"}]`, false, true,
		},
		{
			"label changed only",
			`{apiVersion: v1, kind: Service, metadata: {name: NAME, labels: {a: b}}, spec: {ports: [{name: http, port: 80}]}}`,
			`[{"op":"replace","path":"/metadata/labels/a","value":"c"}]`, false, false,
		},
	} {
		for i, by := range []string{"somebody", "kubectl-edit"} {
			t.Run(tt.name+" by "+by, func(t *testing.T) {
				s := *s
				s.t = t
				want := s.placed(parse(t, tt.want)[0].With(fmt.Sprintf("e%d", i), "metadata", "name"))
				s.must(s.apply(want, manager, true, false))
				defer s.delete(want)
				live := s.must(s.patch(want, types.JSONPatchType, []byte(tt.edit), metav1.PatchOptions{FieldManager: by}))
				if _, err := s.apply(want, manager, true, true); (err != nil) != tt.refused {
					t.Fatalf("apply: %v; refused should be %t", err, tt.refused)
				}
				patch, ok := plan.Evict(want, live, manager)
				if ok != tt.evicts {
					t.Fatalf("Evict = %t (%s), want %t", ok, patch, tt.evicts)
				}
				if ok {
					s.evict(want)
				}
				then := s.must(s.apply(want, manager, true, false))
				if v := plan.Compare(want, then, manager); v.Answer != plan.Same {
					t.Errorf("after all: %v\n%s", v, then.JSON())
				}
				fresh := s.must(s.get(want))
				for _, list := range [][]string{{"spec", "ports"}, {"spec", "template", "spec", "containers"}} {
					w, _ := want.Get(list...)
					l, _ := fresh.Get(list...)
					if a, ok := w.([]any); ok && len(a) != len(l.([]any)) {
						t.Errorf("%v: %v, want %v", list, l, w)
					}
				}
			})
		}
	}
	t.Run("others stay", s.othersStay)
}

// evict sends what Evict proposes, again if a controller comes in between.
func (s *server) evict(want object.Object) {
	for range 10 {
		live := s.must(s.get(want))
		patch, ok := plan.Evict(want, live, manager)
		if !ok {
			s.t.Fatal("nothing to evict any more")
		}
		opts := metav1.PatchOptions{FieldManager: manager}
		then, err := s.patch(want, types.JSONPatchType, patch, opts)
		if apierrors.IsConflict(err) {
			continue
		}
		s.must(then, err)
		if d := differences("spec", live.Body()["spec"], then.Body()["spec"]); d != nil {
			s.t.Errorf("the patch changed %v", d)
		}
		if _, err := s.patch(want, types.JSONPatchType, patch, opts); !apierrors.IsConflict(err) {
			s.t.Errorf("the patch can be used twice: %v", err)
		}
		return
	}
	s.t.Fatalf("%s does not come to rest", want)
}

// othersStay: what somebody else applied, and what is beside ours by right.
func (s *server) othersStay(t *testing.T) {
	want := s.placed(parse(t, `{apiVersion: v1, kind: Service, metadata: {name: stay, labels: {a: b}}, spec: {ports: [{name: http, port: 80}]}}`)[0])
	s.must(s.apply(want, manager, true, false))
	defer s.delete(want)
	theirs := s.placed(parse(t, `{apiVersion: v1, kind: Service, metadata: {name: stay}, spec: {ports: [{name: other, port: 90}]}}`)[0])
	live := s.must(s.apply(theirs, "other-applier", true, false))
	if patch, ok := plan.Evict(want, live, manager); ok {
		t.Errorf("Evict takes what another manager applied: %s", patch)
	}
}

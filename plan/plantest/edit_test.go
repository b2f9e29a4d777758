package plantest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sane-gitops/sane/object"
)

// An edit is something that somebody else does to an object. That it is
// refused is no error: then nothing was done.
type edit struct {
	name string
	do   func(s *server, r *rand.Rand, want, live object.Object) error
}

var edits = []edit{
	{"nothing", func(*server, *rand.Rand, object.Object, object.Object) error { return nil }},
	{"update", func(s *server, r *rand.Rand, _, live object.Object) error {
		_, err := s.update(mutate(r, live), "other")
		return err
	}},
	{"update much", func(s *server, r *rand.Rand, _, live object.Object) error {
		for range 3 {
			live = mutate(r, live)
		}
		_, err := s.update(live, "other")
		return err
	}},
	{"update and back", func(s *server, r *rand.Rand, _, live object.Object) error {
		then, err := s.update(mutate(r, live), "other")
		if err == nil {
			_, err = s.update(live.With(then.ResourceVersion(), "metadata", "resourceVersion"), "another")
		}
		return err
	}},
	{"update in our name", func(s *server, r *rand.Rand, _, live object.Object) error {
		_, err := s.update(mutate(r, live), manager)
		return err
	}},
	{"label by merge patch", func(s *server, r *rand.Rand, _, live object.Object) error {
		return s.merge(live, fmt.Sprintf(`{"metadata":{"labels":{"app":%q}}}`, []string{"web", "x"}[r.IntN(2)]))
	}},
	{"foreign annotation", func(s *server, r *rand.Rand, _, live object.Object) error {
		return s.merge(live, `{"metadata":{"annotations":{"foreign/x":"1"},"labels":{"foreign":"1"}}}`)
	}},
	{"no labels", func(s *server, r *rand.Rand, _, live object.Object) error {
		return s.merge(live, `{"metadata":{"labels":null}}`)
	}},
	{"foreign finalizer", func(s *server, r *rand.Rand, _, live object.Object) error {
		list := []string{"same.test/foreign"}
		for _, f := range live.Finalizers() {
			if r.IntN(2) == 0 {
				list = append(list, f)
			} else {
				list = append([]string{f}, list...)
			}
		}
		data, _ := json.Marshal(list)
		return s.merge(live, `{"metadata":{"finalizers":`+string(data)+`}}`)
	}},
	{"json patch", func(s *server, r *rand.Rand, _, live object.Object) error {
		return s.jsonPatch(r, live, "other")
	}},
	{"kubectl edit", func(s *server, r *rand.Rand, _, live object.Object) error {
		return s.jsonPatch(r, live, "kubectl-edit")
	}},
	{"kubectl apply", func(s *server, r *rand.Rand, want, live object.Object) error {
		mine := mutate(r, want)
		data := mine.WithAnnotations(map[string]string{"kubectl.kubernetes.io/last-applied-configuration": string(mine.JSON())}).JSON()
		_, err := s.patch(live, types.MergePatchType, data, metav1.PatchOptions{FieldManager: "kubectl-client-side-apply"})
		return err
	}},
	{"apply the same", func(s *server, r *rand.Rand, want, _ object.Object) error {
		_, err := s.apply(want, "other-applier", true, false)
		return err
	}},
	{"apply", func(s *server, r *rand.Rand, want, _ object.Object) error {
		_, err := s.apply(part(r, mutate(r, want)), "other-applier", false, false)
		return err
	}},
	{"apply with force", func(s *server, r *rand.Rand, want, _ object.Object) error {
		_, err := s.apply(part(r, mutate(r, want)), "other-applier", true, false)
		return err
	}},
	{"apply what is there", func(s *server, r *rand.Rand, _, live object.Object) error {
		_, err := s.apply(part(r, live), "other-applier", true, false)
		return err
	}},
	{"apply and let go", func(s *server, r *rand.Rand, want, live object.Object) error {
		if _, err := s.apply(part(r, mutate(r, want)), "other-applier", true, false); err != nil {
			return err
		}
		bare := part(r, live).Without("spec").Without("data")
		_, err := s.apply(bare, "other-applier", true, false)
		return err
	}},
	{"scale", func(s *server, r *rand.Rand, _, live object.Object) error {
		data := fmt.Sprintf(`{"spec":{"replicas":%d}}`, r.IntN(2))
		_, err := s.patch(live, types.MergePatchType, []byte(data), metav1.PatchOptions{FieldManager: "scaler"}, "scale")
		return err
	}},
	{"status", func(s *server, r *rand.Rand, _, live object.Object) error {
		data := `{"metadata":{"labels":{"by-status":"1","app":"status"}},"status":{"observedGeneration":7,"x":"y"}}`
		_, err := s.patch(live, types.MergePatchType, []byte(data), metav1.PatchOptions{FieldManager: "controller"}, "status")
		return err
	}},
	{"status in our name", func(s *server, r *rand.Rand, _, live object.Object) error {
		o := live.Without("spec").With(map[string]any{"observedGeneration": int64(3)}, "status").With(map[string]any{"name": live.Name()}, "metadata")
		_, err := s.patch(o, types.ApplyPatchType, o.JSON(), metav1.PatchOptions{FieldManager: manager, Force: new(true)}, "status")
		return err
	}},
	{"cleared managedFields", func(s *server, r *rand.Rand, _, live object.Object) error {
		return s.merge(live, `{"metadata":{"managedFields":[{}]}}`)
	}},
	{"our entry dropped", func(s *server, r *rand.Rand, _, live object.Object) error {
		_, err := s.update(live.With([]any{map[string]any{
			"manager": "left", "operation": "Update", "apiVersion": live.APIVersion(), "time": "2024-01-01T00:00:00Z",
			"fieldsType": "FieldsV1", "fieldsV1": map[string]any{"f:metadata": map[string]any{"f:labels": map[string]any{"f:app": map[string]any{}}}},
		}}, "metadata", "managedFields"), "other")
		return err
	}},
	{"an entry of an unknown version", func(s *server, r *rand.Rand, _, live object.Object) error {
		v, _ := clone(live).Get("metadata", "managedFields")
		list, _ := v.([]any)
		group, _, ok := strings.Cut(live.APIVersion(), "/")
		version := "v1alpha9"
		if ok {
			version = group + "/" + version
		}
		_, err := s.update(live.With(append(list, map[string]any{
			"manager": "old", "operation": "Update", "apiVersion": version, "time": "2024-01-01T00:00:00Z",
			"fieldsType": "FieldsV1", "fieldsV1": map[string]any{"f:metadata": map[string]any{"f:labels": map[string]any{"f:app": map[string]any{}}}},
		}), "metadata", "managedFields"), "other")
		return err
	}},
	{"another API version", func(s *server, r *rand.Rand, want, _ object.Object) error {
		o, err := s.get(otherVersion(want))
		if err != nil || o.APIVersion() == want.APIVersion() {
			return err
		}
		_, err = s.update(mutate(r, o), "other")
		return err
	}},
	{"our apply in another API version", func(s *server, r *rand.Rand, want, _ object.Object) error {
		o := otherVersion(want)
		if o.APIVersion() == want.APIVersion() {
			return nil
		}
		_, err := s.apply(o, manager, true, false)
		return err
	}},
	{"taken over", func(s *server, r *rand.Rand, _, live object.Object) error {
		if err := s.jsonPatch(r, live, "kubectl-edit"); err != nil {
			return err
		}
		return s.takeOver(live)
	}},
}

// otherVersion returns o in another version of its API, if we know one.
func otherVersion(o object.Object) object.Object {
	others := map[string]string{
		"autoscaling/v1": "autoscaling/v2", "autoscaling/v2": "autoscaling/v1",
		"same.test/v1": "same.test/v1beta1", "same.test/v1beta1": "same.test/v1",
	}
	if v, ok := others[o.APIVersion()]; ok && o.ID().Kind.Name != "Free" {
		return clone(o).With(v, "apiVersion")
	}
	return o
}

func (s *server) merge(o object.Object, data string) error {
	_, err := s.patch(o, types.MergePatchType, []byte(data), metav1.PatchOptions{FieldManager: "patcher"})
	return err
}

// jsonPatch changes one random place.
func (s *server) jsonPatch(r *rand.Rand, live object.Object, by string) error {
	all := places(any(clone(live).Body()), nil, nil, nil)
	p := all[r.IntN(len(all))]
	path := ""
	for _, e := range p.path {
		path += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(e)
	}
	op := map[string]any{"op": "remove", "path": path}
	if str, ok := p.value.(string); ok && r.IntN(2) == 0 {
		op = map[string]any{"op": "replace", "path": path, "value": str + "x"}
	}
	if n, ok := p.value.(int64); ok {
		op = map[string]any{"op": "replace", "path": path, "value": n + 1}
	}
	data, _ := json.Marshal([]any{op})
	_, err := s.patch(live, types.JSONPatchType, data, metav1.PatchOptions{FieldManager: by})
	return err
}

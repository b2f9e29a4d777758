package plantest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/sane-gitops/sane/object"
)

const manager = "sane"

// A server is the API server under test, and a namespace of our own in it.
type server struct {
	t      *testing.T
	client dynamic.Interface
	mapper *restmapper.DeferredDiscoveryRESTMapper
	disco  *discovery.DiscoveryClient
	ns     string
}

func TestPlan(t *testing.T) {
	s := connect(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *server)
	}{{"Schema", testSchema}, {"Evict", testEvict}, {"Same", testSame}} {
		t.Run(test.name, func(t *testing.T) {
			s := *s
			s.t = t
			test.run(t, &s)
		})
	}
}

// connect returns the server that SANE_TEST_KUBECONFIG names.
func connect(t *testing.T) *server {
	path := os.Getenv("SANE_TEST_KUBECONFIG")
	if path == "" {
		t.Skip("SANE_TEST_KUBECONFIG is not set: it should name the kubeconfig of a cluster that may be filled with anything")
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	config.WarningHandler = nothing{}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{
		t: t, client: client, disco: disco,
		mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco)),
		ns:     fmt.Sprintf("same-test-%d", time.Now().UnixMilli()),
	}
	for _, o := range s.read("testdata/definitions.yaml", 0) {
		s.must(s.apply(o, manager, true, false))
	}
	ns := parse(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+s.ns+"}")[0]
	s.must(s.apply(ns, manager, true, false))
	t.Cleanup(func() { s.delete(ns) })
	s.established("typeds.same.test", "frees.same.test")
	return s
}

type nothing struct{}

func (nothing) HandleWarningHeader(int, string, string) {}

// established waits until the custom resources can be used.
func (s *server) established(names ...string) {
	crds := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	for _, name := range names {
		w, err := s.client.Resource(crds).Watch(context.Background(), metav1.ListOptions{
			FieldSelector: "metadata.name=" + name, TimeoutSeconds: new(int64(30)),
		})
		if err != nil {
			s.t.Fatal(err)
		}
		for e := range w.ResultChan() {
			u, ok := e.Object.(*unstructured.Unstructured)
			if ok && strings.Contains(string(object.Of(u.Object).JSON()), `"status":"True","type":"Established"`) {
				break
			}
		}
		w.Stop()
	}
	for _, k := range []string{"Typed", "Free"} { // the server tells of them a moment later
		for range 1000 {
			s.mapper.Reset()
			if _, err := s.mapper.RESTMapping(schema.GroupKind{Group: "same.test", Kind: k}, "v1"); err == nil {
				break
			}
		}
	}
}

// read returns the objects in a file, with NUM replaced.
func (s *server) read(file string, num int) []object.Object {
	data, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	return parse(s.t, strings.ReplaceAll(string(data), "NUM", fmt.Sprint(num)))
}

func parse(t *testing.T, text string) []object.Object {
	objects, err := object.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// at returns where the objects of o's kind and version live.
func (s *server) at(o object.Object) (dynamic.ResourceInterface, error) {
	k := o.ID().Kind
	m, err := s.mapper.RESTMapping(schema.GroupKind{Group: k.Group, Kind: k.Name}, o.Version())
	if err != nil {
		return nil, err
	}
	if m.Scope.Name() == "root" {
		return s.client.Resource(m.Resource), nil
	}
	return s.client.Resource(m.Resource).Namespace(s.ns), nil
}

// placed returns o in our namespace, if it belongs in one.
func (s *server) placed(o object.Object) object.Object {
	k := o.ID().Kind
	m, err := s.mapper.RESTMapping(schema.GroupKind{Group: k.Group, Kind: k.Name}, o.Version())
	if err != nil {
		s.t.Fatal(err)
	}
	if m.Scope.Name() == "root" {
		return o
	}
	return o.With(s.ns, "metadata", "namespace")
}

func (s *server) get(o object.Object) (object.Object, error) {
	at, err := s.at(o)
	if err != nil {
		return object.Object{}, err
	}
	return result(at.Get(context.Background(), o.Name(), metav1.GetOptions{}))
}

func (s *server) apply(o object.Object, manager string, force, dry bool) (object.Object, error) {
	opts := metav1.PatchOptions{FieldManager: manager, Force: &force}
	if dry {
		opts.DryRun = []string{metav1.DryRunAll}
	}
	return s.patch(o, types.ApplyPatchType, o.JSON(), opts)
}

func (s *server) patch(o object.Object, typ types.PatchType, data []byte, opts metav1.PatchOptions, sub ...string) (object.Object, error) {
	at, err := s.at(o)
	if err != nil {
		return object.Object{}, err
	}
	return result(at.Patch(context.Background(), o.Name(), typ, data, opts, sub...))
}

func (s *server) update(o object.Object, manager string) (object.Object, error) {
	at, err := s.at(o)
	if err != nil {
		return object.Object{}, err
	}
	return result(at.Update(context.Background(), clone(o).Unstructured(), metav1.UpdateOptions{FieldManager: manager}))
}

func (s *server) delete(o object.Object) {
	at, err := s.at(o)
	if err != nil {
		return
	}
	_, _ = s.patch(o, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	_ = at.Delete(context.Background(), o.Name(), metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)})
}

func (s *server) must(o object.Object, err error) object.Object {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	return o
}

func result(u *unstructured.Unstructured, err error) (object.Object, error) {
	if err != nil {
		return object.Object{}, err
	}
	return object.Of(u.Object), nil
}

func clone(o object.Object) object.Object {
	c, err := object.FromJSON(o.JSON())
	if err != nil {
		panic(err)
	}
	return c
}

// truth returns the live object and what applying want would make of it, both
// of one moment: controllers may be at work.
func (s *server) truth(want object.Object) (live, then object.Object, err error) {
	for range 10 {
		if live, err = s.get(want); err != nil {
			return live, then, err
		}
		if then, err = s.apply(want, manager, true, true); err != nil {
			return live, then, err
		}
		if again, err := s.get(want); err != nil || again.ResourceVersion() == live.ResourceVersion() {
			return live, then, err
		}
	}
	return live, then, fmt.Errorf("%s does not come to rest", want)
}

// unchanged reports whether two objects are the same but for times in
// managedFields.
func unchanged(a, b object.Object) bool { return reflect.DeepEqual(timeless(a), timeless(b)) }

func timeless(o object.Object) map[string]any {
	c := clone(o)
	list, _ := c.Get("metadata", "managedFields")
	entries, _ := list.([]any)
	for _, e := range entries {
		if m, ok := e.(map[string]any); ok {
			delete(m, "time")
		}
	}
	return c.Body()
}

// differences says where two JSON values differ.
func differences(path string, a, b any) []string {
	if reflect.DeepEqual(a, b) {
		return nil
	}
	am, ok := a.(map[string]any)
	bm, ok2 := b.(map[string]any)
	if !ok || !ok2 {
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		return []string{fmt.Sprintf("%s: %s → %s", path, x, y)}
	}
	var out []string
	for k := range am {
		out = append(out, differences(path+"."+k, am[k], bm[k])...)
	}
	for k := range bm {
		if _, ok := am[k]; !ok {
			out = append(out, differences(path+"."+k, nil, bm[k])...)
		}
	}
	return out
}

package object

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
)

func of(t *testing.T, data string) Object {
	t.Helper()
	o, err := FromJSON([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

const web = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"n","uid":"u",` +
	`"resourceVersion":"7","generation":3,"finalizers":["f"],"labels":{"a":"1"},"annotations":{"b":"2"},"deletionTimestamp":"2020-01-01T00:00:00Z"},"spec":{"replicas":2}}`

func TestFields(t *testing.T) {
	o := of(t, web)
	for _, tt := range []struct {
		name      string
		got, want any
	}{
		{"ID", o.ID(), ID{Kind{"apps", "Deployment"}, "n", "web"}},
		{"ID.String", o.String(), "Deployment/n/web"},
		{"Kind.String", o.ID().Kind.String(), "Deployment.apps"},
		{"core Kind", Kind{"", "Service"}.String(), "Service"},
		{"cluster-scoped", ID{Kind{"", "Namespace"}, "", "x"}.String(), "Namespace/x"},
		{"APIVersion", o.APIVersion(), "apps/v1"},
		{"Version", o.Version(), "v1"},
		{"core Version", of(t, `{"apiVersion":"v1"}`).Version(), "v1"},
		{"UID", o.UID(), "u"},
		{"ResourceVersion", o.ResourceVersion(), "7"},
		{"Generation", o.Generation(), int64(3)},
		{"Deleting", o.Deleting(), true},
		{"Finalizers", o.Finalizers(), []string{"f"}},
		{"Labels", o.Labels(), map[string]string{"a": "1"}},
		{"Annotations", o.Annotations(), map[string]string{"b": "2"}},
		{"Label", o.Label("a"), "1"},
		{"Annotation", o.Annotation("b"), "2"},
		{"IsZero", o.IsZero(), false},
		{"zero IsZero", Object{}.IsZero(), true},
		{"zero ID", Object{}.ID(), ID{}},
		{"zero Labels", Object{}.Labels(), map[string]string(nil)},
		{"Digest", o.Digest() == of(t, web).Digest(), true},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s = %v, want %v", tt.name, tt.got, tt.want)
		}
	}
}

func TestGet(t *testing.T) {
	o := of(t, `{"spec":{"replicas":2,"none":null}}`)
	for _, tt := range []struct {
		path []string
		want any
		ok   bool
	}{
		{[]string{"spec", "replicas"}, int64(2), true},
		{[]string{"spec", "none"}, nil, false},
		{[]string{"spec", "no"}, nil, false},
		{[]string{"spec", "replicas", "deep"}, nil, false},
	} {
		if got, ok := o.Get(tt.path...); got != tt.want || ok != tt.ok {
			t.Errorf("Get(%q) = %v, %v, want %v, %v", tt.path, got, ok, tt.want, tt.ok)
		}
	}
}

// Every change makes a new object and leaves the old one alone.
func TestChanges(t *testing.T) {
	o := of(t, `{"a":{"b":1,"c":2},"metadata":{"labels":{"x":"1"}}}`)
	before := string(o.JSON())
	for _, tt := range []struct {
		name string
		got  Object
		want string
	}{
		{"With", o.With("v", "a", "b"), `{"a":{"b":"v","c":2},"metadata":{"labels":{"x":"1"}}}`},
		{"With a new path", o.With("v", "d", "e"), `{"a":{"b":1,"c":2},"d":{"e":"v"},"metadata":{"labels":{"x":"1"}}}`},
		{"With through a scalar", o.With("v", "a", "b", "c"), `{"a":{"b":{"c":"v"},"c":2},"metadata":{"labels":{"x":"1"}}}`},
		{"With on nothing", Object{}.With("v", "a"), `{"a":"v"}`},
		{"Without", o.Without("a", "b"), `{"a":{"c":2},"metadata":{"labels":{"x":"1"}}}`},
		{"Without what is not there", o.Without("a", "z"), before},
		{"Without below nothing", o.Without("z", "z"), before},
		{"Without below a scalar", o.Without("a", "b", "c"), before},
		{"Without a root", o.Without("a"), `{"metadata":{"labels":{"x":"1"}}}`},
		{"WithLabels", o.WithLabels(map[string]string{"x": "2", "y": "3"}), `{"a":{"b":1,"c":2},"metadata":{"labels":{"x":"2","y":"3"}}}`},
		{"WithAnnotations", o.WithAnnotations(map[string]string{"y": "3"}), `{"a":{"b":1,"c":2},"metadata":{"annotations":{"y":"3"},"labels":{"x":"1"}}}`},
		{"WithLabels of none", o.WithLabels(nil), before},
	} {
		if got := string(tt.got.JSON()); got != tt.want {
			t.Errorf("%s = %s, want %s", tt.name, got, tt.want)
		}
		if got := string(o.JSON()); got != before {
			t.Fatalf("%s changed the object to %s", tt.name, got)
		}
	}
}

func TestCompare(t *testing.T) {
	want := []ID{
		{Kind{"", "A"}, "", "a"},
		{Kind{"g", "A"}, "", "a"},
		{Kind{"g", "A"}, "n", "a"},
		{Kind{"g", "A"}, "n", "b"},
		{Kind{"", "B"}, "", ""},
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, Compare)
	if !slices.Equal(got, want) {
		t.Errorf("sorted: %v, want %v", got, want)
	}
}

func TestMarshal(t *testing.T) {
	o := of(t, web)
	data, err := json.Marshal(map[string]any{"o": o})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"o":` + string(o.JSON()) + `}`; string(data) != want {
		t.Errorf("Marshal = %s, want %s", data, want)
	}
	if got := o.Unstructured().GetName(); got != "web" {
		t.Errorf("Unstructured has name %q", got)
	}
}

package diff

import (
	"strings"
	"testing"
)

func TestBlame(t *testing.T) {
	o := manifest(t, managed)
	var got []string
	for _, l := range Blame(o.Without("metadata", "managedFields"), o) {
		got = append(got, strings.TrimRight(l.Text+"  # "+l.By, " #"))
	}
	want := `apiVersion: apps/v1
kind: Deployment
metadata:
  finalizers:
  - x/y  # someone
  labels:
    a.b/c: d  # someone
    app: web  # us
  name: web
spec:
  paused: true  # someone
  replicas: 5  # kubectl
  template:
    spec:
      containers:
      - env:
        - name: A  # someone
          value: b  # someone
        image: i:1  # us
        name: main  # us
        ports:
        - containerPort: 80  # us
          protocol: TCP
status:
  replicas: 1  # kube-controller-manager`
	if s := strings.Join(got, "\n"); s != want {
		t.Errorf("blame is\n%s\nwant\n%s", s, want)
	}
}

// The lines are the object, as YAML has it.
func TestBlameIsYAML(t *testing.T) {
	for _, text := range []string{
		managed,
		`{a: {}, b: [], c: [[1, 2], [], [{d: e}]], f: "x\ny\n", "g: h": [{i: "two\nlines", j: null}, 1, {}], k: true, "": [{"": {"": 1}}]}`,
	} {
		o := manifest(t, text)
		var got []string
		for _, l := range Blame(o, o) {
			got = append(got, l.Text)
		}
		if s, want := strings.Join(got, "\n"), YAML(o); s != want {
			t.Errorf("lines are\n%s\nwant\n%s", s, want)
		}
	}
}

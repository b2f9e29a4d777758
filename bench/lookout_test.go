package bench

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sane-gitops/sane/cluster"
	fake "github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/object"
)

func configMap(name, value string) object.Object {
	return object.Of(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"namespace": "default", "name": name},
		"data":     map[string]any{"value": value},
	})
}

func TestLookout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		c := fake.New()
		put := func(name, value string) {
			if _, err := c.Apply(ctx, configMap(name, value), bare); err != nil {
				t.Fatal(err)
			}
		}
		put("a", "new")
		put("b", "old")
		l, err := look(ctx, c, cluster.Selection{Kind: object.Kind{Name: "ConfigMap"}, Namespace: "default"},
			func(o object.Object) string { return text(o, "data", "value") })
		if err != nil {
			t.Fatal(err)
		}
		defer l.close()

		isNew := func(s string) bool { return s == "new" }
		began := time.Now()
		both := l.expect([]string{"a", "b", "c"}, isNew)
		<-time.After(time.Second)
		put("c", "new")
		<-time.After(time.Second)
		short, end := context.WithTimeoutCause(ctx, time.Second, errors.New("too late"))
		defer end()
		other := l.expect([]string{"a", "b"}, isNew)
		if _, err := other.wait(short); err == nil || !strings.Contains(err.Error(), "too late: outstanding: b") {
			t.Errorf("of what does not come: %v", err)
		}
		put("b", "new")
		last, err := both.wait(ctx)
		if err != nil || last.Sub(began) != 3*time.Second || both.when("c").Sub(began) != time.Second {
			t.Errorf("all at %v, c at %v, %v", last.Sub(began), both.when("c").Sub(began), err)
		}
	})
}

package ask

import (
	"context"
	"fmt"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/observe"
)

// Pods returns the pods of an object: itself, or those that it has made, the newest
// first.
func Pods(ctx context.Context, c cluster.Reader, o object.Object) ([]object.Object, error) {
	if o.ID().Kind == podKind {
		return []object.Object{o}, nil
	}
	below, err := observe.Below(ctx, c, o)
	if err != nil {
		return nil, fmt.Errorf("its pods: %w", err)
	}
	var pods []object.Object
	for _, b := range below {
		more, err := Pods(ctx, c, b)
		if err != nil {
			return nil, err
		}
		pods = append(pods, more...)
	}
	return pods, nil
}

// A Container is one of a pod's.
type Container struct {
	Name string
	Init bool // it runs before the others
}

// Containers returns the containers of a pod.
func Containers(pod object.Object) []Container {
	var out []Container
	for _, field := range []string{"initContainers", "containers", "ephemeralContainers"} {
		v, _ := pod.Get("spec", field)
		list, _ := v.([]any)
		for _, c := range list {
			out = append(out, Container{object.Of(child(c)).Text("name"), field == "initContainers"})
		}
	}
	return out
}

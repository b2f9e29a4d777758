package observe

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

var replicaSet = object.Kind{Group: "apps", Name: "ReplicaSet"}

// Below returns what a workload has made, the newest first and a hundred at
// most: a Deployment's ReplicaSets, and the pods of other workloads. Objects of
// other kinds make nothing that is known.
func Below(ctx context.Context, c cluster.Reader, o object.Object) ([]object.Object, error) {
	id, sel := o.ID(), selector(o)
	if !workloads[id.Kind] || sel == "" {
		return nil, nil
	}
	kind := podKind
	if id.Kind.Name == "Deployment" {
		kind = replicaSet
	}
	var found []object.Object
	for b, err := range c.List(ctx, cluster.Selection{Kind: kind, Namespace: id.Namespace, Labels: sel}) {
		if err != nil {
			return nil, err
		}
		if madeBy(b, o) {
			if found = append(found, b); len(found) == maxPods {
				break
			}
		}
	}
	slices.SortFunc(found, func(a, b object.Object) int {
		return cmp.Or(strings.Compare(text(b, "metadata", "creationTimestamp"), text(a, "metadata", "creationTimestamp")),
			strings.Compare(a.Name(), b.Name()))
	})
	return found, nil
}

// madeBy reports whether o has no other controller than maker.
func madeBy(o, maker object.Object) bool {
	return !slices.ContainsFunc(maps(o, "metadata", "ownerReferences"), func(r map[string]any) bool {
		return r["controller"] == true && r["uid"] != maker.UID()
	})
}

// Trouble returns what is wrong with a pod in the words of [Cause]; "" if nothing
// is, or nothing but that it is being made. It is ill if it has failed, or will not
// get well unless somebody changes something: its image, its node.
func Trouble(pod object.Object) (words string, ill bool) {
	t := troubleOf(pod)
	return t.words, t.weight >= ended
}

// Refusal returns why a workload's pods can't be made, as their maker says; ""
// if they can.
func Refusal(o object.Object) string { return tidy(refusal(o)) }

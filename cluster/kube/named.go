package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// Kind returns the kind that goes by a word, as it does for kubectl: the kind's
// name, its plural, singular or a short form, with or without a dot and the
// group. Where several do, Kubernetes' own is meant. That none does is
// [cluster.ErrNoKind].
func (c *Cluster) Kind(ctx context.Context, word string) (object.Kind, error) {
	if _, err := c.kinds.find(ctx, object.Kind{Name: "Namespace"}, ""); err != nil {
		return object.Kind{}, cluster.Refused("look up", object.ID{Kind: object.Kind{Name: word}}, err)
	}
	found := c.kinds.named(strings.ToLower(word))
	switch {
	case len(found) == 0:
		return object.Kind{}, fmt.Errorf("%q is no kind of object: %w is called that by the server", word, cluster.ErrNoKind)
	case len(found) > 1 && rank(found[0]) == rank(found[1]):
		return object.Kind{}, fmt.Errorf("%q may be %s or %s: say which", word, found[0], found[1])
	}
	return found[0], nil
}

// named returns the kinds that go by a word in lower case, the likeliest first.
func (d *discovery) named(word string) []object.Kind {
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []object.Kind
	for k, r := range d.kinds {
		if r.goesBy(k, word) {
			found = append(found, k)
		}
	}
	slices.SortFunc(found, func(a, b object.Kind) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.String(), b.String()))
	})
	return found
}

func (r resource) goesBy(k object.Kind, word string) bool {
	for _, name := range append([]string{k.Name, r.plural, r.singular}, r.short...) {
		name = strings.ToLower(name)
		if name != "" && (word == name || r.group != "" && word == name+"."+r.group) {
			return true
		}
	}
	return false
}

// rank orders groups: the core, the rest of Kubernetes, all others.
func rank(k object.Kind) int {
	switch {
	case k.Group == "":
		return 0
	case !strings.Contains(k.Group, ".") || strings.HasSuffix(k.Group, ".k8s.io"):
		return 1
	}
	return 2
}

package kube

import (
	"encoding/json"
	"slices"

	"k8s.io/apimachinery/pkg/version"

	"github.com/sane-gitops/sane/object"
)

// definition is what is read of a CustomResourceDefinition.
type definition struct {
	Spec struct {
		Group    string `json:"group"`
		Scope    string `json:"scope"`
		Versions []struct {
			Name   string `json:"name"`
			Served bool   `json:"served"`
		} `json:"versions"`
	} `json:"spec"`
	Status struct {
		AcceptedNames struct {
			Kind       string   `json:"kind"`
			Plural     string   `json:"plural"`
			Singular   string   `json:"singular"`
			ShortNames []string `json:"shortNames"`
		} `json:"acceptedNames"`
		Conditions []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
	} `json:"status"`
}

// resource returns how the kind is served that a definition establishes, and
// whether it does.
func (d definition) resource() (object.Kind, resource, bool) {
	names := d.Status.AcceptedNames
	r := resource{group: d.Spec.Group, plural: names.Plural, singular: names.Singular, short: names.ShortNames, namespaced: d.Spec.Scope == "Namespaced"}
	for _, v := range d.Spec.Versions {
		if v.Served {
			r.versions = append(r.versions, v.Name)
		}
	}
	slices.SortFunc(r.versions, func(a, b string) int { return version.CompareKubeAwareVersionStrings(b, a) })
	established := false
	for _, c := range d.Status.Conditions {
		established = established || c.Type == "Established" && c.Status == "True"
	}
	return object.Kind{Group: r.group, Name: names.Kind}, r, established && r.plural != "" && len(r.versions) > 0
}

// learn takes in what a definition says of its kind: the server serves that from
// then on, and discovery tells so later.
func (d *discovery) learn(crd object.Object) {
	var def definition
	if json.Unmarshal(crd.JSON(), &def) != nil {
		return
	}
	k, r, established := def.resource()
	if !established || crd.Deleting() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.kinds[k]; ok && !slices.ContainsFunc(r.versions, func(v string) bool { return !slices.Contains(known.versions, v) }) {
		return
	}
	if d.kinds == nil { // the server has not been asked yet, and is going to be
		return
	}
	d.kinds[k] = r
	d.learned[k] = r
}

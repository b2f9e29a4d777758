package plan

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/object"
)

// The stages of a plan, in order. What other objects need to be accepted at
// all, and what a policy wants early, comes first and is waited for; what others
// merely refer to comes before them; what could stand in their way comes last.
var stageNames = [...]string{"definitions", "classes", "early", "settings", "objects", "webhooks"}

const (
	definitions = iota
	classes
	early
	settings
	objects
	webhooks
)

var stageOf = map[object.Kind]int{
	{Group: "apiextensions.k8s.io", Name: "CustomResourceDefinition"}:               definitions,
	{Group: "", Name: "Namespace"}:                                                  definitions,
	{Group: "rbac.authorization.k8s.io", Name: "ClusterRole"}:                       definitions,
	{Group: "rbac.authorization.k8s.io", Name: "ClusterRoleBinding"}:                settings,
	{Group: "rbac.authorization.k8s.io", Name: "Role"}:                              settings,
	{Group: "rbac.authorization.k8s.io", Name: "RoleBinding"}:                       settings,
	{Group: "", Name: "ResourceQuota"}:                                              settings,
	{Group: "", Name: "LimitRange"}:                                                 settings,
	{Group: "", Name: "ServiceAccount"}:                                             settings,
	{Group: "", Name: "ConfigMap"}:                                                  settings,
	{Group: "", Name: "Secret"}:                                                     settings,
	{Group: "", Name: "PersistentVolume"}:                                           settings,
	{Group: "", Name: "PersistentVolumeClaim"}:                                      settings,
	{Group: "", Name: "Service"}:                                                    settings,
	{Group: "admissionregistration.k8s.io", Name: "MutatingWebhookConfiguration"}:   webhooks,
	{Group: "admissionregistration.k8s.io", Name: "ValidatingWebhookConfiguration"}: webhooks,
}

// Definition reports whether objects of kind k come in the first stage, without
// which others are refused: CustomResourceDefinitions, Namespaces, ClusterRoles.
func Definition(k object.Kind) bool {
	s, ok := stageOf[k]
	return ok && s == definitions
}

func (p Policy) stage(k object.Kind) int {
	if slices.Contains(p.Early, k) && !Definition(k) {
		return early
	}
	if s, ok := stageOf[k]; ok {
		return s
	}
	if strings.HasSuffix(k.Name, "Class") {
		return classes
	}
	return objects
}

// stages groups steps into stages, in order, leaving out the empty ones.
func (p Policy) stages(steps []Step) []Stage {
	var groups [len(stageNames)][]Step
	for _, s := range steps {
		n := p.stage(s.ID.Kind)
		groups[n] = append(groups[n], s)
	}
	var out []Stage
	for n, g := range groups {
		if len(g) == 0 {
			continue
		}
		slices.SortStableFunc(g, func(a, b Step) int {
			return cmp.Or(cmp.Compare(rank(a.ID.Kind), rank(b.ID.Kind)), object.Compare(a.ID, b.ID))
		})
		out = append(out, Stage{Name: stageNames[n], Wait: n <= early, Steps: g})
	}
	return out
}

// rank orders kinds within a stage, as people expect to read them.
func rank(k object.Kind) int {
	if n := slices.Index(readingOrder, k.Name); n >= 0 {
		return n
	}
	return len(readingOrder)
}

var readingOrder = []string{
	"CustomResourceDefinition", "Namespace", "ClusterRole", "ClusterRoleBinding",
	"ResourceQuota", "LimitRange", "ServiceAccount", "Role", "RoleBinding",
	"ConfigMap", "Secret", "Service", "PersistentVolume", "PersistentVolumeClaim",
	"Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job", "PodDisruptionBudget",
}

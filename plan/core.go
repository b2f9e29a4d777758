package plan

import (
	"maps"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/object"
)

// This is what Compare knows of Kubernetes' own kinds beyond what managedFields
// tell. It can only turn Unsure into Same. Names stand for all fields of that
// name; a test holds them against a server's schema.

// isCore reports whether a kind is one of Kubernetes' own, all of whose fields
// have a fixed type.
func isCore(k object.Kind) bool {
	return coreGroups[k.Group] && k.Name != "ControllerRevision"
}

var coreGroups = setOf("", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "apps",
	"autoscaling", "batch", "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io",
	"flowcontrol.apiserver.k8s.io", "networking.k8s.io", "node.k8s.io", "policy", "rbac.authorization.k8s.io",
	"scheduling.k8s.io", "storage.k8s.io")

// stays reports whether a server that knows a kind is sure to know a version of
// its group.
func stays(k object.Kind, apiVersion string) bool {
	group, version, ok := strings.Cut(apiVersion, "/")
	if !ok {
		group, version = "", apiVersion
	}
	return group == k.Group && coreGroups[group] && !strings.Contains(version, "alpha") && !strings.Contains(version, "beta")
}

// atomic are maps that are never merged.
var atomic = setOf("configMapKeyRef", "controllerExpandSecretRef", "controllerPublishSecretRef", "dataSource", "fieldRef",
	"fileKeyRef", "labelSelector", "matchConstraints", "matchResources", "namespaceSelector", "nodeExpandSecretRef",
	"nodePublishSecretRef", "nodeSelector", "nodeStageSecretRef", "objectSelector", "paramKind", "paramRef",
	"podSelector", "port", "preference", "requiredDuringSchedulingIgnoredDuringExecution", "required", "resourceFieldRef",
	"roleRef", "scaleTargetRef", "scopeSelector", "secretKeyRef", "secretRef", "selector", "targetRef")

// associative are lists whose items are merged by keys or as a set.
var associative = setOf("claims", "containers", "env", "ephemeralContainers", "finalizers", "hostAliases",
	"imagePullSecrets", "initContainers", "matchConditions", "ownerReferences", "ports", "resourceClaims",
	"schedulingGates", "secrets", "topologySpreadConstraints", "validationActions", "volumeDevices",
	"volumeLifecycleModes", "volumeMounts", "volumes", "webhooks")

// isAssociative reports whether the list at a place is merged by keys or as a set.
func (c *comparison) isAssociative(here *at) bool {
	if !c.core || !associative[here.name] {
		return false
	}
	switch here.name {
	case "imagePullSecrets":
		return c.kind != "ServiceAccount"
	case "ports":
		return c.kind != "EndpointSlice" && c.kind != "Endpoints"
	case "finalizers":
		return here.up != nil && here.up.name == "metadata"
	}
	return true
}

// granular are maps that are merged field by field.
var granular = setOf("annotations", "data", "labels", "limits", "metadata", "requests", "resources",
	"rollingUpdate", "securityContext", "strategy", "updateStrategy")

// plainMap are maps that are not there when they are empty.
var plainMap = setOf("annotations", "data", "labels", "limits", "nodeSelector", "requests")

// quantities are maps of quantities.
var quantities = setOf("capacity", "hard", "limits", "overhead", "requests")

// quantity are quantities.
var quantity = setOf("averageValue", "divisor", "sizeLimit")

// careful reports whether the server takes empty lists and maps of a kind for
// none. For others, such as NetworkPolicy, every apply of "ingress: []" makes
// a new generation.
func (c *comparison) careful() bool { return c.core && workloads[c.kind] }

var workloads = setOf("ClusterRole", "CronJob", "DaemonSet", "Deployment", "Job", "Role", "StatefulSet")

func setOf(names ...string) map[string]bool {
	return maps.Collect(func(yield func(string, bool) bool) {
		for _, n := range names {
			if !yield(n, true) {
				return
			}
		}
	})
}

// isQuantity reports whether the scalar at a place is kept as a quantity.
func (c *comparison) isQuantity(here *at) bool {
	switch {
	case !c.core || c.kind == "CustomResourceDefinition":
		return false
	case c.kind == "LimitRange":
		return here.up != nil && slices.Contains(limits, here.up.name)
	}
	return quantity[here.name] || here.up != nil && quantities[here.up.name]
}

// isOmitted reports whether a scalar is one that the server takes for its
// absence: zero, in a field that does not tell zero from none.
func (c *comparison) isOmitted(here *at, want any) bool {
	if !c.core || want != "" && want != false && want != int64(0) {
		return false
	}
	switch up := here.parent(); here.name {
	case "apiGroup":
		return up == "subjects"
	case "readOnly":
		return up == "volumeMounts"
	case "value":
		return up == "env" || up == "tolerations"
	}
	return zeroes[here.name]
}

var zeroes = setOf("globalDefault", "hostIPC", "hostNetwork", "hostPID", "initialDelaySeconds", "minReadySeconds",
	"paused", "publishNotReadyAddresses", "stdin", "stdinOnce", "subPath", "tty")

var limits = []string{"default", "defaultRequest", "max", "maxLimitRequestRatio", "min"}

// isDefault reports whether a field that is there within something that is
// never merged, and not wanted, is what the server puts there.
func (c *comparison) isDefault(here *at, key string, live any) bool {
	if !c.core || c.kind == "CustomResourceDefinition" {
		return false
	}
	d, ok := defaults[c.kind+" "+here.field()][key]
	if !ok {
		d, ok = defaults[here.field()][key]
	}
	if phase, isMap := live.(map[string]any); isMap { // the status of a claim to be
		return ok && len(phase) == 1 && phase["phase"] == d
	}
	return ok && live == d
}

// defaults are fields that the server sets within something that is never
// merged: by the field around them, for all kinds or for one.
var defaults = map[string]map[string]any{
	"fieldRef":                             {"apiVersion": "v1"},
	"resourceFieldRef":                     {"divisor": "0"},
	"serviceAccountToken":                  {"expirationSeconds": int64(3600)},
	"NetworkPolicy ports":                  {"protocol": "TCP"},
	"MutatingWebhookConfiguration rules":   {"scope": "*"},
	"ValidatingWebhookConfiguration rules": {"scope": "*"},
	"StatefulSet volumeClaimTemplates": {
		"apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": "Pending",
	},
	"StatefulSet spec": {"volumeMode": "Filesystem"},
	"roleRef":          {"apiGroup": "rbac.authorization.k8s.io"},
	"subjects":         {"apiGroup": "rbac.authorization.k8s.io"}, // of users and groups; others get none
}

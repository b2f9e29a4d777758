// Package health judges an object by what it says of itself.
package health

import (
	"slices"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"

	"github.com/sane-gitops/sane/object"
)

// A Status is how an object is doing. Statuses are ordered, best first.
type Status uint8

const (
	Healthy     Status = iota // it is as it was asked to be
	Progressing               // it is on its way
	Missing                   // there is none
	Unknown                   // what it says makes no sense
	Degraded                  // it says that it has failed
)

var names = [...]string{"Healthy", "Progressing", "Missing", "Unknown", "Degraded"}

func (s Status) String() string { return names[s] }

// MarshalText implements [encoding.TextMarshaler].
func (s Status) MarshalText() ([]byte, error) { return []byte(names[s]), nil }

// A Verdict is a status and the reason for it, in words.
type Verdict struct {
	Status Status
	Why    string
}

// Worst returns the first of the worst verdicts, or Healthy if there are none.
func Worst(vs ...Verdict) Verdict {
	var worst Verdict
	for _, v := range vs {
		if v.Status > worst.Status {
			worst = v
		}
	}
	return worst
}

// A Rule is how a user says that objects of a kind are doing, in expressions
// over their fields, in place of what [Of] would say. Package health/expr can
// read them. Of those that are true the first counts, in the order of the fields.
type Rule struct {
	Kind       object.Kind // without a name: all kinds of the group that have no rule of their own
	InProgress string      // "" is never true
	Failed     string      // "" is never true
	Current    string
}

// Of judges o by the rules of kstatus. It looks at nothing but o.
func Of(o object.Object) Verdict {
	if o.IsZero() {
		return Verdict{Missing, "not found"}
	}
	r, err := status.Compute(o.Unstructured())
	if err != nil {
		return Verdict{Unknown, err.Error()}
	}
	switch r.Status {
	case status.CurrentStatus:
		if o.ID().Kind == job && !complete(o) { // kstatus is content with one that has begun
			return Verdict{Progressing, r.Message}
		}
		return Verdict{}
	case status.FailedStatus:
		return Verdict{Degraded, r.Message}
	case status.UnknownStatus:
		return Verdict{Unknown, r.Message}
	}
	return Verdict{Progressing, r.Message}
}

var job = object.Kind{Group: "batch", Name: "Job"}

// Passing reports whether an object goes away by itself when it has done its
// work, or failed to: a Job that is to be kept for a while only.
func Passing(o object.Object) bool {
	_, set := o.Get("spec", "ttlSecondsAfterFinished")
	return set && o.ID().Kind == job
}

// Passed reports whether an object that has gone went because its work was done.
func Passed(o object.Object) bool { return Passing(o) && complete(o) }

// complete reports whether a Job has done its work.
func complete(o object.Object) bool {
	v, _ := o.Get("status", "conditions")
	list, _ := v.([]any)
	return slices.ContainsFunc(list, func(c any) bool {
		m, _ := c.(map[string]any)
		return m["type"] == "Complete" && m["status"] == "True"
	})
}

// Silent reports whether objects of kind k say nothing of their health beyond
// being there, so that their metadata are enough to judge them.
func Silent(k object.Kind) bool { return silent[k] }

var silent = map[object.Kind]bool{
	{Group: "", Name: "ConfigMap"}:                                                  true,
	{Group: "", Name: "Secret"}:                                                     true,
	{Group: "", Name: "ServiceAccount"}:                                             true,
	{Group: "", Name: "Namespace"}:                                                  true,
	{Group: "", Name: "LimitRange"}:                                                 true,
	{Group: "", Name: "ResourceQuota"}:                                              true,
	{Group: "networking.k8s.io", Name: "Ingress"}:                                   true,
	{Group: "networking.k8s.io", Name: "IngressClass"}:                              true,
	{Group: "networking.k8s.io", Name: "NetworkPolicy"}:                             true,
	{Group: "rbac.authorization.k8s.io", Name: "Role"}:                              true,
	{Group: "rbac.authorization.k8s.io", Name: "RoleBinding"}:                       true,
	{Group: "rbac.authorization.k8s.io", Name: "ClusterRole"}:                       true,
	{Group: "rbac.authorization.k8s.io", Name: "ClusterRoleBinding"}:                true,
	{Group: "scheduling.k8s.io", Name: "PriorityClass"}:                             true,
	{Group: "storage.k8s.io", Name: "StorageClass"}:                                 true,
	{Group: "batch", Name: "CronJob"}:                                               true,
	{Group: "admissionregistration.k8s.io", Name: "MutatingWebhookConfiguration"}:   true,
	{Group: "admissionregistration.k8s.io", Name: "ValidatingWebhookConfiguration"}: true,
}

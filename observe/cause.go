package observe

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/lazy"
	"github.com/sane-gitops/sane/object"
)

// A trouble is why a pod is not as it should be, in words that stay the same
// while it stays the same: no counters, no times, no names that are drawn anew.
type trouble struct {
	weight weight
	words  string
}

// A weight orders troubles: of many pods' the heaviest is told.
type weight int

const (
	none    weight = iota
	young          // it is being made
	unready        // it runs
	ended          // it has failed
	homeless
	stuck // it can't start, or not for long
)

// The kinds whose pods can be found by a selector.
var workloads = map[object.Kind]bool{
	{Group: "apps", Name: "Deployment"}:  true,
	{Group: "apps", Name: "StatefulSet"}: true,
	{Group: "apps", Name: "DaemonSet"}:   true,
	{Group: "apps", Name: "ReplicaSet"}:  true,
	{Group: "batch", Name: "Job"}:        true,
}

var podKind = object.Kind{Name: "Pod"}

// maxPods is how many pods are looked at.
const maxPods = 100

// Cause returns, in words, why a workload or a pod is not healthy, as far as
// its pods and their containers say; "" if they don't, or for other kinds. It
// makes one Get and one List at most, and is meant for when somebody is to be
// told.
func Cause(ctx context.Context, c cluster.Reader, id object.ID) (string, error) {
	if id.Kind != podKind && !workloads[id.Kind] {
		return "", nil
	}
	o, there, err := c.Get(ctx, id)
	switch {
	case err != nil || !there:
		return "", err
	case id.Kind == podKind:
		return troubleOf(o).words, nil
	}
	if why := refusal(o); why != "" {
		return tidy(why), nil
	}
	sel := selector(o)
	if sel == "" {
		return "", nil
	}
	var pods []object.Object
	for p, err := range c.List(ctx, cluster.Selection{Kind: podKind, Namespace: id.Namespace, Labels: sel}) {
		if err != nil {
			return "", err
		}
		if pods = append(pods, p); len(pods) == maxPods {
			break
		}
	}
	return worst(pods).words, nil
}

// worst returns the heaviest trouble of pods, and of several that of the newest.
func worst(pods []object.Object) trouble {
	slices.SortStableFunc(pods, func(a, b object.Object) int {
		return cmp.Or(strings.Compare(text(b, "metadata", "creationTimestamp"), text(a, "metadata", "creationTimestamp")),
			strings.Compare(a.Name(), b.Name()))
	})
	var found trouble
	for _, p := range pods {
		if t := troubleOf(p); t.weight > found.weight {
			found = t
		}
	}
	return found
}

// refusal returns why no pods can be made, as their maker says.
func refusal(o object.Object) string {
	c := condition(o, "ReplicaFailure")
	if c["status"] != "True" {
		return ""
	}
	return str(c, "message")
}

// troubleOf returns what is wrong with a pod.
func troubleOf(p object.Object) trouble {
	switch text(p, "status", "phase") {
	case "Succeeded":
		return trouble{}
	case "Failed":
		if reason := text(p, "status", "reason"); reason != "" {
			return trouble{ended, tidy("its pod has failed: " + join(reason, text(p, "status", "message")))}
		}
	}
	if c := condition(p, "PodScheduled"); c["status"] == "False" {
		return trouble{homeless, tidy("its pod can't be scheduled: " + str(c, "message"))}
	}
	var found trouble
	for _, field := range []string{"initContainerStatuses", "containerStatuses"} {
		for _, c := range maps(p, "status", field) {
			if t := container(c); t.weight > found.weight {
				found = t
			}
		}
	}
	return found
}

// container returns what is wrong with a container. What it said itself when it
// ended is not told: it may be a secret.
func container(c map[string]any) trouble {
	name := fmt.Sprintf("container %q ", str(c, "name"))
	state, last := child(c, "state"), child(c, "lastState")
	if w := child(state, "waiting"); w != nil {
		return waiting(name, w, child(last, "terminated"))
	}
	if t := child(state, "terminated"); t != nil {
		if code := number(t["exitCode"]); code != 0 {
			return trouble{ended, name + exit(t)}
		}
		return trouble{}
	}
	if c["ready"] != true && child(state, "running") != nil {
		if t := child(last, "terminated"); t != nil && number(t["exitCode"]) != 0 {
			return trouble{stuck, name + "is not ready: it was started again after it " + exit(t)}
		}
		return trouble{unready, name + "runs and is not ready"}
	}
	return trouble{}
}

func waiting(name string, w, last map[string]any) trouble {
	switch reason := str(w, "reason"); {
	case last != nil && reason == "CrashLoopBackOff":
		return trouble{stuck, name + "crashes again and again: it " + exit(last)}
	case reason == "CrashLoopBackOff": // its message counts seconds
		return trouble{stuck, name + "crashes again and again"}
	case reason == "" || reason == "ContainerCreating" || reason == "PodInitializing":
		return trouble{young, ""}
	default:
		return trouble{stuck, tidy(name + "can't start: " + join(reason, str(w, "message")))}
	}
}

func exit(t map[string]any) string {
	words := fmt.Sprintf("ended with exit code %d", number(t["exitCode"]))
	if reason := str(t, "reason"); reason != "" && reason != "Error" {
		words += " (" + reason + ")"
	}
	return words
}

func join(reason, message string) string {
	if message == "" {
		return reason
	}
	return reason + ": " + message
}

// query is the part of a URL that may be a key to what it names.
var query = lazy.Compile(`(https?://[^\s"'?]*)\?[^\s"']*`)

// tidy returns one short line.
func tidy(s string) string {
	const most = 300
	s = query.ReplaceAllString(strings.Join(strings.Fields(s), " "), "$1?…")
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// selector returns a workload's selector as a list asks for it.
func selector(o object.Object) string {
	var terms []string
	labels, _ := o.Get("spec", "selector", "matchLabels")
	m, _ := labels.(map[string]any)
	for k, v := range m {
		if s, ok := v.(string); ok {
			terms = append(terms, k+"="+s)
		}
	}
	for _, e := range maps(o, "spec", "selector", "matchExpressions") {
		terms = append(terms, expression(e))
	}
	slices.Sort(terms)
	return strings.Join(terms, ",")
}

func expression(e map[string]any) string {
	list, _ := e["values"].([]any)
	var values []string
	for _, v := range list {
		s, _ := v.(string)
		values = append(values, s)
	}
	key := str(e, "key")
	switch e["operator"] {
	case "In":
		return key + " in (" + strings.Join(values, ",") + ")"
	case "NotIn":
		return key + " notin (" + strings.Join(values, ",") + ")"
	case "DoesNotExist":
		return "!" + key
	}
	return key
}

func condition(o object.Object, kind string) map[string]any {
	for _, c := range maps(o, "status", "conditions") {
		if c["type"] == kind {
			return c
		}
	}
	return nil
}

// maps returns the maps in the list at a path.
func maps(o object.Object, path ...string) []map[string]any {
	v, _ := o.Get(path...)
	list, _ := v.([]any)
	var out []map[string]any
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func text(o object.Object, path ...string) string {
	v, _ := o.Get(path...)
	s, _ := v.(string)
	return s
}

func str(m map[string]any, key string) string { s, _ := m[key].(string); return s }

func child(m map[string]any, key string) map[string]any { c, _ := m[key].(map[string]any); return c }

func number(v any) int64 {
	switch n := v.(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return 0
}

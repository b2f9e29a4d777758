package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/sane-gitops/sane/object"
)

// TakenOver reports whether fields of a manager are to become ours: those that
// kubectl leaves behind, those from before server-side apply, those that our
// own name holds by plain updates, and those of the managers named in over.
func TakenOver(manager, operation, ours string, over ...string) bool {
	return strings.HasPrefix(manager, "kubectl") ||
		manager == "before-first-apply" ||
		manager == ours && operation == "Update" ||
		manager != ours && slices.Contains(over, manager)
}

// lastApplied is the annotation in which kubectl keeps what it applied.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// TakeOver returns a JSON patch for o that gives the fields of all managers
// that are to be taken over (see [TakenOver]) to ours, so that our next apply decides on them,
// and whether there are any. It takes away what kubectl and Flux's first version
// have noted on o. The patch is void if o has changed meanwhile.
func TakeOver(o object.Object, ours string, over ...string) (patch []byte, needed bool, err error) {
	v, _ := o.Get("metadata", "managedFields")
	list, _ := v.([]any)
	mine, found, rest, err := merged(list, ours, over)
	if err != nil || !found {
		return nil, false, err
	}
	type op struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value,omitempty"`
	}
	ops := []op{
		{"replace", "/metadata/managedFields", append(rest, mine)},
		{"replace", "/metadata/resourceVersion", o.ResourceVersion()},
	}
	leave := func(where string, has map[string]string, names ...string) {
		for _, name := range names {
			if _, ok := has[name]; ok {
				ops = append(ops, op{"remove", "/metadata/" + where + "/" + strings.ReplaceAll(name, "/", "~1"), nil})
			}
		}
	}
	leave("annotations", o.Annotations(), lastApplied, "kustomize.toolkit.fluxcd.io/checksum", "fluxcd.io/sync-checksum")
	leave("labels", o.Labels(), "fluxcd.io/sync-gc-mark")
	patch, err = json.Marshal(ops)
	return patch, err == nil, err
}

// merged splits managedFields into our entry, with the fields of all managers
// that are to be taken over, and the rest.
func merged(list []any, ours string, over []string) (mine map[string]any, found bool, rest []any, err error) {
	fields := fieldpath.NewSet()
	version := ""
	for _, e := range list {
		m, _ := e.(map[string]any)
		str := func(k string) string { s, _ := m[k].(string); return s }
		own := str("manager") == ours && str("operation") == "Apply"
		take := TakenOver(str("manager"), str("operation"), ours, over...)
		if str("subresource") != "" || !own && !take {
			rest = append(rest, e)
			continue
		}
		set, err := fieldSet(m["fieldsV1"])
		if err != nil {
			return nil, false, nil, fmt.Errorf("managed fields of %q: %w", str("manager"), err)
		}
		fields = fields.Union(set)
		found = found || take
		if own || version == "" {
			version = str("apiVersion")
		}
	}
	if !found {
		return nil, false, nil, nil
	}
	data, err := fields.ToJSON()
	if err != nil {
		return nil, false, nil, err
	}
	mine = map[string]any{
		"manager": ours, "operation": "Apply", "apiVersion": version,
		"fieldsType": "FieldsV1", "fieldsV1": json.RawMessage(data),
	}
	return mine, true, slices.Clip(rest), nil
}

// decoded returns a set as managedFields hold it.
func decoded(set *fieldpath.Set) map[string]any {
	data, err := set.ToJSON()
	fields := make(map[string]any)
	if err == nil {
		err = json.Unmarshal(data, &fields)
	}
	if err != nil {
		panic("plan: " + err.Error()) // it was decoded from JSON
	}
	return fields
}

// fieldSet decodes fieldsV1.
func fieldSet(v any) (*fieldpath.Set, error) {
	set := fieldpath.NewSet()
	if v == nil {
		return set, nil
	}
	data, ok := v.(json.RawMessage)
	if !ok {
		var err error
		if data, err = json.Marshal(v); err != nil {
			return nil, err
		}
	}
	return set, set.FromJSON(bytes.NewReader(data))
}

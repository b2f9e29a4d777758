package plan

import (
	"encoding/json"
	"testing"

	"github.com/sane-gitops/sane/object"
)

// Plantest tries Evict on a server. Here is what it leaves alone.
func TestEvict(t *testing.T) {
	const (
		service = `{"apiVersion":"v1","kind":"Service","metadata":{"name":"a","resourceVersion":"7","finalizers":["x"],"ownerReferences":[{"uid":"1"}]},` +
			`"spec":{"ports":[{"name":"http","port":81,"protocol":"TCP"},{"name":"dns","port":53,"protocol":"UDP"}]}}`
		want  = `{"apiVersion":"v1","kind":"Service","metadata":{"name":"a","finalizers":["y"],"ownerReferences":[{"uid":"2"}]},"spec":{"ports":[{"name":"http","port":80},{"name":"dns","port":53,"protocol":"UDP"}]}}`
		ours  = `{"f:spec":{"f:ports":{"k:{\"port\":53,\"protocol\":\"UDP\"}":{".":{},"f:name":{},"f:port":{},"f:protocol":{}}}}}`
		item  = `{"f:metadata":{"f:ownerReferences":{"k:{\"uid\":\"1\"}":{}},"f:finalizers":{"v:\"x\"":{}}},"f:spec":{"f:ports":{"k:{\"port\":81,\"protocol\":\"TCP\"}":{".":{},"f:port":{}}}}}`
		moved = `{"f:spec":{"f:ports":{"k:{\"port\":53,\"protocol\":\"UDP\"}":{".":{},"f:name":{},"f:port":{},"f:protocol":{}},"k:{\"port\":81,\"protocol\":\"TCP\"}":{}}}}`
	)
	entry := func(manager, operation, sub, version, fields string) any {
		return map[string]any{
			"manager": manager, "operation": operation, "subresource": sub, "apiVersion": version,
			"fieldsType": "FieldsV1", "fieldsV1": parseJSON(t, []byte(fields)).Body(), "time": "2024-01-01T00:00:00Z",
		}
	}
	mine := entry("sane", "Apply", "", "v1", ours)
	for _, tt := range []struct {
		name    string
		entries []any
		evicts  bool
	}{
		{"another's update", []any{mine, entry("other", "Update", "", "v1", item)}, true},
		{"two others' updates", []any{entry("one", "Update", "", "v1", item), mine, entry("two", "Update", "", "v1", item)}, true},
		{"nobody's", []any{mine}, false},
		{"ours", []any{entry("sane", "Apply", "", "v1", item)}, false},
		{"our update", []any{mine, entry("sane", "Update", "", "v1", item)}, false},
		{"another's apply", []any{mine, entry("other", "Apply", "", "v1", item)}, false},
		{"another's apply and update", []any{mine, entry("other", "Apply", "", "v1", item), entry("other", "Update", "", "v1", item)}, false},
		{"a subresource's", []any{mine, entry("other", "Update", "status", "v1", item)}, false},
		{"of another version", []any{mine, entry("other", "Update", "", "v2", item)}, false},
	} {
		live := parseJSON(t, []byte(service)).With(tt.entries, "metadata", "managedFields")
		patch, ok := Evict(parseJSON(t, []byte(want)), live, "sane")
		if ok != tt.evicts {
			t.Errorf("%s: Evict = %t: %s", tt.name, ok, patch)
		}
		if !ok {
			continue
		}
		var ops []struct {
			Path  string
			Value any
		}
		if err := json.Unmarshal(patch, &ops); err != nil || len(ops) != 2 || ops[1].Value != "7" {
			t.Fatalf("%s: %v in %s", tt.name, err, patch)
		}
		list := ops[0].Value.([]any)
		last := list[len(list)-1].(map[string]any)
		if got := string(object.Of(last["fieldsV1"].(map[string]any)).JSON()); got != moved {
			t.Errorf("%s: ours are now %s, want %s", tt.name, got, moved)
		}
	}
}

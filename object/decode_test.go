package object

import (
	"encoding/json"
	"os"
	"reflect"
	"testing"

	utiljson "k8s.io/apimachinery/pkg/util/json"
)

var someJSON = []string{
	`{}`, ` { "a" : [ ] , "b" : { } } `, `{"a":null,"b":true,"c":false}`, `{"a":"x\n\"é\u00e9\ud83d\ude00"}`,
	`{"n":[0,-0,1,-1,1.0,1e3,1E400,123456789012345678,1234567890123456789,12345678901234567890,-9223372036854775808,0.1,01,1.,.1,-]}`,
	`{"n":[0,-1,1.0,1e3,0.5,-2.5e-3,999999999999999999,9223372036854775807,9223372036854775808]}`,
	`{"n":-0}`, `{"n":-0.0}`, `{"a":1,"a":2}`, `{"é":"ü"}`, "{\"a\":\"\xff\"}", "{\"a\":\"\x01\"}", `{"a":"\x"}`, `{"a":"\u12"}`,
	managed(`{"f:a":{}}`), managed(`{"f:a":{}`), managed(`{"f:a"}`), managed(`{"f:a":{},}`), managed("{\"f:\xff\":{}}"), managed(`{"\u12":{}}`), managed(`{"f:a":{}}x`),
	`{"metadata":{"managedFields":{"fieldsV1":{}}},"managedFields":[{"fieldsV1":{}}],"object":` + managed(`{"f:b":{}}`) + `}`,
	`null`, `[]`, `"a"`, ``, `{`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{"a":1}x`, `{"a":1} {}`, `{"a":tru}`, `{"a":truely}`, `[1,]`, `{"a\u0062":1}`, `{"a":"\ud800"}`,
}

// decodesTheSame checks decode against the library that it stands in for.
func decodesTheSame(t *testing.T, data []byte) {
	t.Helper()
	var want map[string]any
	wantErr := utiljson.Unmarshal(data, &want)
	got, err := decode(data)
	got, _ = inFull(got).(map[string]any)
	if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got, want) {
		t.Errorf("decode(%q) = %#v, %v; want %#v, %v", data, got, err, want, wantErr)
	}
}

// inFull decodes what decode leaves as JSON.
func inFull(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = inFull(v[k])
		}
	case []any:
		for i := range v {
			v[i] = inFull(v[i])
		}
	case json.RawMessage:
		return Fields(v)
	}
	return v
}

// managed is an object that has fieldsV1 for its managedFields.
func managed(fieldsV1 string) string {
	return `{"metadata":{"managedFields":[{"manager":"a","fieldsV1":` + fieldsV1 + `},{}]}}`
}

// TestManagedFields sees that what managedFields say of fields stays as it stood there,
// and can be read.
func TestManagedFields(t *testing.T) {
	for _, c := range []struct {
		name, fieldsV1 string
		raw            bool
	}{
		{"fields", `{"f:a":{".":{},"k:{\"b\":1}":{"f:c":{}}}}`, true},
		{"none", `{}`, true},
		{"spread", `{ "f:a" : { } }`, true},
		{"a backslash", `{"k:{\"b\":\"\\\"}":{}}`, true},
		{"another escape", `{"f:\u00e9":{}}`, false},
		{"a letter of two bytes", `{"f:é":{}}`, false},
		{"no object", `7`, false},
		{"null", `null`, false},
		{"a value in it", `{"f:a":1}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := FromJSON([]byte(managed(c.fieldsV1)))
			if err != nil {
				t.Fatal(err)
			}
			v, _ := o.Get("metadata", "managedFields")
			kept := v.([]any)[0].(map[string]any)["fieldsV1"]
			if raw, ok := kept.(json.RawMessage); ok != c.raw || ok && string(raw) != c.fieldsV1 {
				t.Errorf("is kept as %#v", kept)
			}
			var want map[string]any
			_ = utiljson.Unmarshal([]byte(c.fieldsV1), &want) // there may be no object
			if !reflect.DeepEqual(Fields(kept), want) {
				t.Errorf("says %v; want %v", Fields(kept), want)
			}
			again, err := FromJSON(o.JSON())
			if err != nil || !reflect.DeepEqual(again, o) {
				t.Errorf("comes back as %s, %v", again.JSON(), err)
			}
		})
	}
}

func TestDecode(t *testing.T) {
	for _, d := range someJSON {
		decodesTheSame(t, []byte(d))
	}
}

func FuzzDecode(f *testing.F) {
	for _, d := range someJSON {
		f.Add([]byte(d))
	}
	f.Fuzz(func(t *testing.T, data []byte) { decodesTheSame(t, data) })
}

func BenchmarkDecode(b *testing.B) {
	data, err := os.ReadFile("../cluster/kube/testdata/deployment.json")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

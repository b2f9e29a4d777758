package object

import (
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
	`null`, `[]`, `"a"`, ``, `{`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{"a":1}x`, `{"a":1} {}`, `{"a":tru}`, `{"a":truely}`, `[1,]`, `{"a\u0062":1}`, `{"a":"\ud800"}`,
}

// decodesTheSame checks decode against the library that it stands in for.
func decodesTheSame(t *testing.T, data []byte) {
	t.Helper()
	var want map[string]any
	wantErr := utiljson.Unmarshal(data, &want)
	got, err := decode(data)
	if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got, want) {
		t.Errorf("decode(%q) = %#v, %v; want %#v, %v", data, got, err, want, wantErr)
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

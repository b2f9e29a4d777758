package object

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// encodesTheSame checks encode against the library that it stands in for.
func encodesTheSame(t *testing.T, v any) {
	t.Helper()
	want, wantErr := json.Marshal(v)
	got, err := encode(nil, v)
	if (err == nil) != (wantErr == nil) || err == nil && string(got) != string(want) {
		t.Errorf("encode(%#v) = %s, %v; want %s, %v", v, got, err, want, wantErr)
	}
}

func TestEncode(t *testing.T) {
	many := make(map[string]any)
	for c := range rune(0x180) {
		many["k"+string(c)] = "v" + string(c)
	}
	for _, v := range []any{
		nil, true, "", int64(0), int64(math.MinInt64), 0.1, 1e21, 1e-7, math.Copysign(0, -1), math.NaN(), math.Inf(1), 7, json.Number("1.50"),
		map[string]any(nil), map[string]any{}, []any(nil), []any{}, map[string]string{"b": "<", "a": ">"}, []string{"&"}, struct{ A int }{1},
		"\u2028 \u2029 \x7f \xff \U0001f600 \b\f\n\r\t\x00\x1f \\ \"", many,
		map[string]any{"z": []any{nil, false, map[string]any{"\n": 1.5}}, "a": map[string]any{"<": int64(-1)}, "": nil},
		map[string]any{"bad": func() {}},
	} {
		encodesTheSame(t, v)
	}
}

func FuzzEncode(f *testing.F) {
	for _, d := range someJSON {
		f.Add([]byte(d))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if body, err := decode(data); err == nil {
			encodesTheSame(t, body)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	data, err := os.ReadFile("../cluster/kube/testdata/deployment.json")
	if err != nil {
		b.Fatal(err)
	}
	o, err := FromJSON(data)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		o.JSON()
	}
}

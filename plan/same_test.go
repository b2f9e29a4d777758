package plan

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/sane-gitops/sane/object"
)

var update = flag.Bool("update", false, "rewrite the verdicts in testdata")

// A sample is an object as it is wanted and as it stood in a real server, which
// plantest has recorded.
type sample struct {
	file       string
	archive    *txtar.Archive
	want, live object.Object
	same       bool // the server changed nothing when it was applied
}

func samples(t testing.TB) []sample {
	files, err := filepath.Glob("testdata/same/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	var out []sample
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, sample{
			file: file, archive: a,
			want: parseJSON(t, a.Files[0].Data), live: parseJSON(t, a.Files[1].Data),
			same: strings.Contains(string(a.Comment), "the server changes nothing"),
		})
	}
	return out
}

func parseJSON(t testing.TB, data []byte) object.Object {
	o, err := object.FromJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestCompareSamples(t *testing.T) {
	for _, s := range samples(t) {
		v := Compare(s.want, s.live, "sane")
		if v.Answer == Same && !s.same {
			t.Errorf("%s: Same, but the server changed something", s.file)
		}
		got := strings.TrimSpace(v.Answer.String()+" "+v.Why) + "\n"
		f := &s.archive.Files[2]
		if got == strings.TrimSpace(string(f.Data))+"\n" {
			continue
		}
		if !*update {
			t.Errorf("%s:\n got %s\nwant %s", s.file, got, f.Data)
			continue
		}
		f.Data = []byte(got)
		if err := os.WriteFile(s.file, txtar.Format(s.archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCompareChanged: whatever is changed in what is proven the same, it is no
// longer the same.
func TestCompareChanged(t *testing.T) {
	n := 0
	for _, s := range samples(t) {
		if Compare(s.want, s.live, "sane").Answer != Same {
			continue
		}
		for _, path := range scalars(s.want.Body(), nil) {
			if len(path) > 1 && path[0] == "metadata" && path[1] == "namespace" || path[0] == "status" || path[len(path)-1] == "creationTimestamp" {
				continue
			}
			want, live := copied(t, s.want), copied(t, s.live)
			if v, ok := at1(want.Body(), path); ok && v != nil {
				set(want.Body(), path, other(v))
				n++
				if v := Compare(want, live, "sane"); v.Answer == Same {
					t.Errorf("%s: Same, though %v is wanted to be other", s.file, path)
				}
			}
			want = copied(t, s.want)
			if v, ok := at1(live.Body(), path); ok && v != nil && s.live.Name() != "" {
				set(live.Body(), path, other(v))
				n++
				if v := Compare(want, live, "sane"); v.Answer == Same {
					t.Errorf("%s: Same, though %v is other", s.file, path)
				}
			}
		}
	}
	if n < 1000 {
		t.Errorf("only %d changes tried", n)
	}
}

// scalars returns the paths of all scalars in a JSON value.
func scalars(v any, path []any) [][]any {
	var out [][]any
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out = append(out, scalars(v[k], append(slices.Clone(path), k))...)
		}
	case []any:
		for i := range v {
			out = append(out, scalars(v[i], append(slices.Clone(path), i))...)
		}
	default:
		out = append(out, path)
	}
	return out
}

func at1(v any, path []any) (any, bool) {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				return nil, false
			}
			if v, ok = m[p]; !ok {
				return nil, false
			}
		case int:
			l, ok := v.([]any)
			if !ok || p >= len(l) {
				return nil, false
			}
			v = l[p]
		}
	}
	return v, true
}

func set(v any, path []any, to any) {
	around, _ := at1(v, path[:len(path)-1])
	switch p := path[len(path)-1].(type) {
	case string:
		around.(map[string]any)[p] = to
	case int:
		around.([]any)[p] = to
	}
}

func other(v any) any {
	switch v := v.(type) {
	case string:
		return v + "-changed"
	case int64:
		return v + 7
	case float64:
		return v + 7
	case bool:
		return !v
	}
	return "changed"
}

func copied(t testing.TB, o object.Object) object.Object { return parseJSON(t, o.JSON()) }

// testObject is a custom resource with a list of every sort, and testEntry is
// what an apply of it leaves.
const (
	testObject = `{"apiVersion":"x.test/v1","kind":"Thing","metadata":{"name":"a","labels":{"a":"b"}},"spec":{"n":1,"s":"x","set":["p","q"],` +
		`"ports":[{"port":80,"protocol":"TCP"},{"port":53,"protocol":"UDP","name":"dns"}],"list":[1,{"a":"b"}]}}`
	testEntry = `{"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:n":{},"f:s":{},"f:set":{"v:\"p\"":{},"v:\"q\"":{}},"f:ports":{` +
		`"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{},"f:protocol":{}},` +
		`"k:{\"port\":53,\"protocol\":\"UDP\"}":{".":{},"f:port":{},"f:protocol":{},"f:name":{}}},"f:list":{}}}`
)

func TestCompare(t *testing.T) {
	for _, tt := range []struct {
		name       string
		want, live string // old → new, in testObject
		entry      string // old → new, in testEntry
		answer     string
	}{
		{"as it is", "", "", "", "same"},
		{"another value there", "", `"n":1 → "n":2`, "", "different spec.n: has another value"},
		{"another value wanted", `"s":"x" → "s":"y"`, "", "", "different spec.s: has another value"},
		{"number as a string", `"n":1 → "n":"1"`, "", "", "unsure spec.n: may be another spelling of what is there"},
		{"quantities", `"s":"x" → "s":"1000m"`, `"s":"x" → "s":"1"`, "", "unsure spec.s: may be another spelling of what is there"},
		{"durations", `"s":"x" → "s":"60s"`, `"s":"x" → "s":"1m0s"`, "", "unsure spec.s: may be another spelling of what is there"},
		{"times", `"s":"x" → "s":"2024-01-01T00:00:00.5Z"`, `"s":"x" → "s":"2024-01-01T00:00:00Z"`, "", "unsure spec.s: may be another spelling of what is there"},
		{"base64", `"s":"x" → "s":"YW\nE="`, `"s":"x" → "s":"YWE="`, "", "unsure spec.s: may be another spelling of what is there"},
		{"empty", `"s":"x" → "s":""`, "", "", "unsure spec.s: may be another spelling of what is there"},
		{"null", `"s":"x" → "s":null`, "", "", "unsure spec.s: is wanted to be null"},
		{"no longer wanted", `"n":1, → `, "", "", "different spec.n: is ours and no longer wanted"},
		{"newly wanted", `"n":1 → "n":1,"m":2`, `"n":1 → "n":1,"m":2`, "", "different spec.m: is not ours"},
		{"taken away", "", "", `"f:n":{}, → `, "different spec.n: is not ours"},
		{"beside ours", "", `"n":1 → "n":1,"m":2`, "", "same"},
		{"empty and nothing to own", `"n":1 → "n":1,"m":[]`, "", "", "unsure spec.m: is empty, and may be nothing to own"},
		{"set in another order", `"p","q" → "q","p"`, "", "", "different spec.set: has its items in another order"},
		{"set with another's item", "", `"p","q" → "p","o","q"`, "", "same"},
		{"set with an item twice", "", `"p","q" → "p","q","p"`, "", "unsure spec.set: has an item of ours that is missing or there twice"},
		{"set wanted twice", `"p","q" → "p","p"`, "", "", "different spec.set: has its items in another order"},
		{"new item in a set", `"p","q" → "p","q","r"`, "", "", "different spec.set: has other items that are ours than are wanted"},
		{"item with a default key", `80,"protocol":"TCP" → 80`, "", `"f:port":{},"f:protocol":{}}, → "f:port":{}},`, "unsure spec.ports: has an item whose key can't be told"},
		{"other item", `"port":80 → "port":81`, "", "", "different spec.ports: has an item that is not ours"},
		{"value in an item", `"dns" → "ns"`, "", "", "different spec.ports[1].name: has another value"},
		{"item between ours", "", `{"port":53 → {"port":8,"protocol":"TCP"},{"port":53`, "", "same"},
		{"items swapped", "", `{"port":80,"protocol":"TCP"}, → {"port":53,"protocol":"UDP","name":"dns"},`, "", "unsure spec.ports: has an item of ours that is missing or there twice"},
		{"atomic list longer", "", `[1, → [1,2,`, "", "different spec.list: has 3 items and should have 2"},
		{"default in an atomic list", "", `"a":"b"}] → "a":"b","c":"d"}]`, "", "unsure spec.list[1].c: is there and not wanted; it may be a default"},
		{"map that is a leaf", `"n":1 → "n":{"a":1}`, `"n":1 → "n":{"a":1}`, "", "unsure spec.n: may have been empty when it was applied"},
		{"map where there was a list", `"list":[1,{"a":"b"}] → "list":{"a":1}`, "", "", "unsure spec.list: is not there, or not a map"},
		{"renamed", `"name":"a" → "name":"b"`, "", "", "different is another object"},
		{"another version", `x.test/v1 → x.test/v2`, "", "", "unsure seen as x.test/v1"},
		{"what is the server's", `"name":"a" → "name":"a","uid":"1"`, "", "", "unsure metadata.uid: is the server's"},
		{"creationTimestamp null", `"name":"a" → "name":"a","creationTimestamp":null`, "", "", "same"},
		{"status", `"spec" → "status":{},"spec"`, "", "", "unsure status: may be the server's"},
		{"taken over", "", "", `"f:labels":{ → "f:labels":{".":{},`, "unsure metadata.labels: managedFields: not as an apply leaves them"},
		{"not understood", "", "", `"f:n":{} → "f:n":1`, "unsure spec.n: managedFields: not understood"},
	} {
		want := parseJSON(t, []byte(changed(t, testObject, tt.want)))
		live := testLive(t, changed(t, testObject, tt.live), changed(t, testEntry, tt.entry))
		v := Compare(want, live, "sane")
		if got := strings.TrimSpace(v.Answer.String() + " " + v.Why); got != tt.answer {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.answer)
		}
	}
}

func changed(t testing.TB, text, edit string) string {
	if edit == "" {
		return text
	}
	from, to, _ := strings.Cut(edit, " → ")
	if !strings.Contains(text, from) {
		t.Fatalf("no %s in %s", from, text)
	}
	return strings.Replace(text, from, to, 1)
}

func testLive(t testing.TB, body, fields string) object.Object {
	o := parseJSON(t, []byte(body))
	entry := parseJSON(t, []byte(`{"manager":"sane","operation":"Apply","apiVersion":"x.test/v1","time":"2024-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":`+fields+`}`))
	return o.With([]any{entry.Body()}, "metadata", "managedFields")
}

func TestCompareOwners(t *testing.T) {
	want := parseJSON(t, []byte(testObject))
	live := testLive(t, testObject, testEntry)
	list, _ := live.Get("metadata", "managedFields")
	ours := list.([]any)[0].(map[string]any)
	entry := func(kv ...any) map[string]any {
		m := maps.Clone(ours)
		for i := 0; i < len(kv); i += 2 {
			m[kv[i].(string)] = kv[i+1]
		}
		return m
	}
	for _, tt := range []struct {
		name    string
		entries []any
		answer  Answer
	}{
		{"none", nil, Different},
		{"ours", []any{ours}, Same},
		{"update in our name", []any{entry("operation", "Update")}, Different},
		{"for a subresource", []any{entry("subresource", "status")}, Different},
		{"another manager's", []any{entry("manager", "other")}, Different},
		{"ours and another's", []any{ours, entry("manager", "other")}, Same},
		{"another version", []any{entry("apiVersion", "x.test/v2")}, Unsure},
		{"another's in another version", []any{ours, entry("manager", "other", "apiVersion", "x.test/v2")}, Unsure},
		{"twice", []any{ours, ours}, Unsure},
		{"without time", []any{entry("time", nil)}, Unsure},
		{"without fields", []any{ours, entry("manager", "other", "fieldsV1", map[string]any{})}, Unsure},
		{"nonsense", []any{ours, "x"}, Unsure},
	} {
		if v := Compare(want, live.With(tt.entries, "metadata", "managedFields"), "sane"); v.Answer != tt.answer {
			t.Errorf("%s: %v, want %v", tt.name, v, tt.answer)
		}
	}
	if v := Compare(want, object.Object{}, "sane"); v.Answer != Different {
		t.Errorf("not there: %v", v)
	}
}

// FuzzCompare changes the live form of a custom resource, whose fields nothing
// is known of. Same must mean that what a slow search finds at each path of our
// entry is the same on both sides, and that nothing else is wanted.
func FuzzCompare(f *testing.F) {
	f.Add([]byte(testObject), []byte(testObject), []byte(testEntry))
	f.Add([]byte(testObject), []byte(strings.Replace(testObject, `"n":1`, `"n":2`, 1)), []byte(testEntry))
	f.Add([]byte(testObject), []byte(testObject), []byte(strings.Replace(testEntry, `"f:n":{},`, ``, 1)))
	f.Add([]byte(`{"spec":{"a":{}}}`), []byte(`{"spec":{"a":null}}`), []byte(`{"f:spec":{"f:a":{}}}`))
	f.Add([]byte(`{"metadata":[],"spec":[{"k":"<"}]}`), []byte(`{"metadata":1}`), []byte(`{"f:spec":{"k:{\"k\":\"\\u003c\"}":{".":{}}}}`))
	f.Fuzz(func(t *testing.T, w, l, fields []byte) {
		want, err1 := object.FromJSON(w)
		live, err2 := object.FromJSON(l)
		entry, err3 := object.FromJSON(fields)
		if err1 != nil || err2 != nil || err3 != nil || want.IsZero() || live.IsZero() {
			return
		}
		Compare(want, live, "sane")
		if m, ok := live.Body()["metadata"].(map[string]any); live.Body()["metadata"] != nil && (!ok || m == nil) {
			return
		}
		live = live.With([]any{map[string]any{
			"manager": "sane", "operation": "Apply", "apiVersion": want.APIVersion(), "time": "2024-01-01T00:00:00Z",
			"fieldsType": "FieldsV1", "fieldsV1": entry.Body(),
		}}, "metadata", "managedFields")
		before := string(want.JSON()) + string(live.JSON())
		Evict(want, live.With("1", "metadata", "resourceVersion"), "sane")
		v := Compare(want, live, "sane")
		if before != string(want.JSON())+string(live.JSON()) {
			t.Fatal("Compare changed its arguments")
		}
		if v.Answer == Same && !isCore(want.ID().Kind) {
			slowly(t, want, live, fields)
		}
	})
}

// slowly fails if want and live differ in a path of fields.
func slowly(t *testing.T, want, live object.Object, fields []byte) {
	set := fieldpath.NewSet()
	if err := set.FromJSON(bytes.NewReader(fields)); err != nil {
		return
	}
	set.Leaves().Iterate(func(p fieldpath.Path) {
		a, b := find(want.Body(), p), find(live.Body(), p)
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		empty := func(s string) bool { return s == "{}" || s == "null" }
		if string(x) != string(y) && !(len(p) == 2 && empty(string(x))) { // metadata.labels: {}
			t.Errorf("Same, but %s is %s and should be %s", p, y, x)
		}
	})
}

func find(v any, p fieldpath.Path) any {
	for _, pe := range p {
		switch {
		case pe.FieldName != nil:
			m, _ := v.(map[string]any)
			v = m[*pe.FieldName]
		default:
			l, _ := v.([]any)
			v = nil
			for _, item := range l {
				if is(pe, item) {
					v = item
				}
			}
		}
	}
	return v
}

func is(pe fieldpath.PathElement, item any) bool {
	if pe.Value != nil {
		return fmt.Sprint((*pe.Value).Unstructured()) == fmt.Sprint(item)
	}
	m, ok := item.(map[string]any)
	for _, f := range *pe.Key {
		ok = ok && fmt.Sprint(f.Value.Unstructured()) == fmt.Sprint(m[f.Name])
	}
	return ok
}

func BenchmarkCompare(b *testing.B) {
	for _, s := range samples(b) {
		if !s.same || Compare(s.want, s.live, "sane").Answer != Same || !strings.HasSuffix(s.file, "-same-1.txtar") {
			continue
		}
		b.Run(strings.TrimSuffix(filepath.Base(s.file), "-same-1.txtar"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Compare(s.want, s.live, "sane")
			}
		})
	}
	web := parseJSON(b, must(os.ReadFile("testdata/bench/want.json")))
	live := parseJSON(b, must(os.ReadFile("testdata/bench/live.json")))
	b.Run("large Deployment", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if v := Compare(web, live, "sane"); v.Answer != Same {
				b.Fatal(v)
			}
		}
	})
}

func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}

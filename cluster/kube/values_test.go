package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sane-gitops/sane/object"
)

// readings are ways in which a stream may come.
var readings = map[string]func(string) io.Reader{
	"at once":      func(s string) io.Reader { return strings.NewReader(s) },
	"byte by byte": func(s string) io.Reader { return iotest.OneByteReader(strings.NewReader(s)) },
	"end with it":  func(s string) io.Reader { return iotest.DataErrReader(strings.NewReader(s)) },
}

func TestPage(t *testing.T) {
	big := strings.Repeat("x", 100<<10)
	for _, c := range []struct {
		name, text string
		want       []string // names of objects
		end        end
		err        error // nil, or what there must be in the error
	}{
		{"none", `{"metadata":{"resourceVersion":"7"},"items":[]}`, nil, end{"7", ""}, nil},
		{"null", `{"items":null,"metadata":{"resourceVersion":"7","continue":"c"}}`, nil, end{"7", "c"}, nil},
		{"some", `{"kind":"L","metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"a"}}, {"metadata":{"name":"b"}}]}` + "\n", []string{"a", "b"}, end{"7", ""}, nil},
		{"spread", " { \"items\" : [ { \"metadata\" : { \"name\" : \"a\" } } ] } ", []string{"a"}, end{}, nil},
		{"brackets in texts", `{"items":[{"metadata":{"name":"a","x":"}]\\\"}"}},{"metadata":{"name":"b"}}]}`, []string{"a", "b"}, end{}, nil},
		{"a big one", `{"items":[{"metadata":{"name":"a","x":"` + big + `"}},{"metadata":{"name":"b"}}]}`, []string{"a", "b"}, end{}, nil},
		{"cut in an item", `{"items":[{"metadata":{"name":"a"}},{"metadata":{"na`, []string{"a"}, end{}, io.ErrUnexpectedEOF},
		{"cut between items", `{"items":[{"metadata":{"name":"a"}},`, []string{"a"}, end{}, io.ErrUnexpectedEOF},
		{"cut after items", `{"items":[{"metadata":{"name":"a"}}]`, []string{"a"}, end{}, io.ErrUnexpectedEOF},
		{"empty", ``, nil, end{}, io.ErrUnexpectedEOF},
		{"no list", `[]`, nil, end{}, errors.ErrUnsupported},
		{"no comma", `{"items":[{"metadata":{"name":"a"}} {}]}`, []string{"a"}, end{}, errors.ErrUnsupported},
		{"a bad item", `{"items":[{"metadata":{"name":"a"}},{"metadata":}]}`, []string{"a"}, end{}, errors.ErrUnsupported},
	} {
		for how, stream := range readings {
			t.Run(c.name+", "+how, func(t *testing.T) {
				var got []string
				end, err := readPage(stream(c.text), shape{"v1", "L", false}, func(o object.Object) bool {
					got = append(got, o.Name())
					return true
				})
				if (err == nil) != (c.err == nil) || c.err != nil && c.err != errors.ErrUnsupported && !errors.Is(err, c.err) {
					t.Errorf("the error is %v; want %v", err, c.err)
				}
				if !reflect.DeepEqual(got, c.want) || err == nil && end != c.end {
					t.Errorf("got %q and %v; want %q and %v", got, end, c.want, c.end)
				}
			})
		}
	}
}

// TestEnoughOfAPage sees that nothing is told after it is enough.
func TestEnoughOfAPage(t *testing.T) {
	n := 0
	_, err := readPage(strings.NewReader(`{"items":[{},{},{}]}`), shape{}, func(object.Object) bool { n++; return n < 2 })
	if n != 2 || err != errEnough {
		t.Errorf("%d objects were told, and the error is %v", n, err)
	}
}

// FuzzValues sees that objects and arrays are cut where the library cuts them,
// however they come.
func FuzzValues(f *testing.F) {
	for _, s := range []string{`{}`, `[1, 2]`, `"a\"b" 1`, `{"a":[{"b":"}"}]}{"c":1}`, "true\nfalse", `1 2,3`, ` null`, `"`, `{"a`, `]`, `}{`, `1]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dec := json.NewDecoder(bytes.NewReader(data))
		var want []json.RawMessage
		var raw json.RawMessage
		for dec.Decode(&raw) == nil && (raw[0] == '{' || raw[0] == '[') {
			want = append(want, bytes.Clone(raw))
		}
		for how, stream := range readings {
			v, done := valuesOf(stream(string(data)))
			for i, w := range want {
				if got, err := v.value(); err != nil || !bytes.Equal(got, w) {
					t.Errorf("%s: value %d of %q is %q, %v; want %q", how, i, data, got, err, w)
					break
				}
			}
			for range len(data) + 1 { // the rest is whatever it is, but it ends
				if _, err := v.value(); err != nil {
					break
				}
			}
			done()
		}
	})
}

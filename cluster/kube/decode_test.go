package kube

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"runtime"
	"testing"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// deployment is one as a server gives it, with managed fields and status.
//
//go:embed testdata/deployment.json
var deployment []byte

// BenchmarkWatch decodes the events of a watch and lets them go.
func BenchmarkWatch(b *testing.B) {
	const n = 1000
	stream := bytes.Repeat([]byte(event("MODIFIED", string(compact(b)))), n)
	w := &watch{yield: func(c cluster.Change, _ error) bool { return !c.Object.IsZero() }}
	b.ReportAllocs()
	b.SetBytes(int64(len(stream)))
	for b.Loop() {
		if err := w.read(bytes.NewReader(stream), shape{"apps/v1", "Deployment", false}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n, "µs/object")
}

// BenchmarkPage decodes a page of a list and keeps it, as metadata or whole.
func BenchmarkPage(b *testing.B) {
	item := compact(b)
	list := fmt.Appendf(nil, `{"items":[%s],"metadata":{}}`, bytes.Join(bytes.SplitN(bytes.Repeat(append(item, '\n'), pageSize), []byte("\n"), pageSize), []byte(",")))
	for _, metadata := range []bool{false, true} {
		b.Run(fmt.Sprintf("metadata=%v", metadata), func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var p []object.Object
			keep := func(o object.Object) bool { p = append(p, o); return true }
			b.ReportAllocs()
			for b.Loop() {
				p = p[:0]
				if _, err := readPage(bytes.NewReader(list), shape{"apps/v1", "Deployment", metadata}, keep); err != nil {
					b.Fatal(err)
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/pageSize, "held-B/object")
			runtime.KeepAlive(p)
		})
	}
}

func compact(b *testing.B) []byte {
	var out bytes.Buffer
	if err := json.Compact(&out, deployment); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}

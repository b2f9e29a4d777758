package bench

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/object"
)

func TestSample(t *testing.T) {
	var hundred Sample
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i))
	}
	for _, tt := range []struct {
		name string
		s    Sample
		p    float64
		want time.Duration
	}{
		{"empty", nil, 99, 0},
		{"one", Sample{7}, 99, 7},
		{"median of two", Sample{9, 1}, 50, 1},
		{"median of three", Sample{9, 1, 5}, 50, 5},
		{"99 of fifty is the worst", hundred[50:], 99, 50},
		{"99 of a hundred", hundred, 99, 99},
		{"all", hundred, 100, 100},
		{"least", hundred, 0, 1},
	} {
		if got := tt.s.At(tt.p); got != tt.want {
			t.Errorf("%s: At(%v) = %v, want %v", tt.name, tt.p, got, tt.want)
		}
	}
	if hundred[0] != 100 {
		t.Error("At has sorted the sample in place")
	}
}

func TestSlope(t *testing.T) {
	if got := slope(10, 100, 30, 140); got != 2 {
		t.Errorf("slope = %v, want 2", got)
	}
	if got := slope(10, 100, 10, 140); got != 0 {
		t.Errorf("slope of nothing = %v, want 0", got)
	}
}

const page = `# HELP apiserver_request_total [STABLE] Counter
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",component="apiserver",dry_run="",group="apps",resource="deployments",scope="resource",subresource="",verb="APPLY",version="v1"} 12
apiserver_request_total{code="201",component="apiserver",dry_run="",group="apps",resource="deployments",scope="resource",subresource="",verb="APPLY",version="v1"} 3
apiserver_request_total{code="200",component="apiserver",dry_run="All",group="apps",resource="deployments",scope="resource",subresource="",verb="APPLY",version="v1"} 4
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="",scope="",subresource="/readyz",verb="GET",version=""} 9
apiserver_request_total{code="200",group="kustomize.toolkit.fluxcd.io",resource="kustomizations",subresource="status",verb="PATCH"} 1e+03
odd{text="a \"b\" } c, d=e\\",x="y"} NaN
process_cpu_seconds_total 12.5
process_resident_memory_bytes 2.94912e+08 1395066363000
no value
`

var (
	applies  = Request{Verb: "APPLY", Resource: "deployments.apps"}
	dryRuns  = Request{Verb: "APPLY", Resource: "deployments.apps", DryRun: true}
	statuses = Request{Verb: "PATCH", Resource: "kustomizations.kustomize.toolkit.fluxcd.io", Subresource: "status"}
)

func TestReading(t *testing.T) {
	got := reading{requests: make(Requests)}
	if err := eachMetric(strings.NewReader(page), got.take); err != nil {
		t.Fatal(err)
	}
	want := reading{12.5, 294912000, Requests{applies: 15, dryRuns: 4, statuses: 1000}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestParseMetric(t *testing.T) {
	m, ok := parseMetric(`odd{text="a \"b\" } c, d=e\\",x="y"} 1.5`)
	want := metric{"odd", map[string]string{"text": `a "b" } c, d=e\`, "x": "y"}, 1.5}
	if !ok || !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v %v, want %+v", m, ok, want)
	}
	for _, line := range []string{"", "# TYPE x counter", "x", "x{a=\"b\" 1", "x{a} 1", "x one"} {
		if m, ok := parseMetric(line); ok {
			t.Errorf("%q is %+v, want no metric", line, m)
		}
	}
}

func TestRequests(t *testing.T) {
	a := Requests{applies: 5, dryRuns: 2, statuses: 1}
	got := a.Minus(Requests{applies: 2, dryRuns: 2, statuses: 3})
	if want := (Requests{applies: 3}); !reflect.DeepEqual(got, want) {
		t.Errorf("Minus = %v, want %v", got, want)
	}
	if got := a.Count(about); got != 7 {
		t.Errorf("about managed objects: %d, want 7", got)
	}
	if got := a.Count(statusWrite); got != 1 {
		t.Errorf("status writes: %d, want 1", got)
	}
	if got, want := a.String(), "5 APPLY deployments.apps, 2 APPLY deployments.apps (dry run), 1 PATCH kustomizations.kustomize.toolkit.fluxcd.io/status"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if data, err := json.Marshal(Requests{applies: 5}); err != nil || string(data) != `{"APPLY deployments.apps":5}` {
		t.Errorf("JSON: %s, %v", data, err)
	}
}

func TestWhoseRequest(t *testing.T) {
	for _, tt := range []struct {
		r                 Request
		about, aboutUnits bool
	}{
		{Request{Verb: "LIST", Resource: "services"}, true, false},
		{Request{Verb: "WATCH", Resource: "services"}, false, false},
		{Request{Verb: "PUT", Resource: "deployments.apps", Subresource: "status"}, false, false}, // Kubernetes' own
		{Request{Verb: "POST", Resource: "replicasets.apps"}, false, false},
		{Request{Verb: "POST", Resource: "events"}, false, true},
		{Request{Verb: "WATCH", Resource: "gitrepositories.source.toolkit.fluxcd.io"}, false, false},
		{Request{Verb: "PATCH", Resource: "gitrepositories.source.toolkit.fluxcd.io", Subresource: "status"}, false, true},
	} {
		if about(tt.r) != tt.about || aboutUnits(tt.r) != tt.aboutUnits {
			t.Errorf("%s: about objects %v, about units %v, want %v, %v", tt.r, about(tt.r), aboutUnits(tt.r), tt.about, tt.aboutUnits)
		}
	}
}

func TestParseStat(t *testing.T) {
	p, err := parseStat("4242 (a) b (c) S 17 4242 4242 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 9 0 12345 1 2 3\n")
	want := process{4242, 17, "a) b (c", 1270 * time.Millisecond}
	if err != nil || p != want {
		t.Errorf("got %+v, %v, want %+v", p, err, want)
	}
	for _, bad := range []string{"", "1 (x", "1 (x) S 0", "x (y) S 1 1 1 0 0 0 0 0 0 0 1 1 1 1"} {
		if p, err := parseStat(bad); err == nil {
			t.Errorf("%q is %+v, want an error", bad, p)
		}
	}
}

func TestParsePss(t *testing.T) {
	if got := parsePss("55d-7ff ---p 0 [rollup]\nRss:   4076 kB\nPss:    728 kB\nPss_Anon: 3 kB\n"); got != 728<<10 {
		t.Errorf("got %d", got)
	}
}

func TestStartedAt(t *testing.T) {
	a, ok := startedAt(`{"time":"x","level":"INFO","msg":"started","metrics":"127.0.0.1:1","health":"127.0.0.1:2"}`)
	if !ok || a.Metrics != "127.0.0.1:1" || a.Health != "127.0.0.1:2" {
		t.Errorf("got %+v, %v", a, ok)
	}
	for _, line := range []string{"", "started", `{"msg":"stopped"}`} {
		if _, ok := startedAt(line); ok {
			t.Errorf("%q says that it has started", line)
		}
	}
}

// What is generated can be read as what it should be.
func TestUnits(t *testing.T) {
	objects := unitObjects(3, "apps", "v7")
	var got []object.ID
	for _, o := range objects {
		got = append(got, o.ID())
	}
	var want []object.ID
	for _, k := range managed {
		want = append(want, object.ID{Kind: k, Namespace: "apps", Name: "unit-00003"})
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	f := deploymentFactOf(objects[0])
	if want := (deploymentFact{name: "unit-00003", image: image("v7"), history: keptHistory}); f != want {
		t.Errorf("fact %+v, want %+v", f, want)
	}
	if len(deploymentChange(3, "apps", "v8")) != 1 {
		t.Error("a change to a unit is not one file")
	}
	if len(chainFiles("apps")) != chainLinks {
		t.Error("there is not one file for each link")
	}
}

func TestGoals(t *testing.T) {
	floor := Quantity{2, Seconds}
	for _, tt := range []struct {
		r    Row
		want string
	}{
		{Row{Measured: Quantity{5, Seconds}, Floor: floor, Goal: times(2.5, floor)}, "yes"},
		{Row{Measured: Quantity{5.1, Seconds}, Floor: floor, Goal: times(2.5, floor)}, "NO"},
		{Row{Measured: Quantity{0, Count}, Goal: none}, "yes"},
		{Row{Measured: Quantity{1, Count}, Goal: none}, "NO"},
		{Row{Measured: Quantity{1, Count}}, ""},
	} {
		if got := tt.r.Met(); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.r, got, tt.want)
		}
	}
}

func TestGrowth(t *testing.T) {
	row := func(v float64) Row {
		return Row{Workload: "commit", What: "p99", Measured: Quantity{v, Seconds}, Goal: Goal{"x", 1}}
	}
	play := func(v float64) []Play { return []Play{{Workload: "commit", Outcome: Outcome{Rows: []Row{row(v)}}}} }
	if got := growth([]Round{{N: 5, Plays: play(1)}}); got != nil {
		t.Errorf("of one round: %v", got)
	}
	got := growth([]Round{{N: 5000, Plays: play(1.2)}, {N: 100, Plays: play(1)}})
	if len(got) != 1 || got[0].Met() != "NO" || got[0].Ratio() != 1.2 || got[0].What != "p99: N = 5000 against N = 100" {
		t.Errorf("got %+v", got)
	}
}

func TestText(t *testing.T) {
	floor := Quantity{0.5, Seconds}
	r := Report{
		Machine: Machine{CPU: "Abacus", Cores: 2},
		Rounds: []Round{{N: 5, Plays: []Play{
			{Workload: "first", What: "first sync", Outcome: Outcome{
				Rows:  []Row{{"first", "sync of all", Quantity{1.5, Seconds}, floor, times(2.5, floor)}},
				Notes: []string{"so it is"},
				Usage: map[string]Usage{"first": {Seconds: 1.5, Controller: 0.25, Requests: Requests{applies: 20}}},
			}},
			{Workload: "check", What: "forced check", Err: "not over after 10m0s: outstanding: unit-00001"},
		}}},
	}
	var b strings.Builder
	if err := r.Text(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Abacus, 2 cores",
		"N = 5 units of 4 objects.",
		"first     sync of all        1.5 s     500 ms  3.00   ≤ 2.5 × floor  NO\n",
		"check     failed: see below",
		"  first: 1.5 s; CPU: controller 250 ms, ",
		"    requests: 20 APPLY deployments.apps\n",
		"  so it is\n",
		"  failed: not over after 10m0s: outstanding: unit-00001\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if got := r.Missed(); got != 2 {
		t.Errorf("Missed = %d, want 2", got)
	}
}

func TestQuantity(t *testing.T) {
	for _, tt := range []struct {
		q    Quantity
		want string
	}{
		{Quantity{0, Seconds}, "0 s"},
		{Quantity{0.000_012_34, Seconds}, "12.3 µs"},
		{Quantity{0.012_34, CPUSeconds}, "12.3 ms cpu"},
		{Quantity{288, Seconds}, "288 s"},
		{Quantity{1536, Bytes}, "1.5 KiB"},
		{Quantity{150 << 20, Bytes}, "150 MiB"},
		{Quantity{17000, Count}, "17000"},
		{Quantity{0.25, Percent}, "0.25 %"},
	} {
		if got := tt.q.String(); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.q, got, tt.want)
		}
	}
}

func TestChoose(t *testing.T) {
	got, err := choose([]string{"commit", "first"})
	if err != nil || len(got) != 2 || got[0].Name != "first" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := choose([]string{"frist"}); err == nil || !strings.Contains(err.Error(), `no workload "frist"`) {
		t.Errorf("of an unknown one: %v", err)
	}
	if got, _ := choose(nil); len(got) != len(Workloads) {
		t.Error("none is not all")
	}
}

// The bare loop says what a controller says: the watch that times it must see
// each round, and tell it from the ones before.
func TestFloorStatus(t *testing.T) {
	o := unitOf(floorNamespace, "u", "units", "u", "1h").With(int64(1), "metadata", "generation")
	for round, entries := range []int{1, 2, 2} {
		patch, err := object.FromJSON(floorStatus("u", round))
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range []string{"conditions", "history", "inventory", "lastAppliedRevision", "lastAttemptedRevision", "observedGeneration"} {
			if v, ok := patch.Get("status", field); ok {
				o = o.With(v, "status", field)
			}
			if _, ok := o.Get("status", field); !ok {
				t.Errorf("round %d: no %s", round, field)
			}
		}
		for other := range 3 {
			if got := readyAt(floorRevision(other))(unitFactOf(o)); got != (other == round) {
				t.Errorf("round %d: ready at %d: %v", round, other, got)
			}
		}
		if v, _ := o.Get("status", "history"); len(v.([]any)) != entries {
			t.Errorf("round %d: history is %v", round, v)
		}
	}
}

package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sane-gitops/sane/cluster/kube"
)

// A Request is a sort of request to the API server.
type Request struct {
	Verb        string // GET, LIST, WATCH, APPLY, PATCH, POST, PUT, DELETE, DELETECOLLECTION
	Resource    string // "deployments.apps"
	Subresource string // "status", or ""
	DryRun      bool
}

// String returns "APPLY deployments.apps/status (dry run)".
func (r Request) String() string {
	s := r.Verb + " " + r.Resource
	if r.Subresource != "" {
		s += "/" + r.Subresource
	}
	if r.DryRun {
		s += " (dry run)"
	}
	return s
}

// writes reports whether r changes anything.
func (r Request) writes() bool {
	return !r.DryRun && !slices.Contains([]string{"GET", "LIST", "WATCH"}, r.Verb)
}

// Requests counts requests by their sort.
type Requests map[Request]int

// MarshalText makes a sort of request a key in JSON.
func (r Request) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Minus returns r without what is in s. What would be less than nothing is
// left out, like what is nothing.
func (r Requests) Minus(s Requests) Requests {
	out := make(Requests)
	for k, n := range r {
		if n -= s[k]; n > 0 {
			out[k] = n
		}
	}
	return out
}

// Plus returns r with what is in s.
func (r Requests) Plus(s Requests) Requests {
	out := maps.Clone(r)
	for k, n := range s {
		out[k] += n
	}
	return out
}

// Count returns how many requests are of a sort that is asked for.
func (r Requests) Count(is func(Request) bool) int {
	sum := 0
	for k, n := range r {
		if is(k) {
			sum += n
		}
	}
	return sum
}

// Where returns the requests of the sorts that are asked for.
func (r Requests) Where(is func(Request) bool) Requests {
	out := maps.Clone(r)
	maps.DeleteFunc(out, func(k Request, _ int) bool { return !is(k) })
	return out
}

// String returns the requests in words, the most frequent first.
func (r Requests) String() string {
	sorts := slices.SortedFunc(maps.Keys(r), func(a, b Request) int {
		if r[a] != r[b] {
			return r[b] - r[a]
		}
		return strings.Compare(a.String(), b.String())
	})
	var parts []string
	for _, k := range sorts {
		parts = append(parts, fmt.Sprintf("%d %s", r[k], k))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// A reading is what an API server tells of itself.
type reading struct {
	cpu      float64 // seconds since it began
	memory   int64   // bytes
	requests Requests
}

// read asks the API server how it stands.
func read(ctx context.Context, c *kube.Cluster) (reading, error) {
	page, err := c.Raw(ctx, "/metrics")
	if err != nil {
		return reading{}, err
	}
	r := reading{requests: make(Requests)}
	return r, eachMetric(bytes.NewReader(page), r.take)
}

func (r *reading) take(m metric) {
	switch m.name {
	case "process_cpu_seconds_total":
		r.cpu = m.value
	case "process_resident_memory_bytes":
		r.memory = int64(m.value)
	case "apiserver_request_total":
		if m.labels["resource"] == "" {
			return
		}
		r.requests[Request{
			Verb: m.labels["verb"], Resource: qualified(m.labels["resource"], m.labels["group"]),
			Subresource: m.labels["subresource"], DryRun: m.labels["dry_run"] != "",
		}] += int(m.value)
	}
}

func qualified(plural, group string) string {
	if group == "" {
		return plural
	}
	return plural + "." + group
}

// A metric is one line of Prometheus' text format.
type metric struct {
	name   string
	labels map[string]string
	value  float64
}

// eachMetric calls f for each metric that is told as text. What is no metric is
// passed over.
func eachMetric(r io.Reader, f func(metric)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if m, ok := parseMetric(lines.Text()); ok {
			f(m)
		}
	}
	return lines.Err()
}

func parseMetric(line string) (metric, bool) {
	end := strings.IndexAny(line, "{ ")
	if end <= 0 || line[0] == '#' {
		return metric{}, false
	}
	m := metric{name: line[:end]}
	rest := line[end:]
	if rest[0] == '{' {
		var ok bool
		if m.labels, rest, ok = parseLabels(rest[1:]); !ok {
			return metric{}, false
		}
	}
	fields := strings.Fields(rest) // the value, and perhaps a time
	if len(fields) == 0 {
		return metric{}, false
	}
	var err error
	m.value, err = strconv.ParseFloat(fields[0], 64)
	return m, err == nil
}

// parseLabels returns the labels up to a closing brace, and what is after it.
func parseLabels(s string) (labels map[string]string, rest string, ok bool) {
	labels = make(map[string]string)
	for {
		s = strings.TrimLeft(s, ", ")
		if after, found := strings.CutPrefix(s, "}"); found {
			return labels, after, true
		}
		name, value, found := strings.Cut(s, "=")
		if !found {
			return nil, "", false
		}
		quoted, err := strconv.QuotedPrefix(value)
		if err != nil {
			return nil, "", false
		}
		text, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, "", false
		}
		labels[name], s = text, value[len(quoted):]
	}
}

package plantest

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// An openAPI is what is read of a schema.
type openAPI struct {
	Type       string             `json:"type"`
	Ref        string             `json:"$ref"`
	MapType    string             `json:"x-kubernetes-map-type"`
	ListType   string             `json:"x-kubernetes-list-type"`
	Properties map[string]openAPI `json:"properties"`
	Additional json.RawMessage    `json:"additionalProperties"`
}

// testSchema: plan/testdata/schema.txt, which plan's tables are held against,
// says of the fields that it names what the server says.
func testSchema(t *testing.T, s *server) {
	data, err := s.disco.RESTClient().Get().AbsPath("/openapi/v2").Do(context.Background()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Definitions map[string]openAPI `json:"definitions"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	known, err := os.ReadFile("../testdata/schema.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(known)), "\n")
	names := make(map[string]bool)
	for _, l := range lines {
		field, _, _ := strings.Cut(l, " ")
		names[field[strings.LastIndex(field, ".")+1:]] = true
	}
	for def, d := range doc.Definitions {
		short, ours := strings.CutPrefix(def, "io.k8s.")
		for name, p := range d.Properties {
			if !ours || !names[name] {
				continue
			}
			if line := short + "." + name + " " + sortOf(doc.Definitions, p); !slices.Contains(lines, line) {
				t.Errorf("new in this server: %s", line)
			}
		}
	}
}

// sortOf returns "map-atomic", "list-map", "scalar quantity", …
func sortOf(defs map[string]openAPI, p openAPI) string {
	raw, _ := json.Marshal(p)
	quantity := ""
	if strings.Contains(string(raw), "api.resource.Quantity") {
		quantity = " quantity"
	}
	for range 5 {
		ref, ok := strings.CutPrefix(p.Ref, "#/definitions/")
		if !ok {
			break
		}
		d := defs[ref]
		if p.MapType != "" {
			d.MapType = p.MapType
		}
		p = d
	}
	or := func(s, def string) string {
		if s == "" {
			return def
		}
		return s
	}
	switch {
	case p.Type == "array":
		return "list-" + or(p.ListType, "atomic") + quantity
	case p.Type == "object" || p.Properties != nil:
		return "map-" + or(p.MapType, "granular") + quantity
	}
	return "scalar" + quantity
}

package plan

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestTables holds what is known of Kubernetes' own kinds against their schema,
// as plantest has it from a server. Exceptions are fields that are only within
// something that is never merged, that are not applied, or whose kind is looked
// at by the code.
func TestTables(t *testing.T) {
	for _, table := range []struct {
		name   string
		names  map[string]bool
		all    string // the sort that every map (list) of these names is of
		except []string
	}{
		{"atomic", atomic, "map-atomic", []string{
			"EnvFromSource.secretRef", "ResourceAttributes.labelSelector",
			"v2.HorizontalPodAutoscalerSpec.scaleTargetRef", // can't have been empty
		}},
		{"associative", associative, "list-map list-set", []string{
			"ServiceAccount.imagePullSecrets", "NamespaceSpec.finalizers", "EndpointSlice.ports", "EndpointSubset.ports",
			"NetworkPolicyIngressRule.ports", "NetworkPolicyEgressRule.ports", "LoadBalancerIngress.ports",
		}},
		{"granular", granular, "map-granular", nil},
		{"plainMap", plainMap, "map-granular map-atomic", nil},
	} {
		sort := strings.SplitAfter(table.all, "-")[0]
		for _, line := range schemaLines(t) {
			field, is, _ := strings.Cut(line, " ")
			is, _, _ = strings.Cut(is, " ")
			name := field[strings.LastIndex(field, ".")+1:]
			if !table.names[name] || !strings.HasPrefix(is, sort) || slices.Contains(strings.Fields(table.all), is) {
				continue
			}
			if !slices.ContainsFunc(table.except, func(e string) bool { return strings.HasSuffix(field, e) }) {
				t.Errorf("%s: %s", table.name, line)
			}
		}
	}
	for _, line := range schemaLines(t) {
		field, is, _ := strings.Cut(line, " ")
		name := field[strings.LastIndex(field, ".")+1:]
		if (quantities[name] || quantity[name]) && name != "overhead" && is != "scalar" && !strings.Contains(is, "quantity") && !strings.HasPrefix(is, "list") {
			t.Errorf("no quantity: %s", line)
		}
	}
}

func schemaLines(t *testing.T) []string {
	data, err := os.ReadFile("testdata/schema.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "api.resource.") }) // not of the core groups
}

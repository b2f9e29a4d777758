//go:build ignore

// Gen writes schema.json: the merge schemas of the kinds in kinds.txt, cut
// from the sources of client-go and apiextensions-apiserver.
package main

import (
	"encoding/json"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

var sources = map[string]string{
	"k8s.io/client-go":               "applyconfigurations/internal/internal.go",
	"k8s.io/apiextensions-apiserver": "pkg/client/applyconfiguration/internal/internal.go",
}

func main() {
	log.SetFlags(0)
	types := map[string]any{}
	for module, file := range sources {
		read(types, module, file)
	}
	keep := map[string]any{}
	reach(types, keep, "__untyped_deduced_")
	for _, name := range roots() {
		reach(types, keep, name)
	}
	data, err := json.Marshal(keep)
	check(err)
	text := strings.ReplaceAll(string(data), `},"io.k8s.`, "},\n\"io.k8s.")
	check(os.WriteFile("schema.json", []byte(text+"\n"), 0o666))
}

// read adds the types that a Go file holds as YAML.
func read(types map[string]any, module, file string) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	check(err)
	data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), file))
	check(err)
	_, text, _ := strings.Cut(string(data), "typed.YAMLObject(`")
	text, _, _ = strings.Cut(text, "`)")
	var schema struct {
		Types []map[string]any `json:"types"`
	}
	check(yaml.Unmarshal([]byte(text), &schema))
	for _, t := range schema.Types {
		name := t["name"].(string)
		delete(t, "name")
		types[name] = t
	}
}

// roots returns the type names of the kinds in kinds.txt.
func roots() []string {
	data, err := os.ReadFile("kinds.txt")
	check(err)
	var names []string
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); f[0] != "#" {
			names = append(names, typeName(f[0], f[1]))
		}
	}
	slices.Sort(names)
	return names
}

// typeName is the function of the same name in schema.go.
func typeName(apiVersion, kind string) string {
	group, version, ok := strings.Cut(apiVersion, "/")
	if !ok {
		group, version = "core", apiVersion
	}
	group, _, _ = strings.Cut(group, ".")
	if group == "apiextensions" {
		return "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions." + version + "." + kind
	}
	return "io.k8s.api." + group + "." + version + "." + kind
}

// reach keeps a type and all that it names.
func reach(types, keep map[string]any, name string) {
	t, ok := types[name]
	if !ok {
		log.Fatalf("no type %s", name)
	}
	if _, ok := keep[name]; ok {
		return
	}
	keep[name] = t
	walk(t, func(name string) { reach(types, keep, name) })
}

func walk(v any, named func(string)) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			walk(e, named)
		}
	case map[string]any:
		for key, e := range v {
			if name, ok := e.(string); ok && key == "namedType" {
				named(name)
			}
			walk(e, named)
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

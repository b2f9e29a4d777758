package plain

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
)

// parse returns the objects in a stream of documents as kustomize sees them.
// That is YAML 1.2, where "yes" is a word: unlike in [object.Parse].
func parse(data string) ([]object.Object, error) {
	if strings.Contains(data, "\r") || strings.HasPrefix(data, "\ufeff") {
		data = strings.ReplaceAll(strings.TrimPrefix(data, "\ufeff"), "\r\n", "\n")
	}
	docs, err := split(data)
	if err != nil {
		return nil, err
	}
	var bodies []map[string]any
	for _, d := range docs {
		body, err := d.decode()
		if err != nil {
			return nil, err
		}
		if len(body) > 0 {
			bodies = append(bodies, body)
		}
	}
	return flatten(bodies)
}

// A document is one of a stream, and how many lines are before it.
type document struct {
	text string
	line int
}

// split cuts a stream where kustomize does: a line that begins with "---" ends
// a document, but for the first line.
func split(data string) ([]document, error) {
	var docs []document
	begin, first, line := 0, 0, 0
	for at := 0; at < len(data); line++ {
		end := len(data)
		if i := strings.IndexByte(data[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		if text := data[at:end]; at > begin && strings.HasPrefix(text, "---") && text[len(text)-1] == '\n' {
			if rest := strings.TrimSpace(text[3:]); rest != "" && rest[0] != '#' {
				return nil, fmt.Errorf("line %d: invalid document separator: %s", line+1, strings.TrimSpace(text))
			}
			docs = append(docs, document{data[begin:at], first})
			begin, first = end, line+1
		}
		at = end
	}
	return append(docs, document{data[begin:], first}), nil
}

// decode returns the content of d in the form that JSON has, but for numbers.
func (d document) decode() (map[string]any, error) {
	var node yaml.Node
	err := yaml.NewDecoder(strings.NewReader(d.text)).Decode(&node)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	var body any
	if err == nil {
		if hasMerge(&node) {
			return nil, render.ErrElsewhere
		}
		err = node.Decode(&body)
	}
	if err != nil && strings.Contains(d.text, "config.kubernetes.io/") {
		return nil, render.ErrElsewhere // kustomize may leave it out unread
	}
	if err != nil {
		return nil, d.explain(err)
	}
	switch body := body.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return body, nil
	}
	return nil, fmt.Errorf("line %d: not a Kubernetes object: expected a map of fields", d.line+1)
}

// explain returns the error of decoding d with line numbers of the whole
// stream. The decoder counts from the start of what it is given.
func (d document) explain(err error) error {
	var node yaml.Node
	var body any
	e := yaml.NewDecoder(strings.NewReader(strings.Repeat("\n", d.line) + d.text)).Decode(&node)
	if e == nil {
		e = node.Decode(&body)
	}
	if e == nil {
		e = err
	}
	text := strings.TrimPrefix(e.Error(), "yaml: ")
	return fmt.Errorf("invalid YAML: %s", strings.Join(strings.Fields(text), " "))
}

// hasMerge reports whether there is a merge key ("<<") in n.
func hasMerge(n *yaml.Node) bool {
	if n.Kind == yaml.MappingNode {
		for i := 0; i < len(n.Content); i += 2 {
			if n.Content[i].Tag == "!!merge" || n.Content[i].Kind != yaml.ScalarNode {
				return true
			}
		}
	}
	for _, c := range n.Content {
		if hasMerge(c) {
			return true
		}
	}
	return false
}

// flatten returns the objects in bodies, in kustomize's order: what is in a
// list comes after all that is not.
func flatten(bodies []map[string]any) ([]object.Object, error) {
	var objects []object.Object
	for len(bodies) > 0 {
		body := bodies[0]
		bodies = bodies[1:]
		kind, _ := body["kind"].(string)
		items, ok := body["items"]
		if !ok || !strings.HasSuffix(kind, "List") {
			o, err := objectOf(body)
			if err != nil {
				return nil, err
			}
			objects = append(objects, o)
			continue
		}
		list, ok := items.([]any)
		if !ok && items != nil {
			return nil, render.ErrElsewhere // it depends on what else there is
		}
		for i, item := range list {
			m, ok := item.(map[string]any)
			if !ok && item != nil {
				return nil, fmt.Errorf("%s: item %d is not an object", kind, i)
			}
			if len(m) > 0 {
				bodies = append(bodies, m)
			}
		}
	}
	return objects, nil
}

// objectOf goes by way of JSON, as kustomize does.
func objectOf(body map[string]any) (object.Object, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return object.Object{}, render.ErrElsewhere // such as .inf: kustomize may leave the object out
	}
	o, err := object.FromJSON(data)
	if err != nil {
		return object.Object{}, err
	}
	if n := name(body); n != nil && !isText(n) {
		return object.Object{}, render.ErrElsewhere // kustomize makes it text
	}
	return o, check(o)
}

func name(body map[string]any) any {
	m, _ := body["metadata"].(map[string]any)
	return m["name"]
}

package object

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"
	sigsyaml "sigs.k8s.io/yaml"
)

// FromJSON returns the object that data is the JSON form of.
func FromJSON(data []byte) (Object, error) {
	body, err := decode(data)
	if err != nil {
		return Object{}, err
	}
	return Object{body}, nil
}

// Parse returns the objects in a stream of YAML or JSON documents, in order.
// Empty documents are left out and lists (kind List, or any kind ending in
// List with items) are flattened. An error says the line at which the document
// that it concerns begins. No field is checked beyond those of [Object.Check].
func Parse(data []byte) ([]Object, error) {
	var objects []Object
	for line, doc := range documents(data) {
		found, err := parseDocument(doc)
		if err != nil {
			return nil, fmt.Errorf("document at line %d: %w", line, err)
		}
		objects = append(objects, found...)
	}
	return objects, nil
}

// documents yields the documents of a stream and the lines at which they
// begin. What stands beside a "---" belongs to the document after it.
func documents(data []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		begin, first, line, at := 0, 1, 1, 0
		for text := range bytes.Lines(data) {
			if at > begin && isMarker(text) {
				if !yield(first, data[begin:at]) {
					return
				}
				begin, first = at, line
				if text[0] == '.' { // ends a document and is part of none
					begin, first = at+len(text), line+1
				}
			}
			at += len(text)
			line++
		}
		if begin < len(data) {
			yield(first, data[begin:])
		}
	}
}

// isMarker reports whether a line is "---" or "...", with or without more.
func isMarker(line []byte) bool {
	if !bytes.HasPrefix(line, []byte("---")) && !bytes.HasPrefix(line, []byte("...")) {
		return false
	}
	return len(line) == 3 || bytes.IndexByte([]byte(" \t\r\n"), line[3]) >= 0
}

func parseDocument(doc []byte) ([]Object, error) {
	data, err := sigsyaml.YAMLToJSONStrict(doc)
	if err != nil {
		return nil, fmt.Errorf("invalid YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if data = bytes.TrimSpace(data); len(data) == 0 || bytes.Equal(data, []byte("null")) {
		return nil, nil
	}
	var body map[string]any
	if err := utiljson.Unmarshal(data, &body); err != nil {
		return nil, errors.New("not a Kubernetes object: expected a map of fields")
	}
	return flatten(Object{body})
}

// flatten returns o, or the objects in it if it is a list.
func flatten(o Object) ([]Object, error) {
	if len(o.body) == 0 {
		return nil, nil
	}
	items, ok := o.body["items"].([]any)
	if !ok || !strings.HasSuffix(o.Text("kind"), "List") {
		return []Object{o}, o.Check()
	}
	var objects []Object
	for i, item := range items {
		m, ok := item.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%s: item %d is not an object", o.Text("kind"), i)
		}
		found, err := flatten(Object{m})
		if err != nil {
			return nil, fmt.Errorf("%s: item %d: %w", o.Text("kind"), i, err)
		}
		objects = append(objects, found...)
	}
	return objects, nil
}

// Check returns an error that says which of kind, apiVersion and
// metadata.name o lacks, or nil.
func (o Object) Check() error {
	switch {
	case o.Text("kind") == "":
		return fmt.Errorf("object %q has no kind", o.Name())
	case o.APIVersion() == "":
		return fmt.Errorf("%s %q has no apiVersion", o.Text("kind"), o.Name())
	case o.Name() == "":
		return fmt.Errorf("%s has no metadata.name", o.Text("kind"))
	}
	return nil
}

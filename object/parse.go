package object

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

// FromJSON returns the object that data is the JSON form of.
func FromJSON(data []byte) (Object, error) {
	var body map[string]any
	if err := utiljson.Unmarshal(data, &body); err != nil {
		return Object{}, err
	}
	return Object{body}, nil
}

// Parse returns the objects in a stream of YAML or JSON documents, in order.
// Empty documents are left out and lists (kind List, or any kind ending in
// List with items) are flattened. An error says the line at which the document
// that it concerns begins. No field is checked beyond apiVersion, kind and
// metadata.name.
func Parse(data []byte) ([]Object, error) {
	var objects []Object
	line := 1
	docs := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		found, err := parseDocument(doc)
		if err != nil {
			return nil, fmt.Errorf("document at line %d: %w", line, err)
		}
		objects = append(objects, found...)
		line += bytes.Count(doc, []byte("\n")) + 1
	}
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
	if !ok || !strings.HasSuffix(o.str("kind"), "List") {
		return []Object{o}, o.check()
	}
	var objects []Object
	for i, item := range items {
		m, ok := item.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%s: item %d is not an object", o.str("kind"), i)
		}
		found, err := flatten(Object{m})
		if err != nil {
			return nil, fmt.Errorf("%s: item %d: %w", o.str("kind"), i, err)
		}
		objects = append(objects, found...)
	}
	return objects, nil
}

// check reports what o lacks to be named.
func (o Object) check() error {
	switch {
	case o.str("kind") == "":
		return fmt.Errorf("object %q has no kind", o.Name())
	case o.APIVersion() == "":
		return fmt.Errorf("%s %q has no apiVersion", o.str("kind"), o.Name())
	case o.Name() == "":
		return fmt.Errorf("%s has no metadata.name", o.str("kind"))
	}
	return nil
}

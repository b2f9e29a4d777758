package sops

import (
	"bytes"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// prefix begins the names of the variables that say how a dotenv document was
// encrypted.
const prefix = key + "_"

// readDotenv returns a dotenv document. A comment is the one of a key "#".
func readDotenv(data []byte) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	meta := &yaml.Node{Kind: yaml.MappingNode}
	for line := range strings.SplitSeq(string(data), "\n") {
		name, value, ok := strings.Cut(line, "=")
		switch value = strings.ReplaceAll(value, `\n`, "\n"); {
		case line == "":
		case line[0] == '#':
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "#", HeadComment: line}, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"})
		case !ok:
			return nil, errHush
		case strings.HasPrefix(name, prefix):
			if !plant(meta, name[len(prefix):], value) {
				return nil, errHush
			}
		default:
			n.Content = append(n.Content, text(name), text(value))
		}
	}
	n.Content = append(n.Content, text(key), meta)
	return n, nil
}

// stringOf returns the text of a scalar.
func stringOf(n *yaml.Node) string {
	var s string
	if n.Decode(&s) != nil {
		return n.Value
	}
	return s
}

func text(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

// maxList bounds the lists in metadata.
const maxList = 1000

// plant puts a value where a flattened name says: "age__list_0__map_enc" is
// age[0].enc.
func plant(n *yaml.Node, name, value string) bool {
	steps := strings.Split(name, "__")
	for i, step := range steps {
		k := yaml.MappingNode
		if i+1 < len(steps) && strings.HasPrefix(steps[i+1], "list_") {
			k = yaml.SequenceNode
		} else if i+1 == len(steps) {
			k = yaml.ScalarNode
		}
		if at, ok := strings.CutPrefix(step, "list_"); ok && i > 0 {
			index, err := strconv.Atoi(at)
			if err != nil || index < 0 || index > maxList || n.Kind != yaml.SequenceNode {
				return false
			}
			for len(n.Content) <= index {
				n.Content = append(n.Content, &yaml.Node{Kind: k})
			}
			n = n.Content[index]
		} else if n = child(n, strings.TrimPrefix(step, "map_"), k); n == nil {
			return false
		}
		if n.Kind != k {
			return false
		}
	}
	n.Value = value // what it is, its text tells
	return true
}

// child returns the value of a field, which is made if it is not there.
func child(n *yaml.Node, name string, k yaml.Kind) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	if v := field(n, name); v != nil {
		return v
	}
	v := &yaml.Node{Kind: k}
	n.Content = append(n.Content, text(name), v)
	return v
}

// writeDotenv is the reverse of readDotenv.
func writeDotenv(n *yaml.Node) []byte {
	var b bytes.Buffer
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "#" {
			b.WriteString(n.Content[i].HeadComment + "\n")
			continue
		}
		b.WriteString(n.Content[i].Value + "=" + strings.ReplaceAll(stringOf(n.Content[i+1]), "\n", `\n`) + "\n")
	}
	return b.Bytes()
}

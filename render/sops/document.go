package sops

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// key is the field of a document below which it says how it was encrypted.
const key = "sops"

// field returns the value of a field of a mapping, or nil.
func field(n *yaml.Node, name string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// isEncrypted reports whether a document says how it was encrypted.
func isEncrypted(n *yaml.Node) bool {
	meta := field(n, key)
	if meta == nil {
		return false
	}
	mac := field(meta, "mac")
	return mac != nil && strings.HasPrefix(mac.Value, "ENC[AES256_GCM,")
}

// cut takes a field out of a mapping and returns its value. A comment before it
// belongs to what comes before.
func cut(n *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			v := n.Content[i+1]
			if i > 0 {
				n.Content[i-2].FootComment = n.Content[i].HeadComment
			}
			n.Content = append(n.Content[:i:i], n.Content[i+2:]...)
			return v
		}
	}
	return nil
}

// An opener decrypts the values of a document in place.
//
// Each value is authenticated together with its path. That there is none too
// few or too many is not: as in Flux, the MAC over all of a document is not
// checked, since people, and automation, edit what is not encrypted.
type opener struct {
	key     []byte
	rule    rule
	restyle bool     // write all scalars as SOPS writes them
	found   []string // values that were decrypted
}

// open decrypts an encrypted document in place, with the key that get finds,
// and returns the values that were encrypted. If restyle is set, it has the
// style of SOPS afterwards.
func open(n *yaml.Node, get func(metadata) ([]byte, error), restyle bool) ([]string, error) {
	m, err := readMetadata(cut(n, key))
	if err != nil {
		return nil, err
	}
	o := opener{restyle: restyle}
	if o.rule, err = m.rule(); err != nil {
		return nil, err
	}
	if o.key, err = get(m); err != nil {
		return nil, err
	}
	o.comments(n, nil)
	err = o.value(n, nil)
	return o.found, err
}

func (o *opener) value(n *yaml.Node, path []string) error {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, value := n.Content[i], n.Content[i+1]
			inner := append(path[:len(path):len(path)], name.Value)
			o.comments(name, path)
			if value.Kind == yaml.ScalarNode {
				o.comments(value, path)
			} else {
				o.comments(value, inner)
			}
			if err := o.value(value, inner); err != nil {
				return err
			}
		}
	case yaml.SequenceNode:
		uncomment(n)
		for _, item := range n.Content {
			o.comments(item, path)
			if err := o.value(item, path); err != nil {
				return err
			}
		}
	case yaml.ScalarNode:
		return o.scalar(n, path)
	}
	return nil
}

func (o *opener) scalar(n *yaml.Node, path []string) error {
	var value any
	if err := n.Decode(&value); err != nil {
		return fmt.Errorf("%s: it is no value", strings.Join(path, "."))
	}
	if value == nil {
		return nil
	}
	if !o.rule(path, n.Value) {
		if o.restyle {
			return put(n, value)
		}
		return nil
	}
	sealed, ok := value.(string)
	err := errPlain
	if ok {
		value, err = unseal(sealed, o.key, strings.Join(path, ":")+":")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", strings.Join(path, "."), err)
	}
	o.found = append(o.found, fmt.Sprint(value))
	return put(n, value)
}

// put makes n a scalar with that value, in the style in which SOPS writes it.
func put(n *yaml.Node, value any) error {
	was := *n
	if err := n.Encode(value); err != nil {
		return err
	}
	n.Anchor, n.HeadComment, n.LineComment, n.FootComment = was.Anchor, was.HeadComment, was.LineComment, was.FootComment
	return nil
}

// uncomment makes comments of those items of a list that were some.
func uncomment(list *yaml.Node) {
	var items []*yaml.Node
	before := ""
	for _, item := range list.Content {
		if m := sealed.FindStringSubmatch(item.Value); item.Kind == yaml.ScalarNode && m != nil && m[4] == "comment" {
			before = strings.TrimPrefix(before+"\n#"+item.Value, "\n")
			continue
		}
		item.HeadComment = strings.TrimSpace(before + "\n" + item.HeadComment)
		items, before = append(items, item), ""
	}
	if len(items) > 0 && before != "" {
		items[len(items)-1].FootComment = before
	}
	list.Content = items
}

// comments decrypts the comments of n that are encrypted.
func (o *opener) comments(n *yaml.Node, path []string) {
	for _, c := range []*string{&n.HeadComment, &n.LineComment, &n.FootComment} {
		if !strings.Contains(*c, "ENC[") {
			continue
		}
		lines := strings.Split(*c, "\n")
		for i, line := range lines {
			v, err := unseal(strings.TrimPrefix(line, "#"), o.key, strings.Join(path, ":")+":")
			if text, ok := v.(string); ok && err == nil {
				lines[i] = "#" + text
			}
		}
		*c = strings.Join(lines, "\n")
	}
}

// errHush is why a document can't be read, if its own words might tell too
// much.
var errHush = errors.New("it can't be read as what it looks like")

// readYAML returns the documents of a stream.
func readYAML(data []byte) ([]*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var docs []*yaml.Node
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if err != nil && len(docs) > 0 && errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, errHush
		}
		docs = append(docs, &doc)
	}
}

// writeYAML is the reverse of readYAML, in the style of SOPS.
func writeYAML(docs []*yaml.Node) ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(4)
	for _, doc := range docs {
		if err := enc.Encode(doc); err != nil {
			return nil, errHush
		}
	}
	if err := enc.Close(); err != nil {
		return nil, errHush
	}
	return b.Bytes(), nil
}

package ask

import (
	"bytes"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sane-gitops/sane/object"
)

// What is read at most to find where an object comes from.
const (
	maxFiles     = 500
	maxFileBytes = 4 << 20
)

// locate returns the file in which an object is written, and the line. It begins
// with the file that is known, and follows the resources of kustomizations from
// there. Where it finds nothing it returns that file, and line 0.
func locate(tree fs.FS, file string, o object.Object) (string, int) {
	if tree == nil || file == "" {
		return file, 0
	}
	s := search{tree: tree, want: o, seen: make(map[string]bool)}
	s.visit(file)
	if s.file == "" {
		return file, 0
	}
	return s.file, s.line
}

// A search looks for the document that an object was made of.
type search struct {
	tree fs.FS
	want object.Object
	seen map[string]bool

	file  string // the best that was found
	line  int
	score int
}

// What a document has in common with the object that is looked for. Kustomize
// may have given that another name.
const (
	sameKind   = 1 + iota // and its name is part of the object's
	sameObject            // the same kind and name
	exact                 // and namespace
)

func (s *search) visit(name string) {
	name = path.Clean(name)
	if s.seen[name] || len(s.seen) >= maxFiles || s.score == exact || !fs.ValidPath(name) {
		return
	}
	s.seen[name] = true
	info, err := fs.Stat(s.tree, name)
	switch {
	case err != nil:
		return
	case info.IsDir():
		s.directory(name)
		return
	case info.Size() > maxFileBytes:
		return
	}
	data, err := fs.ReadFile(s.tree, name)
	if err != nil {
		return
	}
	for _, next := range s.read(name, data) {
		s.visit(path.Join(path.Dir(name), next))
	}
}

// directory looks into a directory: at its kustomization or, if it has none, at
// all its manifests, as if it had one that names them.
func (s *search) directory(name string) {
	list, err := fs.ReadDir(s.tree, name)
	if err != nil {
		return
	}
	for _, e := range list {
		if kustomization(e.Name()) {
			s.visit(path.Join(name, e.Name()))
			return
		}
	}
	for _, e := range list {
		if e.IsDir() || slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(e.Name())) {
			s.visit(path.Join(name, e.Name()))
		}
	}
}

func kustomization(name string) bool {
	return slices.Contains([]string{"kustomization.yaml", "kustomization.yml", "Kustomization"}, path.Base(name))
}

// read looks at the documents of a file, and returns the resources that it names
// if it is a kustomization.
func (s *search) read(name string, data []byte) (resources []string) {
	for _, doc := range documents(data) {
		s.judge(name, doc, 0)
		if !kustomization(name) {
			continue
		}
		for _, field := range []string{"resources", "bases", "components"} {
			if list := entry(doc, field); list != nil && list.Kind == yaml.SequenceNode {
				for _, item := range list.Content {
					resources = append(resources, item.Value)
				}
			}
		}
	}
	return resources
}

// documents returns the roots of a file's documents, up to the first that is no
// YAML.
func documents(data []byte) []*yaml.Node {
	var out []*yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		if dec.Decode(&doc) != nil {
			return out
		}
		if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
			out = append(out, doc.Content[0])
		}
	}
}

// judge takes a document for the place if it is the best so far. Items of lists
// are documents, too.
func (s *search) judge(name string, doc *yaml.Node, depth int) {
	const deepest = 5
	if items := entry(doc, "items"); items != nil && items.Kind == yaml.SequenceNode && depth < deepest {
		for _, item := range items.Content {
			s.judge(name, item, depth+1)
		}
		return
	}
	if score := s.likeness(doc); score > s.score {
		s.file, s.line, s.score = name, doc.Line, score
	}
}

func (s *search) likeness(doc *yaml.Node) int {
	meta := entry(doc, "metadata")
	kind, name, namespace := value(entry(doc, "kind")), value(entry(meta, "name")), value(entry(meta, "namespace"))
	group := object.Of(map[string]any{"apiVersion": value(entry(doc, "apiVersion")), "kind": kind}).ID().Kind
	switch {
	case group != s.want.ID().Kind || name == "":
		return 0
	case name == s.want.Name() && namespace == s.want.Namespace():
		return exact
	case name == s.want.Name():
		return sameObject
	case strings.Contains(s.want.Name(), name):
		return sameKind
	}
	return 0
}

// entry returns the value of a mapping's key; nil if there is none.
func entry(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func value(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}

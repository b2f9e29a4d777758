package web

import (
	"strings"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/object"
)

// A verdict says how a thing stands, and why.
type verdict struct {
	State   string // as lists name it
	Says    string
	Since   when
	Do      string
	More    []string
	Events  []warning
	Cause   *step  // the first; nil if there is none beside what is said
	Chain   []step // causes first, each before what it leads to
	Unknown []string
}

// A step is something that is so, on the way from a first cause to what is seen.
type step struct {
	Depth  int // how many steps lead to it; 0 for a first cause
	About  thing
	Says   string
	Since  when
	More   []string
	Events []warning
	Do     string
}

// A warning is an event as pages show it.
type warning struct {
	Reason, Message string
	Count           int
	Last            when
}

// maxDepth is how far steps are moved in.
const maxDepth = 6

// verdict returns an answer as it is shown. known are the objects whose pages can
// be told by what an answer calls them.
func (s *Server) verdict(a *ask.Answer, state string, known names) verdict {
	r := a.State
	d := verdict{State: state, Says: plainText(r.Says), Since: s.when(r.Since), Do: r.Do, More: plainTexts(r.More), Events: s.warnings(r.Events)}
	for _, b := range r.Because {
		s.chain(b, known, &d.Chain)
	}
	if len(d.Chain) > 0 {
		d.Cause = &d.Chain[0]
	}
	for _, u := range a.Unknown {
		if !strings.Contains(u, errLater.Error()) {
			d.Unknown = append(d.Unknown, plainText(u))
		}
	}
	return d
}

// chain appends what led to r, and r. It returns how many steps there are before
// r.
func (s *Server) chain(r *ask.Reason, known names, out *[]step) int {
	depth := 0
	for _, b := range r.Because {
		depth = max(depth, s.chain(b, known, out)+1)
	}
	*out = append(*out, step{
		Depth: min(depth, maxDepth), About: s.about(r.About, known), Says: plainText(r.Says), Since: s.when(r.Since),
		More: plainTexts(r.More), Events: s.warnings(r.Events), Do: r.Do,
	})
	return depth
}

// Names are objects by what answers call them: "Deployment/apps/web".
type names map[string]object.ID

func (n names) add(ids ...object.ID) {
	for _, id := range ids {
		if _, there := n[id.String()]; !there {
			n[id.String()] = id
		}
	}
}

// workloads are the kinds that answers are about most often, by their names alone.
var workloads = map[string]object.Kind{
	"Pod":         podKind,
	"Deployment":  {Group: "apps", Name: "Deployment"},
	"ReplicaSet":  {Group: "apps", Name: "ReplicaSet"},
	"StatefulSet": {Group: "apps", Name: "StatefulSet"},
	"DaemonSet":   {Group: "apps", Name: "DaemonSet"},
	"Job":         {Group: "batch", Name: "Job"},
}

// about returns what a reason is about.
func (s *Server) about(text string, known names) thing {
	if id, ok := known[text]; ok {
		return s.thing(id)
	}
	parts := strings.SplitN(text, "/", 3)
	if k, ok := workloads[parts[0]]; ok && len(parts) == 3 {
		return s.thing(object.ID{Kind: k, Namespace: parts[1], Name: parts[2]})
	}
	t := thing{Kind: parts[0], Name: parts[len(parts)-1]}
	if len(parts) == 3 {
		t.Namespace = parts[1]
		if k := s.kindNamed(t.Kind); k.Group != "" {
			return s.thing(object.ID{Kind: k, Namespace: t.Namespace, Name: t.Name})
		}
	}
	return t
}

func (s *Server) warnings(all []ask.Warning) []warning {
	var out []warning
	for _, e := range all {
		out = append(out, warning{e.Reason, plainText(e.Message), int(e.Count), s.when(e.Last)})
	}
	return out
}

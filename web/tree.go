package web

import (
	"net/url"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/web/draw"
)

// How much of a tree is shown before somebody opens it.
const (
	smallTree = 30 // nodes of which none is closed
	alike     = 5  // healthy nodes of a kind beside each other
	mostSick  = 24 // others of a kind and state beside each other
	mostDrawn = 5000
)

// everything opens all of a tree.
const everything = "all"

// A treeView is a tree as a page shows it: drawn, and as a list.
type treeView struct {
	draw.Drawing
	Nodes  []treeNode // as the boxes
	Counts []share    // how many nodes are in which state
	Total  int
	List   bool   // shown as a list, even where there is room
	Drawn  bool   // drawn, even where there is none
	Flip   string // the address of the other form
	Open   string // the address that opens all; "" if all is open
	Close  string // the address that closes all; "" if nothing was opened
	More   int    // nodes that are too many to be shown
}

// A treeNode is a box with what it says and where it leads.
type treeNode struct {
	draw.Box
	State string // as lists name it
	URL   string // of the object's page, or of what opens the box
	Fold  string // the address that opens or closes it; "" if there is nothing to
	Shut  bool   // it hides something
	First string // the lines in the box
	Last  string
	Label string // for those who hear it
	Why   string
}

// Indent returns how far a node is moved in where it is in a list.
func (t treeNode) Indent() int { return min(t.Level, maxDepth) }

// stateWords are the states of health as lists name them.
var stateWords = map[health.Status]string{
	health.Healthy: "ready", health.Progressing: "progressing", health.Missing: "held", health.Unknown: "waiting", health.Degraded: "failed",
}

// healthWords are what pages say of a state of health.
var healthWords = map[health.Status]string{
	health.Healthy: "healthy", health.Progressing: "progressing", health.Missing: "missing", health.Unknown: "not known", health.Degraded: "degraded",
}

// A drawing is a tree on the way to be shown.
type drawing struct {
	s      *Server
	at     *url.URL // of the page
	opened []string
	nodes  map[string]*ask.Node // by key
	total  int
	more   int
}

// treeView returns a tree as the page at a URL shows it.
func (s *Server) treeView(root *ask.Node, at *url.URL) treeView {
	q := at.Query()
	d := &drawing{s: s, at: at, opened: q["open"], nodes: make(map[string]*ask.Node)}
	grown := d.grow(root, root.ID.Namespace)
	folding := draw.Folding{Small: smallTree, Alike: alike, Most: mostSick, Open: d.open}
	laid := draw.Lay(folding.Fold(grown))
	v := treeView{Drawing: laid, Total: d.total, More: d.more, List: q.Get("view") == "list", Drawn: q.Get("view") == "tree", Counts: d.counts()}
	for _, b := range laid.Boxes {
		n := d.node(b)
		v.Nodes = append(v.Nodes, n)
		if n.Shut && v.Open == "" {
			v.Open = d.with("open", everything)
		}
	}
	if len(d.opened) > 0 {
		v.Close = d.with("open")
	}
	if v.List {
		v.Flip = d.with("view", "tree")
	} else {
		v.Flip = d.with("view", "list")
	}
	return v
}

func (d *drawing) open(key string) bool {
	return slices.Contains(d.opened, everything) || slices.Contains(d.opened, key)
}

// keyOf tells an object from all others, in few letters that are the same in
// every URL.
func keyOf(id object.ID) string {
	return strings.TrimPrefix(id.Kind.String()+"/"+id.Namespace+"/"+id.Name, "/")
}

// grow returns a tree to be drawn.
func (d *drawing) grow(n *ask.Node, space string) *draw.Node {
	key := keyOf(n.ID)
	d.nodes[key] = n
	d.total++
	out := &draw.Node{
		Key: key, Kind: n.ID.Kind.Name, Name: n.ID.Name, State: healthWords[n.Health], Well: n.Health == health.Healthy && !n.Paused,
	}
	if n.ID.Namespace != space {
		out.Space = n.ID.Namespace
	}
	for _, b := range n.Below {
		if d.total >= mostDrawn {
			b.All(func(*ask.Node) bool { d.more++; return true })
			continue
		}
		out.Below = append(out.Below, d.grow(b, space))
	}
	return out
}

// counts returns how many nodes below the root are in which state, the worst
// first.
func (d *drawing) counts() []share {
	var n [len(states)]int
	for _, x := range d.nodes {
		for st, w := range states {
			if w.Name == stateWords[x.Health] {
				n[st]++
			}
		}
	}
	var out []share
	for st, c := range n {
		if c > 0 {
			out = append(out, share{Name: states[st].Name, Says: sayHealth(states[st].Name), Count: c})
		}
	}
	return out
}

// sayHealth returns what a state is called where it is one of health.
func sayHealth(state string) string {
	for st, name := range stateWords {
		if name == state {
			return healthWords[st]
		}
	}
	return state
}

// How many letters there is room for in a box.
const (
	roomName = 28
	roomKind = 33
)

// node returns a box with what it says.
func (d *drawing) node(b draw.Box) treeNode {
	t := treeNode{Box: b, Shut: len(b.Hides) > 0 || b.Many > 0}
	n := d.nodes[b.Key]
	if b.Many > 0 {
		t.State = stateWords[healthNamed(b.State)]
		t.First, t.Last = hides(b.Hides), plural(b.Many, b.State, b.Kind)
		t.URL = d.with("open", append(slices.Clone(d.opened), b.Key)...)
		t.Label = t.Last + ". Show them"
		return t
	}
	t.State, t.Why, t.URL = stateWords[n.Health], plainText(n.Why), d.s.address(n.ID)
	if n.Paused {
		t.State, t.Why = states[suspended].Name, "suspended"
	}
	t.Last = draw.Clip(b.Name, roomName)
	t.First = b.Kind
	if b.Space != "" {
		t.First += " in " + b.Space
	}
	if t.Shut {
		t.First += " · " + hides(b.Hides)
	}
	t.First = draw.Clip(t.First, roomKind)
	t.Label = b.Kind + " " + b.Name + ", " + healthWords[n.Health]
	if n.Paused {
		t.Label += ", suspended"
	}
	switch {
	case b.Level == 0:
	case t.Shut:
		t.Fold = d.with("open", append(slices.Clone(d.opened), b.Key)...)
	case slices.Contains(d.opened, b.Key):
		t.Fold = d.with("open", slices.DeleteFunc(slices.Clone(d.opened), func(k string) bool { return k == b.Key })...)
	}
	return t
}

func healthNamed(word string) health.Status {
	for st, w := range healthWords {
		if w == word {
			return st
		}
	}
	return health.Unknown
}

// hides says what a box hides: "1 ReplicaSet, 3 Pods".
func hides(all []draw.Count) string {
	var out []string
	for _, c := range all {
		out = append(out, plural(c.N, "", c.Kind))
	}
	return strings.Join(out, ", ")
}

// plural returns "12 healthy Pods".
func plural(n int, state, kind string) string {
	words := count(n) + " "
	if state != "" {
		words += state + " "
	}
	words += kind
	switch {
	case n == 1:
	case strings.HasSuffix(kind, "y"):
		words = strings.TrimSuffix(words, "y") + "ies"
	case strings.HasSuffix(kind, "s"):
		words += "es"
	default:
		words += "s"
	}
	return words
}

// with returns the address of the page with a field of its query set to values.
func (d *drawing) with(key string, values ...string) string {
	q := d.at.Query()
	q.Del("done")
	q.Del(key)
	for _, v := range values {
		q.Add(key, v)
	}
	u := url.URL{Path: d.at.Path, RawQuery: q.Encode(), Fragment: "tree"}
	return u.String()
}

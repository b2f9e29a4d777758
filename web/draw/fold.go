package draw

import "slices"

// A Folding says what of a tree is not shown box by box.
type Folding struct {
	Small int // trees of up to so many nodes are not closed
	Alike int // healthy nodes of a kind beside each other: beyond so many they are one box
	Most  int // others of a kind and state beside each other: beyond so many the rest is one box

	// Open reports whether somebody has opened the node of that key. nil means
	// that nobody has opened anything.
	Open func(key string) bool
}

// Fold returns a tree in which what is healthy takes little room: a healthy
// node hides what is below it, and many of a kind beside each other become one
// box. What is not well stays to be seen, with all that leads to it. It keeps
// the order, and does not change root. What was opened stays open, and with it
// what is below.
func (f Folding) Fold(root *Node) *Node {
	if f.Open == nil {
		f.Open = func(string) bool { return false }
	}
	out := *root
	out.Below = f.beside(root, size(root) <= f.Small)
	return &out
}

// beside returns what is shown below a node.
func (f Folding) beside(n *Node, small bool) []*Node {
	type like struct{ kind, state string }
	groups := make(map[like][]*Node)
	of := func(b *Node) like {
		if b.well() {
			return like{kind: b.Kind}
		}
		return like{b.Kind, b.State}
	}
	for _, b := range n.Below {
		groups[of(b)] = append(groups[of(b)], b)
	}
	var out []*Node
	seen := make(map[like]int)
	for _, b := range n.Below {
		k := of(b)
		all, shown := groups[k], f.Most
		if k.state == "" {
			shown = 0
		}
		folded := len(all) > max(shown, f.Alike) && !f.Open(group(n, k.kind, k.state))
		switch seen[k]++; {
		case !folded || seen[k] <= shown:
			out = append(out, f.close(b, small))
		case seen[k] == shown+1:
			out = append(out, together(group(n, k.kind, k.state), all[shown:]))
		}
	}
	return out
}

// group returns the key of the box that stands for many nodes below n.
func group(n *Node, kind, state string) string { return n.Key + " " + kind + " " + state }

// close returns a node as it is shown: alone if all is well with it, unless it
// has been opened.
func (f Folding) close(n *Node, small bool) *Node {
	if len(n.Below) == 0 {
		return n
	}
	out := *n
	if n.well() && !small && !f.Open(n.Key) {
		out.Below, out.Hides = nil, counts(n.Below)
		return &out
	}
	out.Below = f.beside(n, small || n.well())
	return &out
}

// together returns the box that stands for many nodes.
func together(key string, all []*Node) *Node {
	first := all[0]
	var below []*Node
	for _, n := range all {
		below = append(below, n.Below...)
	}
	return &Node{Key: key, Kind: first.Kind, State: first.State, Well: first.well(), Many: len(all), Hides: counts(below)}
}

// well reports whether a node and all that is below it is well.
func (n *Node) well() bool {
	return n.Well && !slices.ContainsFunc(n.Below, func(b *Node) bool { return !b.well() })
}

func size(n *Node) int {
	all := 1
	for _, b := range n.Below {
		all += size(b)
	}
	return all
}

// counts returns how many nodes of each kind there are, in the order in which
// they come.
func counts(nodes []*Node) []Count {
	var out []Count
	var walk func([]*Node)
	walk = func(nodes []*Node) {
		for _, n := range nodes {
			i := slices.IndexFunc(out, func(c Count) bool { return c.Kind == n.Kind })
			if i < 0 {
				i, out = len(out), append(out, Count{Kind: n.Kind})
			}
			out[i].N++
		}
		for _, n := range nodes {
			walk(n.Below)
		}
	}
	walk(nodes)
	return out
}

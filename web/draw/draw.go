// Package draw lays trees out: a column for each step down, from left to right,
// so that no two boxes meet and nothing moves that does not have to.
package draw

import "strconv"

// A Node is a thing in a tree. Nodes without a Below are its leaves.
type Node struct {
	Key   string // tells it from all others, and stays the same
	Kind  string // what it is, in one word: those that are alike can be folded
	Name  string
	Space string // where it is, if that is not where the root is
	Note  string // what else there is to be said, in few words
	State string // how it stands, in one word
	Well  bool   // it stands as it should
	Below []*Node

	Hides []Count // what is folded into it
	Many  int     // how many nodes it stands for, if it stands for several
}

// A Count is how many nodes of a kind there are.
type Count struct {
	Kind string
	N    int
}

// The measures of a drawing. They are the same for every box, so that its size
// grows with the number of boxes and with nothing else.
const (
	BoxWidth  = 248
	BoxHeight = 40
	Aside     = 56 // between columns
	Between   = 8  // between boxes of a column
	Margin    = 8
	bend      = 7 // of lines
)

// A Box is where a node is drawn.
type Box struct {
	*Node
	X, Y  int
	Level int // 0 for the root
}

// A Line leads from a box to one of those below it.
type Line struct {
	Path string // as SVG writes it
	Well bool   // so is all that it leads to
}

// A Drawing is a tree that has been laid out.
type Drawing struct {
	Width, Height int
	Boxes         []Box  // in the order in which a reader comes by them: each before those below it
	Lines         []Line // those that lead to trouble last, so that they lie on top
}

// Lay lays a tree out. Those below a node keep their order.
func Lay(root *Node) Drawing {
	var l layer
	l.lay(root, 0)
	d := Drawing{Boxes: l.boxes, Lines: append(l.well, l.sick...)}
	d.Width = 2*Margin + (l.deepest+1)*BoxWidth + l.deepest*Aside
	d.Height = 2*Margin + l.next - Between
	return d
}

// A layer lays out node after node.
type layer struct {
	boxes      []Box
	well, sick []Line
	next       int // where the next leaf goes
	deepest    int
}

// lay lays out a node and what is below it, and returns where its box is and
// whether all is well there. A leaf goes below all that came before; any other
// node goes to the middle of those below it.
func (l *layer) lay(n *Node, level int) (at int, well bool) {
	at = len(l.boxes)
	l.boxes = append(l.boxes, Box{Node: n, X: Margin + level*(BoxWidth+Aside), Level: level})
	l.deepest = max(l.deepest, level)
	if len(n.Below) == 0 {
		l.boxes[at].Y = Margin + l.next
		l.next += BoxHeight + Between
		return at, n.Well
	}
	well = n.Well
	below := make([]int, len(n.Below))
	wells := make([]bool, len(n.Below))
	for i, b := range n.Below {
		below[i], wells[i] = l.lay(b, level+1)
		well = well && wells[i]
	}
	l.boxes[at].Y = (l.boxes[below[0]].Y + l.boxes[below[len(below)-1]].Y) / 2
	for i, b := range below {
		line := Line{path(l.boxes[at], l.boxes[b]), wells[i]}
		if line.Well {
			l.well = append(l.well, line)
		} else {
			l.sick = append(l.sick, line)
		}
	}
	return at, well
}

// path returns the line between two boxes: across, up or down, and across.
func path(from, to Box) string {
	p := pen{}
	x1, y1, x2, y2 := from.X+BoxWidth, from.Y+BoxHeight/2, to.X, to.Y+BoxHeight/2
	p.put("M", x1, y1)
	if y1 == y2 {
		p.put("H", x2)
		return string(p)
	}
	middle, r, down := x1+Aside/2, min(bend, abs(y2-y1)/2), 1
	if y2 < y1 {
		down = -1
	}
	p.put("H", middle-r)
	p.put("Q", middle, y1, middle, y1+down*r)
	p.put("V", y2-down*r)
	p.put("Q", middle, y2, middle+r, y2)
	p.put("H", x2)
	return string(p)
}

// A pen writes a path.
type pen []byte

func (p *pen) put(do string, at ...int) {
	*p = append(*p, do...)
	for i, n := range at {
		if i > 0 {
			*p = append(*p, ' ')
		}
		*p = strconv.AppendInt(*p, int64(n), 10)
	}
}

func abs(n int) int { return max(n, -n) }

// Clip returns a name that is too long for n letters without its middle: what
// names begin and end with tells them apart.
func Clip(name string, n int) string {
	r := []rune(name)
	if len(r) <= n {
		return name
	}
	end := (n - 1) / 2
	return string(r[:n-1-end]) + "…" + string(r[len(r)-end:])
}

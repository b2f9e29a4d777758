package draw

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// grow returns a tree of n nodes that hang where chance wills.
func grow(r *rand.Rand, n int) *Node {
	kinds := []string{"Pod", "ReplicaSet", "Service"}
	all := make([]*Node, n)
	for i := range all {
		all[i] = &Node{Key: fmt.Sprint(i), Kind: kinds[r.IntN(3)], Name: fmt.Sprint("n", i), State: "healthy", Well: r.IntN(8) > 0}
		if !all[i].Well {
			all[i].State = "degraded"
		}
		if i > 0 {
			on := all[r.IntN(i)]
			on.Below = append(on.Below, all[i])
		}
	}
	return all[0]
}

// sound checks what is true of every drawing.
func sound(t *testing.T, root *Node, d Drawing) {
	t.Helper()
	if len(d.Boxes) != size(root) || len(d.Lines) != size(root)-1 {
		t.Fatalf("%d boxes and %d lines for %d nodes", len(d.Boxes), len(d.Lines), size(root))
	}
	where := make(map[*Node]Box)
	columns := make(map[int][]int)
	leaves := 0
	for _, b := range d.Boxes {
		where[b.Node] = b
		columns[b.X] = append(columns[b.X], b.Y)
		if b.X < 0 || b.Y < 0 || b.X+BoxWidth > d.Width || b.Y+BoxHeight > d.Height {
			t.Errorf("%s at %d,%d is outside %d×%d", b.Key, b.X, b.Y, d.Width, d.Height)
		}
		if len(b.Below) == 0 {
			leaves++
		}
	}
	for x, ys := range columns {
		slices.Sort(ys)
		for i := 1; i < len(ys); i++ {
			if ys[i]-ys[i-1] < BoxHeight+Between {
				t.Errorf("two boxes of the column at %d are %d apart", x, ys[i]-ys[i-1])
			}
		}
	}
	for _, b := range d.Boxes {
		last := -1
		for _, n := range b.Below {
			below := where[n]
			if below.X != b.X+BoxWidth+Aside || below.Level != b.Level+1 {
				t.Errorf("%s at %d is not in the column after %s at %d", n.Key, below.X, b.Key, b.X)
			}
			if below.Y <= last {
				t.Errorf("%s has lost its place among its siblings", n.Key)
			}
			last = below.Y
		}
	}
	if want := 2*Margin + leaves*(BoxHeight+Between) - Between; d.Height != want {
		t.Errorf("%d leaves are %d high, want %d", leaves, d.Height, want)
	}
}

func TestDrawingsAreSound(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		root := grow(r, 1+r.IntN(120))
		sound(t, root, Lay(root))
		f := Folding{Small: r.IntN(60), Alike: 1 + r.IntN(5), Most: 1 + r.IntN(9), Open: func(key string) bool { return len(key)%3 == 0 }}
		folded := f.Fold(root)
		sound(t, folded, Lay(folded))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// All that is folded away is counted, and none of it is unwell but where there
// is too much of it.
func TestFoldLosesNothing(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		root := grow(r, 1+r.IntN(150))
		all := size(root)
		folded := Folding{Alike: 3, Most: 1000}.Fold(root)
		if size(root) != all {
			t.Fatalf("seed %d: the tree has changed", seed)
		}
		shown, counted := make(map[string]bool), 0
		var walk func(n *Node)
		walk = func(n *Node) {
			shown[n.Key] = true
			counted += max(n.Many, 1)
			for _, c := range n.Hides {
				counted += c.N
			}
			for _, b := range n.Below {
				walk(b)
			}
		}
		walk(folded)
		if counted != all {
			t.Fatalf("seed %d: %d of %d nodes are accounted for", seed, counted, all)
		}
		walk = func(n *Node) {
			if !n.Well && !shown[n.Key] {
				t.Fatalf("seed %d: %s is not well, and not shown", seed, n.Key)
			}
			for _, b := range n.Below {
				walk(b)
			}
		}
		walk(root)
	}
}

func TestFold(t *testing.T) {
	pods := func(n int, state string) []*Node {
		var out []*Node
		for i := range n {
			out = append(out, &Node{Key: fmt.Sprint(state, i), Kind: "Pod", Name: fmt.Sprint(state, i), State: state, Well: state == "healthy"})
		}
		return out
	}
	set := func(key string, below ...*Node) *Node {
		return &Node{Key: key, Kind: "ReplicaSet", Name: key, State: "healthy", Well: true, Below: below}
	}
	f := Folding{Alike: 5, Most: 8}
	opened := func(keys ...string) Folding {
		g := f
		g.Open = func(key string) bool { return slices.Contains(keys, key) }
		return g
	}
	for _, tt := range []struct {
		name string
		f    Folding
		tree *Node
		want string
	}{
		{"few", f, set("root", pods(3, "healthy")...), "root[healthy0 healthy1 healthy2]"},
		{"many", f, set("root", pods(12, "healthy")...), "root[12×Pod]"},
		{"many and opened", opened("root Pod "), set("root", pods(6, "healthy")...), "root[healthy0 healthy1 healthy2 healthy3 healthy4 healthy5]"},
		{"one is not well", f, set("root", append(pods(12, "healthy"), pods(1, "failed")...)...), "root[12×Pod failed0]"},
		{"too many are not well", f, set("root", pods(11, "failed")...), "root[failed0 failed1 failed2 failed3 failed4 failed5 failed6 failed7 3×Pod]"},
		{"below what is well", f, set("root", set("a", pods(3, "healthy")...)), "root[a(3 Pod)]"},
		{"below what is opened", opened("a"), set("root", set("a", pods(2, "healthy")...)), "root[a[healthy0 healthy1]]"},
		{"a small tree", Folding{Small: 9, Alike: 5, Most: 8}, set("root", set("a", pods(2, "healthy")...)), "root[a[healthy0 healthy1]]"},
		{"on the way to trouble", f, set("root", set("a", pods(1, "failed")...), set("b", pods(1, "healthy")...)), "root[a[failed0] b(1 Pod)]"},
		{"many with something below", f, set("root", set("a", pods(2, "healthy")...), set("b"), set("c"), set("d"), set("e"), set("f")), "root[6×ReplicaSet(2 Pod)]"},
	} {
		if got := tell(tt.f.Fold(tt.tree)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func tell(n *Node) string {
	s := n.Name
	if n.Many > 0 {
		s = fmt.Sprintf("%d×%s", n.Many, n.Kind)
	}
	for _, c := range n.Hides {
		s += fmt.Sprintf("(%d %s)", c.N, c.Kind)
	}
	var below []string
	for _, b := range n.Below {
		below = append(below, tell(b))
	}
	if below != nil {
		s += "[" + strings.Join(below, " ") + "]"
	}
	return s
}

// What becomes of a node does not move any.
func TestStatesMoveNothing(t *testing.T) {
	places := func(d Drawing) map[string][2]int {
		at := make(map[string][2]int)
		for _, b := range d.Boxes {
			at[b.Key] = [2]int{b.X, b.Y}
		}
		return at
	}
	root := grow(rand.New(rand.NewPCG(7, 7)), 300)
	before := places(Lay(root))
	var turn func(n *Node)
	turn = func(n *Node) {
		n.Well, n.State = !n.Well, "other"
		for _, b := range n.Below {
			turn(b)
		}
	}
	turn(root)
	if after := places(Lay(root)); !reflect.DeepEqual(before, after) {
		t.Error("boxes have moved")
	}
}

func TestLines(t *testing.T) {
	leaf := func(well bool) *Node { return &Node{Well: well} }
	d := Lay(&Node{Well: true, Below: []*Node{leaf(false), leaf(true), leaf(true)}})
	var got []string
	for _, l := range d.Lines {
		got = append(got, fmt.Sprint(l.Well, " ", l.Path))
	}
	want := []string{
		"true M256 76H312",
		"true M256 76H277Q284 76 284 83V117Q284 124 291 124H312",
		"false M256 76H277Q284 76 284 69V35Q284 28 291 28H312",
	}
	if !slices.Equal(got, want) {
		t.Errorf("lines are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestClip(t *testing.T) {
	for _, tt := range []struct {
		name string
		n    int
		want string
	}{
		{"web", 10, "web"},
		{"web-6797f58d-khx8t", 18, "web-6797f58d-khx8t"},
		{"web-6797f58d-khx8t", 11, "web-6…khx8t"},
		{"ééééé", 3, "é…é"},
	} {
		if got := Clip(tt.name, tt.n); got != tt.want {
			t.Errorf("Clip(%q, %d) = %q, want %q", tt.name, tt.n, got, tt.want)
		}
	}
}

func BenchmarkLay(b *testing.B) {
	root := grow(rand.New(rand.NewPCG(1, 1)), 5000)
	b.ReportAllocs()
	for b.Loop() {
		Lay(root)
	}
}

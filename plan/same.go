package plan

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sane-gitops/sane/object"
)

// An Answer says whether applying an object would change the one in the cluster.
type Answer uint8

const (
	Unsure    Answer = iota // it can't be told without asking the server
	Same                    // it is proven that nothing would change
	Different               // something would change, or belong to somebody else
)

// String returns "unsure", "same" or "different".
func (a Answer) String() string { return [...]string{"unsure", "same", "different"}[a] }

// A Verdict is an answer and, unless it is Same, why it was given.
type Verdict struct {
	Answer Answer
	Why    string // "spec.replicas: is 3 and should be 2", without values that may be secret; for people
}

// Compare says whether a server-side apply of want by a manager, with force,
// would change live in any way. It asks nobody and changes nothing.
//
// Same is a proof, which rests on two facts. Applying is a no-op exactly if
// the manager owns the fields that it applies, no more and no less, and they
// have the values that it applies. And whoever changes a field takes it away
// from all other managers. The proof covers what the server makes of the
// object itself. It can't see mutating admission, or a schema, that came after
// the last apply. In custom resources it takes a list that is ours as a whole
// for one that is never merged, as it is unless it was null when it was applied
// and the schema has a default for it.
//
// Different is what is seen to differ; once in a while the server would give
// the same object all the same, for instance because admission overrides what
// is applied each time.
//
// An empty namespace in want stands for that of live.
func Compare(want, live object.Object, manager string) Verdict {
	if live.IsZero() {
		return Verdict{Different, "not there yet"}
	}
	if v, ok := comparable(want, live); !ok {
		return v
	}
	c := comparison{core: isCore(want.ID().Kind), kind: want.ID().Kind.Name, verdict: Verdict{Answer: Same}}
	c.readOwners(want, live, manager)
	if c.verdict.Answer != Different {
		c.root(want.Body(), c.ours, live.Body())
	}
	return c.verdict
}

// comparable reports whether two objects are one and the same, seen in the same
// version; if not, the verdict says so.
func comparable(want, live object.Object) (Verdict, bool) {
	w, l := want.ID(), live.ID()
	switch {
	case w.Kind != l.Kind || w.Name != l.Name || w.Namespace != "" && w.Namespace != l.Namespace:
		return Verdict{Different, "is another object"}, false
	case want.APIVersion() != live.APIVersion():
		return Verdict{Unsure, "seen as " + live.APIVersion()}, false
	}
	if _, ok := want.Get("stringData"); ok && w.Kind == (object.Kind{Name: "Secret"}) {
		return Verdict{Unsure, "stringData: becomes data on the server"}, false
	}
	return Verdict{Answer: Same}, true
}

// readOwners reads managedFields.
func (c *comparison) readOwners(want, live object.Object, manager string) {
	all, _ := live.Get("metadata", "managedFields")
	list, _ := all.([]any)
	if len(list) == 0 {
		c.verdict = Verdict{Different, "no field has an owner"}
		return
	}
	for _, e := range list {
		m, _ := e.(map[string]any)
		mine := m["manager"] == manager && m["operation"] == "Apply" && text(m["subresource"]) == ""
		fields := object.Fields(m["fieldsV1"])
		if doubt := doubts(m, fields, want, mine); doubt != "" {
			c.verdict = Verdict{Unsure, doubt}
		}
		switch {
		case !mine:
			c.others = append(c.others, owner{fields, m["apiVersion"] == want.APIVersion()})
		case c.ours != nil:
			c.verdict = Verdict{Unsure, "managedFields: several entries of ours"}
		default:
			c.ours = fields
		}
	}
}

// doubts says what about an entry of managedFields makes it likely that the
// server will rewrite it, or "".
func doubts(entry, fields map[string]any, want object.Object, mine bool) string {
	version := text(entry["apiVersion"])
	switch {
	case len(fields) == 0 || entry["fieldsType"] != "FieldsV1":
		return "managedFields: not understood"
	case mine && version != want.APIVersion():
		return "was applied as " + version
	case version != want.APIVersion() && !stays(want.ID().Kind, version):
		return "managedFields: speak of " + version + ", which the server may know no more"
	case mine && entry["time"] == nil:
		return "managedFields: not written by the server"
	}
	return ""
}

func text(v any) string { s, _ := v.(string); return s }

// A comparison is the state of one call of Compare.
type comparison struct {
	core    bool           // the kind is one of Kubernetes' own
	kind    string         // its name
	ours    map[string]any // what we own, as fieldsV1
	others  []owner
	verdict Verdict
}

// An owner is another manager's entry in managedFields.
type owner struct {
	fields map[string]any
	alike  bool // they are the fields of the version that is wanted
}

// respelled notes that what is wanted at a place is spelled in another way in
// the cluster, and means the same. The server, which compares spellings, would
// take the field away from others who own it, too.
func (c *comparison) respelled(here *at) {
	for _, o := range c.others {
		if _, owns := here.in(o.fields); owns || !o.alike {
			c.unsure(here, "is spelled in another way and has another owner, too")
		}
	}
}

func (c *comparison) different(at *at, why string) { c.note(Different, at, why) }
func (c *comparison) unsure(at *at, why string)    { c.note(Unsure, at, why) }

// note takes a finding into the verdict: Different counts more than Unsure, and
// of several of a sort the first in order is told.
func (c *comparison) note(a Answer, at *at, why string) {
	v := &c.verdict
	if v.Answer == Different && a == Unsure {
		return
	}
	why = at.String() + ": " + why
	if v.Answer != a || why < v.Why {
		*v = Verdict{a, why}
	}
}

// at is a place in an object: a field, or an item of the list in a field.
type at struct {
	up   *at
	name string // of the field; "[2]" for an item
	key  string // of an item, as fieldsV1 spells it, if it has one
}

// in finds the place in fieldsV1, and reports whether it or something around it
// belongs to them as a whole.
func (p *at) in(fields map[string]any) (map[string]any, bool) {
	if p == nil {
		return fields, false
	}
	around, whole := p.up.in(fields)
	if whole || around == nil {
		return around, whole
	}
	key := p.key
	if key == "" {
		key = "f:" + p.name
	}
	v, ok := around[key]
	if !ok {
		return nil, false
	}
	m := child(v)
	return m, len(m) == 0
}

// field returns the name of the field that a place is in.
func (p *at) field() string {
	for p != nil && isItem(p.name) {
		p = p.up
	}
	if p == nil {
		return ""
	}
	return p.name
}

// parent returns the field around the field that a place is in.
func (p *at) parent() string {
	for p != nil && isItem(p.name) {
		p = p.up
	}
	if p == nil {
		return ""
	}
	return p.up.field()
}

func isItem(name string) bool { return strings.HasPrefix(name, "[") }

// String returns "spec.ports[80]".
func (p *at) String() string {
	switch {
	case p == nil:
		return ""
	case p.up == nil || isItem(p.name):
		return p.up.String() + p.name
	}
	return p.up.String() + "." + p.name
}

func (c *comparison) root(want, set, live map[string]any) {
	left := len(set)
	for key, w := range want {
		if key == "apiVersion" || key == "kind" {
			continue
		}
		here := at{name: key}
		s, ours := set["f:"+key]
		if ours {
			left--
		}
		l, there := live[key]
		m, isMap := w.(map[string]any)
		switch {
		case key == "metadata" && isMap:
			c.metadata(&here, m, child(s), child(l))
		case key == "status" && !ours: // the server overrules it, where it has a subresource
			if !c.core {
				c.unsure(&here, "may be the server's")
			}
		default:
			c.field(&here, w, s, ours, l, there)
		}
	}
	if left > 0 {
		c.surplus(nil, set, want)
	}
}

// unowned are the fields of metadata that belong to nobody.
var unowned = map[string]bool{
	"name": true, "namespace": true, "creationTimestamp": true, "selfLink": true, "uid": true,
	"generation": true, "managedFields": true, "resourceVersion": true, "clusterName": true,
}

func (c *comparison) metadata(here *at, want, set, live map[string]any) {
	left := len(set)
	for key, w := range want {
		below := at{up: here, name: key}
		if unowned[key] {
			if key != "name" && key != "namespace" && w != nil {
				c.unsure(&below, "is the server's")
			}
			continue
		}
		s, ours := set["f:"+key]
		if ours {
			left--
		}
		l, there := live[key]
		c.field(&below, w, s, ours, l, there)
	}
	if left > 0 {
		c.surplus(here, set, want)
	}
}

// fields compares the fields of a map of which we own some.
func (c *comparison) fields(here *at, want, set, live map[string]any) {
	left := len(set)
	if _, ok := set["."]; ok {
		left--
	}
	below := at{up: here}
	for key, w := range want {
		s, ours := set["f:"+key]
		if ours {
			left--
		}
		l, there := live[key]
		below.name = key
		c.field(&below, w, s, ours, l, there)
	}
	if left > 0 {
		c.surplus(here, set, want)
	}
}

// surplus finds what we own and do not want.
func (c *comparison) surplus(here *at, set, want map[string]any) {
	for s := range set {
		name, isField := strings.CutPrefix(s, "f:")
		if _, ok := want[name]; isField && ok || s == "." {
			continue
		}
		c.different(&at{up: here, name: name}, "is ours and no longer wanted")
	}
}

// field compares one field: what is wanted of it, what we own of it, and what
// is there.
func (c *comparison) field(here *at, want, set any, ours bool, live any, there bool) {
	if !ours {
		c.foreign(here, want)
		return
	}
	s, ok := set.(map[string]any)
	if !ok {
		c.unsure(here, "managedFields: not understood")
		return
	}
	if len(s) == 0 {
		c.leaf(here, want, live, there)
		return
	}
	switch w := want.(type) {
	case map[string]any:
		if _, ok := s["."]; ok && !c.mayBeMember(here) {
			c.unsure(here, "managedFields: not as an apply leaves them")
		}
		l, isMap := live.(map[string]any)
		if !isMap && live != nil {
			c.different(here, "is of another type")
			return
		}
		c.fields(here, w, s, l)
	case []any:
		c.items(here, w, s, live)
	default:
		c.different(here, "is of another type")
	}
}

// mayBeMember reports whether the map at a place can itself belong to who
// applies it together with what is in it. That is so where its name is not in
// the schema, which there is only in custom resources; elsewhere it shows that
// the fields were taken over from an update.
func (c *comparison) mayBeMember(here *at) bool {
	if c.core {
		return false
	}
	top := here
	for top.up != nil {
		top = top.up
	}
	return top.name != "metadata"
}

// foreign judges what is wanted where we own nothing: it is sure to become ours
// if it is anything that can be owned.
func (c *comparison) foreign(here *at, want any) {
	switch w := want.(type) {
	case map[string]any:
		if len(w) > 0 {
			for key, v := range w {
				c.foreign(&at{up: here, name: key}, v)
			}
			return
		}
	case []any:
		if len(w) > 0 {
			break
		}
		if !c.isAssociative(here) || !c.careful() {
			c.unsure(here, "is empty, and may be nothing to own")
		}
		return
	}
	c.different(here, "is not ours")
}

// items compares the items of a list that is merged by keys or as a set.
func (c *comparison) items(here *at, want []any, set map[string]any, live any) {
	l, isList := live.([]any)
	if !isList && live != nil {
		c.different(here, "is of another type")
		return
	}
	if len(want) != len(set) {
		c.different(here, "has other items that are ours than are wanted")
		return
	}
	names, ok := keyNames(set)
	if !ok {
		c.unsure(here, "managedFields: not understood")
		return
	}
	index, ok := c.index(here, l, names)
	if !ok {
		return
	}
	var buf [64]byte
	last := -1
	for _, w := range want {
		key, ok := c.key(buf[:0], w, names)
		if !ok {
			c.unsure(here, "has an item whose key can't be told")
			return
		}
		s, ours := set[string(key)]
		if !ours {
			c.different(here, "has an item that is not ours")
			return
		}
		pos, there := index[string(key)]
		if !there || pos < 0 {
			c.unsure(here, "has an item of ours that is missing or there twice")
			return
		}
		if pos <= last {
			c.different(here, "has its items in another order")
			return
		}
		last = pos
		c.item(&at{here, "[" + strconv.Itoa(pos) + "]", string(key)}, w, child(s), l[pos])
	}
}

// item compares one item of a list.
func (c *comparison) item(here *at, want any, set map[string]any, live any) {
	w, isMap := want.(map[string]any)
	l, _ := live.(map[string]any)
	switch _, dot := set["."]; {
	case set == nil || len(set) > 0 && (!isMap || !dot):
		c.unsure(here, "managedFields: not understood")
	case len(set) == 0:
		c.equal(here, want, live, true)
	default:
		c.fields(here, w, set, l)
	}
}

// index returns where in a live list the items are, by their keys: -1 if there
// are several of one key.
func (c *comparison) index(here *at, live []any, names []string) (map[string]int, bool) {
	index := make(map[string]int, len(live))
	var buf [64]byte
	for i, item := range live {
		key, ok := c.key(buf[:0], item, names)
		if !ok {
			c.unsure(here, "has an item whose key can't be told")
			return nil, false
		}
		if _, twice := index[string(key)]; twice {
			i = -1
		}
		index[string(key)] = i
	}
	return index, true
}

func child(v any) map[string]any { m, _ := v.(map[string]any); return m }

// leaf compares a field that is ours as a whole: a scalar, something that is
// never merged, or something empty.
func (c *comparison) leaf(here *at, want, live any, there bool) {
	switch w := want.(type) {
	case nil:
		switch {
		case live == nil && there:
		case live == nil && c.core:
			c.respelled(here)
		default:
			c.unsure(here, "is wanted to be null")
		}
	case map[string]any:
		switch {
		case len(w) == 0:
			c.emptyMap(here, live, there)
		case c.core && atomic[here.name]:
			c.equal(here, want, live, there)
		default:
			c.partly(here, want, live, there, "may have been empty when it was applied")
		}
	case []any:
		switch {
		case len(w) == 0:
			c.emptyList(here, live, there)
		case c.isAssociative(here):
			c.partly(here, want, live, there, "may have been null when it was applied")
		default:
			c.equal(here, want, live, there)
		}
	default:
		c.equal(here, want, live, there)
	}
}

// partly compares what may be different though its values are equal.
func (c *comparison) partly(here *at, want, live any, there bool, why string) {
	c.unsure(here, why)
	c.equal(here, want, live, there)
}

// emptyMap compares a map that is wanted to be empty: merged with others, it
// changes nothing in them.
func (c *comparison) emptyMap(here *at, live any, there bool) {
	l, isMap := live.(map[string]any)
	inMeta := here.up != nil && here.up.up == nil && here.up.name == "metadata"
	switch {
	case isMap && len(l) == 0:
	case isMap && granular[here.name] && (inMeta || c.core):
	case live == nil && plainMap[here.name] && (inMeta || c.careful()):
		c.respelled(here)
	default:
		c.unsure(here, "is wanted to be empty")
	}
}

// emptyList compares a list that is wanted to be empty.
func (c *comparison) emptyList(here *at, live any, there bool) {
	l, isList := live.([]any)
	switch {
	case len(l) > 0 && c.core && !c.isAssociative(here):
		c.different(here, fmt.Sprintf("has %d items and should have none", len(l)))
	case live != nil && !isList, !c.careful(), c.isAssociative(here):
		c.unsure(here, "is wanted to be empty")
	case live == nil:
		c.respelled(here)
	}
}

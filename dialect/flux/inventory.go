package flux

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/sane-gitops/sane/inventory"
	"github.com/sane-gitops/sane/object"
)

// An entry's id is "<namespace>_<name>_<group>_<kind>". A colon in a name, as
// RBAC allows, is written "__". Names with underscores, which RBAC allows too,
// are written as they are where that can be read back, and with "%5F" for "_"
// where it can't: "%" is in no name.

const rbacGroup = "rbac.authorization.k8s.io"

func formatID(id object.ID) string {
	return id.Namespace + "_" + formatName(id) + "_" + id.Kind.Group + "_" + id.Kind.Name
}

func formatName(id object.ID) string {
	if id.Kind.Group != rbacGroup {
		return id.Name
	}
	name := strings.ReplaceAll(id.Name, ":", "__")
	if parseName(name) != id.Name {
		name = strings.ReplaceAll(strings.ReplaceAll(id.Name, "_", "%5F"), ":", "__")
	}
	return name
}

func parseName(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "__", ":"), "%5F", "_")
}

func parseID(s string) (object.ID, error) {
	ns, rest, ok1 := strings.Cut(s, "_")
	rest, kind, ok2 := cutLast(rest)
	name, group, ok3 := cutLast(rest)
	if !ok1 || !ok2 || !ok3 || name == "" || kind == "" || strings.Contains(name, "/") {
		return object.ID{}, fmt.Errorf("%q is not of the form <namespace>_<name>_<group>_<kind>", s)
	}
	if group == rbacGroup {
		name = parseName(name)
	}
	return object.ID{Kind: object.Kind{Group: group, Name: kind}, Namespace: ns, Name: name}, nil
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndex(s, "_")
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// An unread is an inventory entry that names no object. It is kept as it is:
// it may be all that is left to tell of one.
type unread struct {
	entry any
	why   error
}

// recallInventory returns the objects in o's status, or nil if it has no
// inventory, and the entries that can't be read.
func recallInventory(o object.Object) (inventory.Set, []unread) {
	v, ok := o.Get("status", "inventory", "entries")
	if !ok {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, []unread{{v, fmt.Errorf("it is not a list")}}
	}
	set := make(inventory.Set, len(list))
	var bad []unread
	for _, e := range list {
		m, _ := e.(map[string]any)
		text, _ := m["id"].(string)
		id, err := parseID(text)
		if err != nil {
			bad = append(bad, unread{e, err})
			continue
		}
		version, _ := m["v"].(string)
		set[id] = cmp.Or(version, set[id])
	}
	return set, bad
}

// entriesOf returns the inventory's entries in order, those that can't be read
// last.
func entriesOf(s inventory.Set, bad []unread) []any {
	entries := make([]any, 0, len(s)+len(bad))
	for _, id := range s.IDs() {
		entries = append(entries, map[string]any{"id": formatID(id), "v": s[id]})
	}
	for _, u := range bad {
		entries = append(entries, u.entry)
	}
	return entries
}

package observe

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/plan"
)

// An Entry is a digest of what an object's managedFields say of our manager:
// the fields that are ours, in which API version, and since when. Whoever
// changes a field of ours takes it out of our entry, and whoever uses our name
// changes its time; so as long as the entry stays the same, the fields that we
// applied have the values that we gave them. The zero Entry stands for none.
type Entry [16]byte

// MarshalText returns e in hexadecimal.
func (e Entry) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, e[:]), nil }

// UnmarshalText reads what MarshalText returned.
func (e *Entry) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(e)) {
		return hex.ErrLength
	}
	_, err := hex.Decode(e[:], text)
	return err
}

// EntryOf returns the entry of a manager that applies (server-side apply).
func EntryOf(o object.Object, manager string) Entry {
	for _, e := range entries(o) {
		if e.manager == manager && e.operation == "Apply" && e.subresource == "" {
			return e.digest()
		}
	}
	return Entry{}
}

// An entry is one of metadata.managedFields.
type entry struct {
	manager, operation, subresource, time string
	body                                  map[string]any
}

func entries(o object.Object) []entry {
	v, _ := o.Get("metadata", "managedFields")
	list, _ := v.([]any)
	out := make([]entry, 0, len(list))
	for _, e := range list {
		m, _ := e.(map[string]any)
		str := func(k string) string { s, _ := m[k].(string); return s }
		out = append(out, entry{str("manager"), str("operation"), str("subresource"), str("time"), m})
	}
	return out
}

func (e entry) digest() Entry {
	sum := sha256.Sum256(object.Of(e.body).JSON())
	return Entry(sum[:16])
}

// and returns the digest of two entries.
func (e Entry) and(f Entry) Entry {
	sum := sha256.Sum256(append(e[:], f[:]...))
	return Entry(sum[:16])
}

// look reduces an object to what is kept of it.
func (w *Watcher) look(o object.Object) Sighting {
	owner, _ := w.c.Owner(o.Labels())
	s := Sighting{
		UID: o.UID(), Version: version(o), Entry: EntryOf(o, w.c.Manager),
		Owner: owner, Exempt: w.c.Exempt(o), Deleting: o.Deleting(), Passing: health.Passing(o),
	}
	s.Usurped, s.Rival = w.others(o)
	s.Health = health.Of(o)
	return s
}

// others returns the entries of managers that are to be taken over, and which
// manager other than ours last changed the object.
func (w *Watcher) others(o object.Object) (usurped Entry, rival string) {
	var latest string
	for _, e := range entries(o) {
		if e.subresource != "" && e.subresource != "scale" {
			continue
		}
		if e.manager == w.c.Manager && e.operation == "Apply" {
			continue
		}
		if plan.TakenOver(e.manager, e.operation, w.c.Manager, w.c.Over...) {
			usurped = usurped.and(e.digest())
		}
		if e.time >= latest {
			latest, rival = e.time, e.manager
		}
	}
	return usurped, rival
}

// version returns the resource version as a number, or 0 if it is none.
func version(o object.Object) uint64 {
	n, err := strconv.ParseUint(o.ResourceVersion(), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/inventory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/observe"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/unit"
)

// A mark is a short digest.
type mark [16]byte

func markOf(data []byte) mark {
	sum := sha256.Sum256(data)
	return mark(sum[:16])
}

// An as is how an object was made: what was wanted, and how it stood right
// afterwards. While it stands so still, it is as it was wanted.
type as struct {
	Version string        // the API version by which it was applied
	Want    mark          //
	UID     string        //
	Entry   observe.Entry // of our manager
	Alone   bool          // it asks to be left alone
	Once    bool          // it asks to be created only
	Merge   bool          // it asks that others keep their fields
	Keep    bool          // it asks never to be deleted
	Passing bool          // it goes away by itself when its work is done
	Others  observe.Entry // of managers that are usually taken over, and were not
}

// madeAs returns how an object was made that a step wanted and that was then
// seen.
func (r *run) madeAs(s plan.Step, seen observe.Sighting) as {
	return as{
		Version: s.Want.Version(), Want: r.mark(s.Want), UID: seen.UID, Entry: seen.Entry, Others: seen.Usurped,
		Alone: s.Exempt.Ignore, Once: s.Exempt.Once, Merge: s.Exempt.Merge, Keep: s.Exempt.Keep,
		Passing: health.Passing(s.Want),
	}
}

// mark returns the mark of a wanted object as it came from the source.
func (r *run) mark(want object.Object) mark {
	if m, ok := r.marks[want.ID()]; ok {
		return m
	}
	return markOf(want.JSON())
}

// holds reports whether an object that was seen so is as it was made.
func (a as) holds(s observe.Sighting) bool {
	switch {
	case a.Alone:
		return true
	case s.Gone || s.UID == "":
		return a.passed(s)
	case a.Once:
		return true
	}
	return s.UID == a.UID && s.Entry == a.Entry && (a.Merge || s.Usurped == a.Others)
}

// passed reports whether an object that is not there was made, did its work, and
// went away by itself. One that went while nobody looked has done so.
func (a as) passed(s observe.Sighting) bool {
	unseen := s.UID == "" && !s.Gone
	return a.Passing && a.UID != "" && (unseen || s.Gone && s.Passing && s.UID == a.UID)
}

// A ledger is what a unit has made. It is kept on disk as well: it is never
// trusted beyond what the cluster says of each object, so the worst that an old
// or a lost one does is cost requests.
type ledger struct {
	Rendered digest.Digest // of the objects that were made
	Partial  bool          // not all of them were
	Under    mark          // of the rules by which fields were left to others; zero if there were none
	Objects  map[object.ID]as

	loaded bool
}

// begin takes note that the objects in meant are about to be made.
func (l *ledger) begin(rendered digest.Digest, under mark, meant inventory.Set) {
	old := l.Objects
	*l = ledger{Rendered: rendered, Under: under, Partial: true, Objects: make(map[object.ID]as, len(meant)), loaded: true}
	for id := range meant {
		if a, ok := old[id]; ok {
			l.Objects[id] = a
		}
	}
}

// owned returns the names of all objects in the ledger.
func (l *ledger) owned() inventory.Set {
	set := make(inventory.Set, len(l.Objects))
	for id, a := range l.Objects {
		set[id] = a.Version
	}
	return set
}

func (e *Engine) ledgerPath(name unit.Name) string {
	sum := sha256.Sum256([]byte(name.Kind.String() + "\x00" + name.String()))
	return filepath.Join(e.c.Dir, "units", hex.EncodeToString(sum[:12])+".ledger")
}

// recall unpacks the unit's ledger, which after a restart is on disk.
func (r *run) recall() {
	l := &r.made
	if l.loaded {
		return
	}
	l.loaded = true
	data := r.k.packed
	if data == nil && r.e.c.Dir != "" {
		data, _ = os.ReadFile(r.e.ledgerPath(r.u.Name)) // that there is none costs requests only
	}
	if data != nil && l.unpack(r.u.Name, data) {
		r.k.packed = data
	}
}

// stow packs the unit's ledger until the unit is looked at again.
func (r *run) stow() {
	if !r.made.loaded {
		return
	}
	if data := r.made.pack(r.u.Name); !bytes.Equal(data, r.k.packed) {
		r.k.packed = data
	}
}

// save writes the unit's ledger to disk. If it can't, the next start costs
// requests, and nothing else is lost.
func (r *run) save() {
	r.stow()
	if r.e.c.Dir == "" {
		return
	}
	if err := writeFile(r.e.ledgerPath(r.u.Name), r.k.packed); err != nil {
		r.e.log.Warn("save ledger", "unit", r.u.Name.String(), "error", err)
	}
}

// writeFile writes a file so that a reader finds all of it or what was there
// before.
func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func (e *Engine) forgetLedger(name unit.Name) {
	if e.c.Dir != "" {
		os.Remove(e.ledgerPath(name)) //nolint:errcheck // what is left is not trusted
	}
}

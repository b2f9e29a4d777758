package observe

import (
	"cmp"
	"encoding/hex"
	"slices"
	"unique"

	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/unit"
)

// A sighted is a [Sighting], packed: there is one for every object.
type sighted struct {
	uid      [16]byte // see packUID; zero if usual has it
	entry    Entry
	version  uint64
	owner    unique.Handle[unit.Name]
	usual    unique.Handle[usual]
	opinions *[]opinion // nil if nobody has one; what it points to is never changed
	round    int32      // the listing in which it was last put, or the one running when it was noted
	gone     bool
	passing  bool
}

// A usual is what is mostly the same for many objects.
type usual struct {
	uid      string // "" if it is a UUID
	health   health.Verdict
	exempt   plan.Exemption
	deleting bool
	usurped  Entry
	rival    string
}

func pack(s Sighting, round int32) *sighted {
	u := usual{health: s.Health, exempt: s.Exempt, deleting: s.Deleting, usurped: s.Usurped, rival: s.Rival}
	raw, ok := packUID(s.UID)
	if !ok {
		u.uid = s.UID
	}
	return &sighted{
		uid: raw, version: s.Version, entry: s.Entry, owner: unique.Make(s.Owner), usual: unique.Make(u), gone: s.Gone, passing: s.Passing, round: round,
	}
}

func (s *sighted) unpack() Sighting {
	u := s.usual.Value()
	return Sighting{
		UID: cmp.Or(u.uid, unpackUID(s.uid)), Version: s.version, Entry: s.entry,
		Owner: s.owner.Value(), Health: u.health, Rival: u.rival,
		Exempt: u.exempt, Deleting: u.deleting, Usurped: u.usurped, Gone: s.gone, Passing: s.passing,
	}
}

// of reports whether s is of the object with a UID, and not of another of the
// same name.
func (s *sighted) of(uid string) bool {
	raw, ok := packUID(uid)
	return s.uid == raw && (ok || s.usual.Value().uid == uid)
}

// same reports whether s and t are of one object.
func (s *sighted) same(t *sighted) bool {
	return s.uid == t.uid && s.usual.Value().uid == t.usual.Value().uid
}

// news reports whether s says more than old: a new version by itself says
// nothing.
func (s *sighted) news(old *sighted) bool {
	was := *old
	was.version, was.round, was.opinions = s.version, s.round, s.opinions
	return was != *s || !slices.Equal(old.said(), s.said())
}

// said returns all opinions of the object.
func (s *sighted) said() []opinion {
	if s.opinions == nil {
		return nil
	}
	return *s.opinions
}

// packUID returns a UID in 16 bytes. They are UUIDs (RFC 9562); what is none is
// not packed.
func packUID(text string) (raw [16]byte, ok bool) {
	if len(text) != 36 {
		return raw, false
	}
	digits := text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
	if _, err := hex.Decode(raw[:], []byte(digits)); err != nil || unpackUID(raw) != text {
		return [16]byte{}, false
	}
	return raw, true
}

// unpackUID returns the UID that was packed, or "" if it was not.
func unpackUID(raw [16]byte) string {
	if raw == [16]byte{} {
		return ""
	}
	x := hex.EncodeToString(raw[:])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

package observe

import (
	"encoding/hex"
	"slices"
	"unique"

	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/plan"
	"github.com/sane-gitops/sane/unit"
)

// A sighted is a [Sighting], packed: there is one for every object.
type sighted struct {
	uid      uid
	version  uint64
	entry    Entry
	owner    unique.Handle[unit.Name]
	health   unique.Handle[health.Verdict]
	rival    unique.Handle[string]
	exempt   plan.Exemption
	deleting bool
	usurped  unique.Handle[Entry]
	opinions *[]opinion // nil if nobody has one; what it points to is never changed
	gone     bool
	passing  bool
	round    int32 // the listing in which it was last put, or the one running when it was noted
}

func pack(s Sighting, round int32) *sighted {
	return &sighted{
		uid: packUID(s.UID), version: s.Version, entry: s.Entry,
		owner: unique.Make(s.Owner), health: unique.Make(s.Health), rival: unique.Make(s.Rival),
		exempt: s.Exempt, deleting: s.Deleting, usurped: unique.Make(s.Usurped), gone: s.Gone, passing: s.Passing, round: round,
	}
}

func (s *sighted) unpack() Sighting {
	return Sighting{
		UID: s.uid.String(), Version: s.version, Entry: s.entry,
		Owner: s.owner.Value(), Health: s.health.Value(), Rival: s.rival.Value(),
		Exempt: s.exempt, Deleting: s.deleting, Usurped: s.usurped.Value(), Gone: s.gone, Passing: s.passing,
	}
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

// A uid is an object's UID. They are UUIDs (RFC 9562); what is none is kept as
// it is.
type uid struct {
	raw  [16]byte
	text string
}

func packUID(text string) uid {
	var u uid
	if len(text) != 36 {
		return uid{text: text}
	}
	digits := text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
	if _, err := hex.Decode(u.raw[:], []byte(digits)); err != nil || u.String() != text {
		return uid{text: text}
	}
	return u
}

func (u uid) String() string {
	if u.text != "" || u.raw == [16]byte{} {
		return u.text
	}
	x := hex.EncodeToString(u.raw[:])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/observe"
	"github.com/sane-gitops/sane/unit"
)

// ledgerForm begins every packed ledger. It changes with the form.
const ledgerForm = "sane ledger 3\n"

// sumSize is the length of the checksum at the end.
const sumSize = 8

// pack returns l as bytes, in memory and on disk the same: there is a ledger
// for every unit, and it is used when the unit is looked at only.
func (l *ledger) pack(of unit.Name) []byte {
	b := append(make([]byte, 0, 128+128*len(l.Objects)), ledgerForm...)
	b = appendText(b, of.Kind.String()+"/"+of.String())
	b = appendText(b, string(l.Rendered))
	b = append(b, l.Under[:]...)
	b = append(b, bits(l.Partial))
	b = binary.AppendUvarint(b, uint64(len(l.Objects)))
	for _, id := range slices.SortedFunc(maps.Keys(l.Objects), object.Compare) {
		a := l.Objects[id]
		for _, s := range []string{id.Kind.Group, id.Kind.Name, id.Namespace, id.Name, a.Version, a.UID} {
			b = appendText(b, s)
		}
		b = append(b, a.Want[:]...)
		b = append(b, a.Entry[:]...)
		shared := a.Others != observe.Entry{}
		b = append(b, bits(a.Alone, a.Once, a.Merge, a.Keep, shared, a.Passing))
		if shared {
			b = append(b, a.Others[:]...)
		}
	}
	return bytes.Clone(seal(b))
}

// seal returns b with its checksum.
func seal(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append(b, sum[:sumSize]...)
}

// unpack reads what pack returned for a unit, and reports whether it is that.
func (l *ledger) unpack(of unit.Name, data []byte) bool {
	body := data[:max(len(data)-sumSize, 0)]
	sum := sha256.Sum256(body)
	if !bytes.Equal(data[len(body):], sum[:sumSize]) || !bytes.HasPrefix(body, []byte(ledgerForm)) {
		return false
	}
	r := unpacker{rest: body[len(ledgerForm):]}
	if r.text() != of.Kind.String()+"/"+of.String() {
		return false
	}
	got := ledger{Rendered: digest.Digest(r.text()), loaded: true}
	copy(got.Under[:], r.take(uint64(len(mark{}))))
	got.Partial = r.byte()&1 != 0
	n := r.number()
	if n > uint64(len(r.rest)) {
		return false
	}
	got.Objects = make(map[object.ID]as, n)
	for range n {
		id := object.ID{Kind: object.Kind{Group: r.text(), Name: r.text()}, Namespace: r.text(), Name: r.text()}
		a := as{Version: r.text(), UID: r.text()}
		copy(a.Want[:], r.take(uint64(len(mark{}))))
		copy(a.Entry[:], r.take(uint64(len(observe.Entry{}))))
		f := r.byte()
		a.Alone, a.Once, a.Merge, a.Keep, a.Passing = f&1 != 0, f&2 != 0, f&4 != 0, f&8 != 0, f&32 != 0
		if f&16 != 0 {
			copy(a.Others[:], r.take(uint64(len(observe.Entry{}))))
		}
		got.Objects[id] = a
	}
	if r.bad || len(r.rest) > 0 {
		return false
	}
	*l = got
	return true
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// bits returns a byte in which the first bit is flags[0], and so on.
func bits(flags ...bool) byte {
	var b byte
	for i, f := range flags {
		if f {
			b |= 1 << i
		}
	}
	return b
}

// An unpacker reads what was packed. After it was asked for more than there is,
// it is bad.
type unpacker struct {
	rest []byte
	bad  bool
}

func (r *unpacker) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *unpacker) number() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *unpacker) text() string { return string(r.take(r.number())) }

func (r *unpacker) byte() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

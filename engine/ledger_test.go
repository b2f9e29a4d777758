package engine

import (
	"fmt"
	"maps"
	"testing"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/observe"
	"github.com/sane-gitops/sane/unit"
)

var web = unit.Name{Kind: object.Kind{Group: "g", Name: "K"}, Namespace: "apps", Name: "web"}

func someLedger() ledger {
	l := ledger{Rendered: digest.Of([]byte("x")), Under: markOf([]byte("rules")), Partial: true, Objects: make(map[object.ID]as), loaded: true}
	for i := range 5 {
		id := object.ID{Kind: object.Kind{Group: "apps", Name: "Deployment"}, Namespace: "apps", Name: fmt.Sprint("d", i)}
		l.Objects[id] = as{
			Version: "v1", UID: fmt.Sprint("uid", i), Want: markOf([]byte{byte(i)}), Entry: observe.Entry{byte(i)},
			Alone: i == 1, Once: i == 2, Merge: i == 3, Keep: i == 4, Others: observe.Entry{0: byte(i / 3)},
		}
	}
	return l
}

func TestLedgerComesBack(t *testing.T) {
	for _, l := range []ledger{{loaded: true}, someLedger()} {
		var got ledger
		if !got.unpack(web, l.pack(web)) {
			t.Fatalf("%+v does not come back", l)
		}
		if got.Rendered != l.Rendered || got.Under != l.Under || got.Partial != l.Partial || !maps.Equal(got.Objects, l.Objects) || !got.loaded {
			t.Errorf("%+v comes back as %+v", l, got)
		}
	}
}

func TestLedgerOfAnotherUnit(t *testing.T) {
	l := someLedger()
	other := web
	other.Name = "api"
	if new(ledger).unpack(other, l.pack(web)) {
		t.Error("a unit takes another's ledger for its own")
	}
}

func TestDamagedLedger(t *testing.T) {
	l := someLedger()
	data := l.pack(web)
	for i := range data {
		damaged := append([]byte(nil), data...)
		damaged[i] ^= 0x10
		if new(ledger).unpack(web, damaged) {
			t.Fatalf("byte %d changed, and nobody noticed", i)
		}
		if new(ledger).unpack(web, data[:i]) {
			t.Fatalf("cut after %d bytes, and nobody noticed", i)
		}
	}
}

func FuzzLedger(f *testing.F) {
	l := someLedger()
	f.Add(l.pack(web))
	f.Add([]byte(ledgerForm))
	f.Fuzz(func(t *testing.T, data []byte) {
		var got ledger
		if got.unpack(web, data) && string(got.pack(web)) != string(data) {
			t.Errorf("%q is read, but is not what is written", data)
		}
		sealed := seal(append([]byte(ledgerForm), data...))
		if got.unpack(web, sealed) {
			got.pack(web)
		}
	})
}

package render

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/sane-gitops/sane/trace"
)

// Wherever the keeper says that a change does not touch a key, the key's own reads
// say so too, and the other way round.
func TestTouchedIsExact(t *testing.T) {
	touched, spared := 0, 0
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		dir := t.TempDir()
		k := keeperIn(t, dir)
		for range 200 {
			key := fmt.Sprint("u", rnd.IntN(20))
			switch rnd.IntN(20) {
			case 0:
				k.Forget(key)
			case 1:
				k.Close()
				k = keeperIn(t, dir)
			default:
				e := kept{reads: questionsOf(randomLog(rnd)), sealed: rnd.IntN(4) == 0}
				if err := k.keep(key, e, nil); err != nil {
					t.Fatal(err)
				}
			}
			names := make(map[string]bool)
			for range rnd.IntN(4) {
				names[randomName(rnd)] = true
			}
			want := make(map[string]bool)
			for key, e := range k.index.entries {
				if e.reads.touched(names) {
					want[key] = true
					touched++
				} else {
					spared++
				}
			}
			if got := k.Touched(names); !maps.Equal(got, want) {
				t.Fatalf("seed %d: %v touches %v, want %v", seed, names, got, want)
			}
		}
		for key := range maps.Clone(k.index.entries) {
			k.Forget(key)
		}
		if len(k.index.where) > 0 {
			t.Errorf("seed %d: %v is left of what was forgotten", seed, k.index.where)
		}
		k.Close()
	}
	if touched < 1000 || spared < 1000 {
		t.Errorf("%d touched, %d spared: this proves little", touched, spared)
	}
}

func keeperIn(t *testing.T, dir string) *Keeper {
	t.Helper()
	k, err := NewKeeper(nil, Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// randomName returns a name in a small tree, with names that begin as others do.
func randomName(rnd *rand.Rand) string {
	name := ""
	for range rnd.IntN(4) {
		name += []string{"/a", "/a-b", "/ab", "/b"}[rnd.IntN(4)]
	}
	if name == "" {
		return "."
	}
	return name[1:]
}

func randomLog(rnd *rand.Rand) trace.Log {
	log := trace.New(nil)
	under := ""
	if dir := randomName(rnd); dir != "." && rnd.IntN(2) == 0 {
		under = dir + "/"
	}
	for range rnd.IntN(5) {
		log.Note(ops[rnd.IntN(len(ops))], under+randomName(rnd), "")
	}
	return log.Log()
}

// Only those are asked that have read around what differs.
func TestFewAreAsked(t *testing.T) {
	k := keeperIn(t, t.TempDir())
	defer k.Close()
	for i := range 1000 {
		log := trace.New(nil)
		for _, file := range []string{"", "/kustomization.yaml", "/deployment.yaml"} {
			log.Note(trace.File, fmt.Sprintf("units/%04d%s", i, file), "")
		}
		log.Note(trace.File, "base/service.yaml", "")
		if err := k.keep(fmt.Sprint(i), kept{reads: questionsOf(log.Log())}, nil); err != nil {
			t.Fatal(err)
		}
	}
	asked := 0
	k.index.where.around("units/0007/deployment.yaml", func(string) { asked++ })
	if asked != 1 {
		t.Errorf("%d units are asked, want 1", asked)
	}
	if n := len(k.Touched(map[string]bool{"base/service.yaml": true})); n != 1000 {
		t.Errorf("%d units are touched by what all have read", n)
	}
}

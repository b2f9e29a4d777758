package plantest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/observe"
	"github.com/sane-gitops/sane/plan"
)

func number(name string, def int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return def
}

func (s *server) takeOver(o object.Object) error {
	live, err := s.get(o)
	if err != nil {
		return err
	}
	patch, needed, err := plan.TakeOver(live, manager)
	if err != nil || !needed {
		return err
	}
	_, err = s.patch(live, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: manager})
	return err
}

// A tally counts answers against the truth.
type tally struct {
	cases, refused      int
	answers             map[string]int // "same 12" by truth and answer
	reasons             map[string]int // why Unsure though nothing would change
	wrong               map[string]int // why Different though nothing would change
	mattered, missed    int            // foreign edits that mattered; whose entry was the same
	harmless, falseNews int            // foreign edits that did not; whose entry was another
}

// testSame compares Compare with a dry-run: it must never say Same where the
// server would change something. And our entry in managedFields must tell
// whether what others did matters.
func testSame(t *testing.T, s *server) {
	s.mutating()
	n, seed := number("SANE_TEST_CASES", 300), number("SANE_TEST_SEED", 1)
	sum := &tally{answers: map[string]int{}, reasons: map[string]int{}, wrong: map[string]int{}}
	for i := 0; sum.cases < n; i++ {
		base := s.read("testdata/objects.yaml", i)
		r := rand.New(rand.NewPCG(uint64(seed), uint64(i)))
		c := &oneCase{server: s, r: r, sum: sum, base: s.placed(base[i%len(base)])}
		c.run(i / len(base))
		s.delete(c.base)
	}
	sum.log(t)
}

// mutating installs mutating admission and waits until it is at work.
func (s *server) mutating() {
	for _, o := range s.read("testdata/mutation.yaml", 0) {
		if _, err := s.apply(o, manager, true, false); err != nil {
			s.t.Logf("no mutating admission on this server: %v", err)
			return
		}
		s.t.Cleanup(func() { s.delete(o) })
	}
	probe := s.placed(parse(s.t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: probe, labels: {same.test/mutate: "yes"}}}`)[0])
	for range 2000 {
		if then := s.must(s.apply(probe, manager, true, true)); then.Label("same.test/mutated") != "" {
			return
		}
	}
	s.t.Error("mutating admission does not begin")
}

// oneCase is one object's life.
type oneCase struct {
	*server
	r    *rand.Rand
	sum  *tally
	base object.Object
	did  []string

	plain bool // it is as in the file
}

func (c *oneCase) run(round int) {
	want := c.base
	c.plain = round == 0
	if round > 0 {
		for range c.r.IntN(3) {
			want = mutate(c.r, want)
		}
	}
	applied, err := c.apply(want, manager, true, false)
	if err != nil {
		c.sum.refused++
		if round == 0 {
			c.t.Errorf("%s: %v", c.base, err)
		}
		return
	}
	before := observe.EntryOf(applied, manager)
	c.judge(want, before, false)
	for range c.r.IntN(3) {
		c.edit(want)
	}
	c.judge(want, before, len(c.did) > 0)
	c.revise(want)
}

// edit does something to the object that is not ours.
func (c *oneCase) edit(want object.Object) {
	live, err := c.get(want)
	if err != nil {
		return
	}
	e := edits[c.r.IntN(len(edits))]
	if err := e.do(c.server, c.r, want, live); err != nil {
		return
	}
	c.did = append(c.did, e.name)
}

// revise judges other things that might be wanted now, and applies one.
func (c *oneCase) revise(want object.Object) {
	c.plain = false
	for range 2 {
		next := mutate(c.r, want)
		if live, err := c.get(want); err == nil && c.r.IntN(2) == 0 {
			next = adopt(c.r, want, live)
		}
		c.did = append(c.did, "revised")
		c.judge(next, observe.Entry{}, false)
		if applied, err := c.apply(next, manager, true, false); err == nil {
			want = next
			c.judge(want, observe.EntryOf(applied, manager), false)
		}
	}
}

// judge compares what Compare says with what the server says.
func (c *oneCase) judge(want object.Object, before observe.Entry, edited bool) {
	live, then, err := c.truth(want)
	if err != nil {
		c.sum.refused++
		return
	}
	c.sum.cases++
	copied := clone(live)
	v := plan.Compare(want, live, manager)
	if !unchanged(copied, live) {
		c.t.Fatalf("Compare changed %s", live)
	}
	same := unchanged(live, then)
	c.sum.answers[fmt.Sprintf("%t %s", same, v.Answer)]++
	if c.plain {
		c.sum.answers[fmt.Sprintf("plain %t %s", same, v.Answer)]++
	}
	switch {
	case v.Answer == plan.Same && !same:
		c.t.Errorf("%s after %v: Same, but the server would change\n\t%s\nwant %s\nlive %s", want, c.did,
			strings.Join(differences("", timeless(live), timeless(then)), "\n\t"), want.JSON(), live.JSON())
	case v.Answer == plan.Unsure && same:
		c.sum.reasons[want.ID().Kind.Name+" "+v.Why]++
	case v.Answer == plan.Different && same:
		c.sum.wrong[fmt.Sprintf("%s %s %v", want.ID().Kind.Name, v.Why, c.did)]++
	}
	c.dump(want, live, v, same)
	if edited {
		c.watched(before, observe.EntryOf(live, manager), differences("", timeless(live), timeless(then)))
	}
}

// watched judges the rule by which drift is seen in a watch.
func (c *oneCase) watched(before, after observe.Entry, changes []string) {
	same := len(changes) == 0
	switch {
	case same && before == after:
		c.sum.harmless++
	case same:
		c.sum.harmless++
		c.sum.falseNews++
		c.t.Logf("%s: our entry changed though it does not matter: %v", c.base, c.did)
	case before == after:
		c.sum.mattered++
		c.sum.missed++
		c.t.Logf("%s: our entry tells nothing of %v, which matter to %.300s", c.base, c.did, changes)
	default:
		c.sum.mattered++
	}
}

// dump writes a sample for plan's own tests.
func (c *oneCase) dump(want, live object.Object, v plan.Verdict, same bool) {
	dir := os.Getenv("SANE_TEST_DUMP")
	if dir == "" {
		return
	}
	name := fmt.Sprintf("%s-%s-%t-%d.txtar", strings.ToLower(want.ID().Kind.Name), v.Answer, same, c.sum.cases)
	text := fmt.Sprintf("%v\n-- want --\n%s\n-- live --\n%s\n-- verdict --\n%s %s\n", c.did, want.JSON(), live.JSON(), v.Answer, v.Why)
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func (s *tally) log(t *testing.T) {
	a := s.answers
	t.Logf("%d cases, %d refused by the server", s.cases, s.refused)
	t.Logf("nothing would change: %4d same %4d unsure %4d different", a["true same"], a["true unsure"], a["true different"])
	t.Logf("something would:      %4d same %4d unsure %4d different", a["false same"], a["false unsure"], a["false different"])
	t.Logf("as in the file, nothing would change: %d same %d unsure %d different", a["plain true same"], a["plain true unsure"], a["plain true different"])
	t.Logf("foreign edits: %d mattered, our entry missed %d; %d did not, it changed at %d", s.mattered, s.missed, s.harmless, s.falseNews)
	list := func(title string, m map[string]int) {
		keys := slices.SortedFunc(maps.Keys(m), func(a, b string) int { return m[b] - m[a] })
		for _, k := range keys[:min(len(keys), 40)] {
			t.Logf("%s: %3d %s", title, m[k], k)
		}
	}
	list("unsure of the same", s.reasons)
	list("different but the same", s.wrong)
}

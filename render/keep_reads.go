package render

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/trace"
)

// questions are the reads of a log in a form that is small enough to be held
// for every unit: what was asked, and one digest of all the answers.
type questions struct {
	asked   string // for each: the op, how much of the name before it the name begins with, the rest's length, the rest
	answers sum
}

var ops = []trace.Op{trace.Stat, trace.File, trace.Dir, trace.Fact}

func questionsOf(log trace.Log) questions {
	var b []byte
	h := sha256.New()
	before := ""
	for _, r := range log {
		same := 0
		for same < min(len(before), len(r.Name)) && before[same] == r.Name[same] {
			same++
		}
		for op, o := range ops {
			if o == r.Op {
				b = append(b, byte(op))
			}
		}
		b = binary.AppendUvarint(b, uint64(same))
		b = binary.AppendUvarint(b, uint64(len(r.Name)-same))
		b = append(b, r.Name[same:]...)
		h.Write(append([]byte(r.Answer), '\n'))
		before = r.Name
	}
	return questions{string(b), sum(h.Sum(nil))}
}

// each calls f with every question until f returns false. It returns false if
// f did, or if the questions make no sense. f must not keep name.
func (q questions) each(f func(op trace.Op, name []byte) bool) bool {
	name := make([]byte, 0, 128)
	for rest := q.asked; rest != ""; {
		op := rest[0]
		same, n1 := uvarint(rest[1:])
		size, n2 := uvarint(rest[1+n1:])
		rest = rest[1+n1+n2:]
		if int(op) >= len(ops) || n1 <= 0 || n2 <= 0 || same > len(name) || size > len(rest) {
			return false
		}
		name = append(name[:same], rest[:size]...)
		rest = rest[size:]
		if !f(ops[op], name) {
			return false
		}
	}
	return true
}

// hold reports whether all questions get the same answers from in.
func (q questions) hold(in Input) bool {
	h := sha256.New()
	line := make([]byte, 0, 128)
	all := q.each(func(op trace.Op, name []byte) bool {
		answer, err := ask(in, op, string(name))
		line = append(append(line[:0], answer...), '\n')
		h.Write(line)
		return err == nil
	})
	return all && sum(h.Sum(nil)) == q.answers
}

func ask(in Input, op trace.Op, name string) (digest.Digest, error) {
	if op != trace.Fact {
		return trace.Ask(in.Tree, op, name)
	}
	_, _, answer, err := know(in.Facts, name)
	return answer, err
}

// touched reports whether a question is about one of the names in the tree.
func (q questions) touched(names map[string]bool) bool {
	return !q.each(func(op trace.Op, name []byte) bool { return op == trace.Fact || !names[string(name)] })
}

// uvarint is binary.Uvarint for strings. It returns a size of 0 if there is
// no number that fits.
func uvarint(s string) (n, size int) {
	for i := 0; i < len(s) && i < 5; i++ {
		n |= int(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			return n, i + 1
		}
	}
	return 0, 0
}

func digestOf(s sum) digest.Digest { return digest.Digest("sha256:" + hex.EncodeToString(s[:])) }

func parseSum(d digest.Digest) (s sum, ok bool) {
	text, ok := strings.CutPrefix(string(d), "sha256:")
	if !ok || len(text) != 2*len(s) {
		return s, false
	}
	_, err := hex.Decode(s[:], []byte(text))
	return s, err == nil
}

package render

import (
	"sync/atomic"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/trace"
)

// A Fact is a value that a rendering may depend on beside the tree.
type Fact struct {
	Value  string
	Secret bool // neither it nor what is made with it may be shown, or be kept in the clear
}

// Facts knows facts by name. It must be safe for use by several goroutines at
// once.
type Facts interface {
	// Fact returns the fact of a name, and whether there is one. An error says
	// that it could not be asked for.
	Fact(name string) (Fact, bool, error)
}

// Known are facts by name. Whoever has it must not change it.
type Known map[string]Fact

// Fact implements [Facts].
func (k Known) Fact(name string) (Fact, bool, error) {
	f, ok := k[name]
	return f, ok, nil
}

// Secrets returns the values that must not be shown.
func (k Known) Secrets() []string {
	var values []string
	for _, f := range k {
		if f.Secret {
			values = append(values, f.Value)
		}
	}
	return values
}

// Keys is the name of the fact that holds what to decrypt with: a JSON object
// of file names, such as "sops.agekey", and contents.
const Keys = "keys"

// Var returns the name of the fact that is the value of a variable.
func Var(name string) string { return "var/" + name }

// know asks for a fact, and returns the digest by which it is known: the zero
// one if there is none.
func know(facts Facts, name string) (f Fact, ok bool, answer digest.Digest, err error) {
	if facts == nil {
		return Fact{}, false, "", nil
	}
	if f, ok, err = facts.Fact(name); err != nil || !ok {
		return Fact{}, false, "", err
	}
	if f.Secret {
		return f, true, digest.Of([]byte("secret " + f.Value)), nil
	}
	return f, true, digest.Of([]byte("public " + f.Value)), nil
}

// traced are facts whose reads are put into a log.
type traced struct {
	facts  Facts
	log    *trace.FS
	secret atomic.Bool // whether a secret one was read
}

// Fact implements [Facts].
func (t *traced) Fact(name string) (Fact, bool, error) {
	f, ok, answer, err := know(t.facts, name)
	if err != nil {
		return Fact{}, false, err
	}
	t.log.Note(trace.Fact, name, answer)
	if f.Secret {
		t.secret.Store(true)
	}
	return f, ok, nil
}

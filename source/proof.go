package source

// A ProofError says what lacks a signature that counts, and why it does not.
// It is an [ErrProof].
type ProofError struct {
	Of       string // "commit" or "tag"; "" if it never came to look at one
	Unsigned bool   // there is no signature at all
	Why      string // for people
}

func (e *ProofError) Error() string { return e.Why }
func (e *ProofError) Unwrap() error { return ErrProof }

// Package fault tells errors that need a person from errors that need time.
package fault

import "errors"

type input struct{ error }

func (e input) Unwrap() error { return e.error }

// Input marks err as the fault of what was asked for. Trying again is of no
// use until that changes. All other errors are tried again.
// Input(nil) is nil.
func Input(err error) error {
	if err == nil {
		return nil
	}
	return input{err}
}

// IsInput reports whether err, or an error it wraps, was marked by [Input].
func IsInput(err error) bool {
	var e input
	return errors.As(err, &e)
}

package kube

import (
	"fmt"
	"io"
	"slices"
	"sync"
)

// values reads JSON values from a stream, one after the other, and holds no more
// of the stream than one of them and what came with it. It finds where a value
// ends, not whether it is one: that is for who decodes it.
type values struct {
	from io.Reader
	buf  []byte
	at   int // in buf, of what has not been read
}

// windows keeps buffers of values, except big ones.
var windows = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// valuesOf returns the values of a stream. done frees what they use.
func valuesOf(from io.Reader) (v *values, done func()) {
	window := windows.Get().(*[32 << 10]byte)
	return &values{from: from, buf: window[:0]}, func() { windows.Put(window) }
}

// more reads on, and keeps what has not been read.
func (v *values) more() error {
	v.buf = v.buf[:copy(v.buf, v.buf[v.at:])]
	v.at = 0
	if len(v.buf) == cap(v.buf) {
		v.buf = slices.Grow(v.buf, cap(v.buf))
	}
	n, err := v.from.Read(v.buf[len(v.buf):cap(v.buf)])
	v.buf = v.buf[:len(v.buf)+n]
	if n > 0 {
		return nil
	}
	return err
}

// next skips white space and returns the next byte, which it does not take.
func (v *values) next() (byte, error) {
	for {
		for ; v.at < len(v.buf); v.at++ {
			switch c := v.buf[v.at]; c {
			case ' ', '\t', '\r', '\n':
			default:
				return c, nil
			}
		}
		if err := v.more(); err != nil {
			return 0, err
		}
	}
}

// take takes one of several bytes, which must come next, and returns it.
func (v *values) take(one string) (byte, error) {
	c, err := v.next()
	if err != nil {
		return 0, cut(err)
	}
	for i := range len(one) {
		if one[i] == c {
			v.at++
			return c, nil
		}
	}
	return 0, fmt.Errorf("unexpected %q instead of one of %q", c, one)
}

// value returns the next value, until v is used again. The error is io.EOF if
// there is none.
func (v *values) value() ([]byte, error) {
	if _, err := v.next(); err != nil {
		return nil, err
	}
	var end ending
	for n := 0; ; {
		for ; v.at+n < len(v.buf); n++ {
			if found, with := end.at(v.buf[v.at+n]); found {
				value := v.buf[v.at : v.at+n+with]
				v.at += n + with
				return value, nil
			}
		}
		if err := v.more(); err == io.EOF && end.plain && end.depth == 0 {
			value := v.buf[v.at:]
			v.at += n
			return value, nil
		} else if err != nil {
			return nil, cut(err)
		}
	}
}

// cut returns the error of a stream that ends within something.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// An ending looks for the end of a value.
type ending struct {
	depth            int
	text, esc, plain bool // in a text, after a backslash there, in a number or a word
}

// at is told the bytes of a value, one after the other. It reports whether the
// value has ended, with this byte (1) or before it (0).
func (e *ending) at(c byte) (ended bool, with int) {
	switch {
	case e.esc:
		e.esc = false
	case e.text:
		e.esc, e.text = c == '\\', c != '"'
		return !e.text && e.depth == 0, 1
	case c == '"':
		e.text = true
	case c == '{', c == '[':
		e.depth++
	case c == '}', c == ']':
		if e.plain && e.depth == 0 {
			return true, 0
		}
		e.depth--
		return e.depth <= 0, 1
	case e.depth > 0:
	case c == ',', c == ' ', c == '\n', c == '\r', c == '\t':
		return true, 0
	default:
		e.plain = true
	}
	return false, 0
}

// object calls read for each key of an object, to read its value.
func (v *values) object(read func(key string) error) error {
	return v.several("{", "}", func() error {
		key, err := v.value()
		if err != nil {
			return cut(err)
		}
		name := string(key)
		if _, err := v.take(":"); err != nil {
			return err
		}
		return read(name)
	})
}

// array calls read for each element of an array, to read it.
func (v *values) array(read func() error) error { return v.several("[", "]", read) }

func (v *values) several(open, shut string, read func() error) error {
	if _, err := v.take(open); err != nil {
		return err
	}
	if c, err := v.next(); err == nil && c == shut[0] {
		v.at++
		return nil
	}
	for {
		if err := read(); err != nil {
			return err
		}
		if c, err := v.take("," + shut); err != nil || c == shut[0] {
			return err
		}
	}
}

package worker

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/sane-gitops/sane/render"
)

// A message is one step of the talk between a pool and a worker: a kind, and
// what is said. On the wire it is the kind, four bytes of length, and that.
//
// The pool says what to render. The worker then asks for what it wants to
// read, one thing after the other, and ends with what came of it.
type message struct {
	kind byte
	body []byte
}

const (
	// Pool to worker.
	recipeMsg  = 'R' // JSON of a render.Recipe: render it
	answerMsg  = 'a' // the answer to a question
	missingMsg = 'm' // the answer: there is nothing of that name
	failedMsg  = 'x' // the answer: it can't be read; the text of the error

	// Worker to pool.
	statMsg      = 's' // name; answer: "d" or "f"
	fileMsg      = 'f' // name; answer: the content
	dirMsg       = 'd' // name; answer: "d" or "f" and the name, for each entry, with a 0 after it
	factMsg      = 'k' // name; answer: "s" or "p", as it is secret or public, and the value
	passMsg      = 'c' // cloud, a 0, and where; answer: what lets in there
	objectMsg    = 'o' // JSON of an object of the result
	doneMsg      = '.' // there are no more objects
	elsewhereMsg = '>' // render.ErrElsewhere
	inputMsg     = 'i' // an input error; its text
	errorMsg     = 'e' // another error; its text
	panicMsg     = 'p' // the renderer panicked; with what
)

// maxMessage bounds what one side takes from the other.
const maxMessage = 1 << 30

// A conn talks in messages.
type conn struct {
	r *bufio.Reader
	w *bufio.Writer
}

func newConn(r io.Reader, w io.Writer) *conn {
	return &conn{bufio.NewReaderSize(r, 16<<10), bufio.NewWriterSize(w, 16<<10)}
}

// say writes a message, which the other side may not see before flush.
func (c *conn) say(kind byte, body []byte) error {
	var head [5]byte
	head[0] = kind
	if len(body) > maxMessage {
		return fmt.Errorf("message of %d bytes is too long", len(body))
	}
	binary.LittleEndian.PutUint32(head[1:], uint32(len(body)))
	if _, err := c.w.Write(head[:]); err != nil {
		return err
	}
	_, err := c.w.Write(body)
	return err
}

func (c *conn) tell(kind byte, body []byte) error {
	if err := c.say(kind, body); err != nil {
		return err
	}
	return c.w.Flush()
}

func (c *conn) hear() (message, error) {
	var head [5]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return message{}, err
	}
	n := binary.LittleEndian.Uint32(head[1:])
	if n > maxMessage {
		return message{}, errors.New("worker: message is too long")
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(c.r, body); err != nil {
		return message{}, err
	}
	return message{head[0], body}, nil
}

// answer is what a pool says to a question about tree, and why it does not
// know, if it does not. A worker has no other way to read.
func answer(tree fs.FS, q message) (message, error) {
	var body []byte
	var err error
	name := string(q.body)
	switch q.kind {
	case statMsg:
		var info fs.FileInfo
		if info, err = fs.Stat(tree, name); err == nil {
			body = []byte{typeOf(info.IsDir())}
		}
	case fileMsg:
		body, err = fs.ReadFile(tree, name)
	case dirMsg:
		var list []fs.DirEntry
		list, err = fs.ReadDir(tree, name)
		for _, e := range list {
			body = append(append(append(body, typeOf(e.IsDir())), e.Name()...), 0)
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return message{missingMsg, nil}, nil
	case err != nil && q.kind == fileMsg && isDir(tree, name):
		return message{failedMsg, []byte(err.Error())}, nil
	case err != nil:
		return message{failedMsg, []byte(err.Error())}, err
	}
	return message{answerMsg, body}, nil
}

// answerFact is answer for questions about facts.
func answerFact(facts render.Facts, q message) (message, error) {
	if facts == nil {
		return message{missingMsg, nil}, nil
	}
	f, ok, err := facts.Fact(string(q.body))
	switch {
	case err != nil:
		return message{failedMsg, []byte(err.Error())}, err
	case !ok:
		return message{missingMsg, nil}, nil
	case f.Secret:
		return message{answerMsg, append([]byte("s"), f.Value...)}, nil
	}
	return message{answerMsg, append([]byte("p"), f.Value...)}, nil
}

// answerPass is answer for questions about passes. That there is none is not why
// the worker's talk ends.
func answerPass(ctx context.Context, passes render.Passes, q message) message {
	if passes == nil {
		return message{missingMsg, nil}
	}
	cloud, where, _ := strings.Cut(string(q.body), "\x00")
	pass, err := passes.Pass(ctx, cloud, where)
	if err != nil {
		return message{failedMsg, []byte(err.Error())}
	}
	return message{answerMsg, []byte(pass)}
}

func typeOf(isDir bool) byte {
	if isDir {
		return 'd'
	}
	return 'f'
}

func isDir(tree fs.FS, name string) bool {
	info, err := fs.Stat(tree, name)
	return err == nil && info.IsDir()
}

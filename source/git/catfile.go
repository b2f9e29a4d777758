package git

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sane-gitops/sane/source"
)

// A catfile reads objects of one mirror through a `git cat-file` that it
// starts when there is something to read and ends when there has been nothing
// for a while.
type catfile struct {
	src *Source
	dir string // of the mirror

	mu   sync.Mutex
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	idle *time.Timer
	used bool // since idle began
}

// An objectError says that an object can't be read: our copy is damaged.
type objectError struct {
	id  string
	why string
}

// missing is why an object can't be read that git has not found.
const missing = "is missing"

func (e *objectError) Error() string { return "object " + e.id + " " + e.why + " in our copy" }
func (e *objectError) Unwrap() error { return source.ErrStorage }

// A sizeError says that an object is larger than it may be.
type sizeError struct{ size, limit int64 }

func (e *sizeError) Error() string {
	return fmt.Sprintf("its %d bytes are more than the limit of %d", e.size, e.limit)
}

// read returns the object with a hexadecimal id, of the given type and no
// larger than limit.
func (c *catfile) read(id, kind string, limit int64) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	size, err := c.header("contents", id, kind)
	if err != nil {
		return nil, err
	}
	if size > limit {
		c.end() // sooner than to read it all
		return nil, &sizeError{size, limit}
	}
	data := make([]byte, size+1)
	if _, err := io.ReadFull(c.out, data); err != nil {
		c.end()
		return nil, &objectError{id, "is damaged"}
	}
	data = data[:size:size]
	if sum(id, kind, data) != id {
		return nil, &objectError{id, "is damaged"}
	}
	return data, nil
}

// length returns the size of a blob.
func (c *catfile) length(id string) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.header("info", id, "blob")
}

// sum returns the id of an object.
func sum(id, kind string, data []byte) string {
	var h hash.Hash
	if h = sha1.New(); len(id) == 64 {
		h = sha256.New()
	}
	head := append(make([]byte, 0, 32), kind...)
	head = append(strconv.AppendInt(append(head, ' '), int64(len(data)), 10), 0)
	h.Write(head)
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}

// header asks for an object and returns its size. A process that has died
// since the last question is replaced.
func (c *catfile) header(verb, id, kind string) (int64, error) {
	var line string
	for try := 0; ; try++ {
		err := c.begin()
		if err != nil {
			return 0, &failure{text: "read objects: " + err.Error(), kind: source.ErrStorage}
		}
		if _, err = io.WriteString(c.in, verb+" "+id+"\n"); err == nil {
			line, err = c.out.ReadString('\n')
		}
		if err == nil {
			break
		}
		c.end()
		if c.src.ctx.Err() != nil {
			return 0, errClosed
		}
		if try > 0 {
			return 0, &objectError{id, "is damaged"}
		}
	}
	fields := strings.Fields(line)
	if len(fields) != 3 || fields[0] != id {
		return 0, &objectError{id, missing}
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil || fields[1] != kind {
		c.end()
		return 0, &failure{text: fmt.Sprintf("object %s is a %s, not a %s", id, fields[1], kind), kind: source.ErrRef}
	}
	return size, nil
}

// begin sees to it that there is a process.
func (c *catfile) begin() error {
	c.used = true
	if c.cmd != nil {
		return nil
	}
	if c.src.ctx.Err() != nil {
		return errClosed
	}
	cmd := c.src.command(context.Background(), nil, "--git-dir="+c.dir,
		"-c", "core.deltaBaseCacheLimit=8m", "-c", "core.packedGitWindowSize=16m",
		"-c", "core.packedGitLimit=64m", "-c", "core.bigFileThreshold=8m",
		"cat-file", "--batch-command")
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.cmd, c.in, c.out = cmd, in, bufio.NewReaderSize(out, 32<<10)
	c.idle = time.AfterFunc(c.src.Idle, func() { c.rest(cmd) })
	return nil
}

// rest ends a process that has had no work since it was last looked at.
func (c *catfile) rest(cmd *exec.Cmd) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd != cmd {
		return
	}
	if c.used {
		c.used = false
		c.idle.Reset(c.src.Idle)
		return
	}
	c.end()
}

// end stops the process. It holds mu.
func (c *catfile) end() {
	if c.cmd == nil {
		return
	}
	c.idle.Stop()
	c.in.Close()
	c.cmd.Process.Kill()
	c.cmd.Wait()
	c.cmd, c.in, c.out = nil, nil, nil
}

func (c *catfile) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end()
}

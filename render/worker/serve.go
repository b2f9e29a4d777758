package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
)

// Serve is what a worker does: it renders what a [Pool] asks for on r with a
// renderer, which sees the pool's tree, and answers on w. It returns when
// there is nothing more to read, or after a panic of the renderer, and then the
// process must end: what it was doing may still be going on. If the pool's
// process ends first, so does this one.
//
// All requests that this process makes by way of [http.DefaultTransport] fail
// from now on: kustomize fetches what it is not kept from fetching.
func Serve(r io.Reader, w io.Writer, renderer render.Renderer) error {
	http.DefaultTransport = noNetwork{}
	defer endWithParent()()
	c := newConn(r, w)
	for {
		m, err := c.hear()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = serve(c, m, renderer)
		}
		if err != nil {
			return err
		}
	}
}

// endWithParent ends this process when its parent has, even if it is too busy
// to find out. It does so until stop is called.
func endWithParent() (stop func()) {
	parent, done := os.Getppid(), make(chan struct{})
	go func() {
		tick := time.NewTicker(5 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if os.Getppid() != parent {
					os.Exit(1)
				}
			}
		}
	}()
	return func() { close(done) }
}

type noNetwork struct{}

func (noNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("%s: renderers may not use the network", r.URL.Host)
}

// serve renders once.
func serve(c *conn, m message, renderer render.Renderer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n%s", p, debug.Stack())
			err = errors.Join(c.tell(panicMsg, fmt.Append(nil, p)), fmt.Errorf("panic: %v", p))
		}
	}()
	if m.kind != recipeMsg {
		return fmt.Errorf("message %q where a recipe was to come", m.kind)
	}
	var recipe render.Recipe
	if err := json.Unmarshal(m.body, &recipe); err != nil {
		return err
	}
	t := &tree{c: c}
	objects, err := renderer.Render(context.Background(), render.Input{Tree: t, Recipe: recipe, Facts: facts{t}, Passes: passes{t}})
	if err := t.end(); err != nil {
		return err
	}
	return report(c, objects, err)
}

func report(c *conn, objects []object.Object, err error) error {
	switch {
	case errors.Is(err, render.ErrElsewhere):
		return c.tell(elsewhereMsg, nil)
	case fault.IsInput(err):
		return c.tell(inputMsg, []byte(err.Error()))
	case err != nil:
		return c.tell(errorMsg, []byte(err.Error()))
	}
	for _, o := range objects {
		if err := c.say(objectMsg, o.JSON()); err != nil {
			return err
		}
	}
	return c.tell(doneMsg, nil)
}

// A tree reads by asking the pool.
type tree struct {
	mu     sync.Mutex // held from question to answer
	c      *conn      // guarded by mu
	broken error      // guarded by mu; why the pool can't be asked any more
}

var (
	_ fs.StatFS     = (*tree)(nil)
	_ fs.ReadFileFS = (*tree)(nil)
	_ fs.ReadDirFS  = (*tree)(nil)
)

// end takes the talk away from a renderer that may still be reading, and
// returns why it broke, if it did.
func (t *tree) end() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.broken
	if err == nil {
		t.broken = errors.New("read after the end of the rendering")
	}
	return err
}

func (t *tree) ask(kind byte, op, name string) ([]byte, error) {
	if kind != factMsg && kind != passMsg && !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.broken != nil {
		return nil, t.broken
	}
	if t.broken = t.c.tell(kind, []byte(name)); t.broken != nil {
		return nil, t.broken
	}
	var m message
	if m, t.broken = t.c.hear(); t.broken != nil {
		return nil, t.broken
	}
	switch m.kind {
	case answerMsg:
		return m.body, nil
	case missingMsg:
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	default:
		return nil, errors.New(string(m.body))
	}
}

// Stat implements [fs.StatFS]: it tells files from directories.
func (t *tree) Stat(name string) (fs.FileInfo, error) {
	b, err := t.ask(statMsg, "stat", name)
	if err != nil {
		return nil, err
	}
	return entry{name: path.Base(name), dir: string(b) == "d"}, nil
}

// ReadFile implements [fs.ReadFileFS].
func (t *tree) ReadFile(name string) ([]byte, error) { return t.ask(fileMsg, "open", name) }

// ReadDir implements [fs.ReadDirFS].
func (t *tree) ReadDir(name string) ([]fs.DirEntry, error) {
	b, err := t.ask(dirMsg, "open", name)
	if err != nil {
		return nil, err
	}
	var list []fs.DirEntry
	for e := range bytes.SplitSeq(b, []byte{0}) {
		if len(e) > 0 {
			list = append(list, entry{name: string(e[1:]), dir: e[0] == 'd'})
		}
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return bytes.Compare([]byte(a.Name()), []byte(b.Name())) })
	return list, nil
}

// Open implements [fs.FS] for files.
func (t *tree) Open(name string) (fs.File, error) {
	data, err := t.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return &file{Reader: bytes.NewReader(data), entry: entry{name: path.Base(name), size: int64(len(data))}}, nil
}

// facts are known by asking the pool.
type facts struct{ *tree }

// Fact implements [render.Facts].
func (f facts) Fact(name string) (render.Fact, bool, error) {
	b, err := f.ask(factMsg, "fact", name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return render.Fact{}, false, nil
	case err != nil:
		return render.Fact{}, false, err
	case len(b) == 0:
		return render.Fact{}, false, errors.New("a fact without a word on whether it is secret")
	}
	return render.Fact{Value: string(b[1:]), Secret: b[0] == 's'}, true, nil
}

// passes are had by asking the pool, which does so by itself: it may be long.
type passes struct{ *tree }

// Pass implements [render.Passes].
func (p passes) Pass(_ context.Context, cloud, where string) (string, error) {
	b, err := p.ask(passMsg, "pass", cloud+"\x00"+where)
	if errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("there are no passes here")
	}
	return string(b), err
}

type file struct {
	*bytes.Reader
	entry entry
}

func (f *file) Stat() (fs.FileInfo, error) { return f.entry, nil }
func (f *file) Close() error               { return nil }

// An entry is all that there is to know of a file in a source.
type entry struct {
	name string
	dir  bool
	size int64
}

func (e entry) Name() string               { return e.name }
func (e entry) IsDir() bool                { return e.dir }
func (e entry) Size() int64                { return e.size }
func (e entry) ModTime() (t time.Time)     { return t }
func (e entry) Sys() any                   { return nil }
func (e entry) Type() fs.FileMode          { return e.Mode().Type() }
func (e entry) Info() (fs.FileInfo, error) { return e, nil }
func (e entry) Mode() fs.FileMode {
	if e.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

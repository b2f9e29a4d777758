package render

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"sync"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/trace"
)

// ErrStopped is wrapped by input errors that need not come again: a rendering
// that was stopped because it took too long or too much memory, or crashed.
// It is not remembered.
var ErrStopped = errors.New("rendering was stopped")

// A Config says how a Keeper keeps.
type Config struct {
	Dir     string       // for what is kept, used by one Keeper at a time; "" means memory
	Version string       // of the renderers: what others made does not count; "" means that of this program
	Log     *slog.Logger // nil means slog.Default()
}

// A Keeper keeps what a Renderer made until one of the reads that it made
// would come out differently. It is safe for use by several goroutines at
// once; those that use the same key may do the same work.
//
// Objects are not held in memory. What is known to be secret lies in Dir
// sealed with a key that ends with the Keeper, so that it is rendered anew by
// the next one. Anything else may be secret as well: Dir must be private.
type Keeper struct {
	renderer Renderer
	version  sum // of the renderers
	log      *slog.Logger
	store    store
	seal     seal

	mu    sync.Mutex
	index index             // guarded by mu
	bad   map[string]broken // guarded by mu; input errors, by key
	uses  map[sum]int       // guarded by mu; how many keys have these objects
}

// A Result is a rendering. Its objects are had by [Keeper.Objects].
type Result struct {
	Digest digest.Digest // of the objects: of their JSON, a line for each, whatever files they come from

	key     string
	stored  sum
	sealed  bool
	in      Input
	objects []object.Object // if they have just been made
}

type sum = [sha256.Size]byte

// kept is what there is to know of a rendering.
type kept struct {
	recipe  sum // and of the renderers' version
	reads   questions
	objects sum  // of what is stored
	digest  sum  // of the objects, whatever files they come from
	sealed  bool // made with a secret fact
}

// broken is a rendering that failed.
type broken struct {
	recipe sum
	reads  questions
	err    error
}

// NewKeeper returns a Keeper of what r makes, with what was kept before.
// What can't be read of that is left out.
func NewKeeper(r Renderer, c Config) (*Keeper, error) {
	k := &Keeper{
		renderer: r,
		version:  sha256.Sum256([]byte(cmp.Or(c.Version, programVersion()))),
		log:      cmp.Or(c.Log, slog.Default()),
		bad:      make(map[string]broken),
		uses:     make(map[sum]int),
		seal:     newSeal(),
	}
	var err error
	if k.store, err = openStore(c.Dir); err != nil {
		return nil, fmt.Errorf("keep rendered objects: %w", err)
	}
	if k.index, err = openIndex(c.Dir); err != nil {
		return nil, fmt.Errorf("keep rendered objects: %w", err)
	}
	for _, e := range k.index.entries {
		k.uses[e.objects]++
	}
	k.store.sweep(func(s sum) bool { return k.uses[s] > 0 })
	return k, nil
}

// programVersion stands for all the code that could change a rendering.
func programVersion() string {
	info, _ := debug.ReadBuildInfo()
	return fmt.Sprint(info)
}

// Render returns what in renders to. If that is known it returns what is kept,
// or the input error that came of it, and fresh is false.
func (k *Keeper) Render(ctx context.Context, key string, in Input) (res Result, fresh bool, err error) {
	recipe := k.recipe(in.Recipe)
	k.mu.Lock()
	old, ok := k.index.entries[key]
	bad, isBad := k.bad[key]
	k.mu.Unlock()
	switch {
	case ok && old.recipe == recipe && old.reads.hold(in):
		return old.result(key, in), false, nil
	case isBad && bad.recipe == recipe && bad.reads.hold(in):
		return Result{}, false, bad.err
	}
	res, err = k.render(ctx, key, in, recipe)
	return res, true, err
}

// Touched returns the keys whose results may not hold any more after a change of
// the tree that can be seen under the given names only; see [trace.Differ]. It
// costs next to nothing, and is no substitute for Render: it does not know from
// which tree to which the change went.
func (k *Keeper) Touched(names map[string]bool) map[string]bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	keys := make(map[string]bool)
	for name := range names {
		k.index.where.around(name, func(key string) {
			if _, asked := keys[key]; !asked {
				keys[key] = k.index.entries[key].reads.touched(names)
			}
		})
	}
	maps.DeleteFunc(keys, func(_ string, touched bool) bool { return !touched })
	return keys
}

// Kept reports whether anything is kept for a key.
func (k *Keeper) Kept(key string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.index.entries[key]
	return ok
}

// render renders anew and keeps what comes of it.
func (k *Keeper) render(ctx context.Context, key string, in Input, recipe sum) (Result, error) {
	tree := trace.New(in.Tree)
	facts := &traced{facts: in.Facts, log: tree}
	objects, err := k.renderer.Render(ctx, Input{Tree: tree, Recipe: in.Recipe, Facts: facts})
	reads := questionsOf(tree.Log())
	if err != nil {
		if fault.IsInput(err) && !errors.Is(err, ErrStopped) && ctx.Err() == nil {
			k.mu.Lock()
			k.bad[key] = broken{recipe, reads, err}
			k.mu.Unlock()
		}
		return Result{}, err
	}
	data := encode(objects)
	e := kept{recipe, reads, sha256.Sum256(data), sha256.Sum256(encode(withoutFrom(objects))), facts.secret.Load()}
	if e.sealed {
		e.objects, data = k.seal.close(data)
	}
	if err := k.keep(key, e, data); err != nil {
		k.log.Warn("rendered objects not kept", "unit", key, "err", err)
	}
	res := e.result(key, in)
	res.objects = objects
	return res, nil
}

func (e kept) result(key string, in Input) Result {
	return Result{Digest: digestOf(e.digest), key: key, stored: e.objects, sealed: e.sealed, in: in}
}

func (k *Keeper) keep(key string, e kept, data []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.bad, key)
	if err := k.store.put(e.objects, data); err != nil {
		return err
	}
	old, ok := k.index.entries[key]
	k.uses[e.objects]++
	if ok {
		k.drop(old.objects)
	}
	return k.index.set(key, e)
}

// drop counts one use less of objects. It is called with mu held.
func (k *Keeper) drop(s sum) {
	if k.uses[s]--; k.uses[s] > 0 {
		return
	}
	delete(k.uses, s)
	k.store.remove(s)
}

// Objects returns the objects of a result. If they are not to be found any
// more they are rendered again.
func (k *Keeper) Objects(ctx context.Context, res Result) ([]object.Object, error) {
	if res.objects != nil || res.Digest == emptyDigest {
		return res.objects, nil
	}
	data, err := k.load(res)
	if err == nil {
		if objects, err := decode(data); err == nil {
			return objects, nil
		}
	}
	k.log.Info("rendered objects not found: rendering again", "unit", res.key, "err", err)
	k.store.remove(res.stored)
	again, err := k.render(ctx, res.key, res.in, k.recipe(res.in.Recipe))
	if err != nil {
		return nil, err
	}
	if again.Digest != res.Digest {
		return nil, fmt.Errorf("render %s: gave %s before and %s now", res.key, res.Digest, again.Digest)
	}
	return again.objects, nil
}

// load returns what is kept of a result, if it is that.
func (k *Keeper) load(res Result) ([]byte, error) {
	data, err := k.store.get(res.stored)
	switch {
	case err != nil:
		return nil, err
	case res.sealed:
		return k.seal.open(res.stored, data)
	case sha256.Sum256(data) != res.stored:
		return nil, errors.New("they are not what they were")
	}
	return data, nil
}

// Forget lets go of what is kept for a key.
func (k *Keeper) Forget(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.bad, key)
	old, ok := k.index.entries[key]
	if !ok {
		return
	}
	if err := k.index.forget(key); err != nil {
		k.log.Warn("rendered objects not forgotten", "unit", key, "err", err)
	}
	k.drop(old.objects)
}

// Close closes the files of k, which must not be used after that.
func (k *Keeper) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.index.close()
}

func (k *Keeper) recipe(r Recipe) sum {
	data, err := json.Marshal(r)
	if err != nil {
		panic(err) // a Recipe has a JSON form
	}
	return sha256.Sum256(append(data, k.version[:]...))
}

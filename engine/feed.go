package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/trace"
	"github.com/sane-gitops/sane/unit"
)

// A feed is a source that is kept fresh.
type feed struct {
	by     object.ID // the object that asks for it
	want   source.Feed
	status source.Status
	made
	fails int       // in a row
	due   time.Time // when it is looked at again if nothing happens before
	anew  bool      // what is asked for has changed since it was last looked at
	parts bool      // what it includes has changed since then

	foreign  bool // others keep it: its object is only read
	deleting bool
}

// putFeed takes in that o asks for f. e.mu is held.
func (e *Engine) putFeed(o object.Object, f source.Feed) {
	have, foreign := e.feeds[f.Name], e.foreign(o)
	var included []source.Include
	if have != nil {
		included = have.want.Include
	}
	if have == nil || have.foreign != foreign { // or it has been handed over
		have = &feed{by: o.ID(), foreign: foreign}
		if !have.foreign {
			have.status = e.c.Dialect.RecallFeed(o)
		}
		e.feeds[f.Name] = have
	} else {
		have.anew = true
	}
	if have.foreign && have.want.Ref != f.Ref {
		have.fails = 0 // of what was offered before
	}
	have.want, have.deleting = f, o.Deleting()
	e.feedQ.Add(f.Name, asked)
	if !slices.Equal(included, f.Include) {
		e.summon(slices.Concat(included, f.Include))
	}
}

// dropFeed takes in that nobody asks for a feed any more. e.mu is held.
func (e *Engine) dropFeed(name source.FeedName) {
	if f := e.feeds[name]; f != nil {
		e.summon(f.want.Include)
	}
	delete(e.feeds, name)
	for _, u := range e.users.of(name) {
		e.unitQ.Add(u, changed)
	}
	e.recompose(name)
}

// followFeeds sees to one feed after the other until ctx is done.
func (e *Engine) followFeeds(ctx context.Context) {
	for {
		name, ok := e.feedQ.Next(ctx)
		if !ok {
			return
		}
		e.feedQ.Done(name, e.follow(ctx, name), unchanged)
	}
}

// follow looks at a feed's source once and returns when to look again.
func (e *Engine) follow(ctx context.Context, name source.FeedName) time.Time {
	began := e.now()
	e.mu.Lock()
	f := e.feeds[name]
	if f == nil {
		e.mu.Unlock()
		return time.Time{}
	}
	now := *f
	f.anew, f.parts = false, false
	e.mu.Unlock()

	switch {
	case now.foreign:
		return e.accept(ctx, now)
	case now.deleting:
		return e.takeBack(ctx, now)
	}
	if err := e.hold(ctx, now.by); err != nil {
		e.log.Warn("add finalizer", "object", now.by.String(), "error", err)
		e.again(name, now, now.made)
		return e.faltered(now)
	}
	if now.want.Paused {
		return sooner(e.remember(ctx, name, now), e.goOn(ctx, now.by))
	}
	var st source.Status
	var m made
	due := now.due
	if e.onlyParts(now) {
		st, m = e.reshape(now)
	} else {
		st, m = e.ask(ctx, now)
		due = e.nextLook(now, st.Err)
	}
	if ctx.Err() != nil {
		return time.Time{}
	}
	if errors.Is(st.Err, errPending) {
		e.again(name, now, m)
		return e.now().Add(now.want.Every) // sooner, when what it waits for has been looked at
	}
	e.moved(name, now, st, m, due)
	if st.Err == nil {
		if st = e.publish(ctx, now, st, m.tree); st.Err != nil {
			due = e.nextLook(now, st.Err)
		}
	}
	if ctx.Err() != nil {
		return time.Time{}
	}
	e.took(now.by, began, st.Err)
	e.tellFeed(ctx, now, st)
	return due
}

// again gives a feed back as if it had not been looked at, but for what came
// from its source.
func (e *Engine) again(name source.FeedName, was feed, m made) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if f := e.feeds[name]; f != nil {
		f.made, f.anew, f.parts = m, f.anew || was.anew, f.parts || was.parts
	}
}

// faltered takes in that a feed could not be looked at, nor be ended. It returns
// when to try again.
func (e *Engine) faltered(was feed) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	if f := e.feeds[was.want.Name]; f != nil {
		f.fails = was.fails + 1
	}
	return e.soon(was.fails + 1)
}

// nextLook says when to look at a feed again: after an error sooner at first,
// and never later than it is looked at anyway.
func (e *Engine) nextLook(f feed, err error) time.Time {
	if err == nil || fault.IsInput(err) {
		return e.now().Add(e.jitter(f.want.Every))
	}
	return e.now().Add(min(e.backoff(f.fails+1), f.want.Every))
}

// ask asks the source what the feed's reference means now, and makes the tree
// if there is a new one. It returns what became of it.
func (e *Engine) ask(ctx context.Context, f feed) (source.Status, made) {
	st := f.status
	st.Token = f.want.Token
	if f.want.Err != nil {
		st.Err = f.want.Err
		return st, f.made
	}
	src, ok := e.c.Sources[f.want.Remote.Type]
	if !ok {
		st.Err = fault.Input(fmt.Errorf("sources of type %q are not supported", f.want.Remote.Type))
		return st, f.made
	}
	own, err := e.obtain(ctx, f, src)
	if err != nil {
		m := e.lastKnown(ctx, f, src, &st)
		st.Err = err
		return st, m
	}
	m, err := e.shape(f, own, &st)
	st.Err = err
	return st, m
}

// obtain returns what the feed's reference means now, which it fetches if it is
// not here.
func (e *Engine) obtain(ctx context.Context, f feed, src source.Source) (*source.Snapshot, error) {
	if x, ok := src.(expirer); ok && (f.anew || f.want.Token != f.status.Token) {
		x.Expire(f.want.Remote.URL)
	}
	rev, err := src.Resolve(ctx, f.want.Remote, f.want.Ref)
	if err != nil {
		return nil, err
	}
	if f.has(rev) {
		return f.own, nil
	}
	snap, err := src.Fetch(ctx, f.want.Remote, f.want.Ref, rev)
	if err == nil {
		snap.Origin = cmp.Or(snap.Origin, f.want.Origin)
	}
	return snap, err
}

// An expirer is a source that reuses its answers for a while, and can be told
// not to: somebody who asks to look now has just pushed.
type expirer interface{ Expire(url string) }

// lastKnown returns the tree at the last revision that could be had, while none
// newer can. After a restart that is the one that the status tells.
func (e *Engine) lastKnown(ctx context.Context, f feed, src source.Source, st *source.Status) made {
	own := f.own
	if own == nil || f.asked != askedFor(f.want) {
		if f.tree != nil || f.status.Revision.IsZero() {
			return f.made
		}
		rev := f.status.Own
		if rev.IsZero() {
			rev = f.status.Revision
		}
		var err error
		if own, err = src.Fetch(ctx, f.want.Remote, f.want.Ref, rev); err != nil {
			return f.made
		}
	}
	m, err := e.shape(f, own, st)
	if err != nil {
		return f.made
	}
	return m
}

// remember sees to it that a feed that is not to be followed still has the tree
// that it had before a restart.
func (e *Engine) remember(ctx context.Context, name source.FeedName, f feed) time.Time {
	src, ok := e.c.Sources[f.want.Remote.Type]
	if !ok || f.want.Err != nil || f.tree != nil || f.status.Revision.IsZero() {
		return time.Time{}
	}
	st := f.status
	m := e.lastKnown(ctx, f, src, &st)
	if ctx.Err() != nil {
		return time.Time{}
	}
	if m.tree == nil {
		return e.now().Add(e.jitter(f.want.Every))
	}
	e.moved(name, f, st, m, time.Time{})
	return time.Time{}
}

// moved takes in what became of a feed and, where there is a new tree, has all
// units that use it look at it, first those that it concerns.
func (e *Engine) moved(name source.FeedName, was feed, st source.Status, m made, due time.Time) {
	if !e.follows(name, was, st, m, due) {
		return
	}
	hurry, known := e.concerned(name, was, m)
	if !known {
		hurry = inOrder(e.usersOf(name))
	}
	soon := make(map[unit.Name]bool, len(hurry))
	for _, u := range hurry {
		soon[u] = true
		e.unitQ.Add(u, changed)
	}
	for _, u := range inOrder(e.usersOf(name)) {
		if !soon[u] {
			e.unitQ.Add(u, e.calm(u))
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.recompose(name)
}

// follows takes in what became of a feed, and reports whether it has a new tree.
func (e *Engine) follows(name source.FeedName, was feed, st source.Status, m made, due time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.feeds[name]
	if f == nil || f.foreign != was.foreign {
		return false
	}
	f.status, f.made, f.due = st, m, due
	if f.fails++; st.Err == nil {
		f.fails = 0
	}
	if m.tree != was.tree {
		return true
	}
	news := f.foreign && !sameError(was.status.Err, st.Err)
	if news || !f.foreign && was.due.IsZero() { // others may wait for this
		e.recompose(name)
	}
	if news { // nobody else can say so
		for _, u := range e.users.of(name) {
			e.unitQ.Add(u, changed)
		}
	}
	return false
}

// usersOf returns the units that use a feed, in no order.
func (e *Engine) usersOf(name source.FeedName) []unit.Name {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.users.all(name)
}

// concerned returns the units that use a feed and have read what differs between
// its tree and the one before, in order of name, if that can be told. It asks none
// of the others.
func (e *Engine) concerned(name source.FeedName, was feed, m made) (all []unit.Name, ok bool) {
	diff, ok := difference(was, m)
	if !ok {
		return nil, false
	}
	keys := e.c.Renderer.Touched(diff)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, k := range e.c.Dialect.Kinds() {
		for key := range keys { // as unit.Name.String has it
			rest, is := strings.CutPrefix(key, k.Name+"/")
			ns, base, _ := strings.Cut(rest, "/")
			if u := (unit.Name{Kind: k, Namespace: ns, Name: base}); is && e.users.has(name, u) {
				all = append(all, u)
			}
		}
	}
	return inOrder(all), true
}

// calm returns how urgent it is to look at a unit that has read nothing of what
// differs: it may have failed, or what it read may not be known.
func (e *Engine) calm(u unit.Name) priority {
	e.mu.Lock()
	k := e.units[u]
	ready := k != nil && k.status.Ready()
	e.mu.Unlock()
	if ready && e.c.Renderer.Kept(u.String()) {
		return unchanged
	}
	return changed
}

// fewChanges is the number of changed names up to which a new revision is
// searched for the units that it concerns.
const fewChanges = 10_000

// difference returns what a new tree differs in from the one before, if that
// can be told.
func difference(was feed, m made) (names map[string]bool, ok bool) {
	if was.tree == nil || m.tree == nil || m.tree == was.tree {
		return nil, false
	}
	return trace.Diff(was.tree.Tree, m.tree.Tree, fewChanges)
}

// lost takes in that a feed's tree could not be read. If that is since our copy
// of it is damaged, it is fetched anew.
func (e *Engine) lost(f feed, err error) {
	if !errors.Is(err, source.ErrStorage) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	have := e.feeds[f.want.Name]
	if have == nil || have.tree != f.tree {
		return
	}
	have.made = made{}
	e.feedQ.Add(f.want.Name, changed)
	for _, inc := range have.want.Include { // whichever it was
		if part := e.feeds[inc.Feed]; part != nil {
			part.made = made{}
			e.feedQ.Add(inc.Feed, changed)
		}
	}
}

// tellFeed writes what became of a feed into the object that asks for it. Where
// that has changed meanwhile, it is told as it is now: nobody comes back to this.
func (e *Engine) tellFeed(ctx context.Context, f feed, st source.Status) {
	var err error
	for range 3 {
		o, ok := e.object(f.by)
		if !ok || e.foreign(o) {
			return
		}
		told, events := e.c.Dialect.TellFeed(o, f.want, f.status, st, e.now())
		if err = e.write(ctx, o, told); err == nil {
			e.tell(events)
			return
		}
		if !errors.Is(err, cluster.ErrConflict) {
			break
		}
	}
	e.log.Warn("write status", "object", f.by.String(), "error", err)
}

// source returns the feed that a unit uses, as it stands now. e.mu is held.
func (e *Engine) source(u unit.Unit) (feed, bool) {
	f := e.feeds[u.Source]
	if f == nil {
		return feed{}, false
	}
	return *f, true
}

// jitter spreads d at random; see Config.Jitter.
func (e *Engine) jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 + float64(e.c.Jitter)/100*(2*rand.Float64()-1)))
}

// backoff returns how long to wait after the nth failure in a row: twice as long
// each time, within the bounds of the Config.
func (e *Engine) backoff(n int) time.Duration {
	d := e.c.RetryMin
	for ; n > 1 && d < e.c.RetryMax; n-- {
		d *= 2
	}
	return min(d, e.c.RetryMax)
}

// soon returns when to try again after the nth failure in a row.
func (e *Engine) soon(n int) time.Time { return e.now().Add(e.backoff(n)) }

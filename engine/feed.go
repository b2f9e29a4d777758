package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

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
	tree   *source.Snapshot // with its ignore rules in force; nil if there is none yet
	terms  string           // on which tree was made
	fails  int              // in a row
	anew   bool             // what is asked for has changed since it was last looked at

	foreign  bool // others keep it: its object is only read
	deleting bool
}

// putFeed takes in that o asks for f. e.mu is held.
func (e *Engine) putFeed(o object.Object, f source.Feed) {
	have := e.feeds[f.Name]
	if have == nil {
		have = &feed{by: o.ID(), foreign: e.c.Dialect.Foreign(o.ID().Kind)}
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
}

// dropFeed takes in that nobody asks for a feed any more. e.mu is held.
func (e *Engine) dropFeed(name source.FeedName) {
	delete(e.feeds, name)
	for _, u := range e.users.of(name) {
		e.unitQ.Add(u, changed)
	}
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
	e.mu.Lock()
	f := e.feeds[name]
	if f == nil {
		e.mu.Unlock()
		return time.Time{}
	}
	now := *f
	f.anew = false
	e.mu.Unlock()

	switch {
	case now.foreign:
		return e.accept(ctx, now)
	case now.deleting:
		return e.takeBack(ctx, now)
	}
	if err := e.hold(ctx, now.by); err != nil {
		return e.soon(1)
	}
	if now.want.Paused {
		return time.Time{}
	}
	st, tree := e.ask(ctx, now)
	if ctx.Err() != nil {
		return time.Time{}
	}
	e.moved(name, now, st, tree)
	if st = e.publish(ctx, now, st, tree); ctx.Err() != nil {
		return time.Time{}
	}
	e.tellFeed(ctx, now, st)
	if st.Err != nil {
		return e.feedRetry(now, st.Err)
	}
	return e.now().Add(e.jitter(now.want.Every))
}

// feedRetry says when to try again after an error: sooner at first, and never
// later than the feed is looked at anyway.
func (e *Engine) feedRetry(f feed, err error) time.Time {
	if fault.IsInput(err) {
		return e.now().Add(e.jitter(f.want.Every))
	}
	return e.now().Add(min(backoff(f.fails+1), f.want.Every))
}

// ask asks the source what the feed's reference means now, and fetches the
// tree if there is a new one. It returns what became of it; the tree is nil if
// it is the one that is here.
func (e *Engine) ask(ctx context.Context, f feed) (source.Status, *source.Snapshot) {
	st := f.status
	st.Token = f.want.Token
	if f.want.Err != nil {
		st.Err = f.want.Err
		return st, nil
	}
	src, ok := e.c.Sources[f.want.Remote.Type]
	if !ok {
		st.Err = fault.Input(fmt.Errorf("sources of type %q are not supported", f.want.Remote.Type))
		return st, nil
	}
	if x, ok := src.(expirer); ok && (f.anew || f.want.Token != f.status.Token) {
		x.Expire(f.want.Remote.URL)
	}
	rev, err := src.Resolve(ctx, f.want.Remote, f.want.Ref)
	if err != nil {
		st.Err = err
		return st, e.lastKnown(ctx, f, src)
	}
	if f.current(rev) {
		st.Err = nil
		return st, nil
	}
	snap, err := src.Fetch(ctx, f.want.Remote, f.want.Ref, rev)
	if err != nil {
		st.Err = err
		return st, e.lastKnown(ctx, f, src)
	}
	if rev != st.Revision {
		st.Since = e.now()
		e.log.Info("fetched", "feed", f.want.Name.String(), "rev", rev.Name)
	}
	if !f.foreign { // or else it has been filtered
		snap.Tree = source.Filter(snap.Tree, f.want.Ignore)
	}
	snap.Origin = cmp.Or(snap.Origin, f.want.Origin)
	st.Revision, st.Commit, st.Proven, st.Err = rev, snap.Commit, snap.Proven, nil
	st.Origin, st.Metadata = snap.Origin, snap.Metadata
	return st, snap
}

// An expirer is a source that reuses its answers for a while, and can be told
// not to: somebody who asks to look now has just pushed.
type expirer interface{ Expire(url string) }

// current reports whether the tree that is here is the one at rev.
func (f feed) current(rev source.Revision) bool {
	return f.tree != nil && f.status.Revision == rev && f.terms == shapers(f.want)
}

// shapers returns all that decides, beside the revision, what the tree of a feed
// is.
func shapers(f source.Feed) string {
	proof, err := json.Marshal(f.Remote.Proof)
	if err != nil {
		panic("engine: " + err.Error()) // of bytes and strings
	}
	ignore := ""
	if f.Ignore != nil {
		ignore = "+" + *f.Ignore
	}
	return strings.Join([]string{string(proof), f.Ref.Layer, ignore}, "\n")
}

// lastKnown returns the tree at the revision that was current before a restart,
// while the server cannot be asked for a newer one. It is nil if there is a tree
// already, or none can be had.
func (e *Engine) lastKnown(ctx context.Context, f feed, src source.Source) *source.Snapshot {
	if f.tree != nil || f.status.Revision.IsZero() {
		return nil
	}
	snap, err := src.Fetch(ctx, f.want.Remote, f.want.Ref, f.status.Revision)
	if err != nil {
		return nil
	}
	snap.Tree = source.Filter(snap.Tree, f.want.Ignore)
	return snap
}

// moved takes in what became of a feed and, where there is a new tree, has all
// units that use it look at it, first those that it concerns.
func (e *Engine) moved(name source.FeedName, was feed, st source.Status, tree *source.Snapshot) {
	diff, same := difference(was, tree)
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.feeds[name]
	if f == nil {
		return
	}
	f.status = st
	if f.fails++; st.Err == nil {
		f.fails = 0
	}
	if tree == nil {
		if f.foreign && !sameError(was.status.Err, st.Err) { // nobody else can say so
			for _, u := range e.users.of(name) {
				e.unitQ.Add(u, changed)
			}
		}
		return
	}
	f.tree, f.terms = tree, shapers(was.want)
	for _, u := range e.users.of(name) {
		prio := changed
		if same && e.units[u].status.Ready() && !e.c.Renderer.Touched(u.String(), diff) {
			prio = unchanged
		}
		e.unitQ.Add(u, prio)
	}
}

// fewChanges is the number of changed names up to which a new revision is
// searched for the units that it concerns.
const fewChanges = 10_000

// difference returns what a new tree differs in from the one before, if that
// can be told.
func difference(was feed, tree *source.Snapshot) (names map[string]bool, ok bool) {
	if was.tree == nil || tree == nil {
		return nil, false
	}
	return trace.Diff(was.tree.Tree, tree.Tree, fewChanges)
}

// lost takes in that a feed's tree could not be read. If that is since our copy
// of it is damaged, it is fetched anew.
func (e *Engine) lost(f feed, err error) {
	if !errors.Is(err, source.ErrStorage) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if have := e.feeds[f.want.Name]; have != nil && have.tree == f.tree {
		have.tree = nil
		e.feedQ.Add(f.want.Name, changed)
	}
}

// tellFeed writes what became of a feed into the object that asks for it.
func (e *Engine) tellFeed(ctx context.Context, f feed, st source.Status) {
	o, ok := e.object(f.by)
	if !ok {
		return
	}
	told, events := e.c.Dialect.TellFeed(o, f.want, f.status, st, e.now())
	if err := e.write(ctx, o, told); err != nil {
		e.log.Warn("write status", "object", f.by.String(), "error", err)
		return
	}
	e.tell(events)
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

// backoff returns how long to wait after the nth failure in a row: from 750 ms
// to 15 minutes.
func backoff(n int) time.Duration {
	return min(750*time.Millisecond<<min(max(n-1, 0), 12), 15*time.Minute)
}

// soon returns when to try again after the nth failure in a row.
func (e *Engine) soon(n int) time.Time { return e.now().Add(backoff(n)) }

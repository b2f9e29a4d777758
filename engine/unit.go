package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// A standing is how a unit stands, whoever keeps it. It is guarded by Engine.mu.
type standing struct {
	by     object.ID // the object that asks for it
	want   unit.Unit
	status *unit.Status // never changed
}

// A keeping is a unit that is kept.
type keeping struct {
	standing

	// Guarded by Engine.mu.
	terms    *terms             // nil if it has none; never changed
	stop     context.CancelFunc // ends what its worker does; nil if it never had one
	groups   []string           // API groups of kinds that it has and the server did not serve
	released map[object.ID]bool // what goes over to others; never changed

	// Of the worker that has it.
	told   *unit.Status // as it was last written; never changed, and mostly the same one as status
	gone   bool         // it has been taken down: only its object is to go
	packed []byte       // its ledger; nil if that has not been read yet
	looked int64        // the generation as of which it may see all whose health it checks
	fails  int          // in a row
	mute   int          // writes to its object that were refused in a row
	since  time.Time    // when it began to wait for what it waits for; zero if it does not
	on     unit.On      // what it began to wait for then
	goal   goal         // what it was brought to, or is being brought to
	drift  map[object.ID]fight
	causes map[object.ID]finding // of what is not healthy, as it was told
	unsaid []unit.Change         // that nobody has been told of yet
}

// A goal is what a unit is to be brought to. While it stays the same, deadlines
// go on.
type goal struct {
	generation int64
	revision   source.Revision
}

// goal returns what the unit is being brought to: an end has no revision.
func (r *run) goal() goal {
	if r.u.Deleting {
		return goal{generation: r.st.Generation}
	}
	return goal{r.st.Generation, r.src.status.Revision}
}

// putUnit takes in that o asks for u. e.mu is held.
func (e *Engine) putUnit(o object.Object, u unit.Unit) {
	e.dropOther(u.Name)
	k := e.units[u.Name]
	prio := changed
	if k == nil {
		k = &keeping{standing: standing{by: o.ID(), status: e.recallUnit(o)}}
		k.told = k.status
		e.units[u.Name] = k
	} else {
		e.unlink(k.want)
		if errors.Is(k.status.Err, unit.ErrRecall) {
			k.status = e.recallUnit(o)
		}
		if k.want.Token != u.Token {
			prio = asked
		}
	}
	was := k.want
	e.approved(o, k, u)
	k.agree(u)
	k.want = u
	e.link(u)
	if was.Target.Place != u.Target.Place {
		e.abandon(was)
	}
	e.overlook(was)
	e.unitQ.Add(u.Name, prio)
	for _, d := range e.after.of(u.Name) {
		e.unitQ.Add(d, changed)
	}
}

// approved tells that o approves, since it was last read, of what is held of the
// unit that it asks for. e.mu is held.
func (e *Engine) approved(o object.Object, k *keeping, u unit.Unit) {
	var held *unit.HeldError
	given := u.Policy.Approved
	if errors.As(k.status.Err, &held) && given == string(held.Approval) && given != k.want.Policy.Approved {
		e.tell(e.c.Dialect.TellApproval(o, e.now()))
	}
}

// recallUnit returns what o says became of its unit.
func (e *Engine) recallUnit(o object.Object) *unit.Status {
	st := e.c.Dialect.RecallUnit(o)
	return &st
}

func (e *Engine) link(u unit.Unit) {
	e.users.add(u.Source, u.Name)
	if f := e.feeds[u.Source]; f != nil && f.foreign && f.tree == nil { // it is not had before somebody uses it
		e.feedQ.Add(u.Source, asked)
	}
	for _, a := range u.After {
		e.after.add(a, u.Name)
	}
	for _, id := range u.Checks {
		e.checked.add(id, u.Name)
	}
	for _, r := range u.Rules {
		e.ruled.add(r.Kind, u.Name)
	}
	if at := u.Target.Place; at != (unit.Place{}) {
		e.in.add(at, u.Name)
	}
}

func (e *Engine) unlink(u unit.Unit) {
	e.users.remove(u.Source, u.Name)
	e.heirless.remove(u.Source, u.Name)
	for _, a := range u.After {
		e.after.remove(a, u.Name)
	}
	for _, id := range u.Checks {
		e.checked.remove(id, u.Name)
	}
	for _, r := range u.Rules {
		e.ruled.remove(r.Kind, u.Name)
	}
	if at := u.Target.Place; at != (unit.Place{}) {
		e.in.remove(at, u.Name)
	}
}

// dropUnit takes in that nobody asks for a unit any more. e.mu is held.
func (e *Engine) dropUnit(name unit.Name) {
	k := e.units[name]
	if k == nil {
		return
	}
	e.unlink(k.want)
	e.abandon(k.want)
	e.overlook(k.want)
	for _, g := range k.groups {
		e.unserved.remove(g, name)
	}
	delete(e.units, name)
	if f := e.feeds[k.want.Source]; f != nil && f.foreign {
		e.feedQ.Add(k.want.Source, unchanged) // it may be let go
	}
	e.c.Renderer.Forget(name.String())
	e.forgetLedger(name)
	for _, d := range e.after.of(name) {
		e.unitQ.Add(d, changed)
	}
}

// keepUnits sees to one unit after the other until ctx is done.
func (e *Engine) keepUnits(ctx context.Context) {
	for {
		name, ok := e.unitQ.Next(ctx)
		if !ok {
			return
		}
		due, prio := e.keep(ctx, name)
		e.unitQ.Done(name, due, prio)
	}
}

// keep brings a unit as far as it can be brought now. It returns when to look
// at it again if nothing happens before.
func (e *Engine) keep(ctx context.Context, name unit.Name) (time.Time, priority) {
	began := e.now()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	r, ok := e.begin(name, stop)
	if !ok {
		return time.Time{}, unchanged
	}
	if r.k.gone {
		return time.Time{}, unchanged
	}
	if !r.u.Deleting { // what a paused unit owns is not to be forgotten either
		if err := e.hold(ctx, r.k.by); err != nil {
			e.log.Warn("add finalizer", "object", r.k.by.String(), "error", err)
			return r.unheard(), retried
		}
		if r.u.Paused {
			return e.goOn(ctx, r.k.by), changed
		}
	}
	if place, err := e.place(ctx, r.u.Target); err != nil {
		r.lost = err
	} else if !e.enter(place, name) {
		return time.Time{}, unchanged
	} else {
		defer e.leave(place, name)
		r.in, r.as = place, place.As(cluster.User(r.u.Target.As))
	}
	if r.u.Deleting {
		return e.takeDown(ctx, r), retried
	}
	r.bring(ctx)
	r.awaitKinds()
	r.stow()
	if ctx.Err() != nil {
		return time.Time{}, unchanged // what was begun is taken up after the restart
	}
	e.took(r.k.by, began, r.st.Err)
	return r.conclude(ctx)
}

// took takes note of what was done for a custom resource since began.
func (e *Engine) took(id object.ID, began time.Time, err error) {
	if e.c.Took != nil {
		e.c.Took(id, e.now().Sub(began), err != nil)
	}
}

// awaitKinds has the unit queued when a kind may be served that was not.
func (r *run) awaitKinds() {
	e := r.e
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range r.k.groups {
		e.unserved.remove(g, r.u.Name)
	}
	r.k.groups = nil
	if e.units[r.u.Name] != r.k {
		return
	}
	for _, g := range r.unserved {
		e.unserved.add(g, r.u.Name)
		r.k.groups = append(r.k.groups, g)
	}
}

// A run is one attempt to bring a unit to where it should be. Its worker has
// the unit for itself.
type run struct {
	e     *Engine
	k     *keeping
	u     unit.Unit
	terms terms
	src   feed // zero if there is none
	found bool // there is a feed
	was   unit.Status
	st    unit.Status         // what becomes of it
	made  ledger              // what it has made; see recall
	in    *place              // where it is kept
	as    cluster.Cluster     // that place, as who keeps it there
	lost  error               // why there is no such place; nil if there is
	drift map[object.ID]drift // what was not as it had been made
	again time.Time           // when something can be done that could not be done now; zero if nothing

	unserved []string // API groups of kinds that the server does not serve

	secrets []string           // what is secret in what is wanted
	marks   map[object.ID]mark // of wanted objects of which fields are left to others
	asIs    map[object.ID]bool // which of those are as they were made; what is changed after that is for the next run

	wanted map[unit.Name]func(object.ID) bool // by other units; see wantedBy
	others map[unit.Name]holding              // units of others; see theirs

	judged  map[object.ID]health.Verdict // in this run, since it was not known before
	sick    []ailment                    // of what it observes
	tooLate bool                         // for that to become healthy
}

// begin returns a run for the unit of that name, which stop ends, and whether there
// is one.
func (e *Engine) begin(name unit.Name, stop context.CancelFunc) (*run, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	k := e.units[name]
	if k == nil {
		return nil, false
	}
	k.stop = stop
	r := &run{e: e, k: k, u: k.want, terms: k.terms.orNone(), was: *k.status}
	r.src, r.found = e.source(k.want)
	r.st = unit.Status{
		Phase:      unit.Admitting,
		Generation: k.want.Generation,
		Attempted:  k.status.Attempted,
		Applied:    k.status.Applied,
		Rendered:   k.status.Rendered,
		Owned:      k.status.Owned,
		Token:      k.want.Token,
		Began:      e.now(),

		AttemptedOrigin: k.status.AttemptedOrigin, AppliedOrigin: k.status.AppliedOrigin,
	}
	r.st.Changes = slices.Clip(k.unsaid)
	return r, true
}

// fail ends the run with an error.
func (r *run) fail(err error) bool {
	r.st.Err = render.Hush(append(r.u.Facts.Secrets(), r.secrets...), err)
	return false
}

// wait ends the run until what it waits for happens.
func (r *run) wait(on unit.On, format string, args ...any) bool {
	r.st.Waits = unit.Wait{On: on, What: fmt.Sprintf(format, args...)}
	return false
}

// How long a unit may wait before anybody is told.
const (
	grace      = time.Second
	firstFetch = 30 * time.Second // for a source that is being fetched for the first time
)

// grace returns how long the unit may wait for what it waits for before anybody
// is told.
func (r *run) grace() time.Duration {
	switch {
	case r.st.Waits.On != unit.OnSource || !r.found:
	case r.src.foreign:
		return r.foreignGrace()
	case r.src.status.Err == nil:
		return firstFetch
	}
	return grace
}

// conclude takes in what became of the run, tells it where it is new, and
// returns when to look at the unit again.
func (r *run) conclude(ctx context.Context) (time.Time, priority) {
	r.st.Ended = r.e.now()
	due, prio := r.due()
	if r.quiet() {
		r.k.unsaid = r.st.Changes
		if r.st.Waits.On != unit.OnSource || !r.was.Ready() { // or else it is as ready as it was before a restart
			r.settle(r.final())
		}
		return due, prio
	}
	if r.asTold() {
		r.settle(r.k.told)
		return due, prio
	}
	r.explain(ctx)
	if err := r.say(ctx); err != nil && ctx.Err() == nil {
		r.e.log.Warn("write status", "unit", r.u.Name.String(), "error", err)
		r.k.unsaid = r.st.Changes
		return r.unheard(), retried
	}
	r.k.mute = 0
	r.forgetChanges()
	r.settle(r.k.told)
	return due, prio
}

// forgetChanges drops what was changed: it has been told, and there is a status for
// every unit.
func (r *run) forgetChanges() {
	if len(r.k.told.Changes) > 0 {
		told := *r.k.told
		told.Changes = nil
		r.k.told = &told
	}
}

// unheard takes in that the object that asks for the unit could not be written.
// It returns when to try again: whoever refuses that may do so for long.
func (r *run) unheard() time.Time {
	r.k.mute++
	return r.e.soon(max(r.k.mute, r.k.fails+1))
}

// asTold reports whether all is as well as it has been told.
func (r *run) asTold() bool {
	was, now := r.k.told, &r.st
	return was.Ready() && now.Ready() && was.Generation == now.Generation && was.Token == now.Token &&
		was.Attempted == now.Attempted && was.Applied == now.Applied &&
		was.AttemptedOrigin == now.AttemptedOrigin && was.AppliedOrigin == now.AppliedOrigin &&
		was.Rendered == now.Rendered && was.Health == now.Health && was.Owned.Equal(now.Owned) &&
		len(now.Changes)+len(was.Fights)+len(now.Fights) == 0
}

// final returns what became of the run, to be kept.
func (r *run) final() *unit.Status {
	st := r.st
	return &st
}

// quiet reports whether a wait is too young to be told. What follows from a
// change that has already been told as being under way is told when it lasts.
func (r *run) quiet() bool {
	if r.st.Waits.On == "" {
		return false
	}
	young := r.st.Ended.Sub(r.k.since) < r.grace()
	if r.st.Waits.On == unit.OnHealth {
		return young && !r.k.told.Ready() || r.stillUnwell()
	}
	return young
}

// stillUnwell reports whether it has been told that what the unit waits for has
// failed, and nothing has changed since.
func (r *run) stillUnwell() bool {
	t := r.k.told
	return errors.Is(t.Err, unit.ErrHealth) && t.Attempted == r.st.Attempted && t.Generation == r.st.Generation
}

// due says when to look at the unit again if nothing happens before.
func (r *run) due() (time.Time, priority) {
	now := r.st.Ended
	if g := r.goal(); g != r.k.goal {
		r.k.goal, r.k.since, r.k.fails = g, time.Time{}, 0
	}
	if r.st.Waits.On != "" {
		if r.k.since.IsZero() || r.k.on != r.st.Waits.On {
			r.k.since, r.k.on = now, r.st.Waits.On
		}
		told := r.k.since.Add(r.grace())
		switch young := now.Before(told); {
		case !r.again.IsZero() && (!young || r.again.Before(told)):
			return r.again, changed
		case young:
			return told, changed
		}
		if r.st.Waits.On == unit.OnHealth || r.st.Waits.On == unit.OnStage || r.st.Waits.On == unit.OnRemoval {
			return r.diagnosis(now), retried
		}
		return now.Add(r.e.jitter(r.u.Every)), retried
	}
	r.k.since = time.Time{}
	if r.st.Err == nil {
		r.k.fails = 0
		if !r.again.IsZero() {
			return r.again, drifted
		}
		return now.Add(r.e.jitter(r.u.Every)), unchanged
	}
	r.k.fails++
	return now.Add(r.retry()), retried
}

// retry says how long to wait after a failure. What only a change of the input
// can cure is tried again as often as the user asks for, and anything else
// sooner at first.
func (r *run) retry() time.Duration {
	most := r.u.Retry
	if most == 0 {
		most = r.u.Every
	}
	if fault.IsInput(r.st.Err) || errors.Is(r.st.Err, unit.ErrHealth) {
		return most
	}
	return min(r.e.backoff(r.k.fails), most)
}

// settle takes in what became of the run and wakes who waits for it.
func (r *run) settle(st *unit.Status) {
	e := r.e
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.units[r.u.Name] != r.k {
		return
	}
	if was := r.k.status; st.Ready() != was.Ready() || st.Applied != was.Applied || st.Generation != was.Generation {
		for _, d := range e.after.of(r.u.Name) {
			e.unitQ.Add(d, changed)
		}
	}
	if st.Ready() {
		for _, d := range e.heirless.of(r.u.Source) {
			e.unitQ.Add(d, changed)
		}
	}
	r.k.status = st
}

// say writes what becomes of the unit into the object that asks for it.
func (r *run) say(ctx context.Context) error {
	e := r.e
	o, ok := e.object(r.k.by)
	if !ok || e.foreign(o) { // it is for others to tell
		return nil
	}
	told, events := e.c.Dialect.TellUnit(o, r.u, *r.k.told, r.st, e.now())
	if err := e.write(ctx, o, told); err != nil {
		return err
	}
	r.k.told, r.k.unsaid = r.final(), nil
	e.tell(events)
	return nil
}

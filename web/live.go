package web

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/sane-gitops/sane/delay"
)

const eventStream = "text/event-stream"

// What bounds streams.
const (
	maxStreams = 12 // of one viewer
	breath     = 400 * time.Millisecond
	beat       = 15 * time.Second
	patience   = 10 * time.Second // with who does not read
)

// streams counts the streams of each viewer.
type streams struct {
	mu sync.Mutex
	of map[string]int // guarded by mu; by the viewer's name
}

func (s *streams) enter(who string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[who] >= maxStreams {
		return false
	}
	s.of[who]++
	return true
}

func (s *streams) leave(who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[who]--; s.of[who] == 0 {
		delete(s.of, who)
	}
}

// turnOf returns by what turn a page names what there was when it was made. Its
// stream begins with what has changed since: that goes by no clock, and is not lost on
// the way.
func turnOf(r *http.Request) int64 {
	turn, _ := strconv.ParseInt(r.FormValue("turn"), 10, 64) // what is none is another one
	return turn
}

// stream tells a page to look again each time that follow says changed, until
// the viewer leaves or their session has come to its end: then the browser
// comes back with the session that it has by then, if it has one. follow goes
// on until its context is done. What a viewer has not read yet is one word,
// however often that is said.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, v *viewer, follow func(ctx context.Context, changed func())) error {
	if !s.streams.enter(v.Name) {
		return &refusal{http.StatusTooManyRequests, "Too many pages are open: this one is not kept up to date."}
	}
	defer s.streams.leave(v.Name)
	ctx, cancel := context.WithTimeout(r.Context(), v.session.Until.Sub(s.now()))
	news := make(chan struct{}, 1)
	var following sync.WaitGroup
	defer following.Wait()
	defer cancel()
	following.Go(func() {
		follow(ctx, func() {
			select {
			case news <- struct{}{}:
			default:
			}
		})
	})
	w.Header().Set("Content-Type", eventStream)
	t := teller{w, http.NewResponseController(w)}
	if !t.say("retry: 2000\n\n") || !delay.For(ctx, breath) { // while all that is followed answers
		return nil
	}
	relay(ctx, s, v, t, news, func(struct{}) bool { return t.say("event: change\ndata:\n\n") && delay.For(ctx, breath) })
	return nil
}

// relay passes on what comes to a viewer by say, which reports whether it was taken,
// until it was not, or the viewer may not hear it any more.
func relay[T any](ctx context.Context, s *Server, v *viewer, t teller, from <-chan T, say func(T) bool) {
	pulse := time.NewTicker(beat)
	defer pulse.Stop()
	for ok := true; ok; {
		select {
		case <-ctx.Done():
			return
		case <-s.closing:
			return
		case x := <-from:
			ok = say(x)
		case <-pulse.C:
			ok = s.recheck(ctx, v.session) == nil && t.say(": still here\n\n")
		}
	}
}

// A teller writes to somebody who may not be reading.
type teller struct {
	w  io.Writer
	rc *http.ResponseController
}

// say reports whether it was taken.
func (t teller) say(words string) bool {
	if t.rc.SetWriteDeadline(time.Now().Add(patience)) != nil {
		return false
	}
	_, err := io.WriteString(t.w, words)
	return err == nil && t.rc.Flush() == nil
}

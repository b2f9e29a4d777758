package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// What bounds the logs of a page.
const (
	maxVoices  = 12 // containers at a time
	tailLines  = 500
	maxLine    = 4 << 10 // bytes that are shown of a line
	maxTail    = 1 << 20 // bytes of one container's tail
	maxWaiting = 200     // lines that wait to be sent
	maxAtOnce  = 100     // lines that are sent together
)

// A logsPage is what the template of logs is given.
type logsPage struct {
	ID       object.ID
	Back     string // the address of the object
	Address  string
	Follow   string // where more is to be had; "" if nothing is to come
	Query    string
	Chosen   string // "pod/container", "container", or "" for all
	Previous bool
	Voices   []choice // that can be chosen
	Lines    []logLine
	Last     string // the time of the last line
	Left     int    // containers that are too many
	Errs     []string
}

// A logLine is something that a container has said.
type logLine struct {
	At    string `json:"t,omitempty"` // RFC 3339; "" if it is not known
	From  string `json:"f"`           // "pod/container", or what tells it apart
	Text  string `json:"s"`
	Class string `json:"c"` // of the voice
	Err   bool   `json:"e,omitempty"`
}

// A voice is a container of a pod.
type voice struct {
	pod       object.ID
	container string
	init      bool
	from      string // what tells it from the others
	class     string
}

// A hearing is which logs somebody wants to see.
type hearing struct {
	voices   []voice
	left     int
	query    string
	previous bool
	chosen   string
}

// logsPage shows the last lines of the logs of an object's pods. The page asks
// for what comes after.
func (s *Server) logsPage(w http.ResponseWriter, r *http.Request, v *viewer) error {
	id := objectNamed(r)
	h, all, err := s.hearing(r, v, id)
	if err != nil {
		return err
	}
	p := logsPage{
		ID: id, Back: s.address(id), Address: s.address(id) + "/logs", Query: h.query, Chosen: h.chosen, Previous: h.previous,
		Voices: all, Left: h.left,
	}
	p.Lines, p.Errs = s.tails(r.Context(), v, h)
	for _, l := range p.Lines {
		p.Last = max(p.Last, l.At)
	}
	if !h.previous && len(h.voices) > 0 {
		p.Follow = p.Address + "/follow?" + query("q", h.query, "of", h.chosen, "since", p.Last)
	}
	return s.show(w, r, v, "logs", frame{Title: "Logs of " + id.Name, Section: "fleet", Main: p})
}

// hearing returns what a request wants to hear, and all that it could choose.
func (s *Server) hearing(r *http.Request, v *viewer, id object.ID) (hearing, []choice, error) {
	h := hearing{query: r.FormValue("q"), chosen: r.FormValue("of"), previous: r.FormValue("previous") != ""}
	o, err := s.seen(r.Context(), v, id)
	if err != nil {
		return h, nil, err
	}
	pods, err := ask.Pods(r.Context(), v.cluster, o)
	if err != nil {
		return h, nil, err
	}
	voices := voicesOf(pods)
	all := []choice{{"", "all containers"}}
	names := make(map[string]bool)
	for _, x := range voices {
		if len(pods) > 1 && !names[x.container] {
			names[x.container] = true
			all = append(all, choice{x.container, x.container + " of all pods"})
		}
	}
	for _, x := range voices {
		if len(all) < maxOptions {
			all = append(all, choice{x.pod.Name + "/" + x.container, x.from})
		}
	}
	h.voices = slices.DeleteFunc(voices, func(x voice) bool {
		return h.chosen != "" && h.chosen != x.container && h.chosen != x.pod.Name+"/"+x.container
	})
	if n := len(h.voices); n > maxVoices {
		h.voices, h.left = h.voices[:maxVoices], n-maxVoices
	}
	return h, all, nil
}

// voicesOf returns the containers of pods.
func voicesOf(pods []object.Object) []voice {
	var out []voice
	for _, p := range pods {
		for _, c := range ask.Containers(p) {
			x := voice{pod: p.ID(), container: c.Name, init: c.Init, from: c.Name}
			if len(pods) > 1 {
				x.from = x.pod.Name + "/" + x.container
			}
			x.class = fmt.Sprintf("v%d", len(out)%8)
			out = append(out, x)
		}
	}
	return out
}

// tails returns the last lines of all voices, in order of time.
func (s *Server) tails(ctx context.Context, v *viewer, h hearing) (lines []logLine, errs []string) {
	ctx, cancel := context.WithTimeout(ctx, first)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, x := range h.voices {
		all.Go(func() {
			opts := cluster.LogOptions{Container: x.container, Previous: h.previous, Timestamps: true, Tail: tailLines, Limit: maxTail}
			var mine []logLine
			err := hear(ctx, v.cluster, x, opts, func(l logLine) bool {
				if h.wants(l) {
					mine = append(mine, l)
				}
				return true
			})
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, mine...)
			if err != nil {
				errs = append(errs, x.from+": "+plainly(err))
			}
		})
	}
	all.Wait()
	slices.SortStableFunc(lines, func(a, b logLine) int { return strings.Compare(a.At, b.At) })
	slices.Sort(errs)
	return lines[max(len(lines)-2*tailLines, 0):], errs
}

// wants reports whether a line has what is searched for.
func (h hearing) wants(l logLine) bool {
	return h.query == "" || strings.Contains(strings.ToLower(l.Text), strings.ToLower(h.query))
}

// hear calls say for each line of a log until that has none, or has had enough.
func hear(ctx context.Context, c cluster.Cluster, x voice, opts cluster.LogOptions, say func(logLine) bool) error {
	log, err := c.Logs(ctx, x.pod, opts)
	if err != nil {
		return err
	}
	defer log.Close()
	in := bufio.NewReaderSize(log, maxLine)
	for {
		text, err := readLine(in)
		if len(text) > 0 || err == nil {
			if !say(lineFrom(x, text)) {
				return nil
			}
		}
		switch {
		case errors.Is(err, io.EOF) || ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
	}
}

// readLine returns a line, or the beginning of one that is long.
func readLine(in *bufio.Reader) ([]byte, error) {
	text, err := in.ReadSlice('\n')
	line := bytes.Clone(text)
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = in.ReadSlice('\n')
	}
	return bytes.TrimRight(line, "\r\n"), err
}

// lineFrom returns a line as it is shown: what is no text is not a part of it.
func lineFrom(x voice, text []byte) logLine {
	l := logLine{From: x.from, Class: x.class}
	at, rest, ok := strings.Cut(strings.ToValidUTF8(string(text), "\uFFFD"), " ")
	if t, err := time.Parse(time.RFC3339Nano, at); ok && err == nil {
		l.At = t.UTC().Format("2006-01-02T15:04:05.000000000Z")
	} else {
		rest = at + " " + rest
	}
	l.Text = legible(rest)
	return l
}

// legible returns a line without the sequences by which terminals are coloured, and
// without other characters that can't be seen.
func legible(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		if n := escape(s); n > 0 {
			s = s[n:]
			continue
		}
		r, n := utf8.DecodeRuneInString(s)
		if s = s[n:]; r != '\t' && !unicode.IsPrint(r) {
			r = '·'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// escape returns how long the sequence is that s begins with; 0 if there is none.
func escape(s string) int {
	if !strings.HasPrefix(s, "\x1b[") {
		return 0
	}
	for i := 2; i < len(s) && i < 32; i++ {
		if s[i] >= '@' && s[i] <= '~' {
			return i + 1
		}
	}
	return 0
}

// followLogs sends what containers say as they say it. What a viewer does not
// read is not read from the cluster either.
func (s *Server) followLogs(w http.ResponseWriter, r *http.Request, v *viewer) error {
	h, _, err := s.hearing(r, v, objectNamed(r))
	if err != nil {
		return err
	}
	since, err := time.Parse(time.RFC3339Nano, r.FormValue("since"))
	if err != nil {
		since = s.now()
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" { // the browser comes back
		if t, err := time.Parse(time.RFC3339Nano, last); err == nil {
			since = t
		}
	}
	if !s.streams.enter(v.Name) {
		return &refusal{http.StatusTooManyRequests, "Too many pages are open: these logs are not followed."}
	}
	defer s.streams.leave(v.Name)
	ctx, cancel := context.WithTimeout(r.Context(), v.session.Until.Sub(s.now()))
	lines := make(chan logLine, maxWaiting)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for _, x := range h.voices {
		all.Go(func() { s.listen(ctx, v, h, x, since, lines) })
	}
	w.Header().Set("Content-Type", eventStream)
	t := teller{w, http.NewResponseController(w)}
	if t.say("retry: 2000\n\n") {
		relay(ctx, s, v, t, lines, func(l logLine) bool { return t.say(together(l, lines)) }) // many at once where there are many
	}
	return nil
}

// listen passes on what a voice says after a time.
func (s *Server) listen(ctx context.Context, v *viewer, h hearing, x voice, since time.Time, out chan<- logLine) {
	after := since.UTC().Format("2006-01-02T15:04:05.000000000Z")
	pass := func(l logLine) bool {
		if l.At != "" && l.At <= after || !h.wants(l) {
			return ctx.Err() == nil
		}
		select {
		case out <- l:
			return true
		case <-ctx.Done():
			return false
		}
	}
	err := hear(ctx, v.cluster, x, cluster.LogOptions{Container: x.container, Follow: true, Timestamps: true, Since: since}, pass)
	end := logLine{From: x.from, Class: x.class, Text: "it has ended", Err: true}
	if err != nil {
		end.Text = legible(plainly(err))
	}
	select {
	case out <- end:
	case <-ctx.Done():
	}
}

// together returns a message of a line and of those that wait behind it.
func together(l logLine, lines <-chan logLine) string {
	batch, last := []logLine{l}, l.At
	for len(batch) < maxAtOnce {
		select {
		case l := <-lines:
			batch = append(batch, l)
			last = max(last, l.At)
			continue
		default:
		}
		break
	}
	data, err := json.Marshal(batch)
	if err != nil {
		panic(err) // of strings
	}
	id := ""
	if last != "" {
		id = "id: " + last + "\n"
	}
	return id + "event: lines\ndata: " + string(data) + "\n\n"
}

package memory

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// A journal is what a container has said.
type journal struct {
	lines    []said
	previous []said        // before it was started again
	ended    bool          // nothing is added
	news     chan struct{} // closed at the next change
}

type said struct {
	when time.Time
	text string
}

// A speaker is a container of a pod.
type speaker struct {
	uid, container string
}

// Say adds lines to the log of a pod's container, as the container would. It
// panics if there is no such pod.
func (c *Cluster) Say(pod object.ID, container string, lines ...string) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	j := c.w.journal(c.w.speaker(pod, container))
	for _, l := range lines {
		j.lines = append(j.lines, said{time.Now().UTC(), l})
	}
	j.tell()
}

// Restart begins a new log for a container. What it said is that of the previous
// one. It panics if there is no such pod.
func (c *Cluster) Restart(pod object.ID, container string) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	key := c.w.speaker(pod, container)
	old := c.w.journal(key)
	old.ended = true
	old.tell()
	c.w.journals[key] = &journal{previous: old.lines, news: make(chan struct{})}
}

// tell wakes those who follow.
func (j *journal) tell() {
	close(j.news)
	j.news = make(chan struct{})
}

func (w *world) speaker(pod object.ID, container string) speaker {
	o, ok := w.objects[pod]
	if !ok {
		panic("memory: log of " + pod.String() + ", which is not there")
	}
	return speaker{o.UID(), container}
}

func (w *world) journal(key speaker) *journal {
	j := w.journals[key]
	if j == nil {
		j = &journal{news: make(chan struct{})}
		w.journals[key] = j
	}
	return j
}

// Logs implements [cluster.Cluster].
func (c *Cluster) Logs(ctx context.Context, pod object.ID, opts cluster.LogOptions) (io.ReadCloser, error) {
	if err := c.begin(ctx, Call{Op: "get", ID: pod, How: cluster.How{Subresource: "log"}}); err != nil {
		return nil, err
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	t, err := c.w.tape(pod, opts)
	if err != nil {
		return nil, cluster.Refused("read log of", pod, err)
	}
	t.ctx, t.cancel = context.WithCancel(ctx)
	return t, nil
}

func (w *world) tape(pod object.ID, opts cluster.LogOptions) (*tape, error) {
	known, err := w.kind(pod.Kind, "")
	if err != nil {
		return nil, err
	}
	o, ok := w.objects[pod]
	if !ok {
		return nil, apierrors.NewNotFound(known.resource(), pod.Name)
	}
	container, err := containerOf(o, opts.Container)
	if err != nil {
		return nil, err
	}
	j := w.journal(speaker{o.UID(), container})
	t := &tape{w: w, journal: j, opts: opts}
	all := j.lines
	if opts.Previous {
		if all = j.previous; all == nil {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("previous terminated container %q in pod %q not found", container, pod.Name))
		}
		t.journal = &journal{lines: all, ended: true}
	}
	for t.at < len(all) && all[t.at].when.Before(opts.Since.Truncate(time.Second)) {
		t.at++
	}
	if opts.Tail > 0 {
		t.at = max(t.at, len(all)-opts.Tail)
	}
	return t, nil
}

// containerOf returns the container of a pod that is meant.
func containerOf(pod object.Object, name string) (string, error) {
	var all []string
	for _, field := range []string{"containers", "initContainers", "ephemeralContainers"} {
		v, _ := pod.Get("spec", field)
		list, _ := v.([]any)
		for _, c := range list {
			m, _ := c.(map[string]any)
			all = append(all, object.Of(m).Text("name"))
		}
	}
	switch {
	case name == "" && len(all) == 1:
		return all[0], nil
	case name == "":
		return "", apierrors.NewBadRequest(fmt.Sprintf("a container name must be specified for pod %s, choose one of: [%s]", pod.Name(), strings.Join(all, " ")))
	case !slices.Contains(all, name):
		return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", name, pod.Name()))
	}
	return name, nil
}

// A tape plays a log.
type tape struct {
	*journal
	w      *world
	opts   cluster.LogOptions
	ctx    context.Context // as long as it is open
	cancel context.CancelFunc

	mu   sync.Mutex
	at   int // the next line
	rest bytes.Buffer
	sent int64
}

// Read implements [io.Reader].
func (t *tape) Read(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.rest.Len() == 0 {
		news, more := t.wind()
		if t.rest.Len() > 0 {
			break
		}
		if !more {
			return 0, io.EOF
		}
		select {
		case <-t.ctx.Done():
			return 0, t.ctx.Err()
		case <-news:
		}
	}
	if t.opts.Limit > 0 {
		left := t.opts.Limit - t.sent
		if left <= 0 {
			return 0, io.EOF
		}
		p = p[:min(int64(len(p)), left)]
	}
	n, err := t.rest.Read(p)
	t.sent += int64(n)
	return n, err
}

// wind takes the lines that were said since. It reports whether there may be
// more, and what tells.
func (t *tape) wind() (news <-chan struct{}, more bool) {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	for ; t.at < len(t.lines); t.at++ {
		l := t.lines[t.at]
		if t.opts.Timestamps {
			t.rest.WriteString(l.when.Format(time.RFC3339Nano) + " ")
		}
		t.rest.WriteString(l.text + "\n")
	}
	return t.news, t.opts.Follow && !t.ended && t.ctx.Err() == nil
}

// Close implements [io.Closer].
func (t *tape) Close() error {
	t.cancel()
	return nil
}

// silence ends the logs of a pod that has gone.
func (w *world) silence(pod object.Object) {
	for key, j := range w.journals {
		if key.uid == pod.UID() {
			j.ended = true
			j.tell()
			delete(w.journals, key)
		}
	}
}

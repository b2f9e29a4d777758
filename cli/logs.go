package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// A hearing is one `sane logs`.
type hearing struct {
	*desk
	container string
	follow    bool
	previous  bool
	since     time.Duration
	tail      int
	pattern   string

	grep *regexp.Regexp // nil means every line
	q    *ask.Desk
	at   cluster.Cluster // where they are
	tops []object.Object // of which the pods are

	mu    sync.Mutex
	heard map[string]bool // guarded by mu; containers, by pod's UID and name
	all   sync.WaitGroup
}

// What bounds the logs of a command.
const (
	maxVoices = 100      // containers
	maxSpoken = 64 << 10 // bytes of a line
	maxHeard  = 16 << 20 // bytes of what a container has said, if that is not followed
)

func logsCommand(d *desk) *cobra.Command {
	h := &hearing{desk: d}
	cmd := &cobra.Command{
		Use:   "logs UNIT|KIND/NAME",
		Short: "Show what the pods of a unit or of an object say",
		Long: `Logs shows what the containers of pods say: of all pods that a unit's objects have made,
of those of one object, or of one pod. What several say is put in order of time, each
line with the pod and the container before it.

With --follow it goes on, also with pods that come later.`,
		Example: `  sane logs apps
  sane logs deploy/web -c main -f
  sane logs apps --since 10m --grep 'error|panic'`,
		ValidArgsFunction: d.completeWhy,
		RunE:              func(cmd *cobra.Command, args []string) error { return h.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.StringVarP(&h.container, "container", "c", "", "only the containers of this `NAME`")
	f.BoolVarP(&h.follow, "follow", "f", false, "go on with what they will say")
	f.BoolVarP(&h.previous, "previous", "p", false, "what they said before they were started again")
	f.DurationVar(&h.since, "since", 0, "nothing older than this `TIME`, such as 10m (default all)")
	f.IntVar(&h.tail, "tail", 0, "only the last `N` lines of each container (default all)")
	f.StringVar(&h.pattern, "grep", "", "only lines that match this `REGEXP`")
	return cmd
}

func (h *hearing) run(ctx context.Context, args []string) (err error) {
	if h.pattern != "" {
		if h.grep, err = regexp.Compile(h.pattern); err != nil {
			return fmt.Errorf("logs: --grep: %w", err)
		}
	}
	switch {
	case h.follow && h.previous:
		return errors.New("logs: what was said before can't be followed: choose --follow or --previous")
	case h.since < 0 || h.tail < 0:
		return errors.New("logs: --since and --tail can't be negative")
	}
	kind, name, err := about(h.Language, args)
	if err != nil {
		return fmt.Errorf("logs: %w", err)
	}
	var at *Place
	if h.q, at, err = h.questioning(); err != nil {
		return err
	}
	id, err := h.find(ctx, at, kind, name)
	if err != nil {
		return fmt.Errorf("logs: %w", err)
	}
	if h.tops, err = h.speakers(ctx, id); err != nil {
		return err
	}
	h.heard = make(map[string]bool)
	voices, err := h.voices(ctx)
	switch {
	case err != nil:
		return err
	case len(voices) == 0 && !h.follow:
		return fmt.Errorf("logs: %s has no pods%s", id, h.called())
	case h.follow:
		return h.listen(ctx, voices)
	}
	return h.recite(ctx, voices)
}

func (h *hearing) called() string {
	if h.container == "" {
		return ""
	}
	return fmt.Sprintf(" with a container called %q", h.container)
}

// speakers returns the objects of which the pods are heard: all of a unit's, or the
// one.
func (h *hearing) speakers(ctx context.Context, id object.ID) ([]object.Object, error) {
	o, err := ask.Must(ctx, h.q.Cluster, id)
	if err != nil {
		return nil, err
	}
	h.at = h.q.Cluster
	n, ours := h.Language.Noun(id.Kind)
	switch {
	case !ours:
		return []object.Object{o}, nil
	case n.Feed:
		return nil, fmt.Errorf("logs: a %s has no pods", id.Kind.Name)
	}
	if h.at, err = h.q.Where(ctx, o); err != nil {
		return nil, fmt.Errorf("logs: the objects of %s: %w", id, err)
	}
	var out []object.Object
	for _, id := range h.q.Dialect.RecallUnit(o).Owned.IDs() {
		if id.Kind.Group != "apps" && id.Kind.Group != "batch" && id.Kind.Name != "Pod" {
			continue
		}
		made, there, err := h.at.Get(ctx, id)
		switch {
		case err != nil:
			fmt.Fprintf(h.err, "sane: %s: %s\n", id, safe(err.Error()))
		case there:
			out = append(out, made)
		}
	}
	return out, nil
}

// A speaker is a container of a pod.
type speaker struct {
	pod       object.ID
	container string
}

func (s speaker) String() string { return s.pod.Name + "/" + s.container }

// voices returns the containers that have not been heard yet.
func (h *hearing) voices(ctx context.Context) ([]speaker, error) {
	var out []speaker
	for _, o := range h.tops {
		pods, err := ask.Pods(ctx, h.at, o)
		if err != nil {
			return nil, err
		}
		for _, p := range pods {
			out = append(out, h.containers(p)...)
		}
	}
	return out, nil
}

func (h *hearing) containers(pod object.Object) []speaker {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []speaker
	for _, c := range ask.Containers(pod) {
		key := pod.UID() + "/" + c.Name
		if h.container != "" && c.Name != h.container || h.heard[key] || h.follow && !started(pod, c.Name) {
			continue
		}
		if len(h.heard) == maxVoices {
			fmt.Fprintf(h.err, "sane: more than %d containers: name an object, or one of them with -c\n", maxVoices)
		}
		if h.heard[key] = true; len(h.heard) <= maxVoices {
			out = append(out, speaker{pod.ID(), c.Name})
		}
	}
	return out
}

// started reports whether a container has said anything yet, as far as its pod
// tells: a log of what was not started can't be followed.
func started(pod object.Object, container string) bool {
	for _, field := range []string{"initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"} {
		v, _ := pod.Get("status", field)
		list, _ := v.([]any)
		for _, s := range list {
			m, _ := s.(map[string]any)
			c := object.Of(m)
			_, waits := c.Get("state", "waiting")
			if c.Text("name") == container {
				return !waits
			}
		}
	}
	return false
}

// A spoken is a line that a container has said.
type spoken struct {
	at   time.Time
	from speaker
	text string
}

// recite prints what has been said, in order of time.
func (h *hearing) recite(ctx context.Context, voices []speaker) error {
	var lines []spoken
	var errs []error
	for _, v := range voices {
		h.all.Go(func() {
			var mine []spoken
			err := h.hear(ctx, v, func(l spoken) { mine = append(mine, l) })
			h.mu.Lock()
			defer h.mu.Unlock()
			if lines = append(lines, mine...); err != nil {
				errs = append(errs, fmt.Errorf("logs of %s: %w", v, err))
			}
		})
	}
	h.all.Wait()
	slices.SortStableFunc(lines, func(a, b spoken) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return strings.Compare(a.from.String(), b.from.String())
	})
	for _, l := range lines {
		h.print(l, len(voices) > 1)
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return failed(errs)
}

// listen prints what is said until ctx is done, also by pods that come.
func (h *hearing) listen(ctx context.Context, voices []speaker) error {
	ctx, stop := context.WithCancel(ctx)
	defer h.all.Wait()
	defer stop()
	attend := func(voices []speaker) {
		for _, v := range voices {
			h.all.Go(func() {
				if err := h.hear(ctx, v, func(l spoken) { h.print(l, true) }); err != nil && ctx.Err() == nil {
					fmt.Fprintf(h.err, "sane: logs of %s: %s\n", v, safe(err.Error()))
				}
			})
		}
	}
	attend(voices)
	pods := h.newPods(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-pods:
			more, err := h.voices(ctx)
			if err != nil && ctx.Err() == nil {
				fmt.Fprintf(h.err, "sane: %s\n", safe(err.Error()))
			}
			attend(more)
		}
	}
}

// newPods tells when there may be pods that were not there before.
func (h *hearing) newPods(ctx context.Context) <-chan struct{} {
	news := make(chan struct{}, 1)
	var namespaces []string
	for _, o := range h.tops {
		if !slices.Contains(namespaces, o.Namespace()) {
			namespaces = append(namespaces, o.Namespace())
		}
	}
	for _, ns := range namespaces {
		h.all.Go(func() {
			for ch, err := range h.at.Watch(ctx, cluster.Selection{Kind: podKind, Namespace: ns}) {
				if err != nil {
					fmt.Fprintf(h.err, "sane: pods that come are not heard: %s\n", safe(err.Error()))
				}
				if err == nil && ch.Type == cluster.Put {
					select {
					case news <- struct{}{}:
					default:
					}
				}
			}
		})
	}
	return news
}

var podKind = object.Kind{Name: "Pod"}

// hear calls say for each line of a log that is asked for.
func (h *hearing) hear(ctx context.Context, v speaker, say func(spoken)) error {
	opts := cluster.LogOptions{Container: v.container, Follow: h.follow, Previous: h.previous, Timestamps: true, Tail: h.tail}
	if h.since > 0 {
		opts.Since = h.now().Add(-h.since)
	}
	if !h.follow {
		opts.Limit = maxHeard
	}
	log, err := h.at.Logs(ctx, v.pod, opts)
	if err != nil {
		return err
	}
	defer log.Close()
	in := bufio.NewReaderSize(log, maxSpoken)
	for {
		text, err := beginning(in)
		if len(text) > 0 || err == nil {
			if l := spokenBy(v, text); h.grep == nil || h.grep.MatchString(l.text) {
				say(l)
			}
		}
		switch {
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
	}
}

// beginning returns a line, or as much of it as is shown.
func beginning(in *bufio.Reader) (string, error) {
	text, err := in.ReadSlice('\n')
	line := string(bytes.TrimRight(text, "\r\n"))
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = in.ReadSlice('\n')
	}
	return line, err
}

func spokenBy(v speaker, text string) spoken {
	at, rest, ok := strings.Cut(text, " ")
	t, err := time.Parse(time.RFC3339Nano, at)
	if !ok || err != nil {
		return spoken{from: v, text: text}
	}
	return spoken{t, v, rest}
}

// print prints a line, after who has said it if there are several.
func (h *hearing) print(l spoken, several bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	who := ""
	if several {
		who = h.out.paint(faint, l.from.String()+" |") + " "
	}
	fmt.Fprintln(h.out, who+shown(strings.ReplaceAll(strings.ToValidUTF8(l.text, "\uFFFD"), "\t", "    ")))
}

package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
)

// A story is what people see of a demo: a line for everything that happens,
// with the time since the chapter began. It is a [Sink]: it hears of units what
// the controller tells everybody.
type story struct {
	out screen
	now func() time.Time

	news chan struct{} // holds a token if told has changed

	mu   sync.Mutex
	from time.Time               // guarded by mu; when the chapter began
	ours bool                    // guarded by mu; pushes are ours, not the user's
	did  map[string][]string     // guarded by mu; by unit, what was done since it was ready
	told map[string]string       // guarded by mu; by unit, the revision that it was last told to be ready at
	gone map[object.ID]time.Time // guarded by mu; Deployments, and when they went
}

func newStory(out screen, now func() time.Time) *story {
	return &story{
		out: out, now: now, from: now(), ours: true,
		did: make(map[string][]string), told: make(map[string]string), news: make(chan struct{}, 1), gone: make(map[object.ID]time.Time),
	}
}

// chapter begins a chapter and returns when that was.
func (s *story) chapter(title string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begin(title, s.now())
}

// begin begins a chapter that began at a time. s.mu is held.
func (s *story) begin(title string, at time.Time) time.Time {
	s.from = at
	io.WriteString(s.out, "\n"+s.out.paint(bold, title)+"\n")
	return at
}

// say tells that something has just happened to somebody.
func (s *story) say(c colour, who, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line(s.now(), c, who, what)
}

var marks = map[colour]string{green: "●", red: "✗", yellow: "!", plain: " "}

// most is how long a line is where nobody says how long it may be.
const most = 120

// line writes a line. s.mu is held.
func (s *story) line(at time.Time, c colour, who, what string) {
	width := most
	if s.out.live {
		width = s.out.width() - 1
	}
	what = oneLine(what)
	if c == red { // all of it
		what = s.out.paint(c, what)
	} else {
		what = clip(what, width-35)
	}
	took := fmt.Sprintf("%7.2fs", max(at.Sub(s.from).Seconds(), 0))
	fmt.Fprintf(s.out, "%s  %s %-21s %s\n", s.out.paint(faint, took), s.out.paint(c, marks[c]), who, what)
}

// pushed tells that a push has come in. Those that are not our own begin a
// chapter.
func (s *story) pushed(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ours {
		s.begin("A push", at)
	}
	s.line(s.now(), green, "Git server", "has it, and tells the controller")
}

// open leaves pushes to others.
func (s *story) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ours = false
}

// Report implements [report.Sink]. Of units that had nothing to do it says
// nothing.
func (s *story) Report(e report.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, who := s.now(), e.About.Name
	switch {
	case e.Severity == report.Error:
		s.line(now, red, who, e.Message)
	case e.Severity != report.Info:
	case e.Reason == "NewArtifact":
		s.line(now, green, "source "+who, e.Message)
	case e.Reason == "Progressing" && e.Message != "Health check passed":
		for line := range strings.SplitSeq(e.Message, "\n") {
			if !slices.Contains(s.did[who], line) { // it may have begun again
				s.did[who] = append(s.did[who], line)
			}
		}
	case e.Reason == "ReconciliationSucceeded":
		if len(s.did[who]) > 0 {
			s.line(now, green, who, "ready: "+didWords(s.did[who]))
		}
		delete(s.did, who)
		s.told[who] = e.Meta[groupOf(e.About.APIVersion)+"/revision"]
		select {
		case s.news <- struct{}{}:
		default:
		}
	}
}

func groupOf(apiVersion string) string {
	group, _, _ := strings.Cut(apiVersion, "/")
	return group
}

// catchUp waits a moment for the news that units are ready at a commit: the
// controller tells it just after it has told the cluster.
func (s *story) catchUp(units []object.Object, commit string) {
	enough := time.After(time.Second)
	for !s.caughtUp(units, commit) {
		select {
		case <-s.news:
		case <-enough:
			return
		}
	}
}

func (s *story) caughtUp(units []object.Object, commit string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(units, func(o object.Object) bool { return !strings.HasSuffix(s.told[o.Name()], commit) })
}

// didWords tells changes such as "Deployment/apps/web created" in short:
// "created Deployment/apps/web".
func didWords(changes []string) string {
	var words []string
	last := ""
	for _, c := range changes {
		what, done, _ := strings.Cut(c, " ")
		if done != last {
			what = done + " " + what
		}
		last = done
		words = append(words, what)
	}
	return strings.Join(words, ", ")
}

// Run implements [Sink]. Nothing is left for later.
func (s *story) Run(context.Context) error { return nil }

// Dropped implements [Sink].
func (s *story) Dropped() int64 { return 0 }

// heard tells of a Deployment that came back.
func (s *story) heard(ch cluster.Change) {
	id := ch.Object.ID()
	if id.Kind != deployments {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	at, was := s.gone[id]
	switch {
	case ch.Type == cluster.Gone:
		s.gone[id] = now
	case was:
		delete(s.gone, id)
		s.line(now, green, "the cluster", fmt.Sprintf("%s was gone for %s", id, brief(now.Sub(at))))
	}
}

// brief returns "0.87 s" or "41 ms".
func brief(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%d ms", max(d.Milliseconds(), 1))
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// tick is how the kernel counts CPU time in /proc: 100 a second on Linux,
// whatever the machine.
const tick = 10 * time.Millisecond

// A process is one process as /proc tells of it.
type process struct {
	pid, parent int
	name        string
	cpu         time.Duration // its own and that of the children that it has waited for
}

// readProcess reads /proc/PID/stat.
func readProcess(pid int) (process, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	return parseStat(string(data))
}

// parseStat parses /proc/PID/stat. The name, in parentheses, may hold anything.
func parseStat(s string) (process, error) {
	open, end := strings.IndexByte(s, '('), strings.LastIndexByte(s, ')')
	if open < 0 || end < open {
		return process{}, fmt.Errorf("no name in %q", s)
	}
	p := process{name: s[open+1 : end]}
	var err error
	if p.pid, err = strconv.Atoi(strings.TrimSpace(s[:open])); err != nil {
		return process{}, err
	}
	f := strings.Fields(s[end+1:]) // from the third field, the state
	if len(f) < 15 {
		return process{}, fmt.Errorf("too few fields in %q", s)
	}
	if p.parent, err = strconv.Atoi(f[1]); err != nil {
		return process{}, err
	}
	for _, field := range f[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return process{}, err
		}
		p.cpu += time.Duration(n) * tick
	}
	return p, nil
}

// Memory is what a process tree holds.
type Memory struct {
	Own    int64 // bytes that no other process has: anonymous memory
	Mapped int64 // bytes of files, such as programs; counted once for each program
}

// Total is how much of the machine the tree takes: what the sum of Pss would
// say, at a fraction of its cost.
func (m Memory) Total() int64 { return m.Own + m.Mapped }

// A tree is a process and all that descend from it.
type tree struct {
	root int

	mu      sync.Mutex
	parents map[int]int // guarded by mu; by pid, of all that were there the last time
}

// members returns the ids of the tree's processes. A process whose parent has
// died without waiting for it is lost.
func (t *tree) members() []int {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	parents := make(map[int]int, len(dirs))
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		if parent, ok := t.parents[pid]; ok {
			parents[pid] = parent
		} else if p, err := readProcess(pid); err == nil {
			parents[pid] = p.parent
		}
	}
	t.parents = parents
	var in []int
	for pid := range parents {
		if t.descends(pid) {
			in = append(in, pid)
		}
	}
	return in
}

// named returns the names of the tree's processes by their ids.
func (t *tree) named() map[int]string {
	names := make(map[int]string)
	for _, pid := range t.members() {
		if p, err := readProcess(pid); err == nil {
			names[pid] = p.name
		}
	}
	return names
}

// descends reports whether a process is of the tree. t.mu is held.
func (t *tree) descends(pid int) bool {
	for range 32 {
		if pid == t.root {
			return true
		}
		parent, ok := t.parents[pid]
		if !ok || pid <= 1 {
			return false
		}
		pid = parent
	}
	return false
}

// cpu returns the CPU time of the tree since it began. The time of a process
// that has died is part of its parent's.
func (t *tree) cpu() time.Duration {
	var sum time.Duration
	for _, pid := range t.members() {
		if p, err := readProcess(pid); err == nil {
			sum += p.cpu
		}
	}
	return sum
}

// memory returns what the tree holds now.
func (t *tree) memory() Memory {
	var sum Memory
	mapped := make(map[string]int64) // by program
	for _, pid := range t.members() {
		resident, shared, err := readPages(pid)
		if err != nil {
			continue
		}
		sum.Own += resident - shared
		program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if err != nil {
			program = strconv.Itoa(pid)
		}
		mapped[program] = max(mapped[program], shared)
	}
	for _, n := range mapped {
		sum.Mapped += n
	}
	return sum
}

// readPages returns what a process has in memory, and how much of it are files.
func readPages(pid int) (resident, shared int64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, 0, err
	}
	f := strings.Fields(string(data))
	if len(f) < 3 {
		return 0, 0, errors.New("too few fields")
	}
	if resident, err = strconv.ParseInt(f[1], 10, 64); err != nil {
		return 0, 0, err
	}
	if shared, err = strconv.ParseInt(f[2], 10, 64); err != nil {
		return 0, 0, err
	}
	page := int64(os.Getpagesize())
	return resident * page, shared * page, nil
}

// pss returns the sum of what /proc/PID/smaps_rollup says of the tree. It is
// exact, and dear: the kernel walks all pages.
func (t *tree) pss() int64 {
	var sum int64
	for _, pid := range t.members() {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue
		}
		sum += parsePss(string(data))
	}
	return sum
}

func parsePss(s string) int64 {
	for line := range strings.Lines(s) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

// A sampler looks at a tree's memory ten times a second.
type sampler struct {
	mu   sync.Mutex
	tree *tree  // guarded by mu; nil while there is none
	now  Memory // guarded by mu
	peak Memory // guarded by mu; since the last reset
	all  Memory // guarded by mu; the peak of all time
}

const sampled = 100 * time.Millisecond

// run samples until ctx is done.
func (s *sampler) run(ctx context.Context) {
	beat := time.NewTicker(sampled)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			s.look()
		}
	}
}

func (s *sampler) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tree == nil {
		return
	}
	s.now = s.tree.memory()
	if s.now.Total() > s.peak.Total() {
		s.peak = s.now
	}
	if s.peak.Total() > s.all.Total() {
		s.all = s.peak
	}
}

// follow has the sampler look at another tree; nil for none.
func (s *sampler) follow(t *tree) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tree, s.now = t, Memory{}
}

// reset forgets the peak and returns what it was.
func (s *sampler) reset() Memory {
	s.look()
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.peak
	s.peak = s.now
	return was
}

// steady returns the least memory seen during a while.
func (s *sampler) steady(ctx context.Context, while time.Duration) Memory {
	ctx, stop := context.WithTimeout(ctx, while)
	defer stop()
	beat := time.NewTicker(sampled)
	defer beat.Stop()
	var least Memory
	for {
		s.mu.Lock()
		if now := s.now; least.Total() == 0 || now.Total() > 0 && now.Total() < least.Total() {
			least = now
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return least
		case <-beat.C:
		}
	}
}

// most returns the peak of all time.
func (s *sampler) most() Memory {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

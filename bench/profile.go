package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// profile begins to take CPU profiles of the controller, one after the other,
// if that is asked for. What it returns ends that. `go tool pprof` adds up the
// profiles that it is given.
func (s *stage) profile(workload string) (end func()) {
	if s.Profiles == "" {
		return func() {}
	}
	ctx, stop := context.WithCancel(context.Background())
	var profiling sync.WaitGroup
	profiling.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			file := filepath.Join(s.Profiles, fmt.Sprintf("%s-%d-%03d.pb.gz", workload, s.n, i))
			if err := s.profileOnce(file); err != nil { // there is no controller yet, or it is stopped
				i--
				select {
				case <-ctx.Done():
				case <-time.After(sampled):
				}
			}
		}
	})
	return func() { stop(); profiling.Wait() }
}

// profileOnce takes one profile, to its end.
func (s *stage) profileOnce(file string) error {
	page, err := s.running.Load().page(context.Background(), "/debug/pprof/profile?seconds=2")
	if err != nil {
		return err
	}
	return os.WriteFile(file, page, 0o600)
}

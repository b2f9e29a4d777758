package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/report/journal"
)

// A timeline is what a daemon remembers of what happened, as its flags have it.
type timeline struct {
	age  time.Duration
	size int // in MiB

	journal *journal.Journal // nil if nothing is remembered
	others  bool             // may have been told of what happened
}

func (t *timeline) flags(fs *pflag.FlagSet) {
	fs.DurationVar(&t.age, "timeline-max-age", 30*24*time.Hour, "for how long what happened is remembered, in timeline.db of --data-dir, for the pages; 0 for none of it")
	fs.IntVar(&t.size, "timeline-max-size", 128, "`MIB` that it may have, about; 0 for none of it")
}

func (t *timeline) check() error {
	if t.age < 0 || t.size < 0 {
		return fmt.Errorf("--timeline-max-age %s, --timeline-max-size %d: want neither to be less than nothing", t.age, t.size)
	}
	return nil
}

// open begins to remember, in dir. Close writes what is not written yet.
func (t *timeline) open(dir string, log *slog.Logger) (closing func() error, err error) {
	if t.age == 0 || t.size == 0 {
		return func() error { return nil }, nil
	}
	c := journal.Config{Path: filepath.Join(dir, "timeline.db"), Age: t.age, Size: int64(t.size) << 20, Log: log}
	if t.journal, err = journal.Open(c); err != nil {
		return nil, err
	}
	stop := t.during(context.Background(), func(ctx context.Context) { _ = t.journal.Run(ctx) }) // it ends when it is told to
	return func() error {
		stop()
		return t.journal.Close()
	}, nil
}

// during does something with the journal, if there is one, until ctx is done or
// stop is called, which waits for it.
func (t *timeline) during(ctx context.Context, do func(context.Context)) (stop func()) {
	if t.journal == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() { do(ctx) })
	return func() {
		cancel()
		all.Wait()
	}
}

// memory is where it is still told what happened in a place.
func memory(p *Place, says dialect.Dialect) journal.Memory {
	return journal.Memory{Cluster: p.Cluster, Dialect: says, Namespace: p.Namespace}
}

// recall makes up a journal, in memory, of what is told in a place, until ctx is
// done.
func recall(ctx context.Context, j *journal.Journal, m journal.Memory) error {
	var all sync.WaitGroup
	all.Go(func() { _ = j.Run(ctx) }) // it ends with ctx
	j.Follow(ctx, m)
	all.Wait()
	return errors.Join(ctx.Err(), j.Close())
}

package bench

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/internal/gitserver"
)

const (
	monoNamespace = "sane-bench-mono"
	monoName      = "monorepo"
	monoCommits   = 10 // that are measured, at the most
)

// monorepo measures a big repository: how long it takes to fetch it, and how
// long a commit to one file takes to be applied.
func monorepo(ctx context.Context, s *stage) (o Outcome, err error) {
	m := &mono{stage: s}
	if err := m.fill(ctx, &o); err != nil {
		return o, err
	}
	if err := s.makeNamespace(ctx, monoNamespace); err != nil {
		return o, err
	}
	if err := m.lookOut(ctx); err != nil {
		return o, err
	}
	defer m.close()
	if err := m.fetch(ctx, &o); err != nil {
		return o, err
	}
	if err := m.sync(ctx, &o); err != nil {
		return o, err
	}
	return o, m.commits(ctx, &o)
}

// A mono is the big repository, in a namespace of its own.
type mono struct {
	*stage
	revision    string
	feeds       *lookout[feedFact]
	units       *lookout[unitFact]
	deployments *lookout[deploymentFact]
}

func (m *mono) lookOut(ctx context.Context) (err error) {
	if m.feeds, err = look(ctx, m.cluster, cluster.Selection{Kind: gitRepository, Namespace: monoNamespace}, feedFactOf); err != nil {
		return err
	}
	if m.units, err = look(ctx, m.cluster, cluster.Selection{Kind: kustomization, Namespace: monoNamespace}, unitFactOf); err != nil {
		return err
	}
	m.deployments, err = look(ctx, m.cluster, cluster.Selection{Kind: deployment, Namespace: monoNamespace}, deploymentFactOf)
	return err
}

func (m *mono) close() {
	m.feeds.close()
	m.units.close()
	m.deployments.close()
}

func (m *mono) url() string { return m.forge.url + monoName }

// fill makes the repository, packed as a forge would have it.
func (m *mono) fill(ctx context.Context, o *Outcome) (err error) {
	m.log.Info("making the monorepo", "files", m.Files, "commits", m.History)
	if m.revision, err = m.forge.fill(monoName, m.history()); err != nil {
		return err
	}
	path := m.forge.Path(monoName)
	if _, err := git(ctx, "-C", path, "gc", "--quiet"); err != nil {
		return err
	}
	o.note("%d files beside those of %d units, %d commits", m.Files, m.n, m.History)
	return nil
}

// history yields the commits: all files in the first one, then a change to one
// of them in each.
func (m *mono) history() iter.Seq[gitserver.Commit] {
	return func(yield func(gitserver.Commit) bool) {
		random := rand.New(rand.NewPCG(1, 2))
		c := m.unitsCommit(m.n, monoNamespace, m.nextVersion())
		for i := range m.Files {
			c.Files[otherPath(i)] = otherText(random)
		}
		for i := range m.History {
			if !yield(c) {
				return
			}
			c = gitserver.Commit{Message: fmt.Sprintf("change %d", i), Files: map[string]string{
				otherPath(random.IntN(max(m.Files, 1))): otherText(random),
			}}
		}
	}
}

func otherPath(i int) string {
	return fmt.Sprintf("src/team-%02d/service-%02d/file-%05d.go", i%20, i/20%50, i)
}

// otherText is about 600 bytes that compress like text does.
func otherText(random *rand.Rand) string {
	words := []string{"func", "return", "if", "err", "nil", "range", "package", "string", "context", "for", "type", "struct"}
	var b strings.Builder
	for b.Len() < 600 {
		fmt.Fprintf(&b, "%s %x\n", words[random.IntN(len(words))], random.Uint32())
	}
	return b.String()
}

// fetch measures the first fetch.
func (m *mono) fetch(ctx context.Context, o *Outcome) error {
	var cloned Sample
	for range 3 {
		if err := os.RemoveAll(m.clone()); err != nil {
			return err
		}
		d, err := git(ctx, "clone", "--quiet", "--bare", "--depth", "1", m.url(), m.clone())
		if err != nil {
			return err
		}
		cloned = append(cloned, d)
	}
	here := m.feeds.expect([]string{monoName}, func(f feedFact) bool { return f.revision == m.revision })
	u, err := m.measure(ctx, func() (time.Time, error) {
		if err := m.create(ctx, repository(monoNamespace, monoName, m.url(), hour)); err != nil {
			return time.Time{}, err
		}
		return here.wait(ctx)
	})
	if err != nil {
		return err
	}
	o.use("first fetch", u)
	least := took(cloned.Median())
	o.Rows = append(o.Rows, Row{Workload: "monorepo", What: "first fetch", Measured: Quantity{u.Seconds, Seconds}, Floor: least,
		Goal: Goal{"≤ 1.5 × git clone", 1.5 * least.Value}})
	o.note("first fetch: peak memory %s", size(float64(u.Peak.Total())))
	return nil
}

// clone is where git keeps its copy for comparison.
func (m *mono) clone() string { return filepath.Join(m.dir, "compare.git") }

// sync brings up all units of the repository.
func (m *mono) sync(ctx context.Context, o *Outcome) error {
	ready := m.units.expect(unitNames(m.n), readyAt(m.revision))
	u, err := m.measure(ctx, func() (time.Time, error) {
		if err := m.createUnits(ctx, monoNamespace, monoName, 0, m.n); err != nil {
			return time.Time{}, err
		}
		return ready.wait(ctx)
	})
	if err != nil {
		return err
	}
	o.use("first sync", u)
	o.note("sync of its %d units, the making of their Kustomizations included: %s", m.n, Quantity{u.Seconds, Seconds})
	return nil
}

// commits measures commits to one file, each also fetched by git for
// comparison, before the controller knows of it.
func (m *mono) commits(ctx context.Context, o *Outcome) error {
	var fetched, applied Sample
	count := min(monoCommits, m.Commits)
	u, err := m.measure(ctx, func() (time.Time, error) {
		for i := range count {
			if err := m.rest(ctx); err != nil {
				return time.Time{}, err
			}
			f, a, err := m.commitOnce(ctx, m.pick(i))
			if err != nil {
				return time.Time{}, fmt.Errorf("commit %d of %d: %w", i+1, count, err)
			}
			fetched, applied = append(fetched, f), append(applied, a)
		}
		return time.Now(), nil
	})
	if err != nil {
		return err
	}
	o.use("commits", u)
	most := 2*fetched.Median().Seconds() + 25*m.floor.R.Seconds()
	o.Rows = append(o.Rows, Row{Workload: "monorepo", What: "one-file commit to applied, median", Measured: took(applied.Median()),
		Floor: took(fetched.Median()), Goal: Goal{fmt.Sprintf("≤ 2 × git fetch + 25 R = %s", seconds(most)), most}})
	o.note("one-file commit to applied: p50 %s, p99 %s, of %d; git fetch of it: p50 %s, p99 %s", took(applied.Median()), took(applied.At(99)),
		len(applied), took(fetched.Median()), took(fetched.At(99)))
	return nil
}

func (m *mono) commitOnce(ctx context.Context, unit int) (fetched, applied time.Duration, err error) {
	version := m.nextVersion()
	if m.revision, err = m.forge.push(monoName, deploymentChange(unit, monoNamespace, version)); err != nil {
		return 0, 0, err
	}
	if fetched, err = git(ctx, "-C", m.clone(), "fetch", "--quiet", "--depth", "1", "origin", "main"); err != nil {
		return 0, 0, err
	}
	change := m.deployments.expect([]string{unitName(unit)}, func(f deploymentFact) bool { return f.image == image(version) })
	settled := m.units.expect(unitNames(m.n), readyAt(m.revision))
	began := time.Now()
	if err := m.notice(ctx, monoNamespace, monoName); err != nil {
		return 0, 0, err
	}
	at, err := change.wait(ctx)
	if err != nil {
		return 0, 0, err
	}
	_, err = settled.wait(ctx)
	return fetched, at.Sub(began), err
}

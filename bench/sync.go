package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// hour is the interval of what should not be looked at by itself.
const hour = "1h"

// prepare puts the units into the forge, and what asks for them into the cluster.
func (s *stage) prepare(ctx context.Context) (err error) {
	if s.revision, err = s.forge.fill(reposName, one(s.unitsCommit(2*s.n, benchNamespace, s.nextVersion()))); err != nil {
		return err
	}
	if err := s.create(ctx, repository(benchNamespace, reposName, s.forge.url+reposName, hour)); err != nil {
		return err
	}
	if err := s.createUnits(ctx, benchNamespace, reposName, 0, s.n); err != nil {
		return err
	}
	return s.lookOut(ctx)
}

func (s *stage) create(ctx context.Context, o object.Object) error {
	_, err := s.cluster.Apply(ctx, o, bare)
	return err
}

// createUnits makes the Kustomizations of count units from the given one on.
func (s *stage) createUnits(ctx context.Context, ns, repo string, from, count int) error {
	return s.inParallel(ctx, count, func(ctx context.Context, i int) error {
		return s.create(ctx, unitOf(ns, unitName(from+i), repo, unitPath(from+i), hour))
	})
}

// first measures how long a controller that starts takes to sync all units.
func first(ctx context.Context, s *stage) (o Outcome, err error) {
	ready := s.units.expect(unitNames(s.n), readyAt(s.revision))
	here := s.feeds.expect([]string{reposName}, func(f feedFact) bool { return f.revision == s.revision })
	var began time.Time
	u, err := s.measure(ctx, func() (time.Time, error) {
		began = time.Now()
		if err := s.startController(ctx); err != nil {
			return time.Time{}, err
		}
		return ready.wait(ctx)
	})
	if err != nil {
		return o, err
	}
	o.use("first", u)
	o.note("of it, from the controller's start until the GitRepository has a revision: %s", took(here.when(reposName).Sub(began)))
	o.againstFloor("first", "sync of all", u, s.floor.First, 2.5)
	return o, s.verify(ctx, s.imageOf())
}

// againstFloor adds the row of a workload that has a bare loop to compare it with.
func (o *Outcome) againstFloor(workload, what string, u Usage, floor Cost, most float64) {
	least := Quantity{floor.Seconds, Seconds}
	o.Rows = append(o.Rows, Row{Workload: workload, What: what, Measured: Quantity{u.Seconds, Seconds}, Floor: least, Goal: times(most, least)})
	o.note("CPU seconds of the API server: %.3g, and %.3g for the bare loop; of the client: %.3g, and %.3g",
		u.Server, floor.Server, u.Controller, floor.Client)
	if u.Seconds < floor.Seconds {
		o.note("faster than the least that it takes: something else was using the machine, and the ratio means nothing")
	}
}

// upgrade measures how long it takes until a commit that changes each unit is
// applied everywhere.
func upgrade(ctx context.Context, s *stage) (o Outcome, err error) {
	version := s.nextVersion()
	files := make(map[string]string)
	for i := range s.n {
		for name, text := range deploymentChange(i, benchNamespace, version) {
			files[name] = text
		}
	}
	if s.revision, err = s.forge.push(reposName, files); err != nil {
		return o, err
	}
	ready := s.units.expect(unitNames(s.n), readyAt(s.revision))
	here := s.feeds.expect([]string{reposName}, func(f feedFact) bool { return f.revision == s.revision })
	var began time.Time
	u, err := s.measure(ctx, func() (time.Time, error) {
		began = time.Now()
		if err := s.notice(ctx, benchNamespace, reposName); err != nil {
			return time.Time{}, err
		}
		return ready.wait(ctx)
	})
	if err != nil {
		return o, err
	}
	o.use("upgrade", u)
	o.note("of it, until the GitRepository has the revision: %s", took(here.when(reposName).Sub(began)))
	o.againstFloor("upgrade", "of all, one object each", u, s.floor.Upgrade, 2)
	return o, s.verify(ctx, s.imageOf())
}

// imageOf returns the image that was pushed last.
func (s *stage) imageOf() string { return image(fmt.Sprintf("v%d", s.version)) }

// verify returns an error unless the Deployments of all units have an image:
// a controller that only says so does not count.
func (s *stage) verify(ctx context.Context, image string) error {
	right := 0
	sel := cluster.Selection{Kind: deployment, Namespace: benchNamespace, Labels: "app.kubernetes.io/part-of=bench"}
	for o, err := range s.cluster.List(ctx, sel) {
		if err != nil {
			return err
		}
		if deploymentFactOf(o).image == image {
			right++
		}
	}
	if right < s.n {
		return fmt.Errorf("all units are said to be ready, but %d of %d Deployments do not have %s", s.n-right, s.n, image)
	}
	return nil
}

// commit measures commits that touch one unit each: how long until the change
// is in the cluster, and how long until all units report the revision.
func commit(ctx context.Context, s *stage) (o Outcome, err error) {
	deployments, err := s.lookAtDeployments(ctx)
	if err != nil {
		return o, err
	}
	defer deployments.close()
	var t commitTimes
	u, err := s.measure(ctx, func() (time.Time, error) {
		for i := range s.Commits {
			if err := s.commitOnce(ctx, deployments, s.pick(i), &t); err != nil {
				return time.Time{}, fmt.Errorf("commit %d of %d: %w", i+1, s.Commits, err)
			}
		}
		return time.Now(), nil
	})
	if err != nil {
		return o, err
	}
	o.use("commits", u)
	settle := took(t.settled.Median())
	least := Quantity{s.floor.Settle.Seconds, Seconds}
	o.Rows = []Row{
		{Workload: "commit", What: "source's notice to change in the API, p99", Measured: took(t.status.At(99)), Goal: s.inR(25)},
		{Workload: "commit", What: "last byte fetched to change in the API, p99", Measured: took(t.fetched.At(99)), Goal: s.inR(25)},
		{Workload: "commit", What: "all units report it, median", Measured: settle, Floor: least, Goal: times(1.5, least)},
	}
	o.counted("commit", "requests about managed objects beyond its own apply", float64(u.Requests.Count(about)), u.ToldAbout, float64(s.Commits))
	if u.Renders >= 0 {
		o.Rows = append(o.Rows, Row{Workload: "commit", What: "renders for each commit",
			Measured: Quantity{u.Renders / float64(s.Commits), Count}, Goal: Goal{"1", 1}})
	}
	t.tell(&o, u, s)
	return o, nil
}

// counted adds how many requests there were beyond some, of which there should be
// none. The API server does not say who made a request, and lists all Services
// itself every three minutes; so what counts is the controller's own count, if it
// tells, and the server's stands beside it.
func (o *Outcome) counted(workload, what string, server, told, some float64) {
	goal := none
	if told >= 0 {
		o.Rows = append(o.Rows, Row{Workload: workload, What: what, Measured: Quantity{told - some, Count}, Goal: none})
		what, goal = "the same by the API server, its own included", Goal{}
	}
	o.Rows = append(o.Rows, Row{Workload: workload, What: what, Measured: Quantity{server - some, Count}, Goal: goal})
}

// commitTimes are how long commits took.
type commitTimes struct {
	pushed  Sample // from the request for a look, after the push, to the change in the API
	fetched Sample // from the last byte that the forge gave to the change in the API: no notice can be earlier
	status  Sample // from the sight of the new revision in the GitRepository's status, which is the notice, to that of the change
	settled Sample // from the last byte that the forge gave to the last unit's report
}

func (t *commitTimes) tell(o *Outcome, u Usage, s *stage) {
	for _, x := range []struct {
		what string
		took Sample
	}{
		{"requested look → change", t.pushed},
		{"last byte fetched → change", t.fetched},
		{"GitRepository's status seen → change seen", t.status},
		{"last byte fetched → all units report it", t.settled},
	} {
		o.note("%s: p50 %s, p99 %s, of %d", x.what, took(x.took.Median()), took(x.took.At(99)), len(x.took))
	}
	n := float64(len(t.pushed))
	o.note("for each commit: %s of the controller, %s of the API server, %.1f status writes, %.1f events",
		Quantity{u.Controller / n, CPUSeconds}, Quantity{u.Server / n, CPUSeconds},
		float64(u.Requests.Count(statusWrite))/n, float64(u.Requests.Count(event))/n)
	o.note("requests of the API about managed objects: %s", u.Requests.Where(about))
}

// pick returns a unit for the ith round: another each time, in no plain order.
func (s *stage) pick(i int) int { return (i*7919 + 13) % s.n }

// commitOnce pushes one commit and waits until all units report it.
func (s *stage) commitOnce(ctx context.Context, deployments *lookout[deploymentFact], unit int, t *commitTimes) (err error) {
	version := s.nextVersion()
	if s.revision, err = s.forge.push(reposName, deploymentChange(unit, benchNamespace, version)); err != nil {
		return err
	}
	name := unitName(unit)
	change := deployments.expect([]string{name}, func(f deploymentFact) bool { return f.image == image(version) })
	status := s.feeds.expect([]string{reposName}, func(f feedFact) bool { return f.revision == s.revision })
	settled := s.units.expect(unitNames(s.n), readyAt(s.revision))
	began := time.Now()
	if err := s.notice(ctx, benchNamespace, reposName); err != nil {
		return err
	}
	changed, err := change.wait(ctx)
	if err != nil {
		return err
	}
	fetched := s.forge.lastServed()
	noticed, err := status.wait(ctx)
	if err != nil {
		return err
	}
	last, err := settled.wait(ctx)
	if err != nil {
		return err
	}
	t.pushed = append(t.pushed, changed.Sub(began))
	t.fetched = append(t.fetched, changed.Sub(fetched))
	t.status = append(t.status, changed.Sub(noticed))
	t.settled = append(t.settled, last.Sub(fetched))
	return nil
}

// check measures what it costs to be asked to look at each unit when nothing
// has changed.
func check(ctx context.Context, s *stage) (o Outcome, err error) {
	token := token()
	seen := s.units.expect(unitNames(s.n), func(f unitFact) bool { return f.ready && f.handled == token })
	u, err := s.measure(ctx, func() (time.Time, error) {
		err := s.inParallel(ctx, s.n, func(ctx context.Context, i int) error {
			return s.request(ctx, object.ID{Kind: kustomization, Namespace: benchNamespace, Name: unitName(i)}, token)
		})
		if err != nil {
			return time.Time{}, err
		}
		return seen.wait(ctx)
	})
	if err != nil {
		return o, err
	}
	o.use("check", u)
	n := float64(s.n)
	c := Quantity{s.floor.C.Seconds(), CPUSeconds}
	o.Rows = []Row{
		{Workload: "check", What: "requests about managed objects", Measured: Quantity{float64(u.Requests.Count(about)), Count}, Goal: none},
		{Workload: "check", What: "status writes a unit", Measured: Quantity{float64(u.Requests.Count(statusWrite)) / n, Count}, Goal: Goal{"≤ 1", 1}},
		{Workload: "check", What: "controller's CPU a unit", Measured: Quantity{u.Controller / n, CPUSeconds}, Floor: c, Goal: Goal{"≤ 5 C", 5 * c.Value}},
		{Workload: "check", What: "time, the requests for it included", Measured: Quantity{u.Seconds, Seconds}},
	}
	return o, nil
}

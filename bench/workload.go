package bench

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// A Workload is something that happens to the units, and is measured.
type Workload struct {
	Name string
	What string        // in a few words
	Lone bool          // it does not need the units to be there
	Time time.Duration // it may take this long at 1,000 units, and so much more at more
	Run  func(context.Context, *stage) (Outcome, error)
}

// Workloads are all there are, in the order in which they are run.
var Workloads = []Workload{
	{Name: "first", What: "first sync of all", Lone: true, Time: 15 * time.Minute, Run: first},
	{Name: "upgrade", What: "one object of each unit changed in one commit", Time: 15 * time.Minute, Run: upgrade},
	{Name: "commit", What: "a commit that touches one unit, again and again", Time: 15 * time.Minute, Run: commit},
	{Name: "check", What: "forced check of all, nothing changed", Time: 10 * time.Minute, Run: check},
	{Name: "drift1", What: "foreign edit of one object, again and again", Time: 10 * time.Minute, Run: driftOne},
	{Name: "driftmany", What: "foreign edit of one object of each unit at once", Time: 10 * time.Minute, Run: driftMany},
	{Name: "restart", What: "the controller is stopped and started", Time: 5 * time.Minute, Run: restart},
	{Name: "chain", What: "ten units, each after the one before, with wait", Time: 5 * time.Minute, Run: chain},
	{Name: "idle", What: "nothing happens; interval 1 m", Time: 10 * time.Minute, Run: idle},
	{Name: "memory", What: "as many units again", Time: 15 * time.Minute, Run: memory},
	{Name: "monorepo", What: "units among 100,000 files and 2,000 commits", Time: 30 * time.Minute, Run: monorepo},
}

// An Outcome is what a workload has shown.
type Outcome struct {
	Rows  []Row
	Notes []string         // what else there is to say
	Usage map[string]Usage // what its parts cost
}

// use adds the usage of a part.
func (o *Outcome) use(part string, u Usage) {
	if o.Usage == nil {
		o.Usage = make(map[string]Usage)
	}
	o.Usage[part] = u
}

func (o *Outcome) note(format string, args ...any) {
	o.Notes = append(o.Notes, fmt.Sprintf(format, args...))
}

// A Row is one line of the table.
type Row struct {
	Workload string
	What     string
	Measured Quantity
	Floor    Quantity // the zero Quantity if there is none
	Goal     Goal
}

// Ratio returns how many times the floor was measured, or 0.
func (r Row) Ratio() float64 {
	if r.Floor.Value == 0 {
		return 0
	}
	return r.Measured.Value / r.Floor.Value
}

// A Goal is what must be reached. The zero Goal is none.
type Goal struct {
	Text string
	Most float64 // what may be measured at the most, in the unit of Measured
}

// Met reports whether the goal is reached, in words.
func (r Row) Met() string {
	switch {
	case r.Goal.Text == "":
		return ""
	case r.Measured.Value <= r.Goal.Most:
		return "yes"
	}
	return "NO"
}

// times is the goal to take so many times the floor at the most.
func times(most float64, floor Quantity) Goal {
	return Goal{fmt.Sprintf("≤ %s × floor", compact(most)), most * floor.Value}
}

// inR is the goal to take so many round trips at the most.
func (s *stage) inR(most float64) Goal {
	return Goal{fmt.Sprintf("≤ %s R = %s", compact(most), seconds(most*s.floor.R.Seconds())), most * s.floor.R.Seconds()}
}

// none is the goal that there are none.
var none = Goal{"0", 0}

// A Quantity is a number and what it counts.
type Quantity struct {
	Value float64
	Unit  Unit
}

// A Unit is what a Quantity counts.
type Unit string

const (
	Seconds    Unit = "s"     // of time
	CPUSeconds Unit = "cpu s" // of CPU time
	Bytes      Unit = "B"
	Count      Unit = ""
	Percent    Unit = "%"
)

// String returns the quantity with three digits or so.
func (q Quantity) String() string {
	switch q.Unit {
	case Seconds:
		return seconds(q.Value)
	case CPUSeconds:
		return seconds(q.Value) + " cpu"
	case Bytes:
		return size(q.Value)
	case Percent:
		return compact(q.Value) + " %"
	}
	return compact(q.Value)
}

func seconds(s float64) string {
	switch {
	case s == 0:
		return "0 s"
	case s < 0.001 && s > -0.001:
		return compact(s*1e6) + " µs"
	case s < 1 && s > -1:
		return compact(s*1e3) + " ms"
	}
	return compact(s) + " s"
}

func size(b float64) string {
	switch {
	case b >= 1<<20 || b <= -1<<20:
		return compact(b/(1<<20)) + " MiB"
	case b >= 1<<10 || b <= -1<<10:
		return compact(b/(1<<10)) + " KiB"
	}
	return compact(b) + " B"
}

// compact returns a number with three digits, or all before the point.
func compact(v float64) string {
	if v >= 100 || v <= -100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func took(d time.Duration) Quantity { return Quantity{d.Seconds(), Seconds} }

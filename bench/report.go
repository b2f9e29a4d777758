package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Report is all that was measured.
type Report struct {
	Began      time.Time
	Machine    Machine
	Controller string // the command; "" means this program
	Layout     string // of a unit's directory
	Rounds     []Round
	Growth     []Row // how figures change with the number of units
}

// A Round is what was measured with one number of units.
type Round struct {
	N     int
	Floor Floor
	Plays []Play
}

// A Play is what was measured by one workload.
type Play struct {
	Workload string
	What     string
	Outcome
	Err string // why there is no more
}

// rows returns all rows of a round.
func (r Round) rows() []Row {
	var all []Row
	for _, p := range r.Plays {
		all = append(all, p.Rows...)
		if p.Err != "" && len(p.Rows) == 0 {
			all = append(all, Row{Workload: p.Workload, What: "failed: see below"})
		}
	}
	return all
}

// Missed returns how many goals were not reached.
func (r Report) Missed() int {
	missed := 0
	for _, run := range r.Rounds {
		for _, p := range run.Plays {
			if p.Err != "" {
				missed++
			}
		}
		missed += countMissed(run.rows())
	}
	return missed + countMissed(r.Growth)
}

func countMissed(rows []Row) int {
	n := 0
	for _, r := range rows {
		if r.Met() == "NO" {
			n++
		}
	}
	return n
}

// growth compares what must not get worse with more units.
func growth(runs []Round) []Row {
	if len(runs) < 2 {
		return nil
	}
	least, most := runs[0], runs[0]
	for _, r := range runs {
		if r.N < least.N {
			least = r
		}
		if r.N > most.N {
			most = r
		}
	}
	var rows []Row
	for _, a := range least.rows() {
		for _, b := range most.rows() {
			if a.Workload != b.Workload || a.What != b.What || !strings.Contains(a.What, "p99") {
				continue
			}
			b.What = fmt.Sprintf("%s: N = %d against N = %d", b.What, most.N, least.N)
			b.Floor, b.Goal = a.Measured, Goal{"no worse (within a tenth)", 1.1 * a.Measured.Value}
			rows = append(rows, b)
		}
	}
	return rows
}

// JSON writes the report as JSON.
func (r Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Text writes the report for people.
func (r Report) Text(w io.Writer) error {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "%s, %d cores, %s, Linux %s, %s, git %s, API server %s; load %s\n", m.CPU, m.Cores, m.Memory, m.Kernel, m.Go, m.Git, m.Server, m.Load)
	if r.Controller != "" {
		fmt.Fprintf(&b, "controller: %s\n", r.Controller)
	}
	for _, run := range r.Rounds {
		run.text(&b)
	}
	if len(r.Growth) > 0 {
		fmt.Fprint(&b, "\nWith more units\n\n")
		table(&b, r.Growth)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Round) text(b *strings.Builder) {
	f := r.Floor
	fmt.Fprintf(b, "\nN = %d units of %d objects. R = %s, C = %s.\n", r.N, perUnit, took(f.R), Quantity{f.C.Seconds(), CPUSeconds})
	fmt.Fprintf(b, "Floor (%d units at a time, %d objects of each): first %s, upgrade %s, statuses %s, one object of each %s.\n\n", floorUnits, floorObjects,
		seconds(f.First.Seconds), seconds(f.Upgrade.Seconds), seconds(f.Settle.Seconds), seconds(f.DriftMany.Seconds))
	table(b, r.rows())
	for _, p := range r.Plays {
		p.text(b)
	}
}

// text writes the details of a play.
func (p Play) text(b *strings.Builder) {
	fmt.Fprintf(b, "\n%s: %s\n", p.Workload, p.What)
	if p.Err != "" {
		fmt.Fprintf(b, "  failed: %s\n", p.Err)
	}
	for _, part := range slices.Sorted(maps.Keys(p.Usage)) {
		u := p.Usage[part]
		fmt.Fprintf(b, "  %s: %s; CPU: controller %s, API server %s, this program %s; peak %s\n", part, seconds(u.Seconds),
			seconds(u.Controller), seconds(u.Server), seconds(u.Bench), size(float64(u.Peak.Total())))
		fmt.Fprintf(b, "    requests: %s\n", u.Requests)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(b, "  %s\n", n)
	}
}

// table writes rows under each other.
func table(b *strings.Builder, rows []Row) {
	cells := [][]string{{"WORKLOAD", "", "MEASURED", "FLOOR", "RATIO", "MUST REACH", "OK"}}
	for _, r := range rows {
		cells = append(cells, r.cells())
	}
	widths := make([]int, len(cells[0]))
	for _, row := range cells {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, row := range cells {
		line := ""
		for i, c := range row {
			line += c + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+2)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

func (r Row) cells() []string {
	floor, ratio := "", ""
	if r.Floor.Value != 0 {
		floor, ratio = r.Floor.String(), strconv.FormatFloat(r.Ratio(), 'f', 2, 64)
	}
	return []string{r.Workload, r.What, r.Measured.String(), floor, ratio, r.Goal.Text, r.Met()}
}
